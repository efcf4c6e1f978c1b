"""Whether lips and sound belong together: opening of the mouth against the level of the sound, at 50 Hz.

T steps of 20 ms from the clip's start, N audio samples. Both curves are reduced to the rhythm of syllables, 2 to 8 Hz:
slower changes agree at almost any offset. On clips of one speaker the offset found lies within 0.1 s for 81 of 100 of
3 s and 97 of 9 s; shifted by 0.2 to 0.4 s, 76 to 90 of 100 are found outside. So a short clip's own offset counts only
with evidence, else that of its recording does (`settled`).
"""

from collections.abc import Sequence

import numpy as np

from expclip import metrics
from expclip.media import SAMPLE_RATE
from expclip.rig import FloatArray

RATE = 50
"""Steps a second of the curves."""
MOST = 0.5
"""Largest offset looked for, in seconds."""
SHORTEST = 2.5
"""Seconds of mouth and sound below which no offset can be told."""
RIVAL = 0.1
"""Of peaks whose correlation differs by no more than this, the one nearest to 0 s counts."""
NEAR = 0.1
"""Seconds around 0 within which lips and sound count as together."""
LEAD = 0.75
"""Least lead, times the clip's seconds, of an offset that counts by itself: 0.25 for 3 s."""
ENOUGH = 5
"""Clips with an offset that a recording or a speaker must have for their median to count."""
_FLOOR_DB = 40.0
_HOP = SAMPLE_RATE // RATE
_UNKNOWN = (float("nan"),) * 3


def level(audio_N: FloatArray) -> FloatArray:
    """Return the sound's level (T,) in dB in windows of 40 ms, cut off 40 dB below its loud parts."""
    steps = len(audio_N) // _HOP
    padded = np.pad(np.asarray(audio_N[: steps * _HOP], np.float64), _HOP // 2)
    halves = (padded**2).reshape(-1, _HOP).mean(1) if steps else np.zeros(1)
    decibel = 10 * np.log10((halves[:-1] + halves[1:]) / 2 + 1e-12)
    floor = np.percentile(decibel, 98) - _FLOOR_DB if steps else 0.0
    return np.asarray(np.maximum(decibel, floor), np.float32)


def rhythm(curve_T: FloatArray) -> FloatArray:
    """Return what of a curve (T,) changes 2 to 8 times a second; at least half a second is needed."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(2, (2.0, 8.0), "bandpass", fs=RATE, output="sos"), curve_T), np.float32)


def joint(
    mouth_T: FloatArray, level_T: FloatArray, *, shortest: float = SHORTEST
) -> tuple[FloatArray, FloatArray] | None:
    """Return the rhythms of mouth and sound over the steps where both are known, or None below `shortest` seconds.

    `mouth_T` is NaN where no face was seen; holes are bridged.
    """
    steps = min(len(mouth_T), len(level_T))
    known = np.flatnonzero(np.isfinite(mouth_T[:steps]))
    if not len(known) or known[-1] - known[0] + 1 < shortest * RATE:
        return None
    inside = np.arange(known[0], known[-1] + 1)
    whole = np.interp(inside, known, mouth_T[known]).astype(np.float32)
    return rhythm(whole), rhythm(level_T[inside])


def offset(mouth_T: FloatArray, level_T: FloatArray) -> tuple[float, float, float]:
    """Return the seconds by which the mouth comes after the sound, their correlation at that offset, and its lead.

    The lead is by how much the correlation exceeds the best one within `NEAR` of 0 s. All are NaN if too little is
    known, or if nothing moves.
    """
    curves = joint(mouth_T, level_T)
    if curves is None:
        return _UNKNOWN
    mouth, sound = curves
    reach = int(MOST * RATE)
    steps = len(mouth)
    scores = np.array(
        [
            metrics.pearson(mouth[max(0, lag) : steps + min(0, lag)], sound[max(0, -lag) : steps - max(0, lag)])
            for lag in range(-reach, reach + 1)
        ]
    )
    if not np.isfinite(scores).all():
        return _UNKNOWN
    wide = np.pad(scores, 1, constant_values=-2.0)
    peaks = np.flatnonzero((scores >= wide[:-2]) & (scores >= wide[2:]) & (scores >= scores.max() - RIVAL))
    best = int(peaks[np.argmin(np.abs(peaks - reach))])
    near = round(NEAR * RATE)
    lead = scores[best] - scores[reach - near : reach + near + 1].max()
    return (best - reach + _summit(scores, best)) / RATE, float(scores[best]), float(max(lead, 0.0))


def _summit(scores: FloatArray, best: int) -> float:
    """Return by which part of a step the parabola through a peak and its neighbours has its top beside it."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, top, after = scores[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def settled(offset_K: FloatArray, lead_K: FloatArray, seconds_K: FloatArray, *groupings: Sequence[str]) -> FloatArray:
    """Return the offsets (K,) that K clips are judged by: the own one where the lead, over that length, is evidence.

    Else it is the median of the first of the groupings (recordings, then speakers, ...: a name for each clip) in which
    enough offsets are known; else, and where no lead is known, the own one.
    """
    out_K = np.array(offset_K, np.float32)
    weak_K = np.isfinite(out_K) & (np.asarray(lead_K) * np.asarray(seconds_K) < LEAD)
    for names in groupings:
        groups: dict[str, list[int]] = {}
        for k in np.flatnonzero(np.isfinite(offset_K)):
            groups.setdefault(names[int(k)], []).append(int(k))
        for members in groups.values():
            judged = [k for k in members if weak_K[k]] if len(members) >= ENOUGH else []
            out_K[judged] = np.median(np.asarray(offset_K)[members])
            weak_K[judged] = False
    return out_K


def speaking(mouth_T: FloatArray, level_T: FloatArray) -> float:
    """Return how much a mouth moves with the sound, in weight: 0 if it does not, or too little of it was seen.

    A listener's mouth may follow by chance, but hardly moves.
    """
    curves = joint(mouth_T, level_T, shortest=1.0)
    if curves is None:
        return 0.0
    mouth, sound = curves
    shares = [metrics.pearson(mouth[max(0, lag) :], sound[: len(sound) - max(0, lag)]) for lag in range(6)]
    follows = float(np.nanmax(shares)) if np.isfinite(shares).any() else 0.0
    return max(follows, 0.0) * float(mouth.std()) * float(np.isfinite(mouth_T).mean())
