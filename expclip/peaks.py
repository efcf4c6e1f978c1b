"""Peak expressions of tracks: weights over time -> the few held frames that are worth words, no two alike.

Only channels that a track may teach and frames in which a face was measured count. T frames, C channels, N
expressions, K of them kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expclip.rig import FloatArray, Rig, load_rig
from expclip.tables import BoolArray


@dataclass(frozen=True)
class PeakOptions:
    """How peaks are chosen."""

    per_clip: int = 3  # expressions of one clip at most
    apart: float = 1.0  # seconds between two peaks of a clip at least
    hold: float = 0.3  # seconds around a peak of which the median is taken: shorter than that is a blink or a phone
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
    """Return frame and held weights (C,) of a track's peaks, strongest first; channels outside `mask` are 0."""
    rig = rig or load_rig()
    if not valid_T.any():
        return []
    held_TC = _held(np.where(known_channels(mask, rig), weights_TC, 0), valid_T, max(1, round(options.hold * fps)))
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


def _held(weights_TC: FloatArray, valid_T: BoolArray, window: int) -> FloatArray:
    """Return the running median over `window` frames; frames without a face take the nearest one's before it."""
    from scipy import ndimage

    known = np.flatnonzero(valid_T)
    nearest_T = np.rint(np.interp(np.arange(len(valid_T)), known, np.arange(len(known)))).astype(int)
    bridged_TC = weights_TC[known[nearest_T]]
    moving = np.flatnonzero(bridged_TC.any(0))
    held_TC: FloatArray = np.zeros_like(bridged_TC)
    if len(moving):
        held_TC[:, moving] = ndimage.median_filter(bridged_TC[:, moving], size=(window, 1), mode="nearest")
    return held_TC


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
