"""Words and phones of Praat TextGrids (long text form), as forced aligners write them.

In: the file's text. Out: the words as a sentence, and phones in ARPAbet where a tier of that name holds them.
"""

import re

from expclip.corpora.phones import Phones

Tier = list[tuple[float, float, str]]
"""Intervals in order: start and end in seconds, label."""

_TIER = re.compile(r'class = "IntervalTier"\s+name = "(?P<name>(?:[^"]|"")*)"(?P<body>.*?)(?=item \[\d+\]|\Z)', re.S)
_INTERVAL = re.compile(r'xmin = ([\d.eE+-]+)\s+xmax = ([\d.eE+-]+)\s+text = "((?:[^"]|"")*)"')
_SILENT = frozenset(("", "sil", "sp", "spn", "<eps>", "<unk>"))
_ARPABET = re.compile(r"[A-Z]{1,2}[0-2]?")


def tiers(text: str) -> dict[str, Tier]:
    """Return the interval tiers of a TextGrid by name, in their order; none if it is no such file."""
    return {
        match["name"]: [(float(a), float(b), label.replace('""', '"')) for a, b, label in _INTERVAL.findall(match[0])]
        for match in _TIER.finditer(text)
    }


def sentence(grid: dict[str, Tier]) -> str:
    """Return the words of the tier `words`, else of the first one, without pauses."""
    tier = grid.get("words") or next(iter(grid.values()), [])
    return " ".join(label.strip() for _, _, label in tier if label.strip().lower() not in _SILENT)


def phones(grid: dict[str, Tier]) -> Phones:
    """Return the phones of the tier `phones`, pauses as SIL; none if it is not there or not ARPAbet."""
    spoken = [(a, b, label.strip()) for a, b, label in grid.get("phones", [])]
    named = [(a, b, "SIL" if label.lower() in _SILENT else label) for a, b, label in spoken]
    if not all(_ARPABET.fullmatch(label) for _, _, label in named if label != "SIL"):
        return []
    return [(a, b, label.rstrip("012")) for a, b, label in named]
