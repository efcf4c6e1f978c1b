"""Rows of CLIPS and TRACKS made from what corpora bring: measured weights of any rate and gain in, one rule out.

All tracks are at 50 frames a second, in the rig's order, with the speaker's own resting face at 0. T frames,
C channels.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expclip.corpora import Row, phones
from expclip.errors import unknown
from expclip.rig import FloatArray, load_rig
from expclip.schema import CLIPS

FPS = 50.0
"""Rate of all tracks: one step of the generator."""

BoolArray = npt.NDArray[np.bool_]


def clip_row(clip_id: str, **values: Any) -> Row:
    """Return a CLIPS row; what is not given is empty (start 0, end NaN: the whole file)."""
    for name in values:
        if name not in CLIPS.names:
            raise unknown("column of CLIPS", name, CLIPS.names)
    empty: Row = dict.fromkeys(CLIPS.names, "") | {"start": 0.0, "end": float("nan")}
    return empty | {"clip_id": clip_id} | values


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


def resample(weights_TC: FloatArray, valid_T: BoolArray, fps: float, *, lag: float = 0) -> tuple[FloatArray, BoolArray]:
    """Return weights and validity at 50 frames a second on the sound's clock, given that they run `lag` seconds late.

    Frames without a face are bridged from their neighbours and stay marked as not valid.
    """
    frames = round(len(weights_TC) / fps * FPS)
    if not valid_T.any():
        return np.zeros((frames, weights_TC.shape[1]), np.float32), np.zeros(frames, bool)
    known = np.flatnonzero(valid_T)
    place_T = (np.arange(frames) / FPS + lag) * fps
    columns = [np.interp(place_T, known, column) for column in weights_TC[known].T]
    nearest_T = np.clip(np.rint(place_T).astype(int), 0, len(valid_T) - 1)
    return np.stack(columns, 1).astype(np.float32), valid_T[nearest_T]


def normalise(weights_TC: FloatArray, valid_T: BoolArray, peaks: Mapping[str, float]) -> FloatArray:
    """Return a speaker's frames (all clips) with the resting face at 0 and the channels of `peaks` brought to one gain.

    Rest is each channel's 5th percentile. `peaks` says to which value the 95th percentile of a channel's frames
    in motion (above a fifth of its range) is scaled; the gain is kept within 1/3..3. Other channels keep theirs.
    """
    rig = load_rig()
    out_TC = np.clip(weights_TC - np.percentile(weights_TC[valid_T], 5, axis=0), 0, 1)
    for name, peak in peaks.items():
        k = rig.index(name)
        moving = out_TC[valid_T, k]
        moving = moving[moving > 0.2 * np.percentile(moving, 99)]
        if len(moving):
            out_TC[:, k] *= np.clip(peak / max(float(np.percentile(moving, 95)), 1e-3), 1 / 3, 3)
    return np.clip(out_TC, 0, 1).astype(np.float32)


def splits(names: Sequence[str], *, test: int, val: int) -> dict[str, str]:
    """Return train, val or test for each name, chosen by a hash of the name: stable, whatever else there is."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held = dict.fromkeys(ranked[:test], "test") | dict.fromkeys(ranked[test : test + val], "val")
    return {name: held.get(name, "train") for name in names}


def add_phones(row: Row, audio_N: FloatArray) -> Row:
    """Return a CLIPS row with its phones aligned to its sound (N,), 16 kHz; English with known words only."""
    if row["phones"] or row["language"] != "en" or not row["text"]:
        return row
    return row | {"phones": phones.to_json(phones.align(audio_N, phones.spoken_words(row["text"])))}
