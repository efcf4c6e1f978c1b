"""Recordings of speech: length, time and level are kept as promised."""

import numpy as np
import pytest

from expclip import room
from expclip.room import Range, RoomOptions, record


def test_record_is_seeded_and_keeps_length_and_level(babble: np.ndarray) -> None:
    options = RoomOptions(1, 1, 1, 1, 1, level_db=Range(-12, -6))
    first, again, other = (record(babble, np.random.default_rng(seed), options) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == babble.shape
    assert 10 ** (-12.1 / 20) < np.abs(first).max() < 10 ** (-5.9 / 20)


@pytest.mark.parametrize("db", [10.0, 30.0])
def test_noise_stands_as_far_below_the_speech_as_asked(babble: np.ndarray, db: float) -> None:
    noisy_N = room.add_noise(babble, np.random.default_rng(0), db=db, slope=0.8)
    ratio = room.speech_level(babble) / float((noisy_N - babble).std())
    assert 20 * np.log10(ratio) == pytest.approx(db, abs=0.2)


def test_an_echo_leaves_the_direct_sound_in_its_place() -> None:
    click_N = np.zeros(8000, np.float32)
    click_N[1000] = 1
    heard_N = room.reverberate(click_N, np.random.default_rng(0), seconds=0.3, share=0.4)
    assert np.abs(heard_N).argmax() == 1000
    assert np.abs(heard_N[:1000]).max() < 1e-6
    tail = float((heard_N[1001:] ** 2).sum())
    assert tail / (tail + 1) == pytest.approx(0.4, abs=0.1)


def test_a_telephone_takes_bass_and_treble() -> None:
    noise_N = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    power = np.abs(np.fft.rfft(room.band(noise_N, 300, 3400))) ** 2
    assert power[:100].mean() < 0.05 * power[500:3000].mean()
    assert power[6000:].mean() < 0.05 * power[500:3000].mean()


def test_tilt_raises_the_treble_over_the_bass() -> None:
    noise_N = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    power = np.abs(np.fft.rfft(room.tilt(noise_N, 6.0))) ** 2
    assert 2.5 < power[6000:].mean() / power[50:200].mean() < 5


def test_companding_is_close_but_coarse(babble: np.ndarray) -> None:
    coded_N = room.compand(babble)
    assert 0 < np.abs(coded_N - babble).max() < 0.05
    assert len(np.unique(coded_N)) < 256


def test_silence_stays_silence() -> None:
    assert not record(np.zeros(1600, np.float32), np.random.default_rng(0), RoomOptions(1, 1, 1, 1, 1)).any()
