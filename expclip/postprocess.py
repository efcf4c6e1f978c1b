"""What is done to generated weights before they leave: named switches, seeded, each off-able.

Works at the generator's rate (50 Hz) on numpy arrays: B clips, T frames, L frames of a window, C channels. Every step
sees `LOOKAHEAD` frames ahead and `BACK` back at most, so that a stream does the very same with a window that moves.
Order: smoothing, silence, lip closure, blinks, speed limit, clamp.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from expclip.augment import close_lips
from expclip.rig import FloatArray, Rig, load_rig

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RATE = 50
"""Frames a second that these steps are made for."""
LOOKAHEAD = 3
"""Frames of the future that the steps may see, all together: 60 ms."""
BACK = 11
"""Frames of the past that they see, but for the speed limit, which needs the last finished one: 220 ms."""

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


@dataclass(frozen=True, eq=False)
class Window:
    """Raw frames of B clips around those to be finished: `BACK` before and `LOOKAHEAD` after them.

    Frames from before a clip's first or after its last are there for the shape alone.
    """

    weights_BLC: FloatArray
    rest_BLC: FloatArray
    closure_BL: FloatArray
    level_BL: FloatArray
    first_B: IntArray
    """Place of each clip's first frame; negative if it is past."""
    last_B: IntArray
    """Place of each clip's last frame."""


def postprocess(
    weights_TC: FloatArray, rest_TC: FloatArray, closure_T: FloatArray, level_T: FloatArray, *, seed: int,
    options: PostOptions | None = None, rig: Rig | None = None,
) -> FloatArray:  # fmt: skip
    """Return finished weights (T, C).

    `rest_TC` is the face that feels the style and says nothing, `closure_T` the probability of p, b or m (0..1),
    `level_T` the sound's level in dBFS.
    """
    frames = len(weights_TC)
    rows = ((BACK, LOOKAHEAD), (0, 0))
    window = Window(
        np.pad(weights_TC, rows)[None], np.pad(rest_TC, rows)[None], np.pad(closure_T, rows[0])[None],
        np.pad(level_T, rows[0])[None], np.array([BACK]), np.array([BACK + frames - 1]),
    )  # fmt: skip
    step_BT = np.full((1, frames), MAX_STEP, np.float32)
    step_BT[:, :1] = np.inf
    options, rig = options or PostOptions(), rig or load_rig()
    out = finish(window, blink_curve(frames, seed)[None], step_BT, rig.zeros(1), options=options, rig=rig)[0]
    return clamp(out, rig) if options.clamp else out


def finish(
    window: Window, blink_BT: FloatArray, step_BT: FloatArray, before_BC: FloatArray, *, options: PostOptions, rig: Rig
) -> FloatArray:
    """Return weights (B, T, C) of a window's middle, finished but for the clamp.

    `blink_BT` says how far the lids are shut, `step_BT` by how much a channel may differ from the frame before, and
    `before_BC` what this function returned for the frame before the first.
    """
    middle = slice(BACK, window.weights_BLC.shape[1] - LOOKAHEAD)
    at_BL = np.arange(window.weights_BLC.shape[1])[None]
    inside = (at_BL >= window.first_B[:, None]) & (at_BL <= window.last_B[:, None])
    out = _smoothed(window, at_BL)[:, middle] if options.smoothing else window.weights_BLC[:, middle].copy()
    shut = closure_envelope(window.closure_BL * inside, options.closure_threshold)[:, middle]
    if options.silence:
        gate = _gate((window.level_BL > SILENCE_DBFS) & inside, np.maximum(at_BL, window.first_B[:, None]))[:, middle]
        mouth, rest = rig.region("mouth"), window.rest_BLC[:, middle]
        out[..., mouth] = rest[..., mouth] + gate[..., None] * (out[..., mouth] - rest[..., mouth])
        shut = shut * gate
    if options.closure:
        # The generator has learnt how far the jaw rises for a closure; taking more would flatten its motion.
        out = close_lips(torch.from_numpy(out), torch.from_numpy(shut), rig, jaw_drop=0.0).numpy()
    if options.blinks:
        out = blink(out, blink_BT, rig)
    if options.limit:
        out = limit_speed(out, step_BT, before_BC)
    return out


def _smoothed(window: Window, at_BL: IntArray) -> FloatArray:
    """Return weights filtered over three frames (1/4, 1/2, 1/4), one of them ahead; a clip's ends are held."""
    weights_BLC, length = window.weights_BLC, at_BL.shape[1]
    before = weights_BLC[:, np.maximum(at_BL[0] - 1, 0)]
    after = weights_BLC[:, np.minimum(at_BL[0] + 1, length - 1)]
    for k, (first, last) in enumerate(zip(window.first_B, window.last_B, strict=True)):
        if 0 <= first < length:
            before[k, first] = weights_BLC[k, first]
        if 0 <= last < length:
            after[k, last] = weights_BLC[k, last]
    return np.asarray(before / 4 + weights_BLC / 2 + after / 4, np.float32)


