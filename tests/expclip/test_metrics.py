"""Measures against cases worked out by hand."""

import numpy as np
import pytest

from expclip import metrics
from expclip.rig import load_rig

RNG = np.random.default_rng(0)


def test_pearson_of_scaled_opposite_and_still_curves() -> None:
    curve = RNG.random(50).astype(np.float32)
    assert metrics.pearson(curve, 3 * curve + 1) == pytest.approx(1, abs=1e-5)
    assert metrics.pearson(curve, -curve) == pytest.approx(-1, abs=1e-5)
    assert np.isnan(metrics.pearson(curve, np.ones(50, np.float32)))


def test_neighbouring_bilabials_are_one_closure() -> None:
    phones = [(0.0, 0.1, "AH"), (0.1, 0.2, "M"), (0.2, 0.3, "B"), (0.3, 0.5, "IY1"), (0.5, 0.6, "P")]
    assert list(metrics.bilabials(phones)) == [(0.1, 0.3), (0.5, 0.6)]
    assert not list(metrics.bilabials([]))


def test_closure_recall_looks_one_frame_beyond_the_phone() -> None:
    gap_T = np.full(50, 10.0, np.float32)
    phones = [(0.2, 0.24, "P"), (0.6, 0.64, "B")]
    assert metrics.closure_recall(gap_T, phones, fps=50) == (0, 2)
    gap_T[9] = 1.0  # 0.18 s: one frame before the P
    gap_T[37] = 1.0  # 0.74 s: too late for the B
    assert metrics.closure_recall(gap_T, phones, fps=50) == (1, 2)


def test_closure_precision_allows_pauses_and_counts_runs() -> None:
    gap_T = np.full(50, 10.0, np.float32)
    phones = [(0.0, 0.2, "SIL"), (0.2, 0.24, "P"), (0.24, 1.0, "AA")]
    for frames in (slice(2, 5), slice(11, 13), slice(30, 32)):  # in the pause, in the P, in the vowel
        gap_T[frames] = 0.0
    assert metrics.closure_precision(gap_T, phones, fps=50) == (2, 3)


def test_closure_head_reads_probabilities_at_the_threshold() -> None:
    closure_T = np.zeros(50, np.float32)
    closure_T[10:13], closure_T[40] = 0.6, 0.4
    phones = [(0.2, 0.26, "M"), (0.26, 1.0, "AA")]
    low, high = (metrics.closure_head([closure_T], [phones], threshold=t) for t in (0.3, 0.5))
    assert low == {"closure.recall": 1.0, "closure.precision": 0.5}
    assert high == {"closure.recall": 1.0, "closure.precision": 1.0}


def test_jump_and_jitter_of_a_step_and_a_ramp() -> None:
    ramp = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    assert metrics.max_jump(ramp) == pytest.approx(0.1)
    assert metrics.jitter(ramp, 30) == pytest.approx(0, abs=1e-3)
    assert metrics.max_jump((ramp > 0.5).astype(np.float32)) == 1
    assert metrics.jitter(ramp[:2], 30) == 0 == metrics.max_jump(ramp[:1])


def test_silence_motion_counts_quiet_frames_only() -> None:
    weights_TC = np.zeros((6, 52), np.float32)
    weights_TC[3:, 0] = 0.5
    loud, quiet = np.zeros(6, np.float32), np.full(6, -80, np.float32)
    assert metrics.silence_motion(weights_TC, loud) == 0
    assert metrics.silence_motion(weights_TC, quiet) == pytest.approx(0.1)


def test_upper_motion_sees_the_brows_and_not_the_mouth() -> None:
    rig = load_rig()
    neutral = rig.zeros(10)
    smile, frown = neutral + rig.weights({"mouthSmileLeft": 0.9}), neutral + rig.weights({"browDownLeft": 0.5})
    assert metrics.upper_motion(smile, neutral) == 0
    assert metrics.upper_motion(frown, neutral) == pytest.approx(0.5)


