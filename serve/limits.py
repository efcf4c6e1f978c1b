"""Who may call, how often and how many at once."""

import hashlib
import hmac
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from expclip.errors import BadRequestError
from serve.problems import Problem
from serve.settings import Limits

ANYBODY = "anybody"
"""Who calls where no keys are asked for."""
_REMEMBERED = 10_000


class Keys:
    """API keys, kept as digests; empty: none is asked for."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    @classmethod
    def load(cls, path: str = "") -> "Keys":
        """Return the keys of EXPCLIP_API_KEYS (apart by commas) and of a file, one a line, `#` begins a comment."""
        text = os.environ.get("EXPCLIP_API_KEYS", "").replace(",", "\n")
        if path:
            try:
                text += "\n" + Path(path).read_text("utf-8")
            except OSError as error:
                raise BadRequestError(f"keys_file {path}: {error.strerror}") from None
        lines = (line.strip() for line in text.splitlines())
        return cls([line for line in lines if line and not line.startswith("#")])

    def identify(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """Return a name for the caller: the key's place. Raises Problem if a key is asked for and none fits.

        Keys come as `Authorization: Bearer KEY`, `X-API-Key: KEY`, or `?api_key=KEY` where a browser's websocket can
        send no headers. All keys are compared, each in constant time.
        """
        if not self._digests:
            return ANYBODY
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = (bearer if scheme.lower() == "bearer" else "") or headers.get("x-api-key") or query.get("api_key", "")
        digest = hashlib.sha256(given.strip().encode()).digest()
        found = [k for k, known in enumerate(self._digests) if hmac.compare_digest(known, digest)]
        if not found:
            raise Problem("no-key", "send a valid key as Authorization: Bearer KEY or X-API-Key: KEY")
        return f"key-{found[0]}"


class Admission:
    """Counts what is in work in this replica and refuses what is too much."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stopping = False
        self.requests = 0
        self.streams: Counter[str] = Counter()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check_rate(self, who: str, now: float | None = None) -> None:
        """Raise Problem if a caller begins things faster than `rate`, once `burst` of them are used up."""
        now = time.monotonic() if now is None else now
        left, before = self._buckets.pop(who, (float(self.limits.burst), now))
        left = min(self.limits.burst, left + (now - before) * self.limits.rate)
        self._buckets[who] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = (1 - left) / max(self.limits.rate, 1e-9)
            raise Problem("too-many", f"at most {self.limits.rate:g} a second are valid", retry_after=wait)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one of the places for requests; raises Problem if there is none."""
        if self.requests >= self.limits.requests:
            raise self._busy(f"{self.requests} requests are in work")
        with self.answer():
            yield

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Hold a place while an answer that has begun is made; it is not refused any more."""
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def stream(self, who: str) -> Iterator[None]:
        """Hold one of the places for streams; raises Problem if there is none, for this caller or at all."""
        if self.stopping:
            raise Problem("stopping", "this replica takes no new streams", retry_after=self.limits.retry_after)
        if self.streams.total() >= self.limits.streams:
            raise self._busy(f"{self.streams.total()} streams are open")
        if who != ANYBODY and self.streams[who] >= self.limits.streams_per_key:
            detail = f"{self.streams[who]} streams are open with this key"
            raise Problem("too-many", detail, retry_after=self.limits.retry_after)
        self.streams[who] += 1
        try:
            yield
        finally:
            self.streams[who] -= 1
            self.streams += Counter()  # forgets those at zero

    def _busy(self, detail: str) -> Problem:
        return Problem("overloaded", detail, retry_after=self.limits.retry_after)