def sound_level(audio_N: FloatArray, frames: int, *, rate: int = 16_000) -> FloatArray:
    """Return the level (T,) of each frame's sound in dBFS (RMS of full-scale 1), -120 at least."""
    hop = rate // RATE
    padded = np.zeros(frames * hop, np.float32)
    padded[: min(len(audio_N), len(padded))] = audio_N[: len(padded)]
    return level(padded.reshape(frames, hop))


def level(audio_TN: FloatArray) -> FloatArray:
    """Return the level (..., T) of each frame's samples (..., T, N) in dBFS, -120 at least."""
    power = (audio_TN**2).mean(-1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), np.float32)


def _gate(loud_BL: BoolArray, held_BL: IntArray) -> FloatArray:
    """Return 0..1 (B, L): 1 where there is sound, opening up to 60 ms before it, closing from 160 ms after it.

    `held_BL` is each frame's own place, or that of the clip's first frame for those before it.
    """
    heard = _windowed_max(loud_BL.astype(np.float32), back=8, ahead=LOOKAHEAD)
    heard = np.take_along_axis(heard, np.clip(held_BL, 0, heard.shape[1] - 1), 1)
    padded = np.pad(heard, ((0, 0), (3, 0)), mode="edge")
    return np.asarray((padded[:, :-3] + padded[:, 1:-2] + padded[:, 2:-1] + padded[:, 3:]) / 4, np.float32)


def closure_envelope(closure_T: FloatArray, threshold: float = CLOSURE_THRESHOLD) -> FloatArray:
    """Return how firmly the lips must be shut (..., T): 1 where a bilabial is heard, with ramps of two frames.

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
    return BlinkCurve(seed).take(frames)


class BlinkCurve:
    """The lids' closing, piece by piece."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 0xB117])
        self._at, self._start = 0, int(self._random.uniform(0.4, 3.0) * RATE)

    def take(self, frames: int) -> FloatArray:
        """Return the next frames (T,)."""
        curve, shape, end = np.zeros(frames, np.float32), _blink_shape(), self._at + frames
        while self._start < end:
            first, last = max(self._start, self._at), min(self._start + len(shape), end)
            curve[first - self._at : last - self._at] = shape[first - self._start : last - self._start]
            if last < self._start + len(shape):
                break
            self._start += len(shape) + int(RATE * (1.2 + self._random.lognormal(np.log(1.8), 0.5)))
        self._at = end
        return curve


def blink(weights_BTC: FloatArray, curve_BT: FloatArray, rig: Rig) -> FloatArray:
    """Return weights (..., T, C) with both lids at least as shut as `curve_BT` (..., T); a shut lid is not wide."""
    out, lids = weights_BTC.copy(), rig.indices(("eyeBlinkLeft", "eyeBlinkRight"))
    out[..., lids] = np.maximum(out[..., lids], curve_BT[..., None])
    out[..., rig.indices(("eyeWideLeft", "eyeWideRight"))] *= 1 - curve_BT[..., None]
    return out


def limit_speed(weights_BTC: FloatArray, step_BT: FloatArray, before_BC: FloatArray) -> FloatArray:
    """Return weights in which no channel changes by more than `step_BT` from the frame before; looks only back.

    Before the first frame stands `before_BC`.
    """
    change_BTC = np.diff(weights_BTC, axis=1, prepend=before_BC[:, None])
    if (np.abs(change_BTC) <= step_BT[..., None]).all():
        return weights_BTC
    out, last = weights_BTC.copy(), before_BC
    for t in range(out.shape[1]):
        step = step_BT[:, t, None]
        last = np.clip(out[:, t], last - step, last + step, out=out[:, t])
    return out


def clamp(weights_BTC: FloatArray, rig: Rig) -> FloatArray:
    """Return weights (..., C) within 0..1 and mouthClose at most jawOpen, whose corrective it is."""
    out = np.clip(weights_BTC, 0, 1)
    close, jaw = rig.index("mouthClose"), rig.index("jawOpen")
    out[..., close] = np.minimum(out[..., close], out[..., jaw])
    return out


def _windowed_max(values_T: FloatArray, *, back: int, ahead: int) -> FloatArray:
    """Return (..., T): the maximum over each frame's window of `back` frames before and `ahead` after it."""
    padded = np.pad(values_T, [*[(0, 0)] * (values_T.ndim - 1), (back, ahead)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, back + ahead + 1, axis=-1)
    return np.asarray(windows.max(-1), np.float32)
