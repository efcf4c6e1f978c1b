"""Measures of motion on a mesh, in millimetres, as papers define them; pure functions of a `Mesh` and weights (T, C).

Nothing here is averaged over clips: what is pooled over frames comes back by frame. Names: LVE and LVE-sq (lips), EVE
(brows and eyes), MVE (whole face), FDD, MOD, MTM, SLCC, diversity. T frames, V vertices, C channels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from expclip import metrics
from expclip.mesh import Mesh, Part
from expclip.rig import FloatArray

_BLOCK = 256
"""Frames whose vertices are in memory at once."""
_SIGMA = 2.0
"""Frames of the Gaussian that smooths a lip gap before its extrema are looked for."""
_BAND = 15
"""Frames that two lip gaps may be warped against each other."""
_LEAST_MM = 0.5
"""Height (mm) below which a bump of the lip gap is no extremum."""
_WINDOW = 5
"""Frames of the RMS of lips and sound."""


def vertex_errors(mesh: Mesh, guess_TC: FloatArray, truth_TC: FloatArray, part: Part) -> tuple[FloatArray, FloatArray]:
    """Return for each frame (T,) the largest and the mean distance in mm of a part's vertices from the truth.

    The mean over frames of the largest one on the lip mask is LVE, of its square LVE-sq; on the upper mask it is EVE;
    the mean of the mean over the whole face is MVE. Both are cut to the shorter.
    """
    frames = min(len(guess_TC), len(truth_TC))
    away_TC = guess_TC[:frames] - truth_TC[:frames]
    most, middle = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    for start in range(0, frames, _BLOCK):
        block = slice(start, start + _BLOCK)
        distance_TV = _length(mesh.moved(away_TC[block], part))
        most[block], middle[block] = distance_TV.max(-1), distance_TV.mean(-1)
    return most, middle


def _length(moved_TV3: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("tvi,tvi->tv", moved_TV3, moved_TV3)), np.float32)


def liveliness(mesh: Mesh, weights_TC: FloatArray) -> float:
    """Return the mean over upper vertices of s_v = std_t(|y_tv - rest_v|^2), in mm^2.

    FDD = that of the truth - that of the guess: above 0 where the guess moves too little.
    """
    squares = [
        (mesh.moved(weights_TC[k : k + _BLOCK], "upper") ** 2).sum(-1) for k in range(0, len(weights_TC), _BLOCK)
    ]
    return float(np.concatenate(squares).std(0).mean())


def fdd(mesh: Mesh, guess_TC: FloatArray, truth_TC: FloatArray) -> float:
    """Return the signed FDD in mm^2."""
    frames = min(len(guess_TC), len(truth_TC))
    return liveliness(mesh, truth_TC[:frames]) - liveliness(mesh, guess_TC[:frames])


def mouth_opening_difference(guess_gap_T: FloatArray, truth_gap_T: FloatArray) -> float:
    """Return MOD, the mean |difference| of two lip gaps in mm."""
    frames = min(len(guess_gap_T), len(truth_gap_T))
    return float(np.abs(guess_gap_T[:frames] - truth_gap_T[:frames]).mean())


def lip_timing(guess_gap_T: FloatArray, truth_gap_T: FloatArray, *, fps: float) -> list[float]:
    """Return signed ms (above 0: late) by which each extremum of the true lip gap is met; their mean |.| is MTM.

    Gaps are smoothed (sigma 2 frames) and warped onto each other by their derivatives, at most half a second at 30 fps.
    A true extremum meets the guess's one of its kind between its neighbours' places that is nearest to its own place
    on the path; one without such a partner, or lower than 0.5 mm, is left out.
    """
    from scipy.ndimage import gaussian_filter1d

    frames = min(len(guess_gap_T), len(truth_gap_T))
    if frames < 5:
        return []
    guess_T, truth_T = (gaussian_filter1d(gap_T[:frames].astype(float), _SIGMA) for gap_T in (guess_gap_T, truth_gap_T))
    place_T = _warp(np.gradient(truth_T), np.gradient(guess_T))
    wanted, offered = _extrema(truth_T), _extrema(guess_T)
    found = []
    for k, (frame, kind) in enumerate(wanted):
        first = place_T[wanted[k - 1][0]] if k else 0
        last = place_T[wanted[k + 1][0]] if k + 1 < len(wanted) else frames - 1
        partners = [place for place, other in offered if other == kind and first <= place <= last]
        if partners:
            nearest = min(partners, key=lambda place, at=place_T[frame]: abs(place - at))  # type: ignore[misc]
            found.append(1000 * (nearest - frame) / fps)
    return found


def _extrema(curve_T: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return frame and kind (1: peak, -1: valley) of the extrema that stand out by 0.5 mm, in order of time."""
    from scipy.signal import find_peaks

    found = [(int(k), kind) for kind in (1, -1) for k in find_peaks(kind * curve_T, prominence=_LEAST_MM)[0]]
    return sorted(found)


