"""Rows of CLIPS and TRACKS made from what corpora bring: measured weights of any rate and gain in, one rule out.

All tracks are at 50 frames a second, in the rig's order, with the speaker's own resting face at 0. T frames,
C channels.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip import action_units
from expclip.corpora import Calibration, Measured, Row, phones
from expclip.errors import unknown
from expclip.rig import FloatArray, load_rig
from expclip.schema import CLIPS, EXPRESSIONS

FPS = 50.0
"""Rate of all tracks: one step of the generator."""

BoolArray = npt.NDArray[np.bool_]

_REST = 5
"""Percentile of a speaker's frames that counts as rest."""
_BRIDGED = 1.5
"""Frames apart from a measured one, in steps of the corpus's own rate, at which a face is still taken as seen."""


def clip_row(clip_id: str, **values: Any) -> Row:
    """Return a CLIPS row; what is not given is empty (start 0, end NaN: the whole file)."""
    for name in values:
        if name not in CLIPS.names:
            raise unknown("column of CLIPS", name, CLIPS.names)
    empty: Row = dict.fromkeys(CLIPS.names, "") | {"start": 0.0, "end": float("nan")}
    return empty | {"clip_id": clip_id} | values


def expression_row(identity: str, **values: Any) -> Row:
    """Return an EXPRESSIONS row; what is not given is empty, and action units are read from weights (C,).

    Without weights they are NaN and `mask` is empty: Parquet cannot give back a missing list of fixed size.
    """
    for name in values:
        if name not in EXPRESSIONS.names:
            raise unknown("column of EXPRESSIONS", name, EXPRESSIONS.names)
    row: Row = dict.fromkeys(EXPRESSIONS.names, "") | {"mask": [], "texts": {}, "emotions": {}}
    row |= {"weights": np.full(len(load_rig()), np.nan, np.float32), "id": identity} | values
    if row["mask"]:
        row["action_units"] = row["action_units"] or json.dumps(action_units.from_weights(row["weights"]))
    return row | {name: list(row[name].items()) for name in ("texts", "emotions")}


def slug(*parts: str) -> str:
    """Return parts joined by `_` as a clip_id may be written; what had to be altered ends in digits of its hash."""
    text = "_".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "x"
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def track_row(clip_id: str, weights_TC: FloatArray, valid_T: BoolArray, mask: Sequence[str], extractor: str) -> Row:
    """Return a TRACKS row at 50 frames a second."""
    return {
        "clip_id": clip_id,
        "fps": FPS,
        "weights": np.clip(weights_TC, 0, 1).astype(np.float32),
        "valid": valid_T,
        "mask": list(mask),
        "extractor": extractor,
    }


def track(clip_id: str, measured: Measured, calibration: Calibration, seconds: float) -> Row:
    """Return the TRACKS row of measured weights, calibrated, at 50 frames a second, no longer than the sound."""
    weights_TC = calibrated(measured.weights_TC, calibration)
    part_TC, valid_T = resample_at(weights_TC, measured.valid_T, measured.time_T, lag=measured.lag)
    steps = round(seconds * FPS)
    return track_row(clip_id, part_TC[:steps], valid_T[:steps], measured.mask, measured.extractor)


def resample(weights_TC: FloatArray, valid_T: BoolArray, fps: float, *, lag: float = 0) -> tuple[FloatArray, BoolArray]:
    """Return weights and validity at 50 frames a second on the sound's clock, given that they run `lag` seconds late.

    Frames without a face are bridged from their neighbours and stay marked as not valid.
    """
    return resample_at(weights_TC, valid_T, np.arange(len(weights_TC)) / fps, lag=lag)


