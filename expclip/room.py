"""What happens to speech on its way to a recording: rooms, colour, telephones, noise, level. N samples at 16 kHz.

All of it is drawn from the generator given, keeps the length, and leaves the direct sound where it was in time.
"""

from dataclasses import dataclass

import numpy as np

from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray


@dataclass(frozen=True)
class Range:
    """A range to draw from evenly."""

    least: float
    most: float

    def draw(self, rng: np.random.Generator) -> float:
        """Return a value of the range."""
        return float(rng.uniform(self.least, self.most))

    def clip(self, value: float) -> float:
        """Return the value of the range nearest to one."""
        return min(max(value, self.least), self.most)


@dataclass(frozen=True)
class RoomOptions:
    """How often and how strongly recordings differ; shares 0..1."""

    reverberant: float = 0.35  # share of lines in a room with an echo of 0.1 to 0.6 s
    coloured: float = 0.4  # share with a tilted spectrum, as from another microphone
    narrow: float = 0.15  # share through a telephone or with the treble cut off
    companded: float = 0.1  # share through an 8-bit codec
    noisy: float = 0.6  # share with noise
    noise_db: Range = Range(10.0, 40.0)  # speech above the noise
    level_db: Range = Range(-30.0, -3.0)  # peak level


def record(audio_N: FloatArray, rng: np.random.Generator, options: RoomOptions) -> FloatArray:
    """Return the speech as some recording of it would hold it, -1..1."""
    out_N = audio_N
    if rng.random() < options.reverberant:
        out_N = reverberate(out_N, rng, seconds=rng.uniform(0.1, 0.6), share=rng.uniform(0.1, 0.5))
    if rng.random() < options.coloured:
        out_N = tilt(out_N, rng.uniform(-6, 6))
    if rng.random() < options.narrow:
        low, high = (300.0, 3400.0) if rng.random() < 0.4 else (60.0, rng.uniform(2800, 7000))
        out_N = band(out_N, low, high)
    if rng.random() < options.noisy:
        out_N = add_noise(out_N, rng, db=options.noise_db.draw(rng), slope=rng.uniform(0, 1.2))
    if rng.random() < options.companded:
        out_N = compand(out_N)
    peak = max(float(np.abs(out_N).max()), 1e-6)
    return np.asarray(out_N / peak * 10 ** (options.level_db.draw(rng) / 20), np.float32)


def reverberate(audio_N: FloatArray, rng: np.random.Generator, *, seconds: float, share: float) -> FloatArray:
    """Return the sound with the echo of a room: noise that decays by 60 dB in `seconds`, with `share` of its energy."""
    from scipy.signal import oaconvolve

    length = round(seconds * SAMPLE_RATE)
    tail_N = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail_N *= np.sqrt(share / (1 - share) / max(float((tail_N**2).sum()), 1e-9))
    tail_N[0] += 1
    return np.asarray(oaconvolve(audio_N, tail_N)[: len(audio_N)], np.float32)


def tilt(audio_N: FloatArray, db: float) -> FloatArray:
    """Return the sound with its spectrum tilted: the treble `db` louder than the bass, turning at 1 kHz."""
    from scipy.signal import sosfilt

    low_N = sosfilt(_butter(1000 / SAMPLE_RATE * 2, "low", 1), audio_N)
    half = 10 ** (db / 40)
    return np.asarray(low_N / half + (audio_N - low_N) * half, np.float32)


def band(audio_N: FloatArray, low: float, high: float) -> FloatArray:
    """Return what lies between two frequencies in Hz."""
    from scipy.signal import sosfilt

    edges = (low / SAMPLE_RATE * 2, min(high / SAMPLE_RATE * 2, 0.99))
    return np.asarray(sosfilt(_butter(edges, "band", 2), audio_N), np.float32)


def _butter(edges: object, kind: str, order: int) -> FloatArray:
    from scipy.signal import butter

    return butter(order, edges, kind, output="sos")  # type: ignore[no-any-return]


def add_noise(audio_N: FloatArray, rng: np.random.Generator, *, db: float, slope: float) -> FloatArray:
    """Return the sound with noise `db` below its speech; `slope` 0 is white, 1 is pink."""
    bins = np.fft.rfft(rng.standard_normal(len(audio_N)).astype(np.float32))
    noise_N = np.fft.irfft(bins / np.maximum(np.arange(len(bins)), 20) ** (slope / 2), len(audio_N))
    noise_N *= speech_level(audio_N) * 10 ** (-db / 20) / max(float(noise_N.std()), 1e-9)
    return np.asarray(audio_N + noise_N, np.float32)


def speech_level(audio_N: FloatArray) -> float:
    """Return the root mean square of the sound's loud half: of the speech, not of its pauses."""
    power = (audio_N[: len(audio_N) // 320 * 320].reshape(-1, 320) ** 2).mean(1)
    return float(np.sqrt(power[power >= np.median(power)].mean())) if len(power) else 0.0


def compand(audio_N: FloatArray, mu: float = 255.0) -> FloatArray:
    """Return the sound after eight bits of the mu-law that telephones use."""
    peak = max(float(np.abs(audio_N).max()), 1e-6)
    code_N = np.sign(audio_N) * np.log1p(mu * np.abs(audio_N) / peak) / np.log1p(mu)
    code_N = np.round(code_N * 127) / 127
    return np.asarray(np.sign(code_N) * np.expm1(np.abs(code_N) * np.log1p(mu)) / mu * peak, np.float32)
