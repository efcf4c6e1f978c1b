"""Weights over time: checks, resampling in time, saving by suffix."""

import numpy as np
import pytest

from expclip.animation import Animation, resample, sample_at
from expclip.errors import BadRequestError
from expclip.rig import load_rig

RIG = load_rig()


def ramp(frames: int, fps: float) -> Animation:
    weights = RIG.zeros(frames)
    weights[:, RIG.index("jawOpen")] = np.arange(frames) / fps
    return Animation(weights, fps)


def test_channels_come_by_any_spelling_and_time_in_seconds() -> None:
    animation = ramp(30, 30)
    np.testing.assert_allclose(animation.channel("JawOpen"), animation.times_T, atol=1e-6)
    assert animation.seconds == 1.0
    assert animation.names == RIG.channels


@pytest.mark.parametrize(("fps", "new"), [(30, 60), (60, 30), (50, 29.97), (59.904, 24)])
def test_resampling_keeps_time(fps: float, new: float) -> None:
    other = ramp(int(fps), fps).resample(new)
    assert len(other) == round(int(fps) * new / fps)
    inside = other.times_T <= (int(fps) - 1) / fps
    np.testing.assert_allclose(other.channel("jawOpen")[inside], other.times_T[inside], atol=1e-5)


def test_ends_are_held() -> None:
    np.testing.assert_allclose(sample_at(RIG.zeros(1) + 0.5, 30, [-1, 0, 5]), 0.5)
    assert resample(RIG.zeros(0), 30, 60).shape == (0, 52)


@pytest.mark.parametrize(
    ("weights", "fps", "message"),
    [
        (np.zeros((3, 51), np.float32), 30, r"shape \(3, 51\); rig arkit52 needs \(frames, 52\)"),
        (np.zeros((3, 52), np.float32), 0, "fps 0 is not"),
        (np.zeros((3, 52), np.float32), float("nan"), "fps nan is not"),
        (np.full((3, 52), np.nan, np.float32), 30, "NaN"),
    ],
)
def test_wrong_content_is_refused(weights: np.ndarray, fps: float, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        Animation(weights, fps)


def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path) -> None:
    for name in ("line.csv", "line", ".npz", "line.fbx"):
        with pytest.raises(BadRequestError, match=r"unknown suffix; valid: \.livelink\.csv, \.a2f\.json"):
            ramp(2, 30).save(tmp_path / name)
    with pytest.raises(BadRequestError, match="unknown format 'fbx'"):
        ramp(2, 30).save(tmp_path / "x.npz", format="fbx")
    assert not list(tmp_path.iterdir())