def resample_at(
    weights_TC: FloatArray, valid_T: BoolArray, time_T: npt.NDArray[Any], *, lag: float = 0
) -> tuple[FloatArray, BoolArray]:
    """Do the same with frames at any rising times in seconds; a gap between them is not valid either."""
    step = typical_step(time_T)
    frames = round((float(time_T[-1]) + step) * FPS) if len(time_T) else 0
    if not valid_T.any():
        return np.zeros((frames, weights_TC.shape[1]), np.float32), np.zeros(frames, bool)
    known_K, place_T = np.flatnonzero(valid_T), np.arange(frames) / FPS + lag
    columns = [np.interp(place_T, time_T[known_K], column) for column in weights_TC[known_K].T]
    nearest_T = np.searchsorted((time_T[1:] + time_T[:-1]) / 2, place_T)
    near_T = np.abs(time_T[nearest_T] - place_T) <= _BRIDGED * step
    return np.stack(columns, 1).astype(np.float32), valid_T[nearest_T] & near_T


def typical_step(time_T: npt.NDArray[Any]) -> float:
    """Return the median time between two frames, in seconds; a lone frame stands for one of ours."""
    return float(np.median(np.diff(time_T))) if len(time_T) > 1 else 1 / FPS


def uniform(frames: int, fps: float) -> npt.NDArray[np.float64]:
    """Return the times (T,) of frames at a constant rate."""
    return np.arange(frames, dtype=np.float64) / fps


def calibrate(weights_TC: FloatArray, valid_T: BoolArray, peaks: Mapping[str, float] | None = None) -> Calibration:
    """Return the calibration of a speaker's frames (all clips).

    Rest is each channel's 5th percentile. `peaks` says to which value the 95th percentile of a channel's frames
    in motion (above a fifth of its range) is scaled; the gain is kept within 1/3..3. Other channels keep theirs.
    """
    rig, seen_TC = load_rig(), weights_TC[valid_T]
    rest_C = np.percentile(seen_TC, _REST, axis=0) if len(seen_TC) else rig.zeros()
    gain_C = np.ones(len(rig))
    for name, peak in (peaks or {}).items():
        k = rig.index(name)
        moving = np.clip(seen_TC[:, k] - rest_C[k], 0, 1)
        moving = moving[moving > 0.2 * np.percentile(moving, 99)] if len(moving) else moving
        if len(moving):
            gain_C[k] = np.clip(peak / max(float(np.percentile(moving, 95)), 1e-3), 1 / 3, 3)
    return Calibration(rest_C.astype(np.float32), gain_C.astype(np.float32))


def calibrated(weights_TC: FloatArray, calibration: Calibration) -> FloatArray:
    """Return weights with the rest at 0 and the gains applied, within 0..1."""
    moved_TC = np.clip(weights_TC - calibration.rest_C, 0, 1) * calibration.gain_C
    return np.asarray(np.clip(moved_TC, 0, 1), np.float32)


def splits(names: Sequence[str], *, test: int, val: int) -> dict[str, str]:
    """Return train, val or test for each name, chosen by a hash of the name: stable, whatever else there is."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held = dict.fromkeys(ranked[:test], "test") | dict.fromkeys(ranked[test : test + val], "val")
    return {name: held.get(name, "train") for name in names}


def split_of(name: str, *, test: int = 10, val: int = 5) -> str:
    """Return train, val or test for a speaker by a hash of the name, whoever else is there; shares in percent."""
    bucket = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 100
    return "test" if bucket < test else "val" if bucket < test + val else "train"


def split_by(speakers: Mapping[str, str]) -> dict[str, str]:
    """Return the split of each recording given who speaks in it: by speaker, or by recording if all are one's."""
    alone = len(set(speakers.values())) == 1
    return {name: split_of(name if alone else speaker) for name, speaker in speakers.items()}


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` items, evenly spread over all."""
    if len(items) <= count:
        return list(items)
    return [items[k * len(items) // count] for k in range(count)]


def add_phones(row: Row, audio_N: FloatArray) -> Row:
    """Return a CLIPS row with its phones aligned to its sound (N,), 16 kHz; English with known words only."""
    if row["phones"] or row["language"] != "en" or not row["text"]:
        return row
    return row | {"phones": phones.to_json(phones.align(audio_N, phones.spoken_words(row["text"])))}


def digest(values: npt.NDArray[Any]) -> str:
    """Return 16 hex digits over the content of an array."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def join_notes(notes: Iterable[str]) -> str:
    """Return notes as the column holds them; a semicolon within one would part it."""
    return "; ".join(note.replace(";", ",") for note in notes)
