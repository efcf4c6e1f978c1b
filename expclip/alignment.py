"""How well motions answer texts, by the evaluator's embeddings: R@1/2/3, MM-Dist, FID, diversity, emotion F1.

Pure functions of embeddings: K pairs of a text and its motion, D embedding. Definitions follow text-to-motion practice.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from expclip.rig import FloatArray

BATCH, SHUFFLINGS = 32, 20
"""Pairs that are ranked together, and how often they are drawn anew."""
PAIRS = 300
"""Random pairs of the diversity."""


def distances(texts_KD: FloatArray, motions_KD: FloatArray) -> FloatArray:
    """Return the Euclidean distance (K, K) of each text (row) to each motion."""
    return np.asarray(np.linalg.norm(texts_KD[:, None] - motions_KD[None], axis=-1), np.float32)


def recalls(away_KK: FloatArray, *, seed: int = 0) -> dict[str, list[float]]:
    """Return for `R@1`, `R@2`, `R@3` each pair's share of draws in which its own motion is among the k nearest.

    A draw shuffles the pairs and parts them into batches of 32 (of all, if there are fewer); what is left over in a
    draw is not counted in it. Equal motions share the places they take: one for all prompts scores by chance.
    """
    count = len(away_KK)
    size, random = min(BATCH, count), np.random.default_rng(seed)
    hits, seen = np.zeros((3, count)), np.zeros(count)
    for _ in range(SHUFFLINGS):
        order = random.permutation(count)
        for rows in order[: count // size * size].reshape(-1, size):
            part = away_KK[np.ix_(rows, rows)]
            own = np.diagonal(part)[:, None]
            ahead, equal = (part < own - 1e-6).sum(1), (np.abs(part - own) <= 1e-6).sum(1)
            for k in range(3):
                hits[k, rows] += np.clip((k + 1 - ahead) / equal, 0, 1)
            seen[rows] += 1
    return {f"R@{k + 1}": (hits[k] / np.maximum(seen, 1)).tolist() for k in range(3)}


def frechet(first_KD: FloatArray, second_KD: FloatArray) -> float:
    """Return FID: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets of embeddings."""
    from scipy.linalg import sqrtm

    means = [values.mean(0).astype(float) for values in (first_KD, second_KD)]
    covariances = [np.cov(values.astype(float), rowvar=False) for values in (first_KD, second_KD)]
    small = 1e-9 * np.eye(len(means[0]))
    root = np.real(sqrtm((covariances[0] + small) @ (covariances[1] + small)))
    distance = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    return max(0.0, float(distance))


def diversity(motions_KD: FloatArray, *, seed: int = 0) -> float:
    """Return the mean distance of 300 random pairs of motions."""
    first, second = np.random.default_rng(seed).integers(len(motions_KD), size=(2, PAIRS))
    return float(np.linalg.norm(motions_KD[first] - motions_KD[second], axis=-1).mean())


def confusion(truth: Sequence[str], guess: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return counts (N, N): rows the true emotion, columns the one seen."""
    table_NN = np.zeros((len(names), len(names)), np.int64)
    for wanted, found in zip(truth, guess, strict=True):
        table_NN[names.index(wanted), names.index(found)] += 1
    return table_NN


def f1_scores(table_NN: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the F1 of each emotion from its counts, NaN for one that is neither true nor seen."""
    hits, total = np.diagonal(table_NN).astype(float), table_NN.sum(0) + table_NN.sum(1)
    return np.asarray(np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan))


def macro_f1(truth: Sequence[str], guess: Sequence[str], names: Sequence[str]) -> float:
    """Return the mean F1 over the emotions that are true of some text."""
    table_NN = confusion(truth, guess, names)
    return float(np.nanmean(f1_scores(table_NN)[table_NN.sum(1) > 0]))
