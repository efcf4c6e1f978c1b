"""WS /v1/stream: sound in, frames out, while both sides talk.

The client sends `{"type": "configure", ...}` once, then sound as binary messages of any length, and in between `style`,
`interrupt` and `end` messages. It gets `configured`, frames (JSON or binary), `first_frame`, `style_changed`,
`interrupted`, `ended`, `notice` and `problem`. After `ended` or `interrupted` the next sound begins at second 0.
README.md has all members.
"""

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from expclip.errors import BadRequestError, unknown
from expclip.exporters import decimals
from expclip.postprocess import PostOptions
from expclip.rig import FloatArray
from expclip.stream import Frames
from expclip.style import TRANSITION, check_transition
from serve.problems import Problem, as_problem
from serve.service import Service
from serve.sessions import Session
from serve.styles import number

CODINGS = {"pcm16": 2, "float32": 4}
"""Coding of the sound, little-endian, mono -> bytes of a sample."""
OUTPUTS = ("json", "binary")
_HEAD = struct.Struct("<4I")
"""Head of a binary message: utterance, first frame's number, frames, channels; rows of (second, weights) follow."""
_MEMBERS = ("type", "rate", "coding", "fps", "seed", "style", "output", "model", "postprocess")
_MOST_CHANGES = 256


async def serve_stream(socket: WebSocket, service: Service) -> None:
    """Answer one websocket."""
    await socket.accept()
    try:
        who = service.keys.identify(socket.headers, socket.query_params)
        service.admission.check_rate(who)
        with service.admission.stream(who):
            await _Talk(socket, service).run()
    except WebSocketDisconnect:
        pass
    except Exception as error:
        await _refuse(socket, service, as_problem(error))


async def _refuse(socket: WebSocket, service: Service, problem: Problem) -> None:
    """Tell why and close; a client that is gone already is not told."""
    service.metrics.rejects.labels(problem.kind).inc()
    if socket.application_state != WebSocketState.CONNECTED or socket.client_state != WebSocketState.CONNECTED:
        return
    try:
        message: dict[str, Any] = {"type": "problem", "problem": problem.body()}
        if problem.retry_after is not None:
            message["retry_after"] = problem.retry_after
        await socket.send_text(json.dumps(message))
        await socket.close(problem.close_code, problem.kind)
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass


