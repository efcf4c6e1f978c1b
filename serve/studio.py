"""The studio page at `/` and what it alone needs: its files, our head as glb, the demo's lines.

`router` serves `serve/web/dist`, which `make web` builds; where that is missing, `/` says so. Nothing here needs a key:
the page asks for one when the API does.
"""

import csv
import gzip
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

import expclip
from serve.problems import Problem

DIST = Path(__file__).parent / "web" / "dist"
"""What `make web` builds."""
DEMO = Path(expclip.__file__).parent / "data" / "demo"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' blob: data:; "
    "img-src 'self' blob: data:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The page's content security policy: nothing from anywhere else; blobs are the textures of a model of one's own."""
_HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_NOW = {"Cache-Control": "no-cache"}
UNBUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ExpCLIP</title><h1>ExpCLIP</h1><p>Speech and a style in words become facial animation.</p>
<p>The studio page is not built. With Node 20 or later, <code>make web</code> builds it; then load this page again.</p>
<ul><li><a href="docs">How to ask for an animation</a><li><a href="v1/models">Models</a><li><a href="v1/rig">The face's
channels</a><li><a href="metrics">Metrics of this replica</a></ul></html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """Return the page, or how to build it."""
    if not (DIST / "index.html").is_file():
        return HTMLResponse(UNBUILT, headers=_FOR_NOW)
    return FileResponse(DIST / "index.html", headers=_HEADERS | _FOR_NOW)


@router.get("/icon.svg")
async def icon() -> Response:
    """Return the page's icon."""
    return _file(DIST, "icon.svg", _FOR_NOW)


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Return one of the page's files; their names change with what they hold."""
    return _file(DIST / "assets", name, _HEADERS | _FOREVER)


@router.get("/v1/head.glb")
async def head(request: Request) -> Response:
    """Return our head with its 52 named morph targets."""
    packed = await run_in_threadpool(_head_gz)
    headers = _FOR_NOW | {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type="model/gltf-binary", headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type="model/gltf-binary", headers=headers)


@router.get("/v1/demo")
async def demo() -> JSONResponse:
    """Return the lines of the demo that ships: id, words, prompt, intensity."""
    return JSONResponse(_demo_lines())


@router.get("/v1/demo/{name}")
async def demo_sound(name: str) -> Response:
    """Return the sound of one of them, by id."""
    return _file(DEMO, f"{name}.ogg", _FOR_NOW, "audio/ogg")


def _file(folder: Path, name: str, headers: dict[str, str], media_type: str | None = None) -> Response:
    # Looked up among what is there, so that no name leads out of the folder.
    path = next((p for p in folder.glob("*") if p.name == name and p.is_file()), None)
    if path is None:
        raise Problem("not-found", f"{name[:80]!r}")
    return FileResponse(path, media_type=media_type, headers=headers)


@cache
def _head_gz() -> bytes:
    """Return the resting head; made once, in about two seconds."""
    from expclip.animation import Animation
    from expclip.exporters import glb
    from expclip.rig import load_rig

    nothing = Animation(np.zeros((0, len(load_rig())), np.float32), 30.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.glb"
        glb.write(nothing, str(path))
        return gzip.compress(path.read_bytes(), 6, mtime=0)


@cache
def _demo_lines() -> list[dict[str, Any]]:
    with (DEMO / "lines.csv").open(encoding="utf-8", newline="") as file:
        return [
            {"id": r["clip_id"], "words": r["text"], "prompt": r["prompt"], "intensity": float(r["intensity"])}
            for r in csv.DictReader(file)
            if (DEMO / f"{r['clip_id']}.ogg").is_file()
        ]
