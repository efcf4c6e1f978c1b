"""Direction, strength and intensity; blending on the sphere."""

import numpy as np
import pytest

from expclip.errors import BadRequestError
from expclip.style import Style, blend, check_prompt

X = np.array([1, 0, 0], np.float32)
Y = np.array([0, 1, 0], np.float32)


def test_intensity_scales_the_vector_and_keeps_the_direction() -> None:
    style = Style(X, 0.8)
    np.testing.assert_allclose(style.scaled(0.5).vector_D, 0.4 * X)
    np.testing.assert_array_equal(style.scaled(0).vector_D, 0 * X)
    np.testing.assert_array_equal(style.scaled(1.5).embedding_D, X)


@pytest.mark.parametrize("wrong", [-0.1, 1.6, float("nan"), float("inf")])
def test_intensity_out_of_range_is_named(wrong: float) -> None:
    with pytest.raises(BadRequestError, match="is outside 0..1.5"):
        Style(X, 1.0).scaled(wrong)


def test_blend_goes_along_the_great_circle() -> None:
    half = blend(Style(X, 0.2, prompt="a"), Style(Y, 0.6, prompt="b"), 0.5)
    np.testing.assert_allclose(half.embedding_D, [2**-0.5, 2**-0.5, 0], atol=1e-6)
    assert half.strength == pytest.approx(0.4)
    assert half.prompt == "a + b"
    np.testing.assert_allclose(blend(Style(X, 1), Style(Y, 1), 0).embedding_D, X, atol=1e-6)
    np.testing.assert_allclose(blend(Style(X, 1), Style(Y, 1), 1).embedding_D, Y, atol=1e-6)
    assert np.isfinite(blend(Style(X, 1), Style(-X, 1), 0.5).embedding_D).all()
    with pytest.raises(BadRequestError, match="share 1.2"):
        blend(half, half, 1.2)


def test_prompts_are_checked() -> None:
    assert check_prompt("  a \n shy   smile ") == "a shy smile"
    with pytest.raises(BadRequestError, match="prompt is empty"):
        check_prompt(" \t")
    with pytest.raises(BadRequestError, match="1001 characters; at most 1000"):
        check_prompt("x" * 1001)
