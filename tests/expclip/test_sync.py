"""Lips and sound: a known shift is found, and what cannot be known is NaN."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from expclip import sync
from expclip.media import SAMPLE_RATE

RANDOM = np.random.default_rng(0)


def syllables(seconds: float, seed: int = 0) -> np.ndarray:
    """An irregular rhythm (T,) of bumps at 50 Hz, 0..1."""
    random, time = np.random.default_rng(seed), np.arange(int(seconds * sync.RATE)) / sync.RATE
    places = np.cumsum(random.uniform(0.15, 0.45, int(seconds * 4)))
    heights = random.uniform(0.4, 1, len(places))
    return (heights * np.exp(-(((time[:, None] - places) / 0.06) ** 2))).sum(1).astype(np.float32)


def voiced(curve_T: np.ndarray) -> np.ndarray:
    """Noise whose loudness follows a curve (T,): samples (N,)."""
    hop = SAMPLE_RATE // sync.RATE
    loud = np.interp(np.arange(len(curve_T) * hop) / hop, np.arange(len(curve_T)), curve_T)
    return (loud * np.random.default_rng(1).normal(0, 0.1, len(loud))).astype(np.float32)


@pytest.mark.parametrize("shift", [-0.4, -0.2, 0.0, 0.06, 0.3])
def test_a_shift_is_found(shift: float) -> None:
    curve_T = syllables(8)
    steps = round(shift * sync.RATE)
    late_T = np.roll(curve_T, steps)  # positive: the mouth comes after the sound
    offset_s, offset_r, lead = sync.offset(late_T, sync.level(voiced(curve_T)))
    assert offset_s == pytest.approx(shift, abs=0.025)
    assert offset_r > 0.5
    assert (lead > 0.3) if abs(shift) > sync.NEAR else lead == 0


def test_holes_in_the_track_do_no_harm() -> None:
    curve_T = syllables(8)
    level_T = sync.level(voiced(curve_T))
    mouth_T = np.roll(curve_T, 5)
    mouth_T[:20], mouth_T[100:108] = np.nan, np.nan
    assert sync.offset(mouth_T, level_T)[0] == pytest.approx(0.1, abs=0.025)


@pytest.mark.parametrize(
    ("mouth_T", "audio_N"),
    [
        (np.full(400, np.nan, np.float32), np.ones(128_000, np.float32)),
        (np.zeros(400, np.float32), voiced(syllables(8))),
        (syllables(8), np.zeros(128_000, np.float32)),
        (syllables(1), voiced(syllables(1))),
        (np.zeros(0, np.float32), np.zeros(0, np.float32)),
    ],
)
def test_nothing_to_go_by_is_not_a_number(mouth_T: np.ndarray, audio_N: np.ndarray) -> None:
    assert np.isnan(sync.offset(mouth_T, sync.level(audio_N))).all()


def test_who_moves_with_the_sound_speaks() -> None:
    curve_T = syllables(6)
    level_T = sync.level(voiced(curve_T))
    other_T = syllables(6, seed=5)
    speaker, chewing, still = (sync.speaking(mouth, level_T) for mouth in (curve_T, other_T, 0.02 * curve_T))
    assert speaker > 2 * chewing
    assert speaker > 10 * still
    assert sync.speaking(np.full(300, np.nan, np.float32), level_T) == 0


def test_level_follows_loudness_and_has_a_floor() -> None:
    audio_N = np.concatenate([np.zeros(16_000), 0.5 * RANDOM.normal(size=16_000), 0.05 * RANDOM.normal(size=16_000)])
    level_T = sync.level(audio_N.astype(np.float32))
    assert len(level_T) == 150
    assert level_T[60:90].mean() - level_T[110:140].mean() == pytest.approx(20, abs=1)
    assert level_T[:40].max() == level_T.min() == pytest.approx(level_T[60:90].mean() - 40, abs=2)


def test_weak_offsets_give_way_to_the_recordings_then_the_speakers() -> None:
    nan = float("nan")
    offsets = [0.02, 0.04, 0.0, 0.02, -0.3, 0.3, nan, *[0.2, 0.22, 0.2, 0.0, 0.21], 0.3, -0.2]
    leads = [0.0, 0.0, 0.0, 0.0, 0.1, 0.4, nan, *[0.3, 0.1, 0.3, 0.0, 0.3], 0.1, nan]
    recordings = [*"aaaaaaa", *"bbbbb", "c", "d"]
    speakers = [*["anna"] * 13, "ben"]
    found = sync.settled(np.array(offsets), np.array(leads), np.full(14, 3.0), recordings, speakers)
    together = float(np.median([0.02, 0.04, 0.0, 0.02, -0.3, 0.3]))
    assert found[:7].tolist() == pytest.approx([together] * 5 + [0.3, nan], nan_ok=True)  # -0.3 was too weak
    assert found[7:12].tolist() == pytest.approx([0.2] * 5, abs=0.011)  # the fourth seemed good beside shifted ones
    assert found[12] == pytest.approx(np.nanmedian(offsets[:13]))  # a recording of one clip: the speaker's
    assert found[13] == pytest.approx(-0.2)  # how sure it is was not noted
    long = sync.settled(np.array([0.3] + [0.0] * 5), np.array([0.1] + [0.0] * 5), np.full(6, 9.0), ["a"] * 6)
    assert long[0] == pytest.approx(0.3)  # over 9 s a small lead is enough


def test_real_speech_lies_near_zero(shared_data: Path) -> None:
    table = np.load(shared_data / "grid_s1" / "mediapipe_blendshapes.npz")
    names, keys, ptr = table["names"].tolist(), table["keys"].tolist(), table["ptr"]
    jaw = table["blendshapes_u8"][:, names.index("jawOpen")].astype(np.float32) / 255
    import soundfile

    found: list[tuple[float, float, float]] = []
    with tarfile.open(shared_data / "grid_s1" / "audio_16k_ogg.tar") as tar:
        for k in range(0, 900, 20):
            sound = tar.extractfile(f"{keys[k]}.ogg")
            assert sound is not None
            audio_N, _ = soundfile.read(io.BytesIO(sound.read()), dtype="float32")
            curve_T = np.repeat(jaw[ptr[k] : ptr[k + 1]], 2)
            found.append(sync.offset(curve_T, sync.level(audio_N)))
    settled = sync.settled(*np.array(found).T[[0, 2]], np.full(len(found), 3.0), ["s1"] * len(found))
    assert np.mean(np.abs(settled) < 0.1) > 0.9
    own = [each[0] for each in found]
    assert np.median(own) == pytest.approx(0.02, abs=0.03)
    assert 0.7 < np.mean(np.abs(own) < 0.1) < 0.9
