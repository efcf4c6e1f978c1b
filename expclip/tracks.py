"""Tables TRACKS as other steps read them: rows of segments in, one track a clip out, on the clip's own clock.

A clip whose face was away for a while has several rows; between them the joined track is 0 and not valid. Columns
that older tables lack are unknown. T frames, C channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from expclip import storage
from expclip.extractors import Face
from expclip.rig import FloatArray
from expclip.schema import TRACKS


@dataclass(frozen=True, eq=False)
class Track:
    """One row of TRACKS in arrays: weights (T, C), frame t at begin + t / fps seconds of the clip."""

    clip_id: str
    fps: float
    weights_TC: FloatArray
    valid_T: npt.NDArray[np.bool_]
    pose_T6: FloatArray  # NaN where unknown
    mask: tuple[str, ...] = ()
    extractor: str = ""
    begin: float = 0.0
    offset_s: float = math.nan
    offset_r: float = math.nan
    offset_lead: float = math.nan

    @classmethod
    def of(cls, row: pa.Table) -> "Track":
        """Return the track in a table of one row."""
        weights_TC = frames(row["weights"])
        poses = row["pose"] if "pose" in row.column_names else None
        known = poses is not None and poses[0].is_valid
        return cls(
            row["clip_id"][0].as_py(),
            float(row["fps"][0].as_py()),
            weights_TC,
            np.array(row["valid"][0].as_py(), bool),
            frames(poses) if known else np.full((len(weights_TC), 6), np.nan, np.float32),
            tuple(row["mask"][0].as_py()),
            row["extractor"][0].as_py() or "",
            _number(row, "begin", 0.0),
            _number(row, "offset_s", math.nan),
            _number(row, "offset_r", math.nan),
            _number(row, "offset_lead", math.nan),
        )


def _number(row: pa.Table, name: str, missing: float) -> float:
    value = row[name][0].as_py() if name in row.column_names else None
    return missing if value is None else float(value)


def frames(column: Any) -> FloatArray:
    """Return the value (T, K) of a column of one row whose type is a list of frames of K floats."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    rows = values.flatten()
    flat = np.asarray(rows.flatten().to_numpy(zero_copy_only=False), np.float32)
    return flat.reshape(-1, rows.type.list_size)


def read_file(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a file of a table, all of it or some columns.

    In this thread alone: Arrow's own would keep the file a moment longer, and abort the process if it ends just then.
    """
    with storage.open_read(path) as content:
        return pq.ParquetFile(content).read(None if columns is None else list(columns), use_threads=False)


def places(folder: str) -> dict[str, str]:
    """Return which file of a table holds each clip; of several, the last."""
    found: dict[str, str] = {}
    for path in storage.listing(folder, ".parquet"):
        found |= dict.fromkeys(read_file(path, ["clip_id"])["clip_id"].to_pylist(), path)
    return found


def by_clip(table: pa.Table) -> dict[str, pa.Table]:
    """Return for each clip a table of one row whose frame 0 stands at the clip's start."""
    places: dict[str, list[int]] = {}
    for k, clip_id in enumerate(table["clip_id"].to_pylist()):
        places.setdefault(clip_id, []).append(k)
    return {clip_id: _joined([table.slice(k, 1) for k in rows]) for clip_id, rows in places.items()}


def _joined(rows: Sequence[pa.Table]) -> pa.Table:
    if len(rows) == 1 and _number(rows[0], "begin", 0.0) == 0:
        return rows[0]
    tracks = sorted(map(Track.of, rows), key=lambda track: track.begin)
    first = tracks[0]
    begins = [round(track.begin * track.fps) for track in tracks]
    length = max(begin + len(track.weights_TC) for begin, track in zip(begins, tracks, strict=True))
    weights_TC = np.zeros((length, first.weights_TC.shape[1]), np.float32)
    pose_T6 = np.full((length, 6), np.nan, np.float32)
    valid_T = np.zeros(length, bool)
    for begin, track in zip(begins, tracks, strict=True):
        part = slice(begin, begin + len(track.weights_TC))
        weights_TC[part], pose_T6[part], valid_T[part] = track.weights_TC, track.pose_T6, track.valid_T
    values = {
        "clip_id": first.clip_id, "segment": 0, "begin": 0.0, "fps": first.fps, "weights": list(weights_TC),
        "valid": valid_T, "pose": list(pose_T6), "mask": list(first.mask), "extractor": first.extractor,
        "offset_s": first.offset_s, "offset_r": first.offset_r, "offset_lead": first.offset_lead,
    }  # fmt: skip
    return pa.Table.from_pylist([values], TRACKS)


def face_of(row: pa.Table) -> Face:
    """Return the face in a table of one row of MEASURED."""
    times, size, light, detail = (row[name].combine_chunks().flatten() for name in ("time", "size", "light", "detail"))
    return Face(
        times.to_numpy(),
        frames(row["weights"]),
        frames(row["pose"]),
        size.to_numpy(),
        light.to_numpy(),
        detail.to_numpy(),
        mask=tuple(row["mask"][0].as_py()),
        extractor=row["extractor"][0].as_py(),
    )
