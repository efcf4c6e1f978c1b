"""Job `synthesize`: nothing but a seed -> a corpus of synthetic speech with mouth motion.

`expclip synthesize -o FOLDER --set hours=2` leaves `FOLDER/clips/*.parquet` (CLIPS), `FOLDER/tracks/*.parquet` (TRACKS)
and `FOLDER/audio/*`. Running it again, or with more hours, makes only the clips that are missing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from expclip import storage
from expclip.errors import BadRequestError
from expclip.synthesize import MEAN_SECONDS, Options, Synthesizer
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    from ray_jobs.pipeline import Row


@dataclass(frozen=True)
class Config:
    """How much to make, and how varied."""

    output: str  # folder to write, local or s3://
    hours: float = 1.0  # about how much speech; clips are 5 s long on the average
    seed: int = 0  # decides every word, voice and sample
    audio: Literal["flac", "ogg", "opus", "wav"] = "flac"  # format of the sound; opus takes a tenth of the room of wav
    options: Options = field(default_factory=Options)
    resources: Resources = field(default_factory=Resources)


def run(config: Config) -> dict[str, Any]:
    """Make what is missing and print how it went."""
    if not 0 < config.hours < 1e4:
        raise BadRequestError(f"hours {config.hours!r} is outside 0..10000")
    output = storage.absolute(config.output)
    storage.check_writable(output)

    from functools import partial

    from expclip.schema import TRACKS
    from ray_jobs import corpus, pipeline, shards

    maker = Synthesizer(config.seed, config.options)
    count = max(1, round(config.hours * 3600 / MEAN_SECONDS))
    request = shards.digest(config.seed, sorted(asdict(config.options).items()))
    tasks = [pipeline.Task(maker.clip_id(index), request, {"index": index}) for index in range(count)]
    present = {name.rsplit("/", 1)[-1] for name in storage.listing(storage.join(output, "audio"))}
    summary = pipeline.map_table(
        partial(SynthesizeStep, config, output),
        tasks,
        table=storage.join(output, "tracks"),
        schema=corpus.joined(TRACKS),
        resources=config.resources,
        intact=lambda clip_id: f"{clip_id}.{config.audio}" in present,
    )
    clips = corpus.write_clips(output)
    print(
        f"synthesize: {clips} clips in {config.output}, {summary.done} of them new ({summary.seconds / 3600:.2f} h at "
        f"{summary.seconds / max(summary.work_s, 1e-9):.0f} x real time per worker), {summary.failed} failed",
        flush=True,
    )
    return {"clips": clips, "made": summary.done, "failed": summary.failed, "seconds": summary.seconds}


class SynthesizeStep:
    """A number -> a clip's sound and its row of CLIPS and TRACKS together."""

    def __init__(self, config: Config, output: str) -> None:
        self._maker, self._output, self._suffix = Synthesizer(config.seed, config.options), output, config.audio

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Clips are made one by one."""

    def __call__(self, row: "Row") -> "Row":
        """Make one clip and write its sound."""
        from expclip.media import SAMPLE_RATE, write_audio

        made = self._maker.make(row["index"])
        audio = f"audio/{made.clip['clip_id']}.{self._suffix}"
        write_audio(storage.join(self._output, audio), made.audio_N)
        return {**made.clip, **made.track, "audio": audio, "seconds": len(made.audio_N) / SAMPLE_RATE}
