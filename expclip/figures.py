"""Figures of a report: a number with its 95 % interval over clips, by bootstrap, and how many clips it rests on.

Pooled means are ratios of two sums: each clip brings its numerator and denominator (frames, phones), and clips are
what is drawn again. Everything is drawn from one seed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 1000
"""Resamplings of an interval."""
_LEAST = 3
"""Clips below which no interval is told."""


@dataclass(frozen=True)
class Figure:
    """A measured number; without an interval where fewer than three clips stand behind it."""

    value: float
    low: float | None = None
    high: float | None = None
    clips: int = 1

    def json(self) -> dict[str, Any]:
        """Return it as a JSON object, numbers to five digits and what is not finite as null."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {name: digits(value) for name, value in values.items()} | {"clips": self.clips}


def digits(value: float | None) -> float | None:
    """Return a number rounded to five digits; None for what is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0) -> Figure | None:
    """Return the sum of numerators over the sum of denominators, clips resampled; None if nothing was counted."""
    above_K, below_K = np.asarray(numerators, float), np.asarray(denominators, float)
    known = np.isfinite(above_K) & (below_K > 0)
    above_K, below_K = above_K[known], below_K[known]
    if not len(above_K):
        return None
    return _with_interval(lambda rows: above_K[rows].sum(-1) / below_K[rows].sum(-1), len(above_K), seed)


def mean(values: Sequence[float], *, seed: int = 0) -> Figure | None:
    """Return the mean over clips, those that are NaN left out."""
    return ratio(values, np.ones(len(values)).tolist(), seed=seed)


def median(values: Sequence[float], *, seed: int = 0) -> Figure | None:
    """Return the median over clips, those that are NaN left out."""
    known_K = np.asarray(values, float)
    known_K = known_K[np.isfinite(known_K)]
    if not len(known_K):
        return None
    return _with_interval(lambda rows: np.median(known_K[rows], axis=-1), len(known_K), seed)


def pooled_median(groups: Sequence[Sequence[float]], *, seed: int = 0) -> Figure | None:
    """Return the median of all values of all clips, clips resampled."""
    known = [np.asarray(group, float) for group in groups if len(group)]
    if not known:
        return None

    return resampled(lambda rows: float(np.median(np.concatenate([known[k] for k in rows]))), len(known), seed=seed)


def spread(values: Sequence[float]) -> Figure | None:
    """Return the distance between the quartiles of values, NaN left out."""
    known_K = np.asarray(values, float)
    known_K = known_K[np.isfinite(known_K)]
    if not len(known_K):
        return None
    low, high = np.quantile(known_K, (0.25, 0.75))
    return Figure(float(high - low), clips=len(known_K))


def resampled(measure: Callable[[npt.NDArray[np.int64]], float], count: int, *, seed: int = 0) -> Figure:
    """Return a measure of rows 0..count-1 with its interval; for measures that take one set of rows at a time."""

    def each(rows: npt.NDArray[np.int64]) -> Any:
        return np.array([measure(row) for row in np.atleast_2d(rows)])

    return _with_interval(each, count, seed, draws=DRAWS // 5)


def _with_interval(
    measure: Callable[[npt.NDArray[np.int64]], Any], count: int, seed: int, draws: int = DRAWS
) -> Figure:
    value = float(np.squeeze(measure(np.arange(count))))
    if count < _LEAST:
        return Figure(value, clips=count)
    rows = np.random.default_rng(seed).integers(count, size=(draws, count))
    low, high = np.quantile(measure(rows), (0.025, 0.975))
    return Figure(value, float(low), float(high), count)


def kept(figures: Mapping[str, Figure | None]) -> dict[str, Figure]:
    """Return the figures that there are."""
    return {name: figure for name, figure in figures.items() if figure is not None}


def plain(tree: Any) -> Any:
    """Return nested figures as plain JSON values."""
    if isinstance(tree, Figure):
        return tree.json()
    if isinstance(tree, Mapping):
        return {str(name): plain(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple | np.ndarray):
        return [plain(value) for value in tree]
    if isinstance(tree, np.generic):
        return plain(tree.item())
    return digits(tree) if isinstance(tree, float) else tree
