"""Action units <-> weights."""

import numpy as np
import pytest

from expclip import action_units
from expclip.errors import BadRequestError
from expclip.rig import load_rig

RIG = load_rig()


def test_sides_are_the_subjects_own() -> None:
    weights = action_units.to_weights({"AU12L": 0.6, "AU61": 0.4, "AU30R": 0.2})
    expected = {"mouthSmileLeft": 0.6, "eyeLookOutLeft": 0.4, "eyeLookInRight": 0.4, "jawRight": 0.2}
    np.testing.assert_allclose(weights, RIG.weights(expected))


def test_units_that_share_a_shape_do_not_add_up() -> None:
    weights = action_units.to_weights({"AU23": 0.5, "AU24": 0.4})
    assert weights[RIG.index("mouthPressLeft")] == pytest.approx(0.5)


def test_a_shape_without_sides_takes_half_of_a_one_sided_unit() -> None:
    assert action_units.to_weights({"AU1L": 0.6})[RIG.index("browInnerUp")] == pytest.approx(0.3)


def test_the_jaw_units_are_three_depths_of_one_shape() -> None:
    jaw = [action_units.to_weights({code: 1.0})[RIG.index("jawOpen")] for code in ("AU25", "AU26", "AU27")]
    assert jaw[0] < jaw[1] < jaw[2] == 1.0
    assert list(action_units.from_weights(RIG.weights({"jawOpen": 0.1}))) == ["AU25"]
    assert list(action_units.from_weights(RIG.weights({"jawOpen": 0.5}))) == ["AU26"]
    assert list(action_units.from_weights(RIG.weights({"jawOpen": 0.9}))) == ["AU27"]


@pytest.mark.parametrize(
    "expression",
    [
        {"AU12": 0.6, "AU6": 0.4},
        {"AU4": 0.5, "AU24": 0.3, "AU26": 0.5},
        {"AU2L": 0.8},
        {"AU64": 0.4, "AU43": 0.3},
        {"AU28": 0.7},
    ],
)
def test_there_and_back(expression: dict[str, float]) -> None:
    assert action_units.from_weights(action_units.to_weights(expression)) == pytest.approx(expression)


def test_units_without_a_shape_of_their_own_are_never_read_back() -> None:
    everything = action_units.from_weights(np.ones(52, np.float32))
    assert not {"AU8", "AU11", "AU13", "AU23", "AU38", "AU44", "AU45", "AU46"} & set(everything)


def test_vectors_keep_sides() -> None:
    expression = {"AU12": 0.6, "AU2L": 0.5, "AU4L": 0.5, "AU4R": 0.2}
    assert action_units.from_vector(action_units.to_vector(expression)) == pytest.approx(expression)


def test_bad_units_are_named() -> None:
    with pytest.raises(BadRequestError, match="unknown action unit 'AU3'; valid: AU1, "):
        action_units.to_weights({"AU3": 0.5})
    with pytest.raises(BadRequestError, match=r"intensity 1\.2 of AU12"):
        action_units.to_weights({"AU12": 1.2})


def test_words_for_people() -> None:
    assert action_units.describe({"AU12L": 0.6, "AU1": 0.1}) == [
        "pronounced lip corner puller (own left)",
        "trace inner brow raiser",
    ]
