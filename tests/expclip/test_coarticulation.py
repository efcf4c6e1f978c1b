"""Mouth motion by rule: closures, rest, smoothness, and what each sound looks like."""

import numpy as np
import pytest

from expclip import coarticulation
from expclip.coarticulation import FPS, loudness, motion, prosody, visemes
from expclip.corpora.phones import Phones
from expclip.rig import load_rig

RIG = load_rig()
SPOKEN = sorted({*(n for n in visemes().names if n.isalpha()), *visemes().parts} - {"SIL"})


def line(names: str, *, length: float = 0.08, silence: float = 0.5) -> Phones:
    out: Phones = [(0.0, silence, "SIL")]
    for name in names.split():
        out.append((out[-1][1], out[-1][1] + length, name))
    return [*out, (out[-1][1], out[-1][1] + silence, "SIL")]


def frames(phones: Phones) -> int:
    return round(phones[-1][1] * FPS)


def value(weights_TC: np.ndarray, channel: str, phones: Phones, name: str) -> float:
    """Return the largest value of a channel within the first phone of that name."""
    start, end = next((a, b) for a, b, p in phones if p == name)
    return float(weights_TC[round(start * FPS) : round(end * FPS) + 1, RIG.index(channel)].max())


def random_line(seed: int) -> Phones:
    rng = np.random.default_rng(seed)
    out: Phones = [(0.0, 0.3, "SIL")]
    for _ in range(60):
        name = "SIL" if rng.random() < 0.08 else str(rng.choice(SPOKEN))
        out.append((out[-1][1], out[-1][1] + float(rng.uniform(0.03, 0.2)), name))
    return out


def closed(weights_TC: np.ndarray, start: float, end: float) -> bool:
    """Whether the lips touch in some frame of the phone."""
    time_T = np.arange(len(weights_TC)) / FPS
    part = weights_TC[(time_T >= start - 0.011) & (time_T <= end + 0.011)]
    parted = part[:, RIG.indices(("mouthLowerDownLeft", "mouthUpperUpLeft", "mouthFunnel"))].max(1)
    gap = part[:, RIG.index("jawOpen")] - part[:, RIG.index("mouthClose")]
    return bool(((gap < 0.02) & (parted < 0.05)).any())


@pytest.mark.parametrize("seed", range(12))
def test_lips_close_on_every_p_b_m_in_any_context(seed: int) -> None:
    phones = random_line(seed)
    weights_TC = motion(phones, frames(phones))
    assert all(closed(weights_TC, a, b) for a, b, name in phones if name in ("P", "B", "M"))


@pytest.mark.parametrize("seed", range(12))
def test_no_channel_jumps_and_all_weights_are_in_range(seed: int) -> None:
    phones = random_line(seed)
    weights_TC = motion(phones, frames(phones), effort=1.3)
    assert weights_TC.min() >= 0
    assert weights_TC.max() <= 1
    step = 1 / 30
    times = np.arange(0, frames(phones) / FPS - step, step)
    at_30 = np.stack([np.interp(times, np.arange(len(weights_TC)) / FPS, c) for c in weights_TC.T], 1)
    assert np.abs(np.diff(at_30, axis=0)).max() < 0.3


def test_silence_is_exact_rest() -> None:
    phones = line("HH AH L OW", silence=1.0)
    weights_TC = motion(phones, frames(phones))
    assert not weights_TC[: round(0.7 * FPS)].any()
    assert not weights_TC[-round(0.7 * FPS) :].any()
    assert not motion([(0.0, 1.0, "SIL")], 50).any()
    assert not motion([], 10).any()


def test_rounding_comes_before_its_sound_and_goes_after_it() -> None:
    phones = line("T AA T AA W AA T AA T")
    pucker_T = motion(phones, frames(phones))[:, RIG.index("mouthPucker")]
    start, end = next((a, b) for a, b, p in phones if p == "W")
    early, late = round((start - 0.05) * FPS), round((end + 0.05) * FPS)
    assert pucker_T[early] > 0.05
    assert pucker_T[late] > 0.05
    assert pucker_T[early : late + 1].max() > pucker_T[early] * 1.5


