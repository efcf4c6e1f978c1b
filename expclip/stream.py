"""A stream: sound in pieces of any length in, frames on the sound's clock out; `streamer.Streamer` drives it.

N samples, T steps of 20 ms, K frames, L frames of a window, C channels.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from expclip import media
from expclip import postprocess as post
from expclip.animation import sample_at
from expclip.errors import BadRequestError
from expclip.postprocess import PostOptions
from expclip.resampler import Resampler
from expclip.rig import FloatArray
from expclip.speech import HOP
from expclip.stepwise import ENDLESS
from expclip.style import TRANSITION, Style, StyleChange, check_transition, timed

KEPT = post.BACK + post.LOOKAHEAD
"""Raw frames that the post-processing of the next ones needs."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Finished frames, all that became known at once."""

    times_K: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Seconds since the sound's first sample."""
    weights_KC: FloatArray

    def __len__(self) -> int:
        return len(self.times_K)

    def until(self, second: float) -> "Frames":
        """Return those before a second."""
        keep = self.times_K < second - 1e-9
        return Frames(self.times_K[keep], self.weights_KC[keep])


class Look(NamedTuple):
    """A style as the models take it, and the face that feels it and says nothing."""

    vector: torch.Tensor
    expression: torch.Tensor
    rest: torch.Tensor


class Stream:
    """One speaker's sound and face; made by `Streamer.open`."""

    def __init__(
        self, changes: Sequence[StyleChange], *, slot: int, lookahead: int, channels: int, rate: int, fps: float,
        seed: int, options: PostOptions,
    ) -> None:  # fmt: skip
        self.slot, self.rate, self.fps, self.seed, self.options = slot, rate, fps, seed, options
        self._delay, self._channels = lookahead + post.LOOKAHEAD, channels
        self.changes = list(changes)
        self.before_C: FloatArray | None = None
        self._begin()

    def _begin(self) -> None:
        self.fresh = True
        self.look: Look | None = None
        self.step, self.steps = 0, ENDLESS
        self.blinks = post.BlinkCurve(self.seed)
        self.raw_LX = np.zeros((KEPT, 2 * self._channels + 1), np.float32)
        self.level_L = np.zeros(KEPT + self._delay - post.LOOKAHEAD, np.float32)
        self._resampler = Resampler(self.rate)
        self._pieces: deque[FloatArray] = deque()
        self._waiting = self._received = self._samples = self._next = 0
        self._last_C: FloatArray | None = None
        self._held: list[Frames] = []
        self._ready: list[Frames] = []

    @property
    def seconds(self) -> float:
        """Sound received so far."""
        return self._received / self.rate

    @property
    def frames(self) -> int:
        """Frames given so far."""
        return self._next - sum(map(len, self._held))

    @property
    def backlog(self) -> float:
        """Seconds of sound that wait to be heard."""
        return self._waiting / media.SAMPLE_RATE

    @property
    def finished(self) -> bool:
        """Whether the sound has ended and all its frames are known."""
        return self.steps == 0 or self.step >= self.steps + self._delay

    def push(self, audio_N: FloatArray) -> None:
        """Take samples (N,) at the stream's rate, -1..1; raises BadRequestError for no sound, or after the end."""
        audio_N = np.asarray(audio_N, np.float32)
        if audio_N.ndim != 1 or not np.isfinite(audio_N).all():
            raise BadRequestError(f"samples of shape {audio_N.shape}; (samples,), finite, are valid")
        if self.steps != ENDLESS:
            raise BadRequestError("sound after the end of the stream")
        self._received += len(audio_N)
        self._append(self._resampler.push(audio_N))

    def _append(self, audio_N: FloatArray) -> None:
        if len(audio_N):
            self._pieces.append(audio_N)
            self._samples += len(audio_N)
            self._waiting += len(audio_N)

    def end(self) -> None:
        """Say that no more sound comes; the frames that waited for it become known by `Streamer.advance`."""
        if self.steps == ENDLESS:
            self._append(self._resampler.finish())
            self.steps = -(-self._samples // HOP)

    def change(self, style: Style, *, transition: float = TRANSITION, at: float | None = None) -> float:
        """Turn to another style over `transition` seconds, from second `at` or from the end of the sound received.

        Return the second at which it begins: what is received already never changes.
        """
        second = self.seconds if at is None else max(at, self.seconds)
        self.changes = timed([*self.changes, StyleChange(second, style, check_transition(transition))])
        return second

    def interrupt(self) -> None:
        """Forget the sound that has no frames yet and begin anew at second 0, in the style last asked for.

        The face goes on from the frame it last showed, no faster than a face can.
        """
        self.changes = [StyleChange(0.0, self.changes[-1].style)]
        self._begin()

    def take(self) -> Frames:
        """Return the frames that became known since the last call; there may be none."""
        if not self._ready:
            return Frames(np.zeros(0), np.zeros((0, self._channels), np.float32))
        if len(self._ready) == 1:
            return self._ready.pop()
        parts, self._ready = self._ready, []
        return Frames(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("times_K", "weights_KC")))

    def steps_ready(self, most: int) -> int:
        """Return how many steps the next pass may take: a power of two, so that streams find company."""
        left = self.steps + self._delay - self.step
        steps = min(most, left, self._waiting // HOP if self.steps == ENDLESS else left)
        return 1 << (steps.bit_length() - 1) if steps > 0 and not self.finished else 0

    def take_audio(self, count: int) -> FloatArray:
        """Return the next samples (count,), silence behind the end."""
        out_N, filled = np.zeros(count, np.float32), 0
        while filled < count and self._pieces:
            piece = self._pieces[0]
            part = piece[: count - filled]
            out_N[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(piece):
                self._pieces[0] = piece[len(part) :]
            else:
                self._pieces.popleft()
        self._waiting -= filled
        return out_N

    def show(self, weights_TC: FloatArray, first: int) -> None:
        """Take finished weights (T, C) at 50 Hz of the steps from `first`, which may be before 0 or after the end."""
        keep = slice(max(0, -first), max(0, min(len(weights_TC), self.steps - first)))
        weights_TC, first = weights_TC[keep], first + keep.start
        if not len(weights_TC):
            return
        stop = first + len(weights_TC)
        if self._last_C is not None:
            weights_TC, first = np.concatenate([self._last_C[None], weights_TC]), first - 1
        self._last_C = weights_TC[-1]
        sampled = int((stop - 1) / post.RATE * self.fps + 1e-6) + 1 if stop < self.steps else self._count
        if sampled > self._next:
            times_K = np.arange(self._next, sampled) / self.fps
            self._held.append(Frames(times_K, sample_at(weights_TC, post.RATE, times_K - first / post.RATE)))
            self._next = sampled
        # At few frames a second, the last one may lie behind what rounding leaves of the sound.
        if self._next <= self._count:
            self._ready += self._held
            self._held = []
        elif stop >= self.steps:
            self._ready += [held.until(self._count / self.fps) for held in self._held]

    @property
    def _count(self) -> int:
        """Frames of the sound received, as of a whole one."""
        return max(1, round(self._samples / media.SAMPLE_RATE * self.fps))
