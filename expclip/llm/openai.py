"""Backend `openai`: any service that speaks OpenAI's chat completions (a cloud, vLLM, llama.cpp), over HTTP.

Requests run on an event loop of their own, at most `in_flight` at once, so that answers arrive while the caller works
on earlier ones. Answers are cached by request; what fails for a while is tried again, what is refused is not.
"""

import asyncio
import json
import os
import random
import re
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from expclip.errors import BadRequestError, unknown
from expclip.llm import Reply, Request, Revise, Settings, request_body, request_key, stands
from expclip.llm.cache import Cache
from expclip.llm.pace import Pace

ANSWERS = ("json_schema", "json_object_schema", "json_object", "text")
"""Ways of asking for JSON, from the strictest; a service that refuses one is asked in the next."""
_AGAIN = frozenset((408, 409, 425, 429))
_REFUSED = frozenset((401, 403, 404, 405))
"""Statuses that no other request would fare better with: the key, the address or the model is wrong."""
_MALFORMED = frozenset((400, 422))
_BUSY = 429
"""Does not count as a try: the service works, it only has no time now."""
_PATIENCE = 600.0
"""Seconds after which even that counts."""
_LONGEST_WAIT = 30.0
_LONGEST_RETRY_AFTER = 300.0


@dataclass(frozen=True)
class _Outcome:
    """What became of one HTTP request: a reply, or why not and whether to try again."""

    status: int  # 0: no answer
    reply: Reply | None = None
    error: str = ""
    again: bool = False
    malformed: bool = False  # the service does not understand the request, perhaps only how JSON is asked for
    after: float | None = None  # seconds the service asks to wait


_LEAST = {
    **dict.fromkeys(("temperature", "requests_per_minute", "tokens_per_minute", "price_in", "price_out"), 0),
    **dict.fromkeys(("max_tokens", "in_flight", "tries"), 1),
    "timeout_s": 0.1,
}
"""Least value of each setting."""