@pytest.mark.parametrize(
    ("channel", "more", "less"),
    [
        ("jawOpen", "AA", "IY"),
        ("jawOpen", "AE", "S"),
        ("mouthPucker", "UW", "AA"),
        ("mouthPucker", "W", "IY"),
        ("mouthFunnel", "SH", "T"),
        ("mouthRollLower", "F", "S"),
        ("mouthRollLower", "V", "T"),
        ("mouthUpperUpLeft", "F", "P"),
        ("mouthStretchLeft", "IY", "UW"),
        ("tongueOut", "TH", "S"),
        ("mouthPressRight", "M", "N"),
    ],
)
def test_sounds_look_as_they_should(channel: str, more: str, less: str) -> None:
    phones = line(f"T AH {more} AH T AH {less} AH T", length=0.12)
    weights_TC = motion(phones, frames(phones))
    assert value(weights_TC, channel, phones, more) > value(weights_TC, channel, phones, less) + 0.02


def test_quick_speech_opens_the_jaw_less() -> None:
    slow, quick = line("B AA B AA B AA", length=0.14), line("B AA B AA B AA", length=0.06)
    jaw = RIG.index("jawOpen")
    assert motion(slow, frames(slow))[:, jaw].max() > 1.2 * motion(quick, frames(quick))[:, jaw].max()


def test_loud_vowels_open_the_jaw_more_than_soft_ones() -> None:
    phones = line("T AA T AA T AA T AA T", length=0.15)
    audio_N = np.random.default_rng(0).normal(0, 0.2, round(phones[-1][1] * 16_000)).astype(np.float32)
    audio_N[: len(audio_N) // 2] *= 0.1
    weights_TC = motion(phones, frames(phones), audio_N=audio_N)
    jaw_T, half = weights_TC[:, RIG.index("jawOpen")], len(weights_TC) // 2
    assert jaw_T[half:].max() > 1.1 * jaw_T[:half].max()


def test_effort_scales_the_jaw_but_not_the_closure() -> None:
    phones = line("AA P AA", length=0.12)
    soft, strong = (motion(phones, frames(phones), effort=effort) for effort in (0.5, 1.2))
    assert value(strong, "jawOpen", phones, "AA") > 1.5 * value(soft, "jawOpen", phones, "AA")
    start, end = next((a, b) for a, b, p in phones if p == "P")
    assert closed(soft, start, end)
    assert closed(strong, start, end)


def test_unknown_phones_are_pauses_and_stress_is_no_matter() -> None:
    assert not motion([(0.0, 0.5, "+NSN+")], 25).any()
    phones = line("AA P AA")
    marked = [(a, b, p.replace("AA", "AA1")) for a, b, p in phones]
    np.testing.assert_array_equal(motion(phones, 40), motion(marked, 40))


def test_brows_move_with_accents_without_blinks_and_by_seed() -> None:
    phones = line("T AA T AH T AE T AH T AY T IH T AA T", length=0.13)
    time_N = np.arange(round(phones[-1][1] * 16_000)) / 16_000
    audio_N = (np.random.default_rng(0).normal(0, 0.1, len(time_N)) * (1.2 + np.sin(6 * time_N))).astype(np.float32)
    made = [prosody(phones, frames(phones), audio_N=audio_N, seed=seed) for seed in range(20)]
    np.testing.assert_array_equal(made[3], prosody(phones, frames(phones), audio_N=audio_N, seed=3))
    assert sum(bool(m[:, RIG.index("browInnerUp")].max() > 0.05) for m in made) >= 10
    for weights_TC in made:
        assert not weights_TC[:, RIG.region("mouth")].any()
        assert not weights_TC[:, RIG.indices(("eyeBlinkLeft", "eyeBlinkRight"))].any()
        assert weights_TC.max() <= 0.4
        assert np.abs(np.diff(weights_TC, axis=0)).max() < 0.1


def test_loudness_is_the_root_mean_square() -> None:
    audio_N = np.full(16_000, 0.5, np.float32)
    np.testing.assert_allclose(loudness(audio_N, 50), 0.5, rtol=1e-5)
    assert loudness(np.zeros(100, np.float32), 5).tolist() == [0.0] * 5


def test_the_table_holds_every_phone_of_the_dictionary() -> None:
    vowels = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
    others = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH SIL"
    table = coarticulation.visemes()
    assert {*vowels.split(), *others.split()} <= {*table.names, *table.parts}
    assert table.targets_PC.min() >= 0
    assert table.targets_PC.max() <= 1
    for parts in table.parts.values():
        assert sum(share for _, share in parts) == pytest.approx(1)