class _Talk:
    """Both directions of one stream."""

    def __init__(self, socket: WebSocket, service: Service) -> None:
        self.socket, self.service, self.limits = socket, service, service.limits
        self.session: Session | None = None
        self.styles = service.model().styles
        self.coding, self.output, self.rest = "pcm16", "json", b""
        self.utterance = self.sent = 0
        self.ending = self.told_first = False
        self.total = 0.0
        self.messages: deque[dict[str, Any]] = deque()

    async def run(self) -> None:
        """Talk until the client leaves, raising what went wrong."""
        first = await self._receive()
        if first is None:
            return
        await self._configure(first)
        assert self.session
        tasks = {asyncio.create_task(side()) for side in (self._listen, self._speak, self._watch)}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            errors = [task.exception() for task in done]
            for error in filter(None, errors):
                raise error
        finally:
            self.service.ticker.close(self.session)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _receive(self) -> str | bytes | None:
        """Return the next message, None if the client has left; raises Problem for one that is too large or late."""
        try:
            async with asyncio.timeout(self.limits.idle):
                message = await self.socket.receive()
        except TimeoutError:
            raise Problem("idle", f"no message for {self.limits.idle:g} s") from None
        if message["type"] != "websocket.receive":
            return None
        data: str | bytes = message["bytes"] if message.get("bytes") is not None else message["text"]
        if len(data) > self.limits.message_kb * 1024:
            raise Problem(
                "too-large", f"a message of {len(data)} bytes; at most {self.limits.message_kb:g} kB are valid"
            )
        return data

    async def _configure(self, first: str | bytes) -> None:
        asked = _message(first)
        if asked["type"] != "configure":
            raise BadRequestError(f"the first message is of type {asked['type']!r:.40}, not 'configure'")
        for name in asked:
            if name not in _MEMBERS:
                raise unknown("member of configure", name[:40], _MEMBERS)
        self.coding, self.output = asked.get("coding", "pcm16"), asked.get("output", "json")
        for name, value, valid in (("coding", self.coding, tuple(CODINGS)), ("output", self.output, OUTPUTS)):
            if value not in valid:
                raise unknown(name, str(value)[:40], valid)
        model = self.service.model(_text(asked.get("model", "")))
        self.styles = model.styles
        changes = await model.styles.changes(asked.get("style"))
        rate, fps = asked.get("rate", 16_000), number(asked.get("fps", 30), "fps", 1, 240)
        seed, options = int(number(asked.get("seed", 0), "seed", 0, 2**32 - 1)), post_options(asked.get("postprocess"))
        self.session = self.service.ticker.open(
            model.streamer, lambda: model.streamer.open(changes, rate=rate, fps=fps, seed=seed, options=options)
        )
        rig = model.animator.rig
        self.messages.append(
            {
                "type": "configured", "model": model.name, "checkpoint": model.animator.digest, "rig": rig.name,
                "names": rig.channels, "fps": fps, "rate": rate, "look_ahead": model.streamer.latency,
            }
        )  # fmt: skip

    async def _listen(self) -> None:
        session = self.session
        assert session
        while (data := await self._receive()) is not None:
            if isinstance(data, bytes):
                await self._hear(session, data)
            else:
                try:
                    await self._do(session, _message(data))
                except BadRequestError as error:  # a wrong word does not end the speech
                    self.messages.append({"type": "problem", "problem": as_problem(error).body()})
            session.news.set()

    async def _hear(self, session: Session, data: bytes) -> None:
        while self.ending:  # the next utterance's first sound
            await asyncio.sleep(0.005)
        samples, self.rest = decode(self.rest + data, self.coding)
        self.total += len(samples) / session.stream.rate
        if self.total > self.limits.stream_seconds:
            raise Problem("too-long", f"a stream lasts {self.limits.stream_seconds:g} s at most")
        if len(samples):
            session.push(samples)
        if session.stream.backlog > self.limits.backlog:
            session.room.clear()
            await session.room.wait()

    async def _do(self, session: Session, asked: Mapping[str, Any]) -> None:
        kind = asked["type"]
        if kind == "style":
            if len(session.stream.changes) > _MOST_CHANGES:
                raise BadRequestError("too many changes of style wait for their time")
            style = await self.styles.style(asked.get("style"))
            transition = check_transition(number(asked.get("transition", TRANSITION), "transition", 0, 1e9))
            at = None if asked.get("at") is None else number(asked["at"], "at", 0, 1e9)
            second = session.stream.change(style, transition=transition, at=at)
            self.messages.append({"type": "style_changed", "at": second, "transition": transition})
        elif kind == "interrupt":
            session.restart()
            self._next_utterance()
            self.messages.append({"type": "interrupted", "utterance": self.utterance})
        elif kind == "end":
            if not self.ending:
                self.ending, self.rest = True, b""
                session.end()
        else:
            raise unknown("type of message", str(kind)[:40], ("style", "interrupt", "end"))

    def _next_utterance(self) -> None:
        self.utterance, self.sent, self.rest = self.utterance + 1, 0, b""
        self.ending = self.told_first = False

    async def _speak(self) -> None:
        session = self.session
        assert session
        while True:
            while self.messages:
                await self.socket.send_text(json.dumps(self.messages.popleft()))
            while session.outbox and not self.messages:
                await self._send(session, session.outbox.popleft())
            if session.error:
                raise session.error
            if self.ending and session.stream.finished and not (session.outbox or self.messages):
                self.messages.append(self._ended(session))
                session.restart()
                self._next_utterance()
                continue
            if session.outbox or self.messages:
                continue
            session.news.clear()
            await session.news.wait()

    async def _send(self, session: Session, frames: Frames) -> None:
        first, self.sent = self.sent, self.sent + len(frames)
        if self.output == "binary":
            rows = np.concatenate([frames.times_K[:, None].astype("<f4"), frames.weights_KC.astype("<f4")], 1)
            await self.socket.send_bytes(
                _HEAD.pack(self.utterance, first, len(rows), rows.shape[1] - 1) + rows.tobytes()
            )
        else:
            await self.socket.send_text(frames_json(frames, {"type": "frames", "utterance": self.utterance}))
        if not self.told_first and session.first_frame is not None:
            self.told_first = True
            self.messages.append(
                {"type": "first_frame", "utterance": self.utterance, "latency": round(session.first_frame, 4),
                 "rtf": round(session.rtf, 4)}
            )  # fmt: skip

    def _ended(self, session: Session) -> dict[str, Any]:
        return {
            "type": "ended", "utterance": self.utterance, "frames": self.sent,
            "seconds": round(session.stream.seconds, 6), "first_frame": session.first_frame,
            "rtf": round(session.rtf, 4),
        }  # fmt: skip

    async def _watch(self) -> None:
        """Tell of the replica's end, and end streams whose client does not read."""
        session = self.session
        assert session
        told = False
        while True:
            if self.service.closing.is_set() and not told:
                told = True
                left = max(0.0, self.service.deadline - time.monotonic())
                self.messages.append({"type": "notice", "code": "stopping", "seconds": round(left, 1)})
                session.news.set()
            if time.monotonic() > self.service.deadline:
                raise Problem("stopping", "begin anew; another replica takes over", retry_after=0.0)
            if session.unread > self.limits.unread:
                raise Problem("slow-reader", f"{session.unread:.0f} s of frames wait to be read")
            await asyncio.sleep(0.5)