class OpenAI:
    """A service. Its loop runs in a thread of its own from the first request to `close`."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        if not settings.model:
            raise BadRequestError("backend openai needs llm.model, the model's name at the service")
        if settings.answer not in ANSWERS:
            raise unknown("value of llm.answer", settings.answer, ANSWERS)
        if not re.fullmatch(r"https?://[^/\s]+\S*", settings.url):
            raise BadRequestError(
                f"llm.url {settings.url!r} is no address; http://HOST/v1 and https://HOST/v1 are valid"
            )
        for name, least in _LEAST.items():
            if not getattr(settings, name) >= least:
                raise BadRequestError(f"llm.{name} {getattr(settings, name)} is less than {least}")
        self._settings, self._cache, self.model = settings, cache, settings.model
        self._mode = ANSWERS.index(settings.answer)
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._down = ""  # why nothing more is sent
        self._answered = time.monotonic()  # when the service last did what it is there for
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None

    def complete(self, requests: Sequence[Request], revise: Revise = stands) -> Iterator[Reply]:
        """Send the requests and return the answers, in order; each is already paid for when it appears here."""
        return self._in_order([self._start(self._converse(request, revise)) for request in requests])

    def close(self) -> None:
        """End the loop and its connections."""
        if self._loop is not None:
            self._start(self._end()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None
        self._cache.close()

    def _in_order(self, futures: Sequence["Future[Reply]"]) -> Iterator[Reply]:
        try:
            for future in futures:
                yield future.result()
                self._cache.flush()
            self._cache.flush(now=True)
        finally:
            for future in futures:
                future.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
            self._slots = asyncio.Semaphore(self._settings.in_flight)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _converse(self, request: Request, revise: Revise) -> Reply:
        """Ask, and ask again as long as `revise` is not content."""
        reply = await self._ask(request)
        while not reply.error and (follow := revise(request, reply)) is not None:
            request = follow
            reply = await self._ask(request)
        return reply

    async def _ask(self, request: Request) -> Reply:
        key = request_key(self._settings, request)
        reply = self._cache.get(key)
        if reply is None:
            reply = await self._send(request)
            if not reply.error:
                self._cache.put(key, reply)
        return replace(reply, attempt=request.attempt)

    async def _send(self, request: Request) -> Reply:
        """Return the answer to a request, trying several times, or the last reason why there is none."""
        began, tries, waits, mode, error = time.monotonic(), 0, 0, self._mode, ""
        while tries < self._settings.tries and not self._down:
            outcome = await self._post(request, mode)
            if outcome.reply is not None:
                self._mode = mode
                return outcome.reply
            error = error or outcome.error if outcome.malformed else outcome.error
            if outcome.malformed and mode + 1 < len(ANSWERS):
                mode += 1
                continue
            if outcome.status in _REFUSED:
                self._down = f"{self._url} refuses: {error}"
            if not outcome.again:
                return Reply(error=error)
            waits += 1
            tries += outcome.status != _BUSY or time.monotonic() - began > _PATIENCE
            if tries < self._settings.tries:
                await self._wait(outcome, waits)
        if not self._down and tries and self._answered < began:  # nobody else was answered, either
            self._down = f"{self._url} is down: {error}"
        return Reply(error=self._down if tries < self._settings.tries else f"{error} (tried {tries} times)")

    async def _wait(self, outcome: _Outcome, waits: int) -> None:
        """Wait as long as the service asks all to, or longer each time."""
        if outcome.after is not None:
            self._pace.pause(min(outcome.after, _LONGEST_RETRY_AFTER))
        else:
            await asyncio.sleep(min(_LONGEST_WAIT, 0.25 * 2**waits) * random.uniform(1, 1.2))

    async def _post(self, request: Request, mode: int) -> _Outcome:
        body = {**request_body(self._settings, request), **_response_format(ANSWERS[mode], request.schema)}
        guess = sum(len(message["content"]) for message in request.messages) // 4 + self._settings.max_tokens // 2
        async with self._slots:
            await self._pace.turn(guess)
            if self._down:
                return _Outcome(0, error=self._down)
            try:
                async with self._connected().post(self._url, json=body) as response:
                    text = (await response.read()).decode("utf-8", "replace")
                    outcome = _outcome(response.status, text, response.headers)
            except TimeoutError:
                outcome = _Outcome(0, error=f"no answer within {self._settings.timeout_s:g} s", again=True)
            except (aiohttp.ClientError, OSError) as error:
                outcome = _Outcome(0, error=f"no connection: {error or type(error).__name__}", again=True)
        if outcome.reply is not None:
            self._pace.spent(guess, outcome.reply.tokens_in + outcome.reply.tokens_out)
        if outcome.reply is not None or 400 <= outcome.status < 500:
            self._answered = time.monotonic()
        return outcome

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            key = os.environ.get(self._settings.key_variable, "")
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s, sock_connect=10),
                connector=aiohttp.TCPConnector(limit=self._settings.in_flight),
                headers={"Authorization": f"Bearer {key}"} if key else {},
                trust_env=True,  # proxies
            )
        return self._session


def _response_format(answer: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a request that asks for JSON."""
    if answer == "json_schema":
        wanted: dict[str, Any] = {"name": "annotation", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}
    if answer == "json_object_schema":  # llama.cpp's Python server
        return {"response_format": {"type": "json_object", "schema": schema}}
    return {"response_format": {"type": "json_object"}} if answer == "json_object" else {}


def _outcome(status: int, text: str, headers: Mapping[str, str]) -> _Outcome:
    if status == 200:
        try:
            return _Outcome(status, _reply(json.loads(text)))
        except (ValueError, LookupError, TypeError, AttributeError):
            return _Outcome(status, error=f"the answer is no chat completion: {_line(text)!r}", again=True)
    malformed = status in _MALFORMED or "response_format" in text  # llama.cpp's Python server says so with a 500
    again = not malformed and (status in _AGAIN or status >= 500)
    return _Outcome(status, None, f"http {status}: {_message(text)}", again, malformed, retry_after(headers))


def _reply(completion: Mapping[str, Any]) -> Reply:
    choice, usage = completion["choices"][0], completion.get("usage") or {}
    message = choice["message"]
    return Reply(
        str(message.get("content") or message.get("refusal") or ""),
        tokens_in=int(usage.get("prompt_tokens") or 0),
        tokens_out=int(usage.get("completion_tokens") or 0),
        cut=choice.get("finish_reason") == "length",
    )


def _message(text: str) -> str:
    """Return what a service says in an error's body."""
    try:
        error = json.loads(text)["error"]
        return _line(str(error["message"] if isinstance(error, Mapping) else error))
    except (ValueError, LookupError, TypeError):
        return _line(text)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given as a number or a date; None without one."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
