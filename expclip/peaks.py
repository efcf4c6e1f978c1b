"""Peak expressions of tracks: weights over time -> the few held frames that are worth words, no two alike.

Only channels that a track may teach and frames in which a face was measured count; and while the mouth speaks, what
its phones move does not: a long vowel is no astonishment. T frames, C channels, N expressions, K of them kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expclip.rig import FloatArray, Rig, load_rig
from expclip.tables import BoolArray

_SPEAKING = (
    *("jaw", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRoll", "mouthShrug", "mouthPress", "mouthStretch"),
    *("mouthLowerDown", "mouthUpperUp", "tongueOut"),
)
"""Beginnings of the names of channels that phones move; the corners of the lips and the cheeks tell more of feeling."""


@dataclass(frozen=True)
class PeakOptions:
    """How peaks are chosen."""

    per_clip: int = 3  # expressions of one clip at most
    apart: float = 1.0  # seconds between two peaks of a clip at least
    hold: float = 0.3  # seconds around a peak of which the median is taken: shorter than that is a blink or a phone
    still: float = 0.6  # seconds around a peak in which a mouth must not move to count; in speech it does
    motion: float = 0.15  # range of a channel within those seconds from which the mouth speaks
    strength: float = 0.35  # length of the vector of weights, without lids and gaze, from which a face shows something
    distance: float = 0.3  # length of the difference below which two expressions are the same


def peaks(
    weights_TC: FloatArray,
    valid_T: BoolArray,
    fps: float,
    *,
    mask: Sequence[str],
    options: PeakOptions,
    rig: Rig | None = None,
) -> list[tuple[int, FloatArray]]:
    """Return frame and held weights (C,) of a track's peaks, strongest first.

    Channels outside `mask` are 0, and so are those that phones move where the mouth speaks.
    """
    rig = rig or load_rig()
    if not valid_T.any():
        return []
    bridged_TC = _bridged(np.where(known_channels(mask, rig), weights_TC, 0), valid_T)
    held_TC = _held(bridged_TC, max(1, round(options.hold * fps)))
    phones = rig.indices([name for name in rig.channels if name.startswith(_SPEAKING)])
    speaks_T = _range(bridged_TC[:, phones], max(1, round(options.still * fps))) >= options.motion
    held_TC[:, phones] *= ~speaks_T[:, None]
    strength_T = np.linalg.norm(held_TC[:, _telling(rig)], axis=1) * valid_T
    found: list[tuple[int, FloatArray]] = []
    for frame in np.argsort(-strength_T, kind="stable"):
        if strength_T[frame] < options.strength or len(found) == options.per_clip:
            break
        far = all(abs(int(frame) - other) >= options.apart * fps for other, _ in found)
        if far and all(np.linalg.norm(held_TC[frame] - kept_C) >= options.distance for _, kept_C in found):
            found.append((int(frame), held_TC[frame]))
    return found


def known_channels(mask: Sequence[str], rig: Rig) -> BoolArray:
    """Return (C,): which channels a mask names."""
    known_C = np.zeros(len(rig), bool)
    known_C[rig.indices(mask)] = True
    return known_C


def _bridged(weights_TC: FloatArray, valid_T: BoolArray) -> FloatArray:
    """Return weights in which frames without a face have those of the nearest frame with one."""
    known = np.flatnonzero(valid_T)
    nearest_T = np.rint(np.interp(np.arange(len(valid_T)), known, np.arange(len(known)))).astype(int)
    bridged_TC: FloatArray = weights_TC[known[nearest_T]]
    return bridged_TC


def _held(weights_TC: FloatArray, window: int) -> FloatArray:
    """Return the running median over `window` frames."""
    from scipy import ndimage

    moving = np.flatnonzero(weights_TC.any(0))
    held_TC: FloatArray = np.zeros_like(weights_TC)
    if len(moving):
        held_TC[:, moving] = ndimage.median_filter(weights_TC[:, moving], size=(window, 1), mode="nearest")
    return held_TC


def _range(weights_TK: FloatArray, window: int) -> FloatArray:
    """Return how far (T,) the most restless channel moves within `window` frames around each."""
    from scipy import ndimage

    high_TK = ndimage.maximum_filter(weights_TK, size=(window, 1), mode="nearest")
    low_TK = ndimage.minimum_filter(weights_TK, size=(window, 1), mode="nearest")
    return np.asarray((high_TK - low_TK).max(1))


def _telling(rig: Rig) -> list[int]:
    """Return the columns that say how much a face shows: all but lids and gaze, which move for other reasons."""
    quiet = {*rig.regions["gaze"], *(name for name in rig.channels if name.startswith("eyeBlink"))}
    return rig.indices([name for name in rig.channels if name not in quiet])


def distinct(weights_NC: FloatArray, distance: float) -> list[int]:
    """Return the rows to keep, ascending: the strongest of each group of expressions nearer than `distance`."""
    order = np.argsort(-np.linalg.norm(weights_NC, axis=1), kind="stable")
    kept: list[int] = []
    kept_KC = np.empty_like(weights_NC)
    for row in order:
        near = np.linalg.norm(kept_KC[: len(kept)] - weights_NC[row], axis=1) < distance
        if not near.any():
            kept_KC[len(kept)] = weights_NC[row]
            kept.append(int(row))
    return sorted(kept)
