"""POST /v1/animate: a request in any of its shapes -> samples and styles -> an answer in the format asked for."""

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from expclip import exporters, media
from expclip.animation import Animation, check_fps
from expclip.errors import BadRequestError, unknown
from expclip.exporters import decimals
from expclip.postprocess import PostOptions
from expclip.rig import FloatArray
from expclip.stream import Stream
from expclip.style import StyleChange
from serve import decode
from serve.problems import Problem
from serve.service import Model, Service
from serve.stream import frames_json, post_options
from serve.styles import number, parse

FORMATS: Mapping[str, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "livelink.csv": "text/csv",
    "a2f.json": "application/vnd.audio2face+json",
    "glb": "model/gltf-binary",
    "npz": "application/x-npz",
}
"""Format of an answer -> its media type, which `Accept` may name instead."""
LONG = 60.0
"""Seconds of sound from which frames are sent as they are made, unless a format was asked for."""
_FIELDS = ("audio", "image", "style", "fps", "seed", "format", "model", "postprocess")
_SENT = 5
"""Decimals of a weight."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that has been read and found good."""

    audio_N: FloatArray
    changes: list[StyleChange]
    model: Model
    format: str
    fps: float
    seed: int
    options: PostOptions


async def read_request(request: Request, service: Service) -> Asked:
    """Return what is asked for; raises BadRequestError or Problem."""
    fields, audio, image = await _fields(request)
    for name in fields:
        if name not in _FIELDS:
            raise unknown("field", name[:40], _FIELDS)
    chosen = _format(fields.get("format", ""), request.headers.get("accept", ""))
    fps = check_fps(_float(fields.get("fps", "30"), "fps"))
    seed = int(number(_float(fields.get("seed", "0"), "seed"), "seed", 0, 2**32 - 1))
    options = post_options(parse(fields["postprocess"]) if "postprocess" in fields else None)
    model = service.model(fields.get("model", ""))
    style = parse(fields["style"]) if "style" in fields else None
    if image is not None:
        if isinstance(style, str | list) or (style and "image" in style):
            raise BadRequestError('an image file comes alone or with an object such as {"intensity": 0.8} as style')
        style = {**(style or {}), "image": image}
    changes = await model.styles.changes(style)
    audio_N = await service.in_thread(lambda: decode.decode(audio, seconds=service.limits.seconds))
    if not chosen:
        chosen = "json" if len(audio_N) <= LONG * media.SAMPLE_RATE else "ndjson"
    return Asked(audio_N, changes, model, chosen, fps, seed, options)


async def _fields(request: Request) -> tuple[dict[str, str], bytes, bytes | None]:
    """Return the fields as texts, the sound and the image of a form, or of a raw body with its query."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return dict(request.query_params), await request.body(), None
    fields: dict[str, str] = dict(request.query_params)
    files: dict[str, bytes] = {}
    try:
        async with request.form(max_files=2, max_fields=8, max_part_size=1 << 20) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files[name] = await value.read()
                else:
                    fields[name] = value
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadRequestError(f"the form cannot be read: {error}") from None
    if "audio" not in files or set(files) - {"audio", "image"}:
        raise BadRequestError(f"a form has one file `audio` and at most one `image`; this one has {sorted(files)}")
    return fields, files["audio"], files.get("image")


def _format(named: str, accept: str) -> str:
    """Return the format asked for by name, or else by media type; empty if any will do."""
    if named:
        if named not in FORMATS:
            raise unknown("format", named[:40], FORMATS)
        return named
    types = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for kind in types:
        if kind in ("*/*", "application/*", ""):
            return ""
        found = [name for name, media_type in FORMATS.items() if media_type == kind]
        if found:
            return found[0]
    raise Problem("not-acceptable", f"Accept: {accept[:100]}; valid: {', '.join(FORMATS.values())}")


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRequestError(f"{name} {text[:40]!r} is not a number") from None


async def animate(asked: Asked, service: Service) -> Response:
    """Return the answer."""
    if asked.format == "ndjson":
        return StreamingResponse(_lines(asked, service), media_type=FORMATS["ndjson"])
    animation, content = await service.in_thread(_made, asked)
    headers = {"X-Frames": str(len(animation)), "X-Model": asked.model.name}
    if asked.format != "json":
        headers["Content-Disposition"] = f'attachment; filename="animation.{asked.format}"'
    return Response(content, media_type=FORMATS[asked.format], headers=headers)


def _made(asked: Asked) -> tuple[Animation, bytes]:
    animation = asked.model.animator.animate(
        asked.audio_N, asked.changes, fps=asked.fps, seed=asked.seed, options=asked.options
    )
    if asked.format == "json":
        return animation, _json(animation, asked.model.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"animation.{asked.format}"
        exporters.load(asked.format).write(animation, str(path))
        return animation, path.read_bytes()


def _head(asked: Asked) -> dict[str, Any]:
    animator = asked.model.animator
    return {
        "model": asked.model.name, "checkpoint": animator.digest, "rig": animator.rig.name,
        "names": animator.rig.channels, "fps": asked.fps, "seed": asked.seed,
        "seconds": round(len(asked.audio_N) / media.SAMPLE_RATE, 6),
        "styles": [[second, style.prompt, style.intensity, turn] for second, style, turn in asked.changes],
    }  # fmt: skip


def _json(animation: Animation, model: str) -> bytes:
    """Return frames, names, rig and provenance; frame k shows second k / fps."""
    head = {
        "model": model, "rig": animation.rig.name, "names": animation.names, "fps": animation.fps,
        "prompt": animation.prompt, "frames": len(animation), "provenance": dict(animation.provenance),
    }  # fmt: skip
    frames = b",".join(b"[%s]" % row for row in decimals.rows(animation.weights_TC, _SENT))
    return json.dumps(head)[:-1].encode() + b', "weights": [' + frames + b"]}"


async def _lines(asked: Asked, service: Service) -> AsyncIterator[bytes]:
    """Give a line that names the channels, frames as they are made, among the streams' passes, and a last line."""

    def make() -> Stream:
        return asked.model.streamer.open(asked.changes, fps=asked.fps, seed=asked.seed, options=asked.options)

    yield (json.dumps({"type": "head", **_head(asked)}) + "\n").encode()
    session = service.ticker.open(asked.model.streamer, make)
    try:
        piece, sent = media.SAMPLE_RATE, 0
        for start in range(0, len(asked.audio_N) + 1, piece):
            part = asked.audio_N[start : start + piece]
            session.push(part)
            if len(part) < piece:
                session.end()
            while session.stream.steps_ready(1) or session.outbox:
                while session.outbox:
                    frames = session.outbox.popleft()
                    sent += len(frames)
                    yield (frames_json(frames, {"type": "frames"}) + "\n").encode()
                if session.error:
                    raise session.error
                session.news.clear()
                if session.stream.steps_ready(1):
                    await session.news.wait()
        yield (json.dumps({"type": "end", "frames": sent}) + "\n").encode()
    finally:
        service.ticker.close(session)
