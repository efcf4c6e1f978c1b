"""Review of annotated records by ExpCLIP: do texts and expression agree, does a text only repeat another one.

Needs torch. N texts, D style embedding, F features of the text tower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from expclip import action_units, tead
from expclip.repeats import BITS, COMPARED
from expclip.rig import FloatArray

if TYPE_CHECKING:
    from expclip.model import ExpCLIP

_BATCH = 32


@dataclass(frozen=True)
class ReviewOptions:
    """What a record must reach."""

    quality: float = 0.2  # least agreement of texts and face, -1..1; of TEAD's test split 1 in 100 has less than 0.27
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
