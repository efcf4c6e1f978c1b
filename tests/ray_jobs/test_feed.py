"""Crops through Ray Data are those that the sampler makes itself, in the order of the steps."""

from typing import Any

import numpy as np
import pytest

from expclip import clip_table
from expclip.crops import Sampler
from ray_jobs import feed


@pytest.mark.ray
def test_crops_come_in_order_and_as_made_here(data_context: Any, toy_corpus: str) -> None:
    sampler = Sampler(clip_table.load({"toy": toy_corpus})[0], {"toy": 1.0}, seed=0, steps=20)
    numbers, slots = range(3, 63), (1, 3, 5)
    found = list(feed.crops(sampler, numbers, slots, 1))
    assert len(found) == 60
    for number in (3, 4, 40, 62):
        for name, values in sampler.rows(number, slots).items():
            np.testing.assert_array_equal(found[number - 3][name], values)
    assert list(feed.crops(sampler, range(0), slots, 1)) == []
