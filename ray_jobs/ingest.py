"""Job `ingest`: a corpus as it was published -> CLIPS, TRACKS and, if it was packed, the sound.

`expclip ingest grid ROOT -o FOLDER` leaves `FOLDER/clips/*.parquet`, `FOLDER/tracks/*.parquet` and `FOLDER/audio/*`.
English clips with a text get their phones by forced alignment. Running it again does only what is missing.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from expclip import corpora, storage
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    from ray_jobs.pipeline import Row

_SHARD = 256
"""Clips of one file of tracks."""


@dataclass(frozen=True)
class Config:
    """What to bring in, and where to."""

    corpus: str  # aligned, facegood, grid or videos
    root: str  # folder that holds the corpus
    output: str  # folder to write, local or s3://
    resources: Resources = field(default_factory=Resources)


def run(config: Config) -> dict[str, Any]:
    """Read the corpus, write its tracks, align the phones of its clips on all workers."""
    importer = corpora.load(config.corpus)
    output = config.output if storage.is_remote(config.output) else os.path.abspath(config.output)
    storage.check_writable(output)

    from expclip.schema import CLIPS
    from ray_jobs import pipeline, shards

    clips: list[corpora.Row] = []
    tracks: list[corpora.Row] = []
    for clip, track in importer.clips(os.path.abspath(config.root), audio_folder=storage.join(output, "audio")):
        clips.append(clip | {"audio": clip["audio"].removeprefix(output + "/")})
        tracks += [track] if track else []
    count = _write_tracks(output, tracks)
    tasks = [
        pipeline.Task(clip["clip_id"], shards.digest(sorted((k, str(v)) for k, v in clip.items())), clip)
        for clip in clips
    ]
    summary = pipeline.map_table(
        lambda: AlignStep(output),
        tasks,
        table=storage.join(output, "clips"),
        schema=CLIPS,
        resources=config.resources,
    )
    print(f"ingest: {len(clips)} clips and {count} tracks in {config.output}, {summary.failed} failed", flush=True)
    return {"clips": len(clips), "tracks": count, "failed": summary.failed}


def _write_tracks(output: str, tracks: list[corpora.Row]) -> int:
    from expclip.schema import TRACKS

    for first in range(0, len(tracks), _SHARD):
        path = storage.join(output, f"tracks/part-{first // _SHARD:05d}.parquet")
        corpora.write_table(path, tracks[first : first + _SHARD], TRACKS)
    return len(tracks)


class AlignStep:
    """A clip -> the same with its phones, or an error if its sound cannot be read."""

    def __init__(self, output: str) -> None:
        self._output = output

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are aligned one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Read the sound and align the words."""
        from expclip.corpora.rows import add_phones
        from expclip.media import SAMPLE_RATE, read_audio

        end = None if row["end"] != row["end"] else row["end"]
        audio_N = read_audio(storage.join(self._output, row["audio"]), start=row["start"], end=end)
        return add_phones(dict(row), audio_N) | {"seconds": len(audio_N) / SAMPLE_RATE}
