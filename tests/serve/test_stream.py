"""The websocket: what it says equals the Animator's word on the whole sound, and nonsense hurts nobody else."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect


@contextmanager
def talk(client: TestClient, **configure: Any) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"type": "configure", **configure})
        yield socket


def until(socket: WebSocketTestSession, kind: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the frames messages and the others up to one of a type."""
    frames, others = [], []
    while True:
        message = socket.receive_json()
        (frames if message["type"] == "frames" else others).append(message)
        if message["type"] == kind:
            return frames, others


def rows(frames: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row for message in frames for row in message["weights"]])


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32768).round().clip(-32768, 32767).astype("<i2").tobytes()


def service(client: TestClient) -> Any:
    return client.app.state.service  # type: ignore[attr-defined]


def refused(socket: WebSocketTestSession, kind: str, code: int) -> dict[str, Any]:
    """Expect a problem, then the end."""
    while (message := socket.receive_json())["type"] != "problem":
        pass
    assert message["problem"]["type"] == f"urn:expclip:{kind}"
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == code
    return message


@pytest.mark.parametrize("size", [3, 1001, 100_000])
def test_a_stream_says_what_the_animator_says(client: TestClient, heard: np.ndarray, animator: Any, size: int) -> None:
    sound = heard[: 4000 if size == 3 else None]
    with talk(client, style="happy", fps=60, seed=5) as socket:
        told = socket.receive_json()
        assert (told["type"], len(told["names"]), told["fps"]) == ("configured", 52, 60)
        data = pcm(sound)
        for start in range(0, len(data), size):
            socket.send_bytes(data[start : start + size])
        socket.send_json({"type": "end"})
        frames, others = until(socket, "ended")
    whole = animator.animate(sound, "happy", fps=60, seed=5)
    np.testing.assert_allclose(rows(frames), whole.weights_TC, atol=1e-4)
    times = [t for message in frames for t in message["times"]]
    np.testing.assert_allclose(times, np.arange(len(whole)) / 60, atol=1e-4)
    assert others[-1]["frames"] == len(whole)
    assert others[-1]["seconds"] == pytest.approx(len(sound) / 16_000)
    first = next(m for m in others if m["type"] == "first_frame")
    assert first["latency"] > 0
    assert first["rtf"] > 0


def test_binary_floats_both_ways(client: TestClient, heard: np.ndarray, animator: Any) -> None:
    with talk(client, style="happy", coding="float32", output="binary") as socket:
        socket.receive_json()
        socket.send_bytes(heard.astype("<f4").tobytes())
        socket.send_json({"type": "end"})
        got, expected = [], 0
        while True:
            message = socket.receive()
            if message.get("text"):
                if json.loads(message["text"])["type"] == "ended":
                    break
                continue
            utterance, first, count, channels = struct.unpack_from("<4I", message["bytes"])
            assert (utterance, first, channels) == (0, expected, 52)
            got.append(np.frombuffer(message["bytes"], "<f4", offset=16).reshape(count, 53))
            expected += count
    table = np.concatenate(got)
    np.testing.assert_allclose(table[:, 0], np.arange(len(table)) / 30, atol=1e-5)
    np.testing.assert_allclose(table[:, 1:], animator.animate(heard, "happy").weights_TC, atol=1e-5)


def test_a_style_changes_in_mid_stream(client: TestClient, heard: np.ndarray, animator: Any) -> None:
    with talk(client, style="happy") as socket:
        socket.send_bytes(pcm(heard[:16_000]))
        socket.send_json({"type": "style", "style": "a longer sadness", "transition": 0.2})
        _, others = until(socket, "style_changed")
        assert others[-1]["at"] == 1.0
        socket.send_json({"type": "style", "style": {"prompt": "  "}})  # a wrong word does not end the speech
        _, others = until(socket, "problem")
        socket.send_bytes(pcm(heard[16_000:]))
        socket.send_json({"type": "end"})
        frames, _ = until(socket, "ended")
    whole = animator.animate(heard, [(0, animator.style("happy")), (1.0, animator.style("a longer sadness"), 0.2)])
    got = rows(frames)
    np.testing.assert_allclose(got, whole.weights_TC[-len(got) :], atol=1e-4)


