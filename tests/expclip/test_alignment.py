"""Measures of embeddings: a perfect match, chance, ties, distances by hand, counts and F1."""

import numpy as np
import pytest

from expclip import alignment

RNG = np.random.default_rng(0)


def test_true_pairs_are_found_and_random_ones_by_chance() -> None:
    texts = RNG.normal(size=(200, 16)).astype(np.float32)
    found = alignment.recalls(alignment.distances(texts, texts))
    assert all(np.mean(values) == 1 for values in found.values())
    chance = alignment.recalls(alignment.distances(texts, RNG.normal(size=(200, 16)).astype(np.float32)))
    assert [float(np.mean(chance[f"R@{k}"])) for k in (1, 2, 3)] == pytest.approx([1 / 32, 2 / 32, 3 / 32], abs=0.025)


def test_one_motion_for_all_texts_scores_by_chance() -> None:
    texts = RNG.normal(size=(64, 4)).astype(np.float32)
    found = alignment.recalls(alignment.distances(texts, np.ones((64, 4), np.float32)))
    assert [float(np.mean(found[f"R@{k}"])) for k in (1, 2, 3)] == pytest.approx([1 / 32, 2 / 32, 3 / 32])


def test_few_pairs_are_ranked_among_themselves() -> None:
    away = np.array([[0.0, 1.0], [1.0, 2.0]], np.float32)
    found = alignment.recalls(away)
    assert found["R@1"] == [1.0, 0.0]
    assert found["R@2"] == [1.0, 1.0]


def test_frechet_distance_of_shifted_and_scaled_clouds() -> None:
    cloud = RNG.normal(size=(500, 3)).astype(np.float32)
    assert alignment.frechet(cloud, cloud) == pytest.approx(0, abs=1e-3)
    assert alignment.frechet(cloud, cloud + [2, 0, 0]) == pytest.approx(4, abs=1e-2)
    spread = cloud - cloud.mean(0)
    assert alignment.frechet(spread, 3 * spread) == pytest.approx(4 * np.cov(spread, rowvar=False).trace(), rel=1e-3)


def test_diversity_is_seeded_and_zero_for_one_motion() -> None:
    cloud = RNG.normal(size=(50, 3)).astype(np.float32)
    assert alignment.diversity(cloud, seed=1) == alignment.diversity(cloud, seed=1) > 1
    assert alignment.diversity(np.ones((5, 3), np.float32)) == 0


def test_confusion_and_f1_by_hand() -> None:
    truth, guess = ["a", "a", "a", "b"], ["a", "b", "a", "b"]
    table = alignment.confusion(truth, guess, ["a", "b", "c"])
    assert table.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    scores = alignment.f1_scores(table)
    assert scores[:2].tolist() == pytest.approx([0.8, 2 / 3])
    assert np.isnan(scores[2])
    assert alignment.macro_f1(truth, guess, ["a", "b", "c"]) == pytest.approx((0.8 + 2 / 3) / 2)
    assert alignment.macro_f1(["a"], ["c"], ["a", "b", "c"]) == 0
