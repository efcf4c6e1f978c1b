"""Clients of Audio2Face-3D: the sequence, names, clocks, knobs and errors of their protocol."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import numpy as np
import pytest

from expclip.rig import load_rig, order
from serve import a2f
from serve.a2f_messages import SERVICE, AnimationDataStream, AudioStream
from serve.service import Service
from serve.settings import load

RIG = load_rig()


def requests(
    sound: np.ndarray, *, size: int = 16_000, rate: int = 16_000, emotions: Any = (), **header: Any
) -> list[Any]:
    data = (sound * 32768).round().clip(-32768, 32767).astype("<i2").tobytes()
    audio = {"audio_format": 0, "channel_count": 1, "samples_per_second": rate, "bits_per_sample": 16}
    found = [{"audio_stream_header": {"audio_header": audio, **header}}]
    for start in range(0, len(data), size):
        part: dict[str, Any] = {"audio_buffer": data[start : start + size]}
        if not start:
            part["emotions"] = list(emotions)
        found.append({"audio_with_emotion": part})
    return [AudioStream(**message) for message in [*found, {"end_of_audio": {}}]]


async def call(animator: Any, messages: Iterable[Any], metadata: Any = (), **arguments: Any) -> list[Any]:
    service = Service(load({"models.tiny": "", **arguments}), {"tiny": animator})

    async def sent() -> AsyncIterator[Any]:
        for message in messages:
            yield message

    replies = [reply async for reply in a2f.process(service, sent(), metadata)]
    assert not service.ticker.sessions
    await service.close()
    return replies


def weights(replies: list[Any]) -> np.ndarray:
    arrays = [r.animation_data.skel_animation.blend_shape_weights[0] for r in replies if r.HasField("animation_data")]
    return np.array([list(a.values) for a in arrays], np.float32)


def test_the_whole_sequence(animator: Any, heard: np.ndarray) -> None:
    messages = requests(heard, emotions=[{"time_code": 0.0, "emotion": {"joy": 1.0}}])
    replies = asyncio.run(call(animator, messages))
    kinds = [r.WhichOneof("stream_part") for r in replies]
    assert kinds[0] == "animation_data_stream_header"
    assert kinds[1:-2] == ["animation_data"] * 60
    assert kinds[-2:] == ["event", "status"]
    assert (replies[-1].status.code, replies[-2].event.event_type) == (0, 0)
    assert tuple(replies[0].animation_data_stream_header.skel_animation_header.blend_shapes) == order("a2f")
    echoed = b"".join(r.animation_data.audio.audio_buffer for r in replies[1:-2])
    assert echoed == b"".join(m.audio_with_emotion.audio_buffer for m in messages[1:-1])
    codes = [r.animation_data.skel_animation.blend_shape_weights[0].time_code for r in replies[1:-2]]
    np.testing.assert_allclose(codes, np.arange(60) / 30)
    sounds = [r.animation_data.audio.time_code for r in replies[1:-2]]
    np.testing.assert_allclose(sounds, codes, atol=1 / 16_000)
    from serve.styles import EMOTIONS

    whole = animator.animate(heard, EMOTIONS["joy"])
    np.testing.assert_allclose(weights(replies), whole.weights_TC, atol=1e-4)


def test_emotions_by_time_code(animator: Any, heard: np.ndarray) -> None:
    from serve.styles import EMOTIONS

    emotions = [{"time_code": 1.0, "emotion": {"anger": 0.5}}, {"time_code": 0.0, "emotion": {"joy": 0.8, "pain": 0.0}}]
    replies = asyncio.run(
        call(animator, requests(heard, emotions=emotions, emotion_params={"live_transition_time": 0.3}))
    )
    joy, anger = animator.style(EMOTIONS["joy"], intensity=0.8), animator.style(EMOTIONS["anger"], intensity=0.5)
    whole = animator.animate(heard, [(0, joy), (1.0, anger, 0.3)])
    np.testing.assert_allclose(weights(replies), whole.weights_TC, atol=1e-4)


def test_knobs_of_shapes_and_regions(animator: Any, heard: np.ndarray) -> None:
    shapes = {"bs_weight_multipliers": {"JawOpen": 2.0, "TongueUp": 0.5}, "bs_weight_offsets": {"BrowInnerUp": -0.25}}
    face = {"float_params": {"upperFaceStrength": 0.5}}
    plain = weights(asyncio.run(call(animator, requests(heard))))
    tuned = weights(asyncio.run(call(animator, requests(heard, blendshape_params=shapes, face_params=face))))
    jaw, brow = RIG.index("jawOpen"), RIG.index("browInnerUp")
    np.testing.assert_allclose(tuned[:, jaw], plain[:, jaw] * 2, atol=1e-5)
    np.testing.assert_allclose(tuned[:, brow], plain[:, brow] * 0.5 - 0.25, atol=1e-5)
    shapes["enable_clamping_bs_weight"] = True  # type: ignore[assignment]
    clamped = weights(asyncio.run(call(animator, requests(heard, blendshape_params=shapes))))
    assert clamped.min() >= 0


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "no audio_stream_header"),
        ([AudioStream(end_of_audio={})], "no audio_stream_header"),
        (requests(np.zeros(10), rate=96_000), "96000"),
        (requests(np.zeros(10), emotions=[{"time_code": 0, "emotion": {"bliss": 1}}]), "bliss"),
        (requests(np.zeros(10), emotions=[{"time_code": float("nan"), "emotion": {"joy": 1}}]), "time_code"),
        (requests(np.zeros(10), blendshape_params={"bs_weight_offsets": {"Nose": 1}}), "Nose"),
        (requests(np.zeros(10), face_params={"float_params": {"upperFaceStrength": 9}}), "upperFaceStrength"),
        (requests(np.zeros(200_000), size=400_000), "too-large"),
        ([*requests(np.zeros(10))[:1], AudioStream()], "empty message"),
        ([AudioStream(audio_stream_header={})], "16-bit PCM"),
    ],
)
def test_bad_requests_are_told_by_status(animator: Any, messages: list[Any], message: str) -> None:
    replies = asyncio.run(call(animator, messages))
    assert replies[-1].status.code == 3
    assert message in replies[-1].status.message


def test_limits_and_keys_hold_here_too(animator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = asyncio.run(call(animator, requests(np.zeros(10)), **{"limits.streams": 0}))
    assert full[-1].status.message.startswith("overloaded")
    monkeypatch.setenv("EXPCLIP_API_KEYS", "alpha")
    assert asyncio.run(call(animator, requests(np.zeros(10))))[-1].status.message.startswith("no-key")
    known = asyncio.run(call(animator, requests(np.zeros(10)), metadata=[("X-API-Key", "alpha")]))
    assert known[-1].status.code == 0


class Servicer:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def ProcessAudioStream(self, messages: Any, context: Any) -> AsyncIterator[Any]:
        async for reply in a2f.process(self.service, messages, context.invocation_metadata()):
            yield reply


async def over_the_wire(animator: Any, make: Any) -> list[Any]:
    service = Service(load({"models.tiny": ""}), {"tiny": animator})
    server = grpc.aio.server()
    a2f.add_A2FControllerServiceServicer_to_server(Servicer(service), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        replies = [reply async for reply in make(channel)]
    await server.stop(1)
    await service.close()
    return replies


def test_over_the_wire(animator: Any, heard: np.ndarray) -> None:
    def make(channel: Any) -> Any:
        method = channel.stream_stream(
            f"/{SERVICE}/ProcessAudioStream", request_serializer=AudioStream.SerializeToString,
            response_deserializer=AnimationDataStream.FromString,
        )  # fmt: skip
        return method(iter(requests(heard)))

    replies = asyncio.run(over_the_wire(animator, make))
    assert replies[-1].status.code == 0
    assert len(weights(replies)) == 60


def test_the_public_client_package(animator: Any, heard: np.ndarray) -> None:
    theirs = pytest.importorskip("nvidia_audio2face_3d.messages_pb2", reason="nvidia-audio2face-3d is not installed")
    client = pytest.importorskip("nvidia_audio2face_3d.audio2face_pb2_grpc")
    sent = [theirs.AudioWithEmotionStream.FromString(m.SerializeToString()) for m in requests(
        heard, emotions=[{"time_code": 0.0, "emotion": {"joy": 1.0}}],
        blendshape_params={"bs_weight_multipliers": {"JawOpen": 1.5}},
    )]  # fmt: skip
    assert sent[0].audio_stream_header.audio_header.samples_per_second == 16_000
    assert sent[0].audio_stream_header.blendshape_params.bs_weight_multipliers["JawOpen"] == 1.5
    assert sent[1].audio_with_emotion.emotions[0].emotion["joy"] == 1

    replies = asyncio.run(
        over_the_wire(animator, lambda channel: client.A2FControllerServiceStub(channel).ProcessAudioStream(iter(sent)))
    )
    assert type(replies[0]).__name__ == "A2F3DAnimationDataStream"
    assert len(replies[0].animation_data_stream_header.skel_animation_header.blend_shapes) == 52
    assert weights(replies).shape == (60, 52)
    assert replies[-1].status.code == 0