def test_interrupt_and_several_utterances(client: TestClient, heard: np.ndarray, animator: Any) -> None:
    with talk(client, style="happy", postprocess={"limit": False}) as socket:
        socket.send_bytes(pcm(heard[:20_000]))
        socket.send_json({"type": "interrupt"})
        _, others = until(socket, "interrupted")
        assert others[-1]["utterance"] == 1
        for utterance in (1, 2):
            socket.send_bytes(pcm(heard))
            socket.send_json({"type": "end"})
            frames, others = until(socket, "ended")
            frames = [m for m in frames if m["utterance"] == utterance]
            whole = animator.animate(heard, "happy", options=_no_limit())
            np.testing.assert_allclose(rows(frames), whole.weights_TC, atol=1e-4)
            assert others[-1]["utterance"] == utterance


def _no_limit() -> Any:
    from expclip.postprocess import PostOptions

    return PostOptions(limit=False)


def test_many_streams_at_once_do_not_mix(client: TestClient, heard: np.ndarray, animator: Any) -> None:
    styles = ["happy", "a longer sadness", "x", "very angry", "calm"]
    sockets = [client.websocket_connect("/v1/stream").__enter__() for _ in styles]
    for k, (socket, style) in enumerate(zip(sockets, styles, strict=True)):
        socket.send_json({"type": "configure", "style": style, "seed": k})
    data = pcm(heard)
    for start in range(0, len(data), 1280):
        for socket in sockets:
            socket.send_bytes(data[start : start + 1280])
    for k, (socket, style) in enumerate(zip(sockets, styles, strict=True)):
        socket.send_json({"type": "end"})
        frames, _ = until(socket, "ended")
        np.testing.assert_allclose(rows(frames), animator.animate(heard, style, seed=k).weights_TC, atol=1e-4)
        socket.__exit__(None, None, None)
    wait_for(lambda: not service(client).ticker.sessions)
    assert service(client).admission.streams.total() == 0


def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never became true")


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        (b"\x00\x00", "bad-request", 1008),
        ("no json", "bad-request", 1008),
        ("[1]", "bad-request", 1008),
        ("[" * 50_000, "bad-request", 1008),
        ('{"type": "end"}', "bad-request", 1008),
        ('{"type": "configure", "rate": 7}', "bad-request", 1008),
        ('{"type": "configure", "rate": 16000.5}', "bad-request", 1008),
        ('{"type": "configure", "fps": 1e9}', "bad-request", 1008),
        ('{"type": "configure", "seed": -1}', "bad-request", 1008),
        ('{"type": "configure", "coding": "mp3"}', "bad-request", 1008),
        ('{"type": "configure", "coding": {}}', "bad-request", 1008),
        ('{"type": "configure", "output": ["json"]}', "bad-request", 1008),
        ('{"type": "configure", "model": 3}', "bad-request", 1008),
        ('{"type": "configure", "colour": 3}', "bad-request", 1008),
        ('{"type": "configure", "style": {"prompt": 3}}', "bad-request", 1008),
        ('{"type": "configure", "postprocess": {"limit": 3}}', "bad-request", 1008),
        ("x" * 1_100_000, "too-large", 1009),
    ],
)
def test_a_wrong_begin_is_told(client: TestClient, message: str | bytes, kind: str, code: int) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        if isinstance(message, bytes):
            socket.send_bytes(message)
        else:
            socket.send_text(message)
        refused(socket, kind, code)
    assert not service(client).ticker.sessions


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_sound_that_is_none_ends_the_stream(client: TestClient, value: float) -> None:
    with talk(client, coding="float32") as socket:
        socket.receive_json()
        socket.send_bytes(np.array([0, value], "<f4").tobytes())
        refused(socket, "bad-request", 1008)
    assert not service(client).ticker.sessions


