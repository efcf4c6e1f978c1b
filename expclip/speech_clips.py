"""One clip to learn speech from: a row of CLIPS and its track -> samples at 16 kHz and labels at 50 Hz.

N samples, T steps of 20 ms, C channels.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip import media
from expclip.animation import sample_at
from expclip.augment import closure_curve
from expclip.rig import FloatArray, Rig
from expclip.speech import HOP, RATE, SAMPLE_RATE
from expclip.tracks import Track

PHONES = (
    *("SIL", "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V"),
    *("W", "Y", "Z", "ZH"),
)
"""ARPAbet without stress; the classes of the auxiliary phone loss."""
UNKNOWN = -100
"""Class of a step whose phone is not known; no loss counts it."""
NEUTRAL = ("", "neutral")
"""Labels of clips without a feeling."""
_WHOLE_SECONDS = 30.0
"""Sound up to this length is held in memory; of longer clips only what a crop needs is read, by seeking."""

Sound = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip, labels at 50 Hz; its sound may still lie in its file."""

    clip_id: str
    corpus: str
    split: str
    sound: Callable[[int, int], Sound]
    """Samples from one place to another, 0 where there are none."""
    weights_TC: FloatArray
    taught_TC: npt.NDArray[np.bool_]
    """Which values may be learnt: those of the track's mask, measured and finite."""
    closure_T: FloatArray
    phone_T: npt.NDArray[np.int64]
    acted: str
    """The feeling acted, as JSON {AU: intensity}, else as the corpus's label; empty: neutral."""
    phones: tuple[tuple[float, float, str], ...] = ()

    def __len__(self) -> int:
        return len(self.weights_TC)

    @property
    def audio_N(self) -> Sound:
        """All samples, of whole steps."""
        return self.sound(0, len(self) * HOP)

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return int(self.weights_TC.nbytes + self.taught_TC.nbytes + 2 * HOP * len(self) * (len(self) <= _held_steps()))


def _held_steps() -> int:
    return int(_WHOLE_SECONDS * RATE)


def acted(row: Mapping[str, Any]) -> str:
    """Return what a row of CLIPS says of the feeling: its action units (JSON), else its label; empty: neutral.

    A label without units is a feeling as well: its face must not be taught as a neutral one.
    """
    units, label = row.get("action_units") or "", (row.get("emotion") or "").strip()
    if units and json.loads(units):
        return units
    return "" if label.lower() in NEUTRAL else label


def make(row: Mapping[str, Any], track: Track, corpus: str, rig: Rig) -> Clip:
    """Return the clip of a row of CLIPS, `audio` absolute; raises BadRequestError if its sound cannot be read."""
    last = len(track.weights_TC) - 1
    sound, steps = _sound(row, (last + 1) / track.fps)
    place_T = np.arange(steps) / RATE
    near_T = np.clip(np.rint(place_T * track.fps).astype(int), 0, last)
    mask_C = np.zeros(len(rig), bool)
    mask_C[rig.indices(track.mask)] = True
    finite_TC = np.isfinite(track.weights_TC)
    known_TC = finite_TC[near_T] & mask_C & (track.valid_T[near_T] & (place_T * track.fps <= last))[:, None]
    if not finite_TC.all():
        known_TC &= sample_at(finite_TC.astype(np.float32), track.fps, place_T) > 0.999  # neighbours count as well
        track = replace(track, weights_TC=np.where(finite_TC, track.weights_TC, np.float32(0)))
    phones = tuple((float(a), float(b), str(p)) for a, b, p in json.loads(row["phones"] or "[]"))
    return Clip(
        str(row["clip_id"]),
        corpus,
        str(row["split"]),
        sound,
        sample_at(track.weights_TC, track.fps, place_T),
        known_TC,
        closure_curve(phones, steps, RATE, ramp=0.03).numpy(),
        phone_classes(phones, steps),
        acted(row),
        phones,
    )


def _sound(row: Mapping[str, Any], seconds: float) -> tuple[Callable[[int, int], Sound], int]:
    """Return a clip's sound and how many whole steps it has; `seconds` is the length of its track."""
    path, start, end = row["audio"], row["start"], row["end"]
    length = seconds if math.isnan(end) else end - start
    if length <= _WHOLE_SECONDS:
        audio_N = _int16(media.read_audio(path, start=start, end=None if math.isnan(end) else end))
        return lambda first, stop: _part(audio_N, 0, first, stop), len(audio_N) // HOP
    steps = int(length * RATE)

    def read(first: int, stop: int) -> Sound:
        begin, finish = max(first, 0), min(stop, steps * HOP)
        if finish <= begin:
            return np.zeros(stop - first, np.int16)
        part_N = media.read_audio(path, start=start + begin / SAMPLE_RATE, end=start + finish / SAMPLE_RATE)
        return _part(_int16(part_N), begin, first, stop)

    return read, steps


def _int16(audio_N: FloatArray) -> Sound:
    return (np.clip(audio_N, -1, 1) * 32767).astype(np.int16)


def _part(audio_N: Sound, begin: int, first: int, stop: int) -> Sound:
    """Return the samples first..stop of a sound whose first sample stands at `begin`, 0 where there are none."""
    out = np.zeros(stop - first, np.int16)
    low, high = max(first, begin), min(stop, begin + len(audio_N))
    if high > low:
        out[low - first : high - first] = audio_N[low - begin : high - begin]
    return out


def phone_classes(phones: Sequence[tuple[float, float, str]], steps: int) -> npt.NDArray[np.int64]:
    """Return the class in PHONES of the middle of each step (T,), UNKNOWN where no phone is given."""
    classes_T = np.full(steps, UNKNOWN, np.int64)
    place_T = (np.arange(steps) + 0.5) / RATE
    for start, end, phone in phones:
        name = phone.rstrip("012").upper()
        classes_T[(place_T >= start) & (place_T < end)] = PHONES.index(name) if name in PHONES else UNKNOWN
    return classes_T
