"""HTTP as callers use it: every shape of request, every format, every limit, and problems for all that is wrong."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from starlette.testclient import TestClient

from expclip.exporters import a2f_json, livelink_csv, npz
from serve import animate
from serve.settings import Settings


def problem(answer: Any, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:expclip:{kind}"
    assert body["status"] == status
    assert "Traceback" not in answer.text
    return str(body["detail"])


def test_raw_sound_gives_what_the_animator_gives(
    client: TestClient, wav: bytes, heard: np.ndarray, animator: Any
) -> None:
    answer = client.post("/v1/animate?style=happy&fps=25&seed=3", content=wav, headers={"content-type": "audio/wav"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    whole = animator.animate(heard, "happy", fps=25, seed=3)
    np.testing.assert_allclose(np.array(body["weights"]), whole.weights_TC, atol=1e-4)
    assert body["names"] == list(whole.names)
    assert (body["fps"], body["model"], body["frames"]) == (25, "tiny", len(whole))
    assert answer.headers["x-frames"] == str(len(whole))


@pytest.mark.parametrize(
    ("container", "subtype", "name"),
    [("WAV", "FLOAT", "a.wav"), ("WAV", "PCM_24", "a.wav"), ("FLAC", "PCM_16", "a.flac"), ("OGG", "VORBIS", "a.ogg"),
     ("MP3", "MPEG_LAYER_III", "a.mp3")],
)  # fmt: skip
def test_a_form_with_any_container(
    client: TestClient, babble: np.ndarray, container: str, subtype: str, name: str
) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.repeat(babble[:, None], 2, 1), 16_000, format=container, subtype=subtype)
    answer = client.post("/v1/animate", files={"audio": (name, file.getvalue())}, data={"style": '{"emotion": "joy"}'})
    assert answer.status_code == 200, answer.text
    assert abs(answer.json()["frames"] - 60) <= 3


def test_m4a(client: TestClient, make_video: Callable[..., str], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.m4a", "sine=f=200:d=1", "-c:a", "aac")
    answer = client.post("/v1/animate", content=Path(path).read_bytes())
    assert answer.status_code == 200, answer.text
    assert abs(answer.json()["frames"] - 30) <= 3


@pytest.mark.parametrize("by_accept", [False, True])
@pytest.mark.parametrize("name", [n for n in animate.FORMATS if n not in ("json", "ndjson")])
def test_formats(client: TestClient, wav: bytes, tmp_path: Path, name: str, by_accept: bool) -> None:
    query = "" if by_accept else f"&format={name}"
    headers = {"accept": animate.FORMATS[name]} if by_accept else {}
    answer = client.post(f"/v1/animate?style=happy{query}", content=wav, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(animate.FORMATS[name])
    path = tmp_path / f"a.{name}"
    path.write_bytes(answer.content)
    if name == "glb":
        assert answer.content[:4] == b"glTF"
    else:
        read = {"livelink.csv": livelink_csv, "a2f.json": a2f_json, "npz": npz}[name].read(str(path))
        assert read.seconds == pytest.approx(2, abs=0.05)


def test_frames_as_they_are_made(client: TestClient, wav: bytes, heard: np.ndarray, animator: Any) -> None:
    answer = client.post("/v1/animate?style=happy&format=ndjson&seed=1", content=wav)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["type"] for line in lines[:2]] == ["head", "frames"]
    assert lines[-1] == {"type": "end", "frames": 60}
    weights = [row for line in lines[1:-1] for row in line["weights"]]
    np.testing.assert_allclose(weights, animator.animate(heard, "happy", seed=1).weights_TC, atol=1e-4)
    times = [t for line in lines[1:-1] for t in line["times"]]
    np.testing.assert_allclose(times, np.arange(60) / 30, atol=1e-4)
    service: Any = client.app.state.service  # type: ignore[attr-defined]
    assert not service.ticker.sessions
    assert service.admission.requests == 0


def test_long_sound_is_sent_as_it_is_made(client: TestClient, wav: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animate, "LONG", 1.0)
    assert client.post("/v1/animate", content=wav).headers["content-type"].startswith("application/x-ndjson")
    named = client.post("/v1/animate?format=json", content=wav)
    assert named.headers["content-type"] == "application/json"


def test_a_track_changes_with_time(client: TestClient, wav: bytes, heard: np.ndarray, animator: Any) -> None:
    track = [
        {"at": 0, "prompt": "happy"},
        {"at": 1.0, "prompt": "a longer sadness", "transition": 0.1, "intensity": 1.5},
    ]
    answer = client.post("/v1/animate", content=wav, params={"style": json.dumps(track)})
    first, second = animator.style("happy"), animator.style("a longer sadness", intensity=1.5)
    whole = animator.animate(heard, [(0, first), (1.0, second, 0.1)])
    np.testing.assert_allclose(np.array(answer.json()["weights"]), whole.weights_TC, atol=1e-4)


@pytest.mark.parametrize(
    "spec",
    [
        "happy", {"prompt": "happy"}, {"emotion": "joy"}, {"emotion": "neutral"},
        {"action_units": {"AU12": 0.7, "AU2L": 0.3}},
        {"weights": {"mouthSmileLeft": 0.5}, "intensity": 0.4},
        {"mix": [{"prompt": "proud", "share": 2}, {"emotion": "fear"}, {"emotion": "neutral"}]},
    ],
)  # fmt: skip
def test_styles_of_every_kind(client: TestClient, spec: Any) -> None:
    answer = client.post("/v1/style", json={"style": spec})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert len(body["embedding"]) == 8
    assert 0 <= body["strength"] <= 1
    again = client.post("/v1/style", json=spec).json()
    assert again["embedding"] == body["embedding"]


def test_a_prompt_is_encoded_once(client: TestClient, animator: Any) -> None:
    for _ in range(3):
        client.post("/v1/style", json="happy")
    assert animator.expclip.encoded == ["happy"]


def test_mixing_goes_between(client: TestClient) -> None:
    def embedding(spec: Any) -> np.ndarray:
        return np.array(client.post("/v1/style", json=spec).json()["embedding"])

    proud, sad = embedding("proud"), embedding("a very long sadness")
    mixed = embedding({"mix": [{"prompt": "proud", "share": 3}, {"prompt": "a very long sadness"}]})
    assert proud @ sad < mixed @ sad < 1
    assert mixed @ proud > mixed @ sad


def test_what_there_is(client: TestClient) -> None:
    rig = client.get("/v1/rig").json()
    assert len(rig["names"]) == 52
    models = client.get("/v1/models").json()
    assert [m["id"] for m in models["models"]] == ["tiny", "other"]
    assert "outofbreath" in models["emotions"]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["status"] == "ready"
    assert "docs" in client.get("/").text
    client.post("/v1/animate", content=b"nothing")
    text = client.get("/metrics").text
    assert 'expclip_rejects_total{kind="bad-request"} 1.0' in text
    assert 'expclip_requests_total{path="/v1/animate",status="400"} 1.0' in text


def test_the_description_is_whole(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    paths = ("/v1/animate", "/v1/style", "/v1/rig", "/v1/models", "/healthz", "/readyz", "/metrics")
    assert set(paths) == set(described["paths"])
    for example in described["paths"]["/v1/style"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ].values():
        assert client.post("/v1/style", json=example["value"]).status_code == 200


def test_a_stopping_replica_is_not_ready(client: TestClient) -> None:
    client.app.state.service.stop_soon()  # type: ignore[attr-defined]
    problem(client.get("/readyz"), 503, "stopping")


@pytest.mark.parametrize(
    ("query", "body", "detail"),
    [
        ("", b"", "empty"),
        ("", b"#EXTM3U\nfile:///etc/passwd", "no known container"),
        ("", b"ffconcat version 1.0\nfile /etc/passwd", "no known container"),
        ("", b"RIFF1234WAVE", "truncated|cannot be read"),
        ("", b"fLaC" + bytes(100), "cannot be read|no sound"),
        ("", b"\x00\x00\x00\x18ftypM4A " + bytes(40), "cannot be read|no sound"),
        ("?fps=0", None, "fps 0"),
        ("?fps=nan", None, "fps nan"),
        ("?fps=x", None, "'x' is not a number"),
        ("?seed=-1", None, "seed"),
        ("?seed=1e99", None, "seed"),
        ("?format=doc", None, "unknown format 'doc'; valid: json"),
        ("?model=none", None, "unknown model 'none'; valid: tiny, other"),
        ("?colour=1", None, "unknown field 'colour'"),
        ("?style={bad", None, "begins like JSON"),
        ("?style=" + "[" * 3000, None, "begins like JSON"),
        ("?style=" + "x" * 1001, None, "1001 characters"),
        ('?style={"prompt":"x","emotion":"joy"}', None, "has 2"),
        ('?style={"emotion":"bliss"}', None, "unknown emotion 'bliss'"),
        ('?style={"weights":{"nose":1}}', None, "unknown channel"),
        ('?style={"weights":{"jawOpen":NaN}}', None, "not a number within 0..1"),
        ('?style={"action_units":{"AU99":1}}', None, "AU99"),
        ('?style={"prompt":"x","intensity":7}', None, "intensity '7'"),
        ('?style={"mix":[{"mix":[]}]}', None, "mix within a mix"),
        ('?style=[{"prompt":"x"}]', None, "`at`"),
        ('?style={"image":"%%%"}', None, "base64"),
        ('?postprocess={"magic":true}', None, "unknown switch"),
    ],
)  # fmt: skip
def test_bad_requests_are_named(client: TestClient, wav: bytes, query: str, body: bytes | None, detail: str) -> None:
    import re

    answer = client.post(f"/v1/animate{query}", content=wav if body is None else body)
    assert re.search(detail, problem(answer, 400, "bad-request"))


def test_a_cut_off_wav_is_refused(client: TestClient, wav: bytes) -> None:
    assert "truncated" in problem(client.post("/v1/animate", content=wav[:-20_000]), 400, "bad-request")


def test_other_mistakes(client: TestClient, wav: bytes) -> None:
    problem(client.get("/nowhere"), 404, "not-found")
    problem(client.get("/v1/animate"), 405, "method-not-allowed")
    problem(client.post("/v1/animate", content=wav, headers={"accept": "text/html"}), 406, "not-acceptable")
    problem(client.post("/v1/style", content=b"{"), 400, "bad-request")
    problem(client.post("/v1/animate", files={"sound": ("a.wav", wav)}), 400, "bad-request")
    form = {"content-type": "multipart/form-data"}
    problem(client.post("/v1/animate", content=b"--x", headers=form), 400, "bad-request")


def test_images_are_read_as_images_only(client: TestClient, wav: bytes, animator: Any) -> None:
    def encode_image(pictures: list[Image.Image]) -> Any:
        red = np.asarray(pictures[0])[..., 0].mean() / 255
        return animator.expclip.encode_expression(torch.full((1, 52), red))

    animator.expclip.encode_image = encode_image
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (204, 0, 0)).save(picture, "PNG")
    answer = client.post("/v1/animate", files={"audio": ("a.wav", wav), "image": ("a.png", picture.getvalue())})
    assert answer.json()["prompt"] == "(image)"
    spec = {"image": "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()}
    assert client.post("/v1/style", json=spec).json()["strength"] == pytest.approx(0.8)
    for data in (b"not an image", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        spec = {"image": base64.b64encode(data).decode()}
        assert "cannot be read" in problem(client.post("/v1/style", json=spec), 400, "bad-request")


def test_unforeseen_errors_are_problems(client: TestClient, wav: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(client.app.state.service.models["tiny"].animator, "animate", broken)  # type: ignore[attr-defined]
    answer = client.post("/v1/animate", content=wav)
    problem(answer, 500, "internal-error")
    assert "secret" not in answer.text


def test_request_ids_come_back(client: TestClient) -> None:
    assert client.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/v1/nothing", headers={"x-request-id": "a\tb"})
    assert len(made.headers["x-request-id"]) == 32
    assert made.json()["instance"] == f"urn:request:{made.headers['x-request-id']}"


def test_sizes_are_limited(make_client: Callable[..., TestClient], wav: bytes) -> None:
    small = make_client(**{"limits.body_mb": 0.01})
    problem(small.post("/v1/animate", content=wav), 413, "too-large")
    chunks = (wav[k : k + 1000] for k in range(0, len(wav), 1000))
    problem(small.post("/v1/animate", content=chunks), 413, "too-large")
    short = make_client(**{"limits.seconds": 1.5})
    problem(short.post("/v1/animate", content=wav), 413, "too-long")
    flac = io.BytesIO()
    soundfile.write(flac, np.zeros(32_000), 16_000, format="FLAC")
    problem(short.post("/v1/animate", content=flac.getvalue()), 413, "too-long")


def test_rates_are_limited(make_client: Callable[..., TestClient]) -> None:
    client = make_client(**{"limits.burst": 2, "limits.rate": 0.1})
    assert [client.get("/v1/rig").status_code for _ in range(2)] == [200, 200]
    refused = client.get("/v1/rig")
    problem(refused, 429, "too-many")
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/healthz").status_code == 200


def test_overload_is_told_at_once(make_client: Callable[..., TestClient], wav: bytes) -> None:
    client = make_client(**{"limits.requests": 1})
    with client.app.state.service.admission.request():  # type: ignore[attr-defined]
        refused = client.post("/v1/animate", content=wav)
    problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "2"
    assert client.post("/v1/animate", content=wav).status_code == 200


def test_requests_that_take_too_long_end(make_client: Callable[..., TestClient], wav: bytes) -> None:
    client = make_client(**{"limits.timeout": 0.0})
    problem(client.post("/v1/animate", content=wav), 503, "timeout")


def test_keys(make_client: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("# ours\nalpha\n\n")
    monkeypatch.setenv("EXPCLIP_API_KEYS", "beta, gamma")
    client = make_client(keys_file=str(tmp_path / "keys"))
    for headers in ({}, {"x-api-key": "delta"}, {"authorization": "Basic alpha"}, {"x-api-key": "# ours"}):
        refused = client.get("/v1/rig", headers=headers)
        problem(refused, 401, "no-key")
        assert refused.headers["www-authenticate"] == "Bearer"
    for headers in ({"x-api-key": "alpha"}, {"authorization": "Bearer beta"}, {"x-api-key": "gamma"}):
        assert client.get("/v1/rig", headers=headers).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_settings_come_from_a_file_and_from_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expclip.errors import BadRequestError
    from serve.settings import load

    path = tmp_path / "serve.toml"
    path.write_text('tick = 0.04\n[models]\na = "s3://a"\n[limits]\nstreams = 7\nrequests = 3\n')
    monkeypatch.setenv("EXPCLIP_SERVE_CONFIG", str(path))
    settings = load({"limits.requests": "5", "scaling": {"max_replicas": 2}})
    assert (settings.tick, settings.limits.streams, settings.limits.requests) == (0.04, 7, 5)
    assert settings.scaling.max_replicas == 2
    assert "a" in settings.models
    with pytest.raises(BadRequestError, match="unknown setting 'limits.steams'"):
        load({"limits.steams": 1})
    assert Settings().default_model == "default"


def test_odd_requests_are_never_a_fault_of_ours(client: TestClient, wav: bytes) -> None:
    random = np.random.default_rng(0)
    starts = [b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\x00\x00\x00\x18ftyp", b"\x1aE\xdf\xa3", b"", wav[:44]]
    values = ["", "0", "-1", "1e400", "nan", "{}", "[]", "[{}]", '{"mix":[]}', '{"mix":[1]}', '{"emotion":[]}', "\x00",
              '{"weights":[]}', '{"prompt":null}', '{"track":[]}', '{"at":{}}', "\ud7ff", '"', "x" * 2000]  # fmt: skip
    for k in range(60):
        body = starts[k % len(starts)] + random.bytes(int(random.integers(0, 400)))
        fields = {n: str(random.choice(values)) for n in animate._FIELDS if random.random() < 0.3}
        if k % 3 == 0:
            answer = client.post("/v1/animate", params=fields, content=body)
        elif k % 3 == 1:
            fields.pop("audio", None)
            answer = client.post("/v1/animate", data=fields, files={"audio": ("a", wav if k % 2 else body)})
        else:
            answer = client.post("/v1/style", content=str(random.choice(values)).encode())
        assert answer.status_code in (200, 400, 413, 429), answer.text
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
