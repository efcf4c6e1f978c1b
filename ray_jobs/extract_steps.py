"""The steps of `extract`, plain classes: a clip is measured, a speaker's rest estimated, a clip's tracks made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expclip import extract, media, storage, sync, tracks
from expclip.errors import BadRequestError
from expclip.extract import Options
from expclip.extractors import Extractor, Face, Source
from expclip.rig import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

    from ray_jobs.pipeline import Row


class MeasureStep:
    """A clip -> what the tracker saw of the face that speaks, and how lips and sound lie to each other."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor, self._copies = extractor, storage.Copies()

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are measured one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Measure one clip."""
        faces = self._faces(row)
        level_T = self._level(row)
        face = extract.choose(faces, level_T)
        offset_s, offset_r, offset_lead = sync.offset(extract.mouth(face), level_T)
        return {
            "speaker": row["speaker"],
            "extractor": face.extractor or self._extractor.version,
            "mask": list(face.mask),
            "faces": len(faces),
            "seconds": float(face.time_T[-1] - face.time_T[0]),
            "time": face.time_T,
            "weights": face.weights_TC,
            "pose": face.pose_T6,
            "size": face.size_T,
            "light": face.light_T,
            "detail": face.detail_T,
            "offset_s": offset_s,
            "offset_r": offset_r,
            "offset_lead": offset_lead,
        }

    def _level(self, row: "Row") -> FloatArray:
        """Return the level of the clip's sound; without sound none: no offset is told, and the face most seen stays."""
        if not row["audio"]:
            return np.zeros(0, np.float32)
        return sync.level(media.read_audio(row["audio"], start=row["start"], end=row["end"], copies=self._copies))

    def _faces(self, row: "Row") -> list[Face]:
        video = row["video"] if self._extractor.needs_video else ""
        if video and not storage.exists(video):
            raise BadRequestError(f"no such file: {video}")
        local = self._copies.local(video)
        try:
            return self._extractor.measure(Source(row["clip_id"], local, row["start"], row["end"]))
        except BadRequestError as error:
            raise BadRequestError(str(error).replace(local, video) if local else str(error)) from None


class _Shard:
    """Rows of MEASURED by clip; the file read last is kept."""

    def __init__(self) -> None:
        self._path = ""
        self._table: pa.Table | None = None
        self._index: dict[str, int] = {}

    def row(self, path: str, clip_id: str) -> "pa.Table":
        """Return a table of the clip's one row."""
        if self._table is None or path != self._path:
            self._path, self._table = path, tracks.read_file(path)
            self._index = {name: k for k, name in enumerate(self._table["clip_id"].to_pylist())}
        return self._table.slice(self._index[clip_id], 1)


class RestStep:
    """A speaker's clips -> the resting face."""

    def __init__(self, options: Options) -> None:
        self._options, self._shard = options, _Shard()

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Speakers are read one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Count all frames of one speaker, file by file."""
        rest = extract.Rest()
        for path, clip_ids in row["clips"].items():
            for clip_id in clip_ids:
                rest.add(tracks.face_of(self._shard.row(path, clip_id)), self._options)
        return {"frames": rest.frames, "neutral": rest.weights(self._options.rest).tolist()}


class TrackStep:
    """What was measured of a clip, and the speaker's resting face -> the clip's segments, each a row of TRACKS."""

    def __init__(self, options: Options) -> None:
        self._options, self._shard = options, _Shard()

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are finished one by one."""

    def __call__(self, row: "Row") -> "list[Row]":
        """Make the rows of one clip."""
        measured = self._shard.row(row["shard"], row["clip_id"])
        if row["neutral"] is None:
            raise BadRequestError("the speaker's resting face is not known")
        face, neutral_C = tracks.face_of(measured), np.array(row["neutral"], np.float32)
        names = [name for name in measured.column_names if name.startswith("offset_")]  # older tables lack one
        offsets = {name: measured[name][0].as_py() for name in names}
        return [
            {
                "segment": k,
                "begin": segment.begin + 0.0,  # -0 is 0
                "fps": self._options.fps,
                "weights": segment.weights_TC,
                "valid": segment.valid_T,
                "confidence": segment.confidence_T,
                "pose": segment.pose_T6,
                "mask": list(face.mask),
                "extractor": face.extractor,
                "neutral": neutral_C,
                **offsets,
                "seconds": len(segment.valid_T) / self._options.fps,
            }
            for k, segment in enumerate(extract.segments(face, neutral_C, self._options))
        ]