def test_streams_beyond_the_limit_are_refused_at_once(make_client: Callable[..., TestClient]) -> None:
    client = make_client(**{"limits.streams": 1})
    with talk(client) as socket:
        socket.receive_json()
        with client.websocket_connect("/v1/stream") as second:
            assert refused(second, "overloaded", 1013)["retry_after"] == 2
    wait_for(lambda: service(client).admission.streams.total() == 0)
    with talk(client) as socket:
        assert socket.receive_json()["type"] == "configured"


def test_one_key_cannot_take_all(make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPCLIP_API_KEYS", "alpha,beta")
    client = make_client(**{"limits.streams_per_key": 1})
    with client.websocket_connect("/v1/stream") as socket:
        refused(socket, "no-key", 1008)
    with client.websocket_connect("/v1/stream?api_key=alpha") as socket:
        socket.send_json({"type": "configure"})
        socket.receive_json()
        with client.websocket_connect("/v1/stream", headers={"x-api-key": "alpha"}) as second:
            refused(second, "too-many", 1013)
        with client.websocket_connect("/v1/stream", headers={"authorization": "Bearer beta"}) as third:
            third.send_json({"type": "configure"})
            assert third.receive_json()["type"] == "configured"


def test_limits_of_time(make_client: Callable[..., TestClient], heard: np.ndarray) -> None:
    client = make_client(**{"limits.idle": 0.2, "limits.stream_seconds": 1.5})
    with talk(client) as socket:
        refused(socket, "idle", 1008)
    with talk(client) as socket:
        socket.send_bytes(pcm(heard))
        refused(socket, "too-long", 1009)


def test_a_stopping_replica_gives_notice_then_ends(make_client: Callable[..., TestClient], heard: np.ndarray) -> None:
    client = make_client(**{"limits.drain": 1.2})
    with talk(client) as socket:
        socket.receive_json()
        assert client.portal
        client.portal.call(service(client).stop_soon)
        _, others = until(socket, "notice")
        assert others[-1]["code"] == "stopping"
        socket.send_bytes(pcm(heard))
        socket.send_json({"type": "end"})
        _, others = until(socket, "ended")  # what was begun can be ended
        assert others[-1]["frames"] == 60
        with client.websocket_connect("/v1/stream") as second:
            refused(second, "stopping", 1012)
        refused(socket, "stopping", 1012)


def test_a_failed_pass_ends_its_streams_and_not_the_replica(
    client: TestClient, heard: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamer = service(client).models["tiny"].streamer

    def broken(*_: Any, **__: Any) -> int:
        raise RuntimeError("secret of the house")

    with talk(client) as socket, monkeypatch.context() as patch:
        patch.setattr(streamer, "advance", broken)
        socket.send_bytes(pcm(heard))
        refused(socket, "internal-error", 1011)
    with talk(client) as socket:
        socket.send_bytes(pcm(heard))
        until(socket, "frames")
    assert not service(client).ticker.failed


def test_random_messages_leave_nothing_behind(client: TestClient, heard: np.ndarray, animator: Any) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        with client.websocket_connect("/v1/stream") as socket:
            if random.random() < 0.8:
                coding = str(random.choice(["pcm16", "float32"]))
                socket.send_json({"type": "configure", "coding": coding, "rate": int(random.integers(7000, 49_000))})
            for _ in range(random.integers(0, 8)):
                choice = random.random()
                if choice < 0.5:
                    socket.send_bytes(random.bytes(int(random.integers(0, 5000))))
                elif choice < 0.9:
                    kind = str(random.choice(["style", "end", "interrupt", "configure", "nonsense"]))
                    socket.send_json({"type": kind, "style": "happy", "at": float(random.normal(0, 3))})
                else:
                    socket.send_text(random.bytes(20).decode("latin-1"))
    wait_for(lambda: not service(client).ticker.sessions and service(client).admission.streams.total() == 0)
    assert 'kind="internal-error"' not in client.get("/metrics").text
    with talk(client, style="happy") as socket:
        socket.send_bytes(pcm(heard))
        socket.send_json({"type": "end"})
        frames, _ = until(socket, "ended")
    np.testing.assert_allclose(rows(frames), animator.animate(heard, "happy").weights_TC, atol=1e-4)