def decode(data: bytes, coding: str) -> tuple[FloatArray, bytes]:
    """Return the samples (N,), -1..1, of little-endian bytes, and the bytes of a last, unfinished one."""
    size = CODINGS[coding]
    whole = len(data) // size * size
    if coding == "pcm16":
        return (np.frombuffer(data[:whole], "<i2") / 32768).astype(np.float32), data[whole:]
    samples = np.frombuffer(data[:whole], "<f4").astype(np.float32)
    if not (np.abs(samples) < 16).all():
        raise BadRequestError("the sound holds NaN, infinity or values far outside -1..1")
    return samples, data[whole:]


def frames_json(frames: Frames, head: Mapping[str, Any]) -> str:
    """Return frames as one JSON object with `times` and `weights`, after the members of `head`."""
    times = ",".join(format(t, ".6g") if t < 1000 else format(t, ".3f") for t in frames.times_K.tolist())
    weights = b",".join(b"[%s]" % row for row in decimals.rows(frames.weights_KC, 5)).decode()
    return f'{json.dumps(head)[:-1]}, "times": [{times}], "weights": [{weights}]}}'


def post_options(asked: Any) -> PostOptions:
    """Return the post-processing with the switches asked for; raises BadRequestError for unknown ones."""
    if asked is None:
        return PostOptions()
    valid = {f.name: f.type for f in fields(PostOptions)}
    if not isinstance(asked, Mapping):
        raise BadRequestError(f"postprocess is an object with some of {', '.join(valid)}")
    given: dict[str, Any] = {}
    for name, value in asked.items():
        if name not in valid:
            raise unknown("switch of postprocess", str(name)[:40], valid)
        if name == "closure_threshold":
            given[name] = number(value, name, 0, 1)
        elif isinstance(value, bool):
            given[name] = value
        else:
            raise BadRequestError(f"postprocess {name} is true or false")
    return PostOptions(**given)


def _message(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        raise BadRequestError("sound before `configure`")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRequestError("a text message is a JSON object; this is no JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadRequestError("a text message is a JSON object with a `type`")
    return message


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadRequestError(f"{str(value)[:40]!r} is not a text")
    return value
