"""Figures: values by hand, intervals that hold them, what is unknown left out, JSON without NaN."""

import json

import numpy as np
import pytest

from expclip import figures
from expclip.figures import Figure


def test_a_ratio_pools_what_clips_bring() -> None:
    figure = figures.ratio([1, 9, 0], [10, 10, 0])
    assert figure == Figure(0.5, None, None, 2)  # too few clips for an interval
    assert figures.ratio([1.0], [0.0]) is None


def test_the_interval_is_about_the_clips_and_seeded() -> None:
    values = np.random.default_rng(0).normal(5, 1, 200).tolist()
    figure = figures.mean([*values, float("nan")], seed=1)
    assert figure
    assert figure.clips == 200
    assert figure.low
    assert figure.high
    assert figure.low < figure.value < figure.high
    assert figure.high - figure.low == pytest.approx(4 / 200**0.5, rel=0.15)
    assert figures.mean(values, seed=1) == figure
    assert figures.mean(values, seed=2) != figure


def test_medians_and_spread() -> None:
    found = figures.median([0.0, 0.0, 9.0, float("nan")])
    assert found
    assert (found.value, found.clips) == (0, 3)
    pooled = figures.pooled_median([[1.0, 2.0], [], [3.0, 4.0, 5.0]])
    assert pooled
    assert (pooled.value, pooled.clips) == (3, 2)
    spread = figures.spread([0, 1, 2, 3, 4, float("nan")])
    assert spread
    assert spread.value == 2
    assert figures.median([]) is None is figures.pooled_median([[]])
    assert figures.spread([]) is None


def test_a_measure_of_rows_is_resampled() -> None:
    figure = figures.resampled(lambda rows: float(len(set(rows.tolist()))), 50)
    assert figure.value == 50
    assert figure.high
    assert figure.high < 40  # of 50 draws about 32 differ


def test_plain_values_are_json_without_nan() -> None:
    tree = {
        "a": Figure(1 / 3, None, float("nan"), 4),
        "b": [np.float32(0.5), float("inf")],
        "c": np.arange(2),
        "d": "x",
    }
    assert json.loads(json.dumps(figures.plain(tree), allow_nan=False)) == {
        "a": {"value": 0.33333, "low": None, "high": None, "clips": 4},
        "b": [0.5, None],
        "c": [0, 1],
        "d": "x",
    }
