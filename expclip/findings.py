"""Findings: what a check says of one table, as plain data that the screen and the page both show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from expclip.rig import FloatArray

MOST = 1000
"""Problems that are kept of one table; the count goes on."""
_NAMED = 8
_WHOLE = 60
"""Widest span of whole numbers of which each gets a bar."""


@dataclass(frozen=True)
class Histogram:
    """Bars with their labels."""

    title: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """A face of the table with the words that belong to it."""

    title: str
    lines: tuple[str, ...] = ()
    weights_C: FloatArray | None = None


@dataclass
class Finding:
    """What was found in one table."""

    path: str
    kind: str  # CLIPS, TRACKS, EXPRESSIONS, TEAD, ANIMATIONS or ERRORS
    rows: int = 0
    figures: dict[str, str] = field(default_factory=dict)
    histograms: list[Histogram] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong
    notes: list[str] = field(default_factory=list)  # what a person should know before training
    count: int = 0  # of problems, those that are not kept included

    def wrong(self, problem: str) -> None:
        """Add a problem."""
        self.count += 1
        if len(self.problems) < MOST:
            self.problems.append(problem)

    def check_repeats(self, what: str, values: Iterable[str]) -> None:
        """Add a problem for each value that stands there more than once."""
        for value, n in Counter(values).items():
            if n > 1:
                self.wrong(f"{what} {value!r} stands there {n} times")

    def check_licences(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add one problem if rows do not say under which terms they may be used."""
        without = [str(row.get("clip_id") or row.get("id")) for row in rows if not row.get("licence")]
        if without:
            self.wrong(
                f"{len(without)} rows do not name a licence: {', '.join(without[:3])}{' ...' * (len(without) > 3)}"
            )

    def count_values(self, what: str, values: Iterable[Any]) -> None:
        """Add a figure with the most frequent values of a column."""
        counts = Counter(str(value) if value else "-" for value in values)
        self.figures[what] = listed(counts)


def listed(counts: Mapping[str, int]) -> str:
    """Return counts as words, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = len(ranked) - _NAMED
    return ", ".join(f"{name} {n}" for name, n in ranked[:_NAMED]) + (f", and {more} more" if more > 0 else "")


def histogram(title: str, values: Sequence[float] | FloatArray, bins: int = 24, unit: str = "") -> Histogram | None:
    """Return the histogram of finite numbers, whole ones each by itself; None if there are none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    if (known == np.rint(known)).all() and high - low <= _WHOLE:
        counts = np.bincount((known - low).astype(int))
        labels = tuple(f"{low + k:g}{unit}" for k in range(len(counts)))
    else:
        counts, edges = np.histogram(known, bins=bins if high > low else 1)
        labels = tuple(f"{first:.3g} to {last:.3g}{unit}" for first, last in zip(edges, edges[1:], strict=False))
    return Histogram(title, labels, tuple(int(n) for n in counts))


def bars(title: str, counts: Mapping[str, int], most: int = 40) -> Histogram:
    """Return the histogram of named counts, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return Histogram(title, tuple(name for name, _ in ranked), tuple(n for _, n in ranked))


def span(values: Sequence[float] | FloatArray, unit: str = "") -> str:
    """Return least, median and most of numbers as words."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return "-"
    low, middle, high = np.quantile(known, (0, 0.5, 1))
    return f"{low:.3g} to {high:.3g}{unit}, median {middle:.3g}{unit}"
