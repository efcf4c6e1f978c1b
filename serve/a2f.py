"""Audio2Face-3D's gRPC protocol, `ProcessAudioStream`: its clients drive our face unchanged.

A header, then sound (16-bit mono PCM) with emotions by time code, then the end; back come a header with the names of
the shapes, one message for each frame with its part of the sound, an event and a status. Their ten emotions are the
prompts of `styles.EMOTIONS`. Of their knobs these work: upperFaceStrength, lowerFaceStrength, eyelidOpenOffset,
tongueStrength, emotion_strength, max_emotions, live_transition_time, beginning_emotion, multipliers, offsets and
clamping of shapes. We detect no emotion in the voice, so what mixes theirs with it does nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from expclip.errors import BadRequestError
from expclip.rig import A2F_TONGUE, FloatArray, Rig, order, pascal
from expclip.stream import Frames
from expclip.style import Style, StyleChange
from serve.a2f_messages import SERVICE, AnimationDataStream, AudioStream
from serve.problems import Problem, as_problem
from serve.service import Service
from serve.sessions import Session
from serve.stream import decode
from serve.styles import number

FPS = 30.0
_PCM = 0
_SUCCESS, _ERROR = 0, 3
_END_OF_PROCESSING = 0
_SECONDS = 10.0
"""Longest sound in one message."""


@dataclass(frozen=True, eq=False)
class _Knobs:
    """What a header asks to be done with finished weights."""

    gain_C: FloatArray
    offset_C: FloatArray
    clamp: bool

    def apply(self, weights_KC: FloatArray) -> FloatArray:
        out_KC = weights_KC * self.gain_C + self.offset_C
        return np.clip(out_KC, 0, 1) if self.clamp else out_KC


async def process(
    service: Service, messages: AsyncIterator[Any], metadata: Sequence[tuple[str, Any]] = ()
) -> AsyncIterator[Any]:
    """Answer one call; whatever is wrong ends it with a status of code ERROR that says what."""
    try:
        headers = {str(key).lower(): str(value) for key, value in metadata}
        who = service.keys.identify(headers, {})
        service.admission.check_rate(who)
        with service.admission.stream(who):
            async for reply in _Call(service, messages).run():
                yield reply
        yield _status(_SUCCESS, "")
    except Exception as error:
        problem = as_problem(error)
        service.metrics.rejects.labels(problem.kind).inc()
        yield _status(_ERROR, f"{problem.kind}: {problem.detail}")


def _status(code: int, message: str) -> Any:
    return AnimationDataStream(status={"code": code, "message": message})


class _Call:
    """One call's state."""

    def __init__(self, service: Service, messages: AsyncIterator[Any]) -> None:
        self.service, self.messages = service, messages
        self.model = service.model()
        self.sound = bytearray()
        self.cut = 0
        """Bytes of the sound that went back already."""
        self.ended = False

    async def run(self) -> AsyncIterator[Any]:
        """Give the replies but for the status."""
        header = await self._header()
        self.rate, self.size = int(header.audio_header.samples_per_second), 2
        self.knobs = _knobs(header, self.model.animator.rig)
        self.emotion = header.emotion_post_processing_params
        turn = header.emotion_params
        self.transition = turn.live_transition_time if turn.HasField("live_transition_time") else 0.5
        begun = await self._style(turn.beginning_emotion)
        self.unset = not turn.beginning_emotion
        rate, streamer = self.rate, self.model.streamer
        session = self.service.ticker.open(streamer, lambda: streamer.open(begun, rate=rate, fps=FPS))
        yield AnimationDataStream(
            animation_data_stream_header={
                "audio_header": header.audio_header,
                "skel_animation_header": {"blend_shapes": order("a2f")},
                "start_time_code_since_epoch": time.time(),
            }
        )
        listener = asyncio.create_task(self._listen(session))
        try:
            async for frames in self._frames(session, listener):
                for reply in self._replies(frames, last=session.stream.finished and not session.outbox):
                    yield reply
            yield AnimationDataStream(event={"event_type": _END_OF_PROCESSING})
        finally:
            self.service.ticker.close(session)
            listener.cancel()
            await asyncio.wait([listener])

    async def _header(self) -> Any:
        first = await self._next()
        if first is None or first.WhichOneof("stream_part") != "audio_stream_header":
            raise BadRequestError("the first message is no audio_stream_header")
        header = first.audio_stream_header
        asked = header.audio_header
        if (asked.audio_format, asked.channel_count, asked.bits_per_sample) != (_PCM, 1, 16):
            raise BadRequestError("only 16-bit PCM with one channel is read")
        return header

    async def _next(self) -> Any:
        try:
            async with asyncio.timeout(self.service.limits.idle):
                return await anext(self.messages, None)
        except TimeoutError:
            raise Problem("idle", f"no message for {self.service.limits.idle:g} s") from None

    async def _listen(self, session: Session) -> None:
        """Take sound and emotions until the end."""
        most, rest = int(_SECONDS * self.rate) * self.size, b""
        while (message := await self._next()) is not None:
            kind = message.WhichOneof("stream_part")
            if kind == "end_of_audio":
                break
            if kind != "audio_with_emotion":
                raise BadRequestError(f"{kind or 'an empty message'} where sound was expected")
            data = message.audio_with_emotion.audio_buffer
            if len(data) > most:
                raise Problem("too-large", f"more than {_SECONDS:g} s of sound in one message")
            await self._feel(session, message.audio_with_emotion.emotions)
            self.sound += data
            samples, rest = decode(rest + data, "pcm16")
            session.push(samples)
            if session.stream.seconds > self.service.limits.stream_seconds:
                raise Problem("too-long", f"a stream lasts {self.service.limits.stream_seconds:g} s at most")
            if session.stream.backlog > self.service.limits.backlog:
                session.room.clear()
                await session.room.wait()
        session.end()
        self.ended = True
        session.news.set()

    async def _feel(self, session: Session, emotions: Sequence[Any]) -> None:
        for entry in sorted(emotions, key=lambda e: e.time_code):
            style, at = await self._style(entry.emotion), number(entry.time_code, "time_code", 0, 1e9)
            if self.unset and at == 0 and not session.stream.seconds:
                session.stream.changes = [StyleChange(0.0, style)]
            else:
                session.stream.change(style, at=at, transition=self.transition)
            self.unset = False

    async def _style(self, emotions: Mapping[str, float]) -> Style:
        """Return the style of a map of emotions, 0..1 each; none is neutral."""
        params = self.emotion if hasattr(self, "emotion") else None
        most = params.max_emotions if params is not None and params.HasField("max_emotions") else 10
        strength = params.emotion_strength if params is not None and params.HasField("emotion_strength") else 1.0
        given = {name: number(value, f"emotion {name[:40]}", 0, 1) for name, value in emotions.items()}
        kept = sorted(((v, k) for k, v in given.items() if v > 0), reverse=True)[: max(1, most)]
        if not kept:
            return self.model.styles.neutral()
        mix = [{"emotion": name, "share": value} for value, name in kept]
        return (await self.model.styles.style({"mix": mix})).scaled(min(1.5, kept[0][0] * max(0.0, strength)))

    async def _frames(self, session: Session, listener: "asyncio.Task[None]") -> AsyncIterator[Frames]:
        listener.add_done_callback(lambda _: session.news.set())
        while True:
            while session.outbox:
                yield session.outbox.popleft()
            if session.error:
                raise session.error
            if listener.done() and (error := listener.exception()):
                raise error
            if self.service.closing.is_set() and time.monotonic() > self.service.deadline:
                raise Problem("stopping", "begin anew; another replica takes over")
            if session.unread > self.service.limits.unread:
                raise Problem("slow-reader", "frames wait to be read")
            if self.ended and session.stream.finished:
                return
            if not session.outbox:
                session.news.clear()
                await session.news.wait()

    def _replies(self, frames: Frames, *, last: bool) -> list[Any]:
        """Return a message for each frame, with the sound from its time to the next one's."""
        names = [pascal(name) for name in self.model.animator.rig.channels]
        columns = [names.index(name) for name in order("a2f")]
        weights_KC = self.knobs.apply(frames.weights_KC)[:, columns]
        replies = []
        for k, (second, weights_C) in enumerate(zip(frames.times_K.tolist(), weights_KC, strict=True)):
            end = round((second + 1 / FPS) * self.rate) * self.size - self.cut
            if last and k == len(frames) - 1:
                end = len(self.sound)
            part = bytes(self.sound[: max(0, end)])
            at, self.cut = self.cut / self.size / self.rate, self.cut + len(part)
            del self.sound[: len(part)]
            replies.append(
                AnimationDataStream(
                    animation_data={
                        "skel_animation": {
                            "blend_shape_weights": [{"time_code": second, "values": weights_C.tolist()}]
                        },
                        "audio": {"time_code": at, "audio_buffer": part},
                    }
                )
            )
        return replies


