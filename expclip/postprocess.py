"""What is done to generated weights before they leave: named switches, seeded, each off-able.

Works at the generator's rate (50 Hz) on numpy arrays: T frames, C channels. Every step looks at most
`LOOKAHEAD` frames ahead and otherwise only back, so that a stream can do the same. Order: smoothing, silence,
lip closure, blinks, speed limit, clamp.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from expclip.augment import close_lips
from expclip.rig import FloatArray, Rig, load_rig

RATE = 50
"""Frames a second that these steps are made for."""
LOOKAHEAD = 3
"""Frames of the future that the steps may see, all together: 60 ms."""

SILENCE_DBFS = -50.0
"""Sound below this level is silence."""
CLOSURE_THRESHOLD = 0.25
"""Probability of a bilabial from which the lips are shut; below one half, a missed p is seen. Chosen on the validation
split: 99.5 % of p, b, m shut under a neutral prompt, 97.8 % under the worst strong emotion, precision 94 %."""
MAX_STEP = 0.2
"""Largest change of a channel in one frame: 0.33 in a frame of 30 fps."""


@dataclass(frozen=True)
class PostOptions:
    """Switches of the post-processing; all on is how the default checkpoint is meant to be seen."""

    smoothing: bool = True  # a short symmetric filter over time
    silence: bool = True  # where there is no sound, the mouth rests in its expression
    closure: bool = True  # lips shut at p, b, m whatever the expression
    blinks: bool = True  # seeded blinks, combined with the lids by maximum
    limit: bool = True  # no channel moves faster than a face can
    clamp: bool = True  # 0..1, and mouthClose never more than jawOpen
    closure_threshold: float = CLOSURE_THRESHOLD  # lower shuts more often


def postprocess(
    weights_TC: FloatArray, rest_TC: FloatArray, closure_T: FloatArray, level_T: FloatArray, *, seed: int,
    options: PostOptions | None = None, rig: Rig | None = None,
) -> FloatArray:  # fmt: skip
    """Return finished weights (T, C).

    `rest_TC` is the face that feels the style and says nothing, `closure_T` the probability of p, b or m (0..1),
    `level_T` the sound's level in dBFS.
    """
    options, rig = options or PostOptions(), rig or load_rig()
    out = smooth(weights_TC) if options.smoothing else weights_TC.copy()
    shut = closure_envelope(closure_T, options.closure_threshold)
    if options.silence:
        gate = speech_gate(level_T)
        mouth = rig.region("mouth")
        out[:, mouth] = rest_TC[:, mouth] + gate[:, None] * (out[:, mouth] - rest_TC[:, mouth])
        shut = shut * gate
    if options.closure:
        # The generator has learnt how far the jaw rises for a closure; taking more would flatten its motion.
        out = close_lips(torch.from_numpy(out), torch.from_numpy(shut), rig, jaw_drop=0.0).numpy()
    if options.blinks:
        out = blink(out, blink_curve(len(out), seed), rig)
    if options.limit:
        out = limit_speed(out)
    return clamp(out, rig) if options.clamp else out


def smooth(weights_TC: FloatArray) -> FloatArray:
    """Return weights filtered over three frames (1/4, 1/2, 1/4), one of them ahead; the ends are held."""
    padded = np.pad(weights_TC, ((1, 1), (0, 0)), mode="edge")
    return np.asarray(padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4, np.float32)


def sound_level(audio_N: FloatArray, frames: int, *, rate: int = 16_000) -> FloatArray:
    """Return the level (T,) of each frame's sound in dBFS (RMS of full-scale 1), -120 at least."""
    hop = rate // RATE
    padded = np.zeros(frames * hop, np.float32)
    padded[: min(len(audio_N), len(padded))] = audio_N[: len(padded)]
    power = (padded.reshape(frames, hop) ** 2).mean(1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), np.float32)


