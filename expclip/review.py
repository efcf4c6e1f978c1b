"""Review of annotated records by ExpCLIP: do texts and expression agree, does a text only repeat another one.

Needs torch. N records, D style embedding, F features of the text tower, W words of a signature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expclip import action_units, tead
from expclip.rig import FloatArray

if TYPE_CHECKING:
    from expclip.model import ExpCLIP

COMPARED = ("prompt", "situation")
"""Kinds of text that must differ between records; few words name states, and like faces are described alike."""
BITS = 1024
"""Signs of random projections kept of each compared text; the share that differs tells the angle to about 2 degrees."""
_BATCH = 32


@dataclass(frozen=True)
class ReviewOptions:
    """What a record must reach."""

    quality: float = 0.1  # least agreement of texts and expression, -1..1; 1 in 100 of TEAD's test split has less
    alike: float = 0.95  # cosine of features from which two texts are the same one; above 1: nothing is


@dataclass(frozen=True)
class Verdict:
    """What ExpCLIP says of a record."""

    quality: float  # mean cosine of texts and expression in style space; NaN for a neutral face
    signature: bytes  # sign bits of the compared texts
    problem: str = ""


@cache
def load_model(checkpoint: str | None = None) -> "ExpCLIP":
    """Return ExpCLIP of a checkpoint (default: the one that ships), loaded once a process."""
    from expclip import checkpoint as checkpoints
    from expclip.model import ExpCLIP

    return ExpCLIP.from_part(checkpoints.load(checkpoint).part("expclip"))


class Judge:
    """Reviews records by one ExpCLIP."""

    def __init__(self, model: "ExpCLIP", options: ReviewOptions) -> None:
        self._model, self._options = model, options
        self._examples: dict[str, FloatArray] = {}

    def verdict(self, record: tead.Record, examples: Sequence[tead.Record] = ()) -> Verdict:
        """Return the verdict on a record whose texts were written with examples in view."""
        kinds = [kind for kind in tead.KINDS if kind in record.texts]
        features_NF = self._features([record.texts[kind] for kind in kinds])
        quality = self._agreement(features_NF, record)
        features = dict(zip(kinds, features_NF, strict=True))
        problem = self._repeats(features, examples)
        if quality < self._options.quality:  # false for NaN
            problem = (
                problem or f"texts and expression do not agree: {quality:.2f}, not {self._options.quality:g} or more"
            )
        return Verdict(quality, signature([features[kind] for kind in COMPARED if kind in features]), problem)

    def _features(self, texts: Sequence[str]) -> FloatArray:
        import torch

        with torch.inference_mode():
            parts = [self._model.tower.encode(texts[k : k + _BATCH]) for k in range(0, len(texts), _BATCH)]
            return np.asarray(torch.cat(parts).float().cpu())

    def _agreement(self, features_NF: FloatArray, record: tead.Record) -> float:
        import torch

        if not record.aus:
            return float("nan")
        weights_1C = torch.from_numpy(action_units.to_weights(record.aus, self._model.rig)[None])
        with torch.inference_mode():
            texts_ND = self._model.encode_features(torch.from_numpy(features_NF))[0]
            expression_1D = self._model.encode_expression(weights_1C)[0]
            return float((texts_ND @ expression_1D.T).mean())

    def _repeats(self, features: Mapping[str, FloatArray], examples: Sequence[tead.Record]) -> str:
        """Return why a text is none of its own, empty if all are."""
        limit = self._options.alike
        for kind in COMPARED:
            for other, feature_F in features.items():
                if other not in (kind, "tag") and kind in features and float(feature_F @ features[kind]) >= limit:
                    return f"{kind} says the same as {other}"
            for example in examples if kind in features else ():
                if float(self._of_example(example.texts[kind]) @ features[kind]) >= limit:
                    return f"{kind} is an example's: {example.texts[kind]!r}"
        return ""

    def _of_example(self, text: str) -> FloatArray:
        if text not in self._examples:
            self._examples[text] = self._features([text])[0]
        return self._examples[text]


def signature(features: Sequence[FloatArray]) -> bytes:
    """Return the signs of `BITS` random projections of each text's features (F,), 8 to a byte."""
    if not features:
        return b""
    bits_NB = np.stack(features) @ _projections(len(features[0])) > 0
    return np.packbits(bits_NB).tobytes()


@cache
def _projections(features: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal((features, BITS)).astype(np.float32)


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