def _knobs(header: Any, rig: Rig) -> _Knobs:
    """Return what a header's parameters do to each channel; raises BadRequestError for unknown shapes."""
    gain_C, offset_C = np.ones(len(rig), np.float32), rig.zeros()
    face = header.face_params.float_params
    gain_C[rig.region("upper")] *= number(face.get("upperFaceStrength", 1.0), "upperFaceStrength", 0, 2)
    gain_C[rig.region("mouth")] *= number(face.get("lowerFaceStrength", 1.0), "lowerFaceStrength", 0, 2)
    gain_C[rig.index("tongueOut")] *= number(face.get("tongueStrength", 1.0), "tongueStrength", 0, 3)
    lids = rig.indices(("eyeBlinkLeft", "eyeBlinkRight"))
    offset_C[lids] -= number(face.get("eyelidOpenOffset", 0.0), "eyelidOpenOffset", -1, 1)
    shapes = header.blendshape_params
    for name, value in shapes.bs_weight_multipliers.items():
        if name not in A2F_TONGUE:
            gain_C[rig.index(name)] *= number(value, f"multiplier of {name[:40]}", -10, 10)
    for name, value in shapes.bs_weight_offsets.items():
        if name not in A2F_TONGUE:
            offset_C[rig.index(name)] += number(value, f"offset of {name[:40]}", -10, 10)
    return _Knobs(gain_C, offset_C, bool(shapes.enable_clamping_bs_weight))


def add_A2FControllerServiceServicer_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer with `ProcessAudioStream`; named as generated code is, because Ray's settings name it."""
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ProcessAudioStream,
        request_deserializer=AudioStream.FromString,
        response_serializer=AnimationDataStream.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ProcessAudioStream": handler}),))
