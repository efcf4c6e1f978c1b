"""Near-duplicates among records by the signatures that their review left: sign bits of texts in the text tower.

Needs no model. K records kept so far, W words of a signature.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

COMPARED = ("prompt", "situation")
"""Kinds of text that must differ between records; few words name states, and like faces are described alike."""
BITS = 1024
"""Signs of random projections kept of each compared text; the share that differs tells the angle to about 2 degrees."""
ALIKE = 0.95
"""Cosine of features from which two texts are the same one; between TEAD's own prompts it stays below 0.9."""


def repeated(rows: Sequence[Mapping[str, Any]], alike: float) -> dict[str, str]:
    """Return the ids of records (in their order) that repeat an earlier one, and why.

    Rows have id, texts and signature; compared are texts of a kind by their signatures, and all but tags by letter.
    """
    found = _same_letters(rows)
    size = BITS // 64
    limit = BITS * np.arccos(min(1.0, alike)) / np.pi if alike <= 1 else -1.0
    for k, kind in enumerate(COMPARED):
        kept_KW, kept = np.empty((len(rows), size), np.uint64), list[str]()
        for row in rows:
            if row["id"] in found or len(row["signature"] or b"") != len(COMPARED) * BITS // 8:
                continue
            words_W = np.frombuffer(row["signature"], np.uint64)[k * size :][:size]
            other = _nearest(kept_KW[: len(kept)], words_W, limit)
            if other is not None:
                found[row["id"]] = f"{kind} is nearly the same as that of {kept[other]}"
                continue
            kept_KW[len(kept)] = words_W
            kept.append(row["id"])
    return found


def _nearest(kept_KW: npt.NDArray[np.uint64], words_W: npt.NDArray[np.uint64], limit: float) -> int | None:
    """Return the row that differs in the fewest bits, None if those are more than `limit`."""
    if not len(kept_KW):
        return None
    differing_K = np.bitwise_count(kept_KW ^ words_W).sum(1, dtype=np.int64)
    nearest = int(differing_K.argmin())
    return nearest if differing_K[nearest] <= limit else None


def _same_letters(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    for row in rows:
        for kind, text in dict(row["texts"]).items():
            first = seen.setdefault((kind, text.casefold()), row["id"]) if kind != "tag" else row["id"]
            if first != row["id"]:
                found.setdefault(row["id"], f"{kind} is that of {first}")
    return found
