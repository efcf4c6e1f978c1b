"""How the sound of a crop is varied, so that a small corpus sounds like many rooms and voices; all draws are seeded.

N samples, B batch, T steps of 20 ms, M mel bands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from expclip.rig import FloatArray
from expclip.speech import HOP, RATE

_KNOTS = (0, 200, 500, 1000, 2000, 4000, 8000)
"""Hz at which the equaliser's curve is drawn."""


@dataclass(frozen=True)
class Variation:
    """How strongly the sound of a crop is varied; zeros leave it as it is."""

    speed: float = 0.22  # log-range of speed and pitch together
    gain: float = 12.0  # dB, range about 0
    equaliser: float = 8.0  # dB, range of a smooth curve over frequency
    lowpass: float = 0.15  # share of crops cut off above 3.2 to 7 kHz
    reverb: float = 0.2  # share of crops in a small room
    noise: float = 0.5  # share of crops with noise, 5 to 35 dB below the speech
    warp: float = 0.1  # range of the vocal tract's length
    masked: float = 0.4  # share of crops in which a band of mels is blanked


def vary(
    audio_N: FloatArray, random: np.random.Generator, how: Variation, *, partner: Callable[[], FloatArray]
) -> FloatArray:
    """Return samples (N,) with random gain, equaliser, low-pass, room and noise; zero stays silent.

    `partner()` gives another crop's samples, for noise that is speech.
    """
    length = len(audio_N)
    size = length + RATE * HOP // 2
    spectrum = torch.fft.rfft(torch.from_numpy(audio_N), n=size) * torch.from_numpy(_response(size, random, how))
    if random.random() < how.reverb:
        spectrum *= torch.fft.rfft(torch.from_numpy(_room(random)), n=size)
    out_N = torch.fft.irfft(spectrum, n=size)[:length].numpy()
    if random.random() < how.noise:
        out_N = out_N + _noise(out_N, random, partner)
    return np.asarray(np.clip(out_N, -1, 1), np.float32)


@cache
def _hertz(bins: int) -> FloatArray:
    hertz: FloatArray = np.linspace(0, 8000, bins).astype(np.float32)
    return hertz


def _response(size: int, random: np.random.Generator, how: Variation) -> FloatArray:
    """Return the gain of each bin of a spectrum of that size."""
    hertz = _hertz(size // 2 + 1)
    curve = np.interp(hertz, _KNOTS, random.uniform(-1, 1, len(_KNOTS)) * how.equaliser / 2)
    if random.random() < how.lowpass:
        curve -= 40 * np.clip(hertz / random.uniform(3200, 7000) - 1, 0, 1)
    decibels = (curve + random.uniform(-1, 1) * how.gain).astype(np.float32)
    return np.asarray(np.exp(decibels * np.float32(np.log(10) / 20)), np.float32)


def _room(random: np.random.Generator) -> FloatArray:
    """Return an impulse response (N,): the direct sound, then decaying noise."""
    count = 6400
    decay = random.uniform(0.03, 0.12) * 16_000
    tail = random.standard_normal(count) * np.exp(-np.arange(count) / decay)
    tail *= random.uniform(0.1, 0.5) / np.sqrt((tail**2).sum())
    tail[: random.integers(16, 160)] = 0
    tail[0] = 1
    return tail.astype(np.float32)


def _noise(speech_N: FloatArray, random: np.random.Generator, partner: Callable[[], FloatArray]) -> FloatArray:
    """Return white, brown-ish or speech noise 5 to 35 dB below the speech."""
    kind, below = int(random.integers(3)), float(random.uniform(5, 35))
    if kind == 2:
        noise_N, below = partner()[::-1], max(below, 15.0)
    else:
        noise_N = random.standard_normal(len(speech_N), dtype=np.float32)
        if kind == 1:
            noise_N = np.convolve(noise_N, np.full(15, 1 / 15, np.float32), "same")
    scale = np.sqrt(np.mean(speech_N**2)) / (np.sqrt(np.mean(noise_N**2)) + 1e-5)
    return (noise_N * np.float32(scale * 10 ** (-below / 20))).astype(np.float32)


def vary_mel(mel_BTM: torch.Tensor, randoms: Sequence[np.random.Generator], how: Variation) -> torch.Tensor:
    """Return log-mels (B, 2 T, M) with the vocal tract stretched along the mel axis and, sometimes, a band blanked."""
    bands = mel_BTM.shape[2]
    stretch = torch.tensor([1 + random.uniform(-how.warp, how.warp) for random in randoms])[:, None]
    place_BM = (torch.arange(bands) * stretch).clamp(0, bands - 1.001).to(mel_BTM.device)
    low_BM = place_BM.floor().long()
    part_B1M = (place_BM - low_BM)[:, None]
    index = low_BM[:, None].expand_as(mel_BTM)
    out = mel_BTM.gather(2, index) * (1 - part_B1M) + mel_BTM.gather(2, index + 1) * part_B1M
    for k, random in enumerate(randoms):
        if random.random() < how.masked:
            first, width = random.integers(bands), random.integers(1, 9)
            out[k, :, first : first + width] = out[k].mean()
    return out
