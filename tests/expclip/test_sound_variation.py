"""Variation of sound: seeded, nothing at zero."""

import numpy as np
import torch

from expclip.sound_variation import Variation, vary, vary_mel

STILL = Variation(0, 0, 0, 0, 0, 0, 0, 0)


def test_variation_is_seeded_and_zero_leaves_the_sound_alone() -> None:
    audio_N = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    other_N = audio_N[::-1].copy()
    same = vary(audio_N, np.random.default_rng(0), STILL, partner=lambda: other_N)
    np.testing.assert_allclose(same, audio_N, atol=1e-5, rtol=1e-4)
    for seed in range(12):  # of every kind of noise and room
        one, again = (vary(audio_N, np.random.default_rng(seed), Variation(), partner=lambda: other_N) for _ in "ab")
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - audio_N).max() > 0.001
        assert np.abs(one).max() <= 1
    silent = vary(np.zeros(3200, np.float32), np.random.default_rng(1), Variation(noise=1), partner=lambda: other_N)
    assert not silent.any()


def test_mels_are_varied_row_by_row() -> None:
    mel = torch.rand(2, 20, 64)
    randoms = [np.random.default_rng(k) for k in range(2)]
    torch.testing.assert_close(vary_mel(mel, randoms, STILL), mel, atol=1e-3, rtol=0)
    strong = Variation(masked=1.0)
    both = vary_mel(mel, [np.random.default_rng(k) for k in range(2)], strong)
    torch.testing.assert_close(vary_mel(mel[1:], [np.random.default_rng(1)], strong), both[1:])
    assert (both - mel).abs().max() > 0.01
