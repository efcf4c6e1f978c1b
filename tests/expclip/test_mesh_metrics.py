"""Measures on a mesh of four vertices, worked out by hand: two lips, two brows; channel 0 lifts one lip, 1 a brow."""

import numpy as np
import pytest

from expclip import mesh_metrics
from expclip.mesh import Mesh

C = 52


@pytest.fixture
def small() -> Mesh:
    deltas = np.zeros((C, 4, 3), np.float32)
    deltas[0, 0] = (0, 3, 4)  # upper lip: 5 mm
    deltas[1, 2] = (0, 2, 0)  # one brow: 2 mm
    rest = np.array([[0, 0, 0], [0, -1, 0], [0, 50, 0], [10, 50, 0]], np.float32)
    return Mesh("small", rest, deltas, np.array([0, 1]), np.array([2, 3]), np.arange(4), (0, 1))


def wave(frames: int, channel: int = 0, late: int = 0) -> np.ndarray:
    out = np.zeros((frames, C), np.float32)
    out[:, channel] = 0.5 + 0.5 * np.sin(2 * np.pi * (np.arange(frames) - late) / 20)
    return out


def test_errors_of_the_truth_are_zero(small: Mesh) -> None:
    truth = wave(40)
    for part in ("lips", "upper", "face"):
        most, mean = mesh_metrics.vertex_errors(small, truth, truth, part)  # type: ignore[arg-type]
        assert most.max() == 0 == mean.max()
    assert mesh_metrics.fdd(small, truth, truth) == 0
    gap = small.lip_gap(truth)
    assert mesh_metrics.mouth_opening_difference(gap, gap) == 0
    assert set(mesh_metrics.lip_timing(gap, gap, fps=30)) == {0.0}


def test_vertex_errors_take_the_largest_and_the_mean(small: Mesh) -> None:
    guess, truth = np.zeros((600, C), np.float32), np.zeros((601, C), np.float32)
    guess[:, 0], guess[:, 1] = 0.2, 1.0
    most, mean = mesh_metrics.vertex_errors(small, guess, truth, "lips")
    assert (len(most), most[-1], mean[-1]) == (600, pytest.approx(1.0), pytest.approx(0.5))
    assert mesh_metrics.vertex_errors(small, guess, truth, "upper")[0].tolist() == [2.0] * 600
    assert mesh_metrics.vertex_errors(small, guess, truth, "face")[1][0] == pytest.approx(3 / 4)


def test_fdd_is_positive_where_the_guess_moves_too_little(small: Mesh) -> None:
    truth, still = np.zeros((10, C), np.float32), np.zeros((10, C), np.float32)
    truth[::2, 1] = 1.0  # one brow 0 or 2 mm from rest: squares 0 and 4, std 2; the mean over two brows 1
    assert mesh_metrics.fdd(small, still, truth) == pytest.approx(1)
    assert mesh_metrics.fdd(small, truth, still) == pytest.approx(-1)


def test_mod_is_the_mean_difference_of_the_gap() -> None:
    assert mesh_metrics.mouth_opening_difference(np.array([1.0, 2, 9]), np.array([3.0, 1])) == 1.5  # type: ignore[arg-type]


@pytest.mark.parametrize("late", [-2, 0, 2, 3])
def test_lip_timing_finds_a_lag(small: Mesh, late: int) -> None:
    truth, guess = (5 * small.lip_gap(wave(120, late=k)) for k in (0, late))
    found = mesh_metrics.lip_timing(guess, truth, fps=30)
    assert len(found) >= 9
    assert np.median(found) == pytest.approx(1000 * late / 30, abs=1)


def test_lip_timing_of_a_closed_or_short_mouth_is_empty() -> None:
    still, moving = np.zeros(60, np.float32), np.sin(np.arange(60) / 3).astype(np.float32) * 5
    assert mesh_metrics.lip_timing(still, moving, fps=30) == []
    assert mesh_metrics.lip_timing(moving[:4], moving[:4], fps=30) == []


def test_lips_that_follow_the_sound_correlate(small: Mesh) -> None:
    weights = wave(90)
    assert mesh_metrics.speech_lip_correlation(small, weights, weights[:, 0]) == pytest.approx(1, abs=1e-3)
    assert mesh_metrics.speech_lip_correlation(small, weights, 1 - weights[:, 0]) < -0.5
    assert np.isnan(mesh_metrics.speech_lip_correlation(small, weights * 0, weights[:, 0]))


def test_diversity_is_the_mean_distance_of_pairs(small: Mesh) -> None:
    rest, lifted = np.zeros((9, C), np.float32), np.zeros((9, C), np.float32)
    lifted[:, 0] = 0.8  # one of four vertices by 4 mm: 1 mm on the mean
    assert mesh_metrics.diversity(small, [rest, lifted, rest]) == pytest.approx(2 / 3)
    assert mesh_metrics.diversity(small, [rest]) == 0
