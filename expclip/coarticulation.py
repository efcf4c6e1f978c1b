"""Mouth motion by rule: phones with times in, weights at 50 frames a second out.

Every phone has targets for the channels it shapes and a dominance over its neighbours (`data/visemes.toml`). At each
moment the phones are blended by how much of a Gaussian window around it each fills, times its dominance: neighbours
are anticipated and carried over, and a short phone falls short of its target. Then the hard rules: lips close on
p, b, m; louder and slower speech opens the jaw wider; silence is rest. Jaw and rounding were fitted to measured
speech. P phones, T frames, C channels, N samples.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip.corpora.phones import Phones
from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray, load_rig

FPS = 50.0
"""Frames a second of all motion made here."""

RAMP = 0.06
"""Seconds in which the lips close before p, b, m and open again after."""

_PAUSE = "SIL"
_SIDES = ("Left", "Right")
_LOUD = 0.35
"""Power with which the loudness of a phone, relative to the line, scales the jaw."""


@dataclass(frozen=True, eq=False)
class Visemes:
    """The table of phones: targets (P, C), dominance (P, C), and each channel's window and lead in seconds (C,)."""

    names: tuple[str, ...]
    parts: Mapping[str, tuple[tuple[str, float], ...]]  # diphthong -> its parts and their shares of its time
    targets_PC: FloatArray
    dominance_PC: FloatArray
    window_C: FloatArray
    lead_C: FloatArray


@cache
def visemes() -> Visemes:
    """Return the table that ships with the package."""
    table = tomllib.loads((resources.files("expclip") / "data" / "visemes.toml").read_text("utf-8"))
    rig, phones = load_rig(), table["phones"]
    targets_PC, dominance_PC = rig.zeros(len(phones)), rig.zeros(len(phones)) + 1
    window_C, lead_C = rig.zeros() + table["window"]["default"], rig.zeros() + table["lead"]["default"]
    for name, seconds in table["window"].items():
        window_C[_columns(name)] = seconds
    for name, seconds in table["lead"].items():
        lead_C[_columns(name)] = seconds
    for row, entry in enumerate(phones.values()):
        for name, value in entry.items():
            if name != "dominance":
                targets_PC[row, _columns(name)] = value
        for name, value in entry.get("dominance", {}).items():
            dominance_PC[row, _columns(name)] = value
    parts = {name: tuple((part, share) for part, share in entry) for name, entry in table["diphthongs"].items()}
    return Visemes(tuple(phones), parts, targets_PC, dominance_PC, window_C, lead_C)


def _columns(name: str) -> list[int]:
    """Return the columns of a name in the table: one channel, both sides of `name*`, or all for `default`."""
    if name == "default":
        return list(range(len(load_rig())))
    return load_rig().indices([name.replace("*", side) for side in _SIDES] if "*" in name else [name])


def motion(phones: Phones, frames: int, *, audio_N: FloatArray | None = None, effort: float = 1.0) -> FloatArray:
    """Return the motion of the mouth (frames, C) that speaks the phones, at 50 frames a second.

    With the sound (N,), 16 kHz, louder phones open the jaw wider. `effort` scales the whole articulation but never the
    closures. Phones not in the table count as pauses.
    """
    import torch

    from expclip.augment import close_lips, closure_curve

    spoken = _spoken(phones)
    weights_TC = _blend(spoken, frames)
    jaw = load_rig().index("jawOpen")
    weights_TC *= effort
    weights_TC[:, jaw] *= _jaw_scale(spoken, frames, audio_N)
    weights_TC *= _speaking(spoken, frames)[:, None]
    weights_TC = _smoothed(np.clip(weights_TC, 0, 1))
    closure_T = closure_curve(phones, frames, FPS, ramp=RAMP)
    return np.asarray(close_lips(torch.from_numpy(weights_TC), closure_T).numpy(), np.float32)


def _spoken(phones: Phones) -> Phones:
    """Return phones by the table's names: diphthongs in their parts, pauses and strangers as SIL, ends open."""
    table, out = visemes(), Phones()
    for start, end, name in phones:
        name = name.rstrip("012").upper()
        if name in table.parts:
            for part, share in table.parts[name]:
                middle = start + share * (end - start)
                out.append((start, middle, part))
                start = middle
        else:
            out.append((start, end, name if name in table.names else _PAUSE))
    first, last = (out[0][0], out[-1][1]) if out else (0.0, 0.0)
    return [(first - 1e3, first, _PAUSE), *out, (last, last + 1e3, _PAUSE)]


def _blend(spoken: Phones, frames: int) -> FloatArray:
    """Return targets (T, C) blended by how much of each channel's window every phone fills."""
    from scipy.special import ndtr

    table = visemes()
    starts, ends = (np.array([phone[k] for phone in spoken]) for k in (0, 1))
    rows = np.array([table.names.index(name) for _, _, name in spoken])
    out_TC = load_rig().zeros(frames)
    for window, lead in {*zip(table.window_C.tolist(), table.lead_C.tolist(), strict=True)}:
        columns = np.flatnonzero((table.window_C == np.float32(window)) & (table.lead_C == np.float32(lead)))
        columns = columns[table.targets_PC[:, columns].any(0)]
        time_T = np.arange(frames) / FPS + lead
        edges = [ndtr((time_T[:, None] - edge) / window) for edge in (starts, ends)]
        filled_TP = (edges[0] - edges[1]).astype(np.float32)
        dominance_PC = table.dominance_PC[np.ix_(rows, columns)]
        targets_PC = table.targets_PC[np.ix_(rows, columns)]
        out_TC[:, columns] = filled_TP @ (dominance_PC * targets_PC) / np.maximum(filled_TP @ dominance_PC, 1e-6)
    return out_TC


