"""Language models behind one signature, `complete(requests) -> replies`; one file a backend.

A request carries the words for a model and the same task as data, for backends that need no words. Replies come in the
order of the requests, each as soon as it and those before it are there; what failed is a reply with an `error`.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from expclip.errors import unknown

if TYPE_CHECKING:
    from expclip.llm.cache import Cache

BACKENDS = {
    "template": "expclip.llm.template:Template",
    "openai": "expclip.llm.openai:OpenAI",
    "vllm": "expclip.llm.stored:Stored",
}
"""Backend name -> "module:attribute", made as attribute(settings, cache)."""


@dataclass(frozen=True)
class Settings:
    """Which model answers, how it is asked, and how fast."""

    url: str = "http://127.0.0.1:8000/v1"  # of an OpenAI-compatible service
    model: str = ""  # its name at the service; vllm: a folder or hub name; template: a checkpoint, empty the default
    key_variable: str = (
        "EXPCLIP_LLM_KEY"  # environment variable with the service's key, where the job is started; unset: no key
    )
    temperature: float = 0.8
    max_tokens: int = 700  # of one answer
    answer: str = "json_schema"  # how JSON is asked for first: json_schema, json_object_schema, json_object or text
    body: Mapping[str, Any] = field(default_factory=dict)  # more of each request; "" leaves one of its keys out
    in_flight: int = 16  # requests at once, all workers together; so are the two limits
    requests_per_minute: float = 0.0  # 0: no limit
    tokens_per_minute: float = 0.0  # asked and answered; 0: no limit
    timeout_s: float = 120.0  # for one answer
    tries: int = 8  # for one answer; 0.5, 1, 2 ... 30 s apart, or as the service says
    price_in: float = 0.0  # for a million tokens asked
    price_out: float = 0.0  # for a million tokens answered


def shared(settings: Settings, workers: int) -> Settings:
    """Return one worker's part of the limits."""
    return replace(
        settings,
        in_flight=max(1, settings.in_flight // workers),
        requests_per_minute=settings.requests_per_minute / workers,
        tokens_per_minute=settings.tokens_per_minute / workers,
    )


def cost(settings: Settings, tokens_in: int, tokens_out: int) -> float:
    """Return what so many tokens cost."""
    return (tokens_in * settings.price_in + tokens_out * settings.price_out) / 1e6


@dataclass(frozen=True)
class Request:
    """One question."""

    messages: tuple[Mapping[str, str], ...]  # role and content of each, as chat models take them
    schema: Mapping[str, Any]  # JSON schema of the answer
    task: Mapping[str, Any]  # the question as data
    seed: int = 0
    attempt: int = 1  # 2: asked again after an answer that was no good


@dataclass(frozen=True)
class Reply:
    """One answer, or why there is none."""

    text: str = ""
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cut: bool = False  # the model was stopped at its most tokens
    attempt: int = 1  # of the request that it answers


Revise = Callable[[Request, Reply], Request | None]
"""Is shown each answer; returns the request to send in its place, or None if the answer stands."""


def stands(request: Request, reply: Reply) -> None:
    """Let every answer stand."""


class Backend(Protocol):
    """What answers; `model` names it in the records that come of it."""

    model: str

    def complete(self, requests: Sequence[Request], revise: Revise = stands) -> Iterator[Reply]:
        """Return the answers, in order. Work may begin before the first is asked for, and run ahead."""


def load(name: str, settings: Settings, cache: "Cache") -> Backend:
    """Return a backend by name; raises BadRequestError for an unknown one or settings it cannot use."""
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    module, _, attribute = BACKENDS[name].partition(":")
    return cast(Backend, getattr(importlib.import_module(module), attribute)(settings, cache))


def request_body(settings: Settings, request: Request) -> dict[str, Any]:
    """Return what a service is sent, but for how JSON is asked for."""
    body = {
        "model": settings.model,
        "messages": [dict(message) for message in request.messages],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": request.seed,
        **settings.body,
    }
    return {name: value for name, value in body.items() if value != ""}


def request_key(settings: Settings, request: Request) -> str:
    """Return 32 hex digits over all that decides an answer; the service's address is not part of it."""
    content = json.dumps([request_body(settings, request), request.schema], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
