"""Animation: generated weights over time with all that is needed to read them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from expclip.errors import BadRequestError
from expclip.rig import FloatArray, Rig, load_rig

FPS_RANGE = (1.0, 240.0)
"""Frame rates that can be asked for."""


def check_fps(fps: float) -> float:
    """Return the frame rate; raises BadRequestError unless it lies within 1..240."""
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:  # NaN fails, too
        raise BadRequestError(f"fps {fps!r} is outside {FPS_RANGE[0]:g}..{FPS_RANGE[1]:g}")
    return float(fps)


@dataclass(frozen=True, eq=False)
class Animation:
    """Weights (T, C) in the rig's channel order; frame t shows time t / fps seconds from the start of the audio."""

    weights_TC: FloatArray
    fps: float
    rig: Rig = field(default_factory=load_rig)
    prompt: str = ""
    audio_N: FloatArray | None = None
    """The speech, mono, -1..1, at `sample_rate`; exporters with sound need it."""
    sample_rate: int = 16_000
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights_TC.ndim != 2 or self.weights_TC.shape[1] != len(self.rig):
            raise BadRequestError(
                f"weights of shape {self.weights_TC.shape}; rig {self.rig.name} needs (frames, {len(self.rig)})"
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise BadRequestError(f"fps {self.fps!r} is not a positive number")
        if not np.isfinite(self.weights_TC).all():
            raise BadRequestError("weights hold NaN or infinity")

    def __len__(self) -> int:
        return len(self.weights_TC)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names, one for each column of `weights_TC`."""
        return self.rig.channels

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    @property
    def times_T(self) -> FloatArray:
        """Time of each frame in seconds."""
        return (np.arange(len(self)) / self.fps).astype(np.float32)

    def channel(self, name: str) -> FloatArray:
        """Return one channel (T,) by any of its spellings."""
        return self.weights_TC[:, self.rig.index(name)]

    def resample(self, fps: float) -> "Animation":
        """Return the animation at another frame rate, linear in time; the last frame is held to the end."""
        if fps == self.fps:
            return self
        return replace(self, weights_TC=resample(self.weights_TC, self.fps, fps), fps=fps)

    def save(self, *paths: str | Path, format: str | None = None) -> None:
        """Write one file for each path, its format by suffix (`.livelink.csv .a2f.json .glb .npz .mp4`) or `format`.

        Paths may be local or `s3://`. A file is written whole or not at all.
        """
        from expclip import exporters

        for path in paths:
            exporters.save(self, str(path), format=format)


def resample(weights_TC: FloatArray, fps: float, new_fps: float) -> FloatArray:
    """Return weights at `new_fps`, linear in time: (round(T * new_fps / fps), C), at least one frame."""
    count = max(1, round(len(weights_TC) * new_fps / fps)) if len(weights_TC) else 0
    return sample_at(weights_TC, fps, np.arange(count) / new_fps)


def sample_at(weights_TC: FloatArray, fps: float, seconds_K: Sequence[float] | np.ndarray[Any, Any]) -> FloatArray:
    """Return weights (K, C) at any times in seconds, linear between frames, held beyond both ends."""
    position = np.clip(np.asarray(seconds_K, np.float64) * fps, 0, max(len(weights_TC) - 1, 0))
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, len(weights_TC) - 1)
    share = (position - below).astype(np.float32)[:, None]
    return weights_TC[below] * (1 - share) + weights_TC[above] * share
