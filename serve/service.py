"""What a replica holds: models, sessions, limits, metrics; the HTTP, websocket and gRPC fronts share it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from expclip import animator as animators
from expclip import media
from expclip.animator import Animator
from expclip.errors import unknown
from expclip.streamer import Streamer
from serve.limits import Admission, Keys
from serve.metrics import Metrics
from serve.problems import Problem
from serve.sessions import Ticker
from serve.settings import Settings
from serve.styles import Styles

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Model:
    """One checkpoint, ready."""

    name: str
    animator: Animator
    streamer: Streamer
    styles: Styles


class Service:
    """All of a replica; made within its event loop."""

    def __init__(self, settings: Settings, animators_by_name: dict[str, Animator]) -> None:
        self.settings, self.limits = settings, settings.limits
        self.metrics = Metrics()
        self.keys = Keys.load(settings.keys_file)
        self.admission = Admission(settings.limits)
        self.ticker = Ticker(tick=settings.tick, metrics=self.metrics, backlog=settings.limits.backlog)
        self.models = {
            name: Model(name, animator, Streamer(animator), Styles(animator))
            for name, animator in animators_by_name.items()
        }
        self._pool = ThreadPoolExecutor(2, "expclip")
        self.closing = asyncio.Event()
        """Set when the replica is about to stop: streams are told."""
        self.deadline = float("inf")

    def model(self, name: str = "") -> Model:
        """Return a model by id, or the default one; raises BadRequestError if there is none."""
        found = self.models.get(name or self.settings.default_model)
        if found is None:
            raise unknown("model", name[:100], self.models)
        return found

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run what takes long outside the event loop, on one of few threads."""
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*arguments))
        except RuntimeError:  # the pool is closed
            detail = "this replica takes no new work"
            raise Problem("stopping", detail, retry_after=self.limits.retry_after) from None
        return await running

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold a place for one request and bound its time; raises Problem if there is none or time runs out."""
        with self.admission.request():
            try:
                async with asyncio.timeout(self.limits.timeout):
                    yield
            except TimeoutError:
                detail = f"more than {self.limits.timeout:g} s"
                raise Problem("timeout", detail, retry_after=self.limits.retry_after) from None

    def stop_soon(self) -> None:
        """Tell all streams that the replica stops, and take no more."""
        if not self.closing.is_set():
            self.admission.stopping = True
            self.deadline = time.monotonic() + self.limits.drain
            self.closing.set()

    async def close(self) -> None:
        """End what runs."""
        self.stop_soon()
        await self.ticker.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)


def load_models(settings: Settings) -> dict[str, Animator]:
    """Return the Animators of the settings' checkpoints; raises BadRequestError if one cannot be loaded."""
    import torch

    torch.set_num_threads(settings.threads)
    loaded = {name: animators.load(folder or None) for name, folder in settings.models.items()}
    for animator in loaded.values():
        # The text tower is loaded when first used, and first passes of each size are slow.
        list(animator.stream([np.zeros(media.SAMPLE_RATE, np.float32)], animator.style("a shy smile")))
    return loaded
