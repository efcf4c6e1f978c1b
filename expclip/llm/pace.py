"""Pace: keeps requests and tokens within what a service allows a minute, and stops all when it says so."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Spreads turns evenly over time. For one event loop."""

    def __init__(
        self,
        requests_per_minute: float = 0.0,
        tokens_per_minute: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Limits of 0 are none."""
        self._request_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._token_s = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._request = self._token = self._pause = clock()

    async def turn(self, tokens: int) -> None:
        """Wait until a request of about so many tokens may be sent."""
        while (wait := max(self._request, self._token, self._pause) - self._clock()) > 0:
            await self._sleep(wait)
        now = self._clock()
        self._request = max(now, self._request) + self._request_s
        self._token = max(now, self._token) + tokens * self._token_s

    def spent(self, guessed: int, tokens: int) -> None:
        """Correct the guess of a turn by what the request really took."""
        self._token += (tokens - guessed) * self._token_s

    def pause(self, seconds: float) -> None:
        """Let nobody have a turn for so long: the service asked for it."""
        self._pause = max(self._pause, self._clock() + seconds)