@pytest.mark.parametrize(("motions", "rho"), [((0, 0.1, 0.3, 0.9), 1.0), ((0.9, 0.3, 0.1, 0), -1.0)])
def test_intensity_monotonicity_is_a_rank_correlation(motions: tuple[float, ...], rho: float) -> None:
    assert metrics.intensity_monotonicity((0, 0.25, 0.5, 1), motions) == pytest.approx(rho)


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_sync_offset_finds_the_delay(late: int) -> None:
    level_T = np.convolve(RNG.random(200), np.ones(5) / 5, "same").astype(np.float32)
    assert metrics.sync_offset(np.roll(level_T, late), level_T, fps=50) == pytest.approx(20 * late)


def test_weight_errors_are_zero_for_the_truth_and_count_the_channels_asked_for() -> None:
    truth = RNG.uniform(0.5, 1, (20, 52)).astype(np.float32)
    assert metrics.weight_errors(truth, truth, range(52)) == {"euclidean": 0, "mean": 0}
    guess = truth.copy()
    guess[:, 3], guess[:, 4], guess[:, 9] = truth[:, 3] + 0.3, truth[:, 4] - 0.4, 7
    found = metrics.weight_errors(guess[:15], truth, (3, 4))
    assert found == {"euclidean": pytest.approx(0.5, abs=1e-5), "mean": pytest.approx(0.35, abs=1e-5)}
    assert metrics.expression_intensity_error(guess, truth, (3, 4)) == pytest.approx(0.1, abs=1e-4)


def test_rig_dynamics_difference_is_positive_where_the_guess_moves_too_little() -> None:
    truth = np.tile([[0.0], [0.4]], (10, 52)).astype(np.float32)
    assert metrics.rig_dynamics_difference(truth / 2, truth, (1, 2)) == pytest.approx(0.1)
    assert metrics.rig_dynamics_difference(truth, truth / 2, (1, 2)) == pytest.approx(-0.1)


@pytest.mark.parametrize(("hertz", "share"), [(2.0, 0.0), (12.0, 1.0)])
def test_fast_energy_is_that_above_eight_hertz(hertz: float, share: float) -> None:
    wave = np.sin(2 * np.pi * hertz * np.arange(90) / 30)[:, None].astype(np.float32)
    assert metrics.fast_energy_share(wave, 30) == pytest.approx(share, abs=0.01)
    assert np.isnan(metrics.fast_energy_share(np.ones((30, 2), np.float32), 30))
    assert metrics.max_speed(np.array([[0.0], [0.2], [0.1]], np.float32), 30) == pytest.approx(6)


def test_closure_timing_is_signed_and_takes_the_middle_of_a_plateau() -> None:
    gap_T = np.full(60, 8.0, np.float32)
    phones = [(0.4, 0.5, "M"), (1.2, 1.3, "P")]
    gap_T[13:17] = 0.0  # 0.433 to 0.533 s: middle 0.483
    gap_T[35] = 1.0  # 1.167 s
    late, early = metrics.closure_timing(gap_T, phones, fps=30)
    assert late == pytest.approx(1000 * (14.5 / 30 - 0.45))
    assert early == pytest.approx(1000 * (35 / 30 - 1.25))
    assert metrics.closure_timing(gap_T, [], fps=30) == []


def test_units_that_share_a_shape_are_one_and_some_are_not_scored() -> None:
    face = load_rig().weights({"mouthSmileLeft": 0.5, "mouthPressLeft": 0.4, "jawOpen": 0.3, "browInnerUp": 0.15})
    named, shown = metrics.units_named_and_shown({"AU12": 0.5, "AU23": 0.4, "AU26": 0.5, "AU1": 0.2, "AU11": 1}, face)
    assert named == {"AU12", "AU24", "AU25", "AU1"}
    assert shown == {"AU12", "AU24", "AU25"}
    assert "AU1" in metrics.units_named_and_shown((), face, tau=0.1)[1]


def test_sync_offset_of_what_is_still_or_too_short_is_unknown() -> None:
    moving = RNG.random(60).astype(np.float32)
    assert np.isnan(metrics.sync_offset(np.ones(60, np.float32), moving, fps=30))
    assert np.isnan(metrics.sync_offset(moving[:8], moving[:8], fps=30))
