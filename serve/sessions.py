"""Sessions of streams and the ticker that advances them all, one forward pass a tick for those that have sound."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from expclip.rig import FloatArray
from expclip.stream import Frames, Stream
from expclip.streamer import Streamer
from serve.metrics import Metrics

_SHARE = 0.5
"""Of its time that a replica gives to passes; under more load ticks are longer and their passes fuller."""
_LONGEST_TICK = 4.0
"""Times the shortest."""
_LOG = logging.getLogger("expclip.serve")


class Session:
    """A stream within a service: what came, what goes, and when."""

    def __init__(self, streamer: Streamer, stream: Stream, ticker: "Ticker") -> None:
        self.streamer, self.stream, self._ticker = streamer, stream, ticker
        self.outbox: deque[Frames] = deque()
        self.news, self.room = asyncio.Event(), asyncio.Event()
        self.room.set()
        self.error: Exception | None = None
        self.spent = self.heard = 0.0
        self.first_frame: float | None = None
        self._began: float | None = None
        self.asked: float | None = None
        """When the oldest sound came that no pass has taken."""

    @property
    def rtf(self) -> float:
        """Seconds of this stream's share in passes for a second of its sound."""
        return self.spent / max(self.heard, 1e-3)

    @property
    def unread(self) -> float:
        """Seconds of frames that nobody has taken."""
        return sum(map(len, self.outbox)) / self.stream.fps

    def push(self, audio_N: FloatArray) -> None:
        """Take samples at the stream's rate; raises BadRequestError as `Stream.push`."""
        now = time.perf_counter()
        self.stream.push(audio_N)
        self._began = now if self._began is None else self._began
        self.asked = now if self.asked is None else self.asked
        self._ticker.wake()

    def end(self) -> None:
        """Say that no more sound comes."""
        self.stream.end()
        self._ticker.wake()

    def restart(self) -> None:
        """Forget sound and frames; what comes next begins at second 0."""
        self.stream.interrupt()
        self.outbox.clear()
        self._began = self.first_frame = self.asked = None
        self.spent = self.heard = 0.0

    def collect(self, now: float, metrics: Metrics) -> None:
        """Take what a pass has made known."""
        frames = self.stream.take()
        if len(frames):
            self.outbox.append(frames)
            if self.asked is not None:
                metrics.lateness.observe(now - self.asked)
            if self.first_frame is None and self._began is not None:
                self.first_frame = now - self._began
                metrics.first_frame.observe(self.first_frame)
        self.asked = None
        self.news.set()


class Ticker:
    """Advances the sessions of all models of a replica, in the event loop."""

    def __init__(self, *, tick: float, metrics: Metrics, backlog: float) -> None:
        self.tick, self.metrics, self.backlog = tick, metrics, backlog
        self.sessions: set[Session] = set()
        self._sound = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, streamer: Streamer, make: Callable[[], Stream]) -> Session:
        """Return a new session of a stream that `make` opens."""
        session = Session(streamer, make(), self)
        self.sessions.add(session)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        self.metrics.streams.set(len(self.sessions))
        return session

    def close(self, session: Session) -> None:
        """Forget a session; again is harmless."""
        if session in self.sessions:
            self.sessions.discard(session)
            session.streamer.close(session.stream)
            self.metrics.streams.set(len(self.sessions))

    def wake(self) -> None:
        """Say that there is sound."""
        self._sound.set()

    @property
    def failed(self) -> bool:
        """Whether the ticker's task has ended by itself, which it never should."""
        return self._task is not None and self._task.done() and not self._task.cancelled()

    async def stop(self) -> None:
        """End the ticker's task."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._sound.wait()
            self._sound.clear()
            began = time.perf_counter()
            if self._advance():
                self._sound.set()
            spent = time.perf_counter() - began
            # At least one turn for those who bring sound and take frames.
            await asyncio.sleep(max(0.0, min(max(self.tick, spent / _SHARE), _LONGEST_TICK * self.tick) - spent))

    def _advance(self) -> bool:
        """Make one pass for each model; return whether sound is left."""
        by_model: dict[Streamer, list[Session]] = {}
        for session in self.sessions:
            if session.stream.steps_ready(1):
                by_model.setdefault(session.streamer, []).append(session)
        for streamer, sessions in by_model.items():
            before = [s.stream.step for s in sessions]
            began = time.perf_counter()
            try:
                streamer.advance([s.stream for s in sessions])
            except Exception as error:  # one bad pass ends its streams, not the replica
                _LOG.exception("a pass failed")
                for session in sessions:
                    session.error = error
                    session.news.set()
                    self.close(session)
                continue
            self._account(sessions, before, time.perf_counter() - began)
        return any(s.stream.steps_ready(1) for s in self.sessions)

    def _account(self, sessions: list[Session], before: list[int], spent: float) -> None:
        steps = np.array([s.stream.step for s in sessions]) - before
        now = time.perf_counter()
        for session, count in zip(sessions, steps.tolist(), strict=True):
            session.heard += count / 50
            session.spent += spent * count / max(1, int(steps.sum()))
            session.collect(now, self.metrics)
            if session.stream.backlog <= self.backlog:
                session.room.set()
        self.metrics.batch.observe(len(sessions))
        self.metrics.pass_seconds.observe(spent)
        self.metrics.compute.inc(spent)
        self.metrics.audio.inc(int(steps.sum()) / 50)
