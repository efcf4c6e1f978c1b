"""How well a style model understands texts: retrieval, action units named, explained variance; by kind of text.

In: any model with `encode_text`, `encode_expression` and `decode_expression`, and TEAD records. Out: a flat dict.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from expclip import action_units
from expclip.rig import FloatArray
from expclip.tead import KINDS, Record

ACTIVE = 0.05
"""Intensity from which a decoded unit counts as shown; `expclip style` prints from here, too."""
CROWD = 200
"""How many expressions a text is ranked among; of a larger set, 20 seeded draws are averaged."""


@torch.inference_mode()
def evaluate(model: Any, records: Sequence[Record], *, kinds: Sequence[str] = KINDS) -> dict[str, float]:
    """Return `KIND_METRIC` for each kind of text, over the records.

    au_f1: micro-F1 of base units (a side folded into its unit; present: intensity > 0; shown: decoded >= 0.05).
    sides: share of the units that only one side of the face shows and that are decoded at all, whose stronger side is
    the right one and at least twice the other.
    r2_units, r2_weights: 1 - squared error / variance around the mean expression of these records, all pooled.
    r1, r5, r10, rank: share of texts whose own expression is among the first k of 200, and its median rank; rank_all:
    the median rank among all records. Expressions are ranked by the cosine of embeddings: direction, not strength.
    """
    truth_NU = np.stack([record.vector() for record in records])
    weights_NC = np.stack([action_units.to_weights(record.aus) for record in records])
    expressions_ND = model.encode_expression(torch.from_numpy(weights_NC).to(model.device))[0].cpu().numpy()
    found: dict[str, float] = {}
    for kind in kinds:
        vectors_ND = text_vectors(model, [record.texts[kind] for record in records])
        units_NU, decoded_NC = (out.cpu().numpy() for out in model.decode_expression(vectors_ND))
        scores: dict[str, float] = {"au_f1": unit_f1(truth_NU, units_NU)}
        scores["sides"] = right_sides(truth_NU, units_NU)
        scores["r2_units"] = explained(truth_NU, units_NU)
        scores["r2_weights"] = explained(weights_NC, decoded_NC)
        scores |= ranks(vectors_ND.cpu().numpy(), expressions_ND)
        found |= {f"{kind}_{name}": value for name, value in scores.items()}
    return found


def text_vectors(model: Any, texts: Sequence[str], *, batch: int = 64) -> torch.Tensor:
    """Return style vectors (N, D) of texts."""
    parts = [model.encode_text(texts[k : k + batch]) for k in range(0, len(texts), batch)]
    return torch.cat([embedding_BD * strength_B[:, None] for embedding_BD, strength_B in parts])


def unit_f1(truth_NU: FloatArray, shown_NU: FloatArray) -> float:
    """Return the micro-F1 of base units present in the truth against those shown."""
    present, shown = (values.reshape(len(values), -1, 2).max(-1) for values in (truth_NU, shown_NU))
    hits = float(((present > 0) & (shown >= ACTIVE)).sum())
    return 2 * hits / max(1.0, float((present > 0).sum() + (shown >= ACTIVE).sum()))


def right_sides(truth_NU: FloatArray, shown_NU: FloatArray) -> float:
    """Return the share of one-sided units, of those shown, that are on the right side; 1 if there is none."""
    truth_K2, shown_K2 = (values.reshape(-1, 2) for values in (truth_NU, shown_NU))
    counted = ((truth_K2 > 0).sum(1) == 1) & (shown_K2.max(1) >= ACTIVE)
    wanted = truth_K2[counted].argmax(1)
    strong, weak = (shown_K2[counted, side] for side in (wanted, 1 - wanted))
    return float((strong >= 2 * weak).mean()) if counted.any() else 1.0


def explained(truth_NK: FloatArray, guess_NK: FloatArray) -> float:
    """Return R squared over all entries, against the mean row of the truth."""
    spread = float(((truth_NK - truth_NK.mean(0)) ** 2).sum())
    return 1 - float(((truth_NK - guess_NK) ** 2).sum()) / max(spread, 1e-9)


def ranks(texts_ND: FloatArray, expressions_ND: FloatArray) -> Mapping[str, float]:
    """Return r1, r5, r10 and the median rank among `CROWD` expressions, and the median rank among all."""
    texts_ND = texts_ND / np.linalg.norm(texts_ND, axis=-1, keepdims=True).clip(1e-9)
    expressions_ND = expressions_ND / np.linalg.norm(expressions_ND, axis=-1, keepdims=True).clip(1e-9)
    likeness_NN = texts_ND @ expressions_ND.T
    closer_NN = likeness_NN > np.diagonal(likeness_NN)[:, None] + 1e-6
    random, total = np.random.default_rng(0), len(texts_ND)
    crowd = [random.permutation(total)[:CROWD] for _ in range(20 if total > CROWD else 1)]
    rank = np.concatenate([1 + closer_NN[np.ix_(rows, rows)].sum(1) for rows in crowd])
    recalls = {f"r{k}": float((rank <= k).mean()) for k in (1, 5, 10)}
    return {**recalls, "rank": float(np.median(rank)), "rank_all": float(np.median(1 + closer_NN.sum(1)))}


def best_gate(model: Any, records: Sequence[Record], choices: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the choice of (presence, confidence) of the decoder that is best on records.

    Best is the highest sum of AU-F1 and R squared of units less the share by which the units' sum misses that of the
    records, averaged over kinds of text: by squared error alone every uncertain face would be a faint one.
    """
    truth_NU = np.stack([record.vector() for record in records])
    vectors = [text_vectors(model, [record.texts[kind] for record in records]) for kind in KINDS]

    def score(choice: tuple[float, float]) -> float:
        presence, confidence = choice
        decoded = [model.decode_expression(v, presence=presence, confidence=confidence)[0] for v in vectors]
        shown = [units_NU.cpu().numpy() for units_NU in decoded]
        fits = [unit_f1(truth_NU, u) + explained(truth_NU, u) - abs(1 - u.sum() / truth_NU.sum()) for u in shown]
        return float(np.mean(fits))

    with torch.inference_mode():
        return max(choices, key=score)