def _warp(truth_T: npt.NDArray[np.float64], guess_T: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each frame of the truth its mean place in the guess, on the cheapest monotone path within a band."""
    frames, width = len(truth_T), 2 * _BAND + 1
    cost = np.full((frames + 1, width + 2), np.inf)  # column k + 1: guess frame = truth frame + k - _BAND
    step = np.zeros((frames, width), np.int8)
    cost[0, 1 : _BAND + 2] = 0
    for t in range(frames):
        place = t + np.arange(width) - _BAND
        inside = (place >= 0) & (place < frames)
        here = np.where(inside, (truth_T[t] - guess_T[np.clip(place, 0, frames - 1)]) ** 2, np.inf)
        across, up = cost[t, 1 : width + 1], cost[t, 2 : width + 2]  # both frames on, truth alone on
        best = np.minimum(across, up)
        step[t] = np.where(up < across, 1, 0)
        row = here + best
        for k in range(1, width):  # guess alone on
            if inside[k] and row[k - 1] + here[k] < row[k]:
                row[k], step[t, k] = row[k - 1] + here[k], 2
        cost[t + 1, 1 : width + 1] = row
    return _traced(step, int(np.argmin(cost[frames, 1 : width + 1])))


def _traced(step: npt.NDArray[np.int8], k: int) -> npt.NDArray[np.float64]:
    frames = len(step)
    places: list[list[int]] = [[] for _ in range(frames)]
    t = frames - 1
    while t >= 0:
        places[t].append(t + k - _BAND)
        move = step[t, k]
        if move == 2:
            k -= 1
        else:
            t, k = t - 1, k + (move == 1)
    return np.array([np.mean(place) for place in places])


def speech_lip_correlation(mesh: Mesh, weights_TC: FloatArray, rms_T: FloatArray) -> float:
    """Return SLCC: Pearson's r of the sound's RMS (T,) and the lips' intensity; NaN if either is constant.

    Intensity: the RMS over five frames of the lips' mean distance (mm) from rest; the sound's RMS is taken alike.
    """
    parts = [mesh.moved(weights_TC[k : k + _BLOCK], "lips") for k in range(0, len(weights_TC), _BLOCK)]
    away_T = np.concatenate([_length(part).mean(-1) for part in parts])
    frames = min(len(away_T), len(rms_T))
    return metrics.pearson(_rms(away_T[:frames]), _rms(rms_T[:frames]))


def _rms(values_T: FloatArray) -> FloatArray:
    window = np.ones(min(_WINDOW, len(values_T))) / min(_WINDOW, len(values_T))
    return np.asarray(np.sqrt(np.convolve(values_T.astype(float) ** 2, window, "same")), np.float32)


def diversity(mesh: Mesh, faces_STC: Sequence[FloatArray], *, every: int = 3) -> float:
    """Return the mean distance in mm of the face's vertices between all pairs of styles, on every third frame."""
    pairs = [(a[::every], b[::every]) for k, a in enumerate(faces_STC) for b in faces_STC[k + 1 :]]
    return float(np.mean([vertex_errors(mesh, a, b, "face")[1].mean() for a, b in pairs])) if pairs else 0.0
