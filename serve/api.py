"""HTTP: /v1/animate, /v1/style, /v1/rig, /v1/models, /healthz, /readyz, /metrics, and the websocket's route.

`build_api(service)` returns the application; it knows nothing of Ray, so that tests call it as plain ASGI.
"""

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expclip import __version__, action_units
from serve import examples, problems, stream, studio
from serve.animate import animate, read_request
from serve.problems import Problem
from serve.service import Service
from serve.styles import EMOTIONS

_LOG = logging.getLogger("expclip.serve")
router = APIRouter()


def build_api(service: Callable[[], Service]) -> FastAPI:
    """Return the application; `service` is called once it starts, within its event loop."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service()
        yield
        await app.state.service.close()

    app = FastAPI(
        title="ExpCLIP", version=__version__, description=examples.DESCRIPTION, lifespan=life,
        responses=dict.fromkeys((400, 401, 413, 429, 503), examples.PROBLEM),
    )  # fmt: skip
    app.include_router(router)
    app.include_router(studio.router)
    problems.install(app)
    app.add_middleware(Frame)
    return app


class Frame:
    """What surrounds every request: its id, its size, its time, its metrics, and problems instead of stack traces."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; websockets and the life of the application pass through."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        service: Service = scope["app"].state.service
        request, began, status = Request(scope), time.perf_counter(), 0
        request.state.request_id = request_id = _request_id(request)
        most, size = int(service.limits.body_mb * 1e6), 0

        async def measured() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise Problem("too-large", f"a body of more than {service.limits.body_mb:g} MB")
            return message

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            declared = request.headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > most:
                raise Problem("too-large", f"a body of {declared} bytes; at most {service.limits.body_mb:g} MB")
            await self.app(scope, measured, named)
        except Exception as error:
            if status:  # the answer has begun; it can only be cut off
                raise
            request.state.problem = problem = problems.as_problem(error)
            await problem.response(request_id)(scope, receive, named)
        finally:
            _account(service, request, status, time.perf_counter() - began)


def _account(service: Service, request: Request, status: int, seconds: float) -> None:
    route = request.scope.get("route")
    path = getattr(route, "path", "other")
    service.metrics.requests.labels(path, str(status)).inc()
    service.metrics.seconds.labels(path).observe(seconds)
    problem = getattr(request.state, "problem", None)
    if problem is not None:
        service.metrics.rejects.labels(problem.kind).inc()
        _LOG.info("request %s: %s: %s", request.state.request_id, problem.kind, problem.detail)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    fit = 0 < len(given) <= 100 and all(letter.isalnum() or letter in "-_.:" for letter in given) and given.isascii()
    return given if fit else uuid.uuid4().hex


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _admit(request: Request) -> Service:
    service = _service(request)
    service.admission.check_rate(service.keys.identify(request.headers, {}))
    return service


@router.post("/v1/animate", openapi_extra=examples.ANIMATE, summary="Sound and a style -> animation")
async def post_animate(request: Request) -> Response:
    """Return the face that says the sound in the style, as JSON, Live Link csv, A2F json, glb, npz or NDJSON."""
    service = _admit(request)
    async with service.request():
        asked = await read_request(request, service)
        answer = await animate(asked, service)
    if isinstance(answer, StreamingResponse):
        # Its frames are made while they are sent; it holds a place among the requests until then.
        answer.body_iterator = _held(service, answer.body_iterator)
    return answer


async def _held(service: Service, parts: Any) -> AsyncIterator[Any]:
    with service.admission.answer():
        async for part in parts:
            yield part


@router.post("/v1/style", openapi_extra=examples.STYLE, summary="A text, image or weights -> embedding and face")
async def post_style(request: Request) -> JSONResponse:
    """Return what a style is: its embedding, strength, action units and the weights of the silent face."""
    service = _admit(request)
    async with service.request():
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise Problem("bad-request", "the body is not JSON") from None
        asked = asked if isinstance(asked, dict) else {"style": asked}
        name = asked.pop("model", "") if "model" in asked else ""
        model = service.model(name if isinstance(name, str) else str(name))
        style = await model.styles.style(asked.get("style", asked))
        units_U, weights_C = await service.in_thread(model.animator.expression, style)
        rig = model.animator.rig
        weights = {n: round(float(w), 4) for n, w in zip(rig.channels, weights_C, strict=True) if w >= 5e-4}
        units = {code: round(value, 3) for code, value in action_units.from_vector(units_U, rig).items()}
        return JSONResponse(
            {
                "model": model.name, "embedding": [round(float(x), 6) for x in style.embedding_D],
                "strength": round(style.strength, 4), "intensity": style.intensity,
                "action_units": units, "phrases": action_units.describe(units, rig), "weights": weights,
            }
        )  # fmt: skip


@router.get("/v1/rig", summary="The channels of the face")
async def get_rig(request: Request) -> dict[str, Any]:
    """Return the channels in the order of all weights, their regions, and the action units."""
    rig = _admit(request).model().animator.rig
    return {
        "rig": rig.name, "names": rig.channels, "regions": dict(rig.regions), "digest": rig.digest,
        "action_units": {code: unit.name for code, unit in rig.action_units.items()},
    }  # fmt: skip


@router.get("/v1/models", summary="The models that can be asked for")
async def get_models(request: Request) -> dict[str, Any]:
    """Return the models by id, the default one, the named emotions and the look-ahead of streams."""
    service = _admit(request)
    models = [
        {"id": m.name, "checkpoint": m.animator.digest, "rig": m.animator.rig.name, "look_ahead": m.streamer.latency}
        for m in service.models.values()
    ]
    return {"models": models, "default": service.settings.default_model, "emotions": list(EMOTIONS)}


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> dict[str, str]:
    """Return ok."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether new work is taken")
async def readyz(request: Request) -> dict[str, Any]:
    """Return how much is open; 503 while the replica stops."""
    service = _service(request)
    if service.admission.stopping:
        raise Problem("stopping", "this replica takes no new work", retry_after=service.limits.retry_after)
    return {"status": "ready", "streams": service.admission.streams.total(), "requests": service.admission.requests}


@router.get("/metrics", summary="Counters of this replica, for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return this replica's metrics."""
    return Response(_service(request).metrics.text(), media_type="text/plain; version=0.0.4")


@router.websocket("/v1/stream")
async def websocket_stream(socket: WebSocket) -> None:
    """See `serve.stream`."""
    await stream.serve_stream(socket, socket.app.state.service)