def _jaw_scale(spoken: Phones, frames: int, audio_N: FloatArray | None) -> FloatArray:
    """Return a factor on the jaw (T,): speech rate of the line, loudness of each moment."""
    voiced = [end - start for start, end, name in spoken if name != _PAUSE]
    rate = np.clip((float(np.mean(voiced)) / 0.085) ** 0.3, 0.8, 1.15) if voiced else 1.0
    scale_T = np.full(frames, rate, np.float32)
    if audio_N is not None:
        level_T = loudness(audio_N, frames)
        usual = np.percentile(level_T, 90)
        scale_T *= np.clip((level_T / max(float(usual), 1e-6)) ** _LOUD, 0.6, 1.25) ** 0.5
    return scale_T


def loudness(audio_N: FloatArray, frames: int) -> FloatArray:
    """Return the root mean square of the sound over 160 ms around each frame (T,)."""
    from scipy.ndimage import uniform_filter1d

    step = round(SAMPLE_RATE / FPS)
    padded_N = np.pad(audio_N, (0, max(0, frames * step - len(audio_N))))[: frames * step]
    power_T = (padded_N.reshape(frames, step) ** 2).mean(1)
    return np.asarray(np.sqrt(np.maximum(uniform_filter1d(uniform_filter1d(power_T, 5), 5), 0)), np.float32)


def _speaking(spoken: Phones, frames: int) -> FloatArray:
    """Return 1 near speech and exactly 0 from 0.25 s away from it, with a smooth way between (T,)."""
    time_T, away_T = np.arange(frames) / FPS, np.full(frames, np.inf)
    for start, end, name in spoken:
        if name != _PAUSE:
            away_T = np.minimum(away_T, np.maximum(np.maximum(start - time_T, time_T - end), 0))
    share_T = np.clip((0.25 - away_T) / 0.15, 0, 1)
    return (share_T * share_T * (3 - 2 * share_T)).astype(np.float32)


def _smoothed(weights_TC: FloatArray) -> FloatArray:
    """Return weights under a window of three frames, so that no channel jumps."""
    if len(weights_TC) < 3:
        return weights_TC
    padded = np.concatenate([weights_TC[:1], weights_TC, weights_TC[-1:]])
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, np.float32)


_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_ACCENT = {"browInnerUp": 0.22, "browOuterUp*": 0.16, "eyeWide*": 0.08}
_CALM = {"browDown*": 0.05, "eyeSquint*": 0.05}


def prosody(phones: Phones, frames: int, *, audio_N: FloatArray, seed: int = 0) -> FloatArray:
    """Return the small motion of brows and lids (frames, C) that goes with the melody of speech; no blinks.

    Accents are vowels that are louder and longer than the line's others; the brows rise on about half of them, led
    by 60 ms. Between them brows and lids drift slowly. All of it is drawn from the seed; pauses are rest.
    """
    rng, level_T = np.random.default_rng(seed), loudness(audio_N, frames)
    out_TC, time_T = load_rig().zeros(frames), np.arange(frames) / FPS
    last = -1.0
    for middle, length, strength in _accents(phones, level_T):
        if middle - last < 0.35 or rng.random() > 0.35 + 0.25 * strength:
            continue
        last, width = middle, rng.uniform(0.22, 0.34) + length / 2
        pulse_T = np.clip(1 - np.abs(time_T - middle + 0.06) / width, 0, 1)
        pulse_T = pulse_T * pulse_T * (3 - 2 * pulse_T) * rng.uniform(0.5, 1.2) * (0.5 + 0.5 * strength)
        for name, value in _ACCENT.items():
            columns = _columns(name)
            out_TC[:, columns] = np.maximum(out_TC[:, columns], (value * pulse_T).astype(np.float32)[:, None])
    calm_T = _drift(frames, rng) * _speaking(_spoken(phones), frames)
    for name, value in _CALM.items():
        out_TC[:, _columns(name)] = (value * calm_T * (1 - out_TC[:, _columns("browInnerUp")[0]] / 0.3).clip(0))[
            :, None
        ]
    return np.clip(out_TC, 0, 1)


def _accents(phones: Sequence[tuple[float, float, str]], level_T: FloatArray) -> list[tuple[float, float, float]]:
    """Return (middle, length, strength 0..1) of the vowels that stand out from their line."""
    vowels: list[tuple[float, float, float]] = []
    for start, end, name in phones:
        if name.rstrip("012").upper() in _VOWELS:
            level = level_T[min(int((start + end) / 2 * FPS), len(level_T) - 1)]
            vowels.append(((start + end) / 2, end - start, float(level) * float(np.sqrt(end - start))))
    if len(vowels) < 2:
        return [(middle, length, 1.0) for middle, length, _ in vowels]
    weight = np.array([w for *_, w in vowels])
    score = (weight - weight.mean()) / max(float(weight.std()), 1e-9)
    return [(m, length, float(min(s, 2) / 2)) for (m, length, _), s in zip(vowels, score, strict=True) if s > 0.2]


def _drift(frames: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return slow noise 0..1 (T,), about one wave in two seconds."""
    knots = rng.random(frames // 25 + 4)
    smooth = np.convolve(knots, [0.25, 0.5, 0.25], "same")
    return np.asarray(np.interp(np.arange(frames) / 25, np.arange(len(knots)), smooth))