def speech_gate(level_T: FloatArray) -> FloatArray:
    """Return 0..1 (T,): 1 where there is sound, opening up to 60 ms before it, closing from 160 ms after it."""
    heard = _windowed_max((level_T > SILENCE_DBFS).astype(np.float32), back=8, ahead=LOOKAHEAD)
    padded = np.pad(heard, (3, 0), mode="edge")
    return np.asarray((padded[:-3] + padded[1:-2] + padded[2:-1] + padded[3:]) / 4, np.float32)


def closure_envelope(closure_T: FloatArray, threshold: float = CLOSURE_THRESHOLD) -> FloatArray:
    """Return how firmly the lips must be shut (T,): 1 where a bilabial is heard, with ramps of two frames.

    A closure lasts at least two frames (40 ms), so that an animation at 30 fps always shows it.
    """
    heard = (closure_T >= threshold).astype(np.float32)
    held = _windowed_max(heard, back=1, ahead=0)
    near = _windowed_max(held, back=1, ahead=1)
    far = _windowed_max(held, back=2, ahead=2)
    return np.asarray(np.maximum(held, np.maximum(near * 2, far) / 3), np.float32)


@cache
def _blink_shape() -> FloatArray:
    """One blink at 50 Hz: shut within 100 ms, held for 20 ms, open again within 160 ms."""
    closing, opening = np.linspace(0, 1, 6)[1:], np.linspace(1, 0, 9)[1:]
    return np.concatenate([closing, [1.0], opening]).astype(np.float32)


def blink_curve(frames: int, seed: int) -> FloatArray:
    """Return the lids' closing (T,) in 0..1: blinks every 1.5 to about 8 s (log-normal, median 3 s), by seed alone.

    The curve of a longer clip begins with that of a shorter one.
    """
    random, shape = np.random.default_rng([seed, 0xB117]), _blink_shape()
    curve = np.zeros(frames + len(shape), np.float32)
    start = int(random.uniform(0.4, 3.0) * RATE)
    while start < frames:
        curve[start : start + len(shape)] = shape
        start += len(shape) + int(RATE * (1.2 + random.lognormal(np.log(1.8), 0.5)))
    return curve[:frames]


def blink(weights_TC: FloatArray, curve_T: FloatArray, rig: Rig) -> FloatArray:
    """Return weights with both lids at least as shut as `curve_T` (T,); a shut lid is not wide."""
    out, lids = weights_TC.copy(), rig.indices(("eyeBlinkLeft", "eyeBlinkRight"))
    out[:, lids] = np.maximum(out[:, lids], curve_T[:, None])
    out[:, rig.indices(("eyeWideLeft", "eyeWideRight"))] *= 1 - curve_T[:, None]
    return out


def limit_speed(weights_TC: FloatArray, step: float = MAX_STEP) -> FloatArray:
    """Return weights in which no channel changes by more than `step` from frame to frame; looks only back."""
    if not len(weights_TC) or np.abs(np.diff(weights_TC, axis=0)).max(initial=0) <= step:
        return weights_TC
    out = weights_TC.copy()
    for t in range(1, len(out)):
        np.clip(out[t], out[t - 1] - step, out[t - 1] + step, out=out[t])
    return out


def clamp(weights_TC: FloatArray, rig: Rig) -> FloatArray:
    """Return weights within 0..1 and mouthClose at most jawOpen, whose corrective it is."""
    out = np.clip(weights_TC, 0, 1)
    close, jaw = rig.index("mouthClose"), rig.index("jawOpen")
    out[:, close] = np.minimum(out[:, close], out[:, jaw])
    return out


def _windowed_max(values_T: FloatArray, *, back: int, ahead: int) -> FloatArray:
    """Return the maximum over each frame's window of `back` frames before and `ahead` after it."""
    padded = np.pad(values_T, (back, ahead))
    windows = np.lib.stride_tricks.sliding_window_view(padded, back + ahead + 1)
    return np.asarray(windows.max(-1), np.float32)
