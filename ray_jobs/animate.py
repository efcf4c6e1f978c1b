"""Job `animate`: a catalogue of speech with prompts -> animation files and the table ANIMATIONS.

`expclip animate catalogue.csv -o OUT/` leaves `OUT/CLIP.FORMAT`, `OUT/animations/*.parquet` and, for rows that
failed, `OUT/animations.errors/*.parquet`. Running it again does only what is missing.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import catalogue, checkpoint, exporters, storage
from expclip.animation import check_fps
from expclip.errors import unknown
from expclip.style import check_intensity
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    from expclip.animator import Animator
    from ray_jobs.pipeline import Row, Summary

DEFAULT_FORMATS = ("livelink.csv", "a2f.json")


@dataclass(frozen=True)
class Config:
    """What to animate, and where to."""

    catalogue: str  # .csv, .parquet or .jsonl: clip_id, audio, prompt [, intensity, start, end, seed, fps]
    output: str  # folder to write, local or s3://
    formats: tuple[str, ...] = DEFAULT_FORMATS  # any of livelink.csv a2f.json glb mp4 npz
    checkpoint: str | None = None  # folder; default: the one that ships
    intensity: float = 1.0  # for rows that name none: 0..1.5
    seed: int = 0  # for rows that name none: each gets a seed of its own from this and its clip_id
    fps: float = 30.0  # for rows that name none
    without: tuple[str, ...] = ()  # post-processing to leave out: smoothing silence closure blinks limit clamp
    resources: Resources = field(default_factory=Resources)


def run(
    config: Config,
    load: "Callable[[], Animator] | None" = None,
    report: "Callable[[Summary], None] | None" = None,
) -> "Summary":
    """Animate what is missing and print how it went.

    `load` makes another Animator than the checkpoint's; `report` hears of progress instead of its being printed.
    """
    for format in config.formats:
        if format not in exporters.EXPORTERS:
            raise unknown("format", format, exporters.EXPORTERS)
    if config.without:
        options(config.without)
    check_intensity(config.intensity)
    check_fps(config.fps)
    defaults = catalogue.Line("", "", "", config.intensity, seed=config.seed, fps=config.fps)
    output = storage.absolute(config.output)
    lines, bad = catalogue.read(config.catalogue, defaults)
    source = checkpoint.fingerprint(config.checkpoint) if load is None else ""
    storage.check_writable(output)
    storage.clear_partials(output)

    from expclip import schema
    from ray_jobs import pipeline

    began = time.monotonic()
    settings = (source, sorted(config.formats), sorted(config.without))
    tasks = [pipeline.Task(line.clip_id, _request(line, settings), asdict(line)) for line in lines]
    present = {name.rsplit("/", 1)[-1] for name in storage.listing(output)}
    folder, device = (
        config.checkpoint and storage.absolute(config.checkpoint),
        "cuda" if config.resources.gpus else "cpu",
    )
    make = load or partial(_load, folder, device)
    step = partial(AnimateStep, make, output=output, formats=config.formats, without=config.without)
    print(f"animate: {len(lines) + len(bad)} clips of {config.catalogue} -> {config.output}", flush=True)
    summary = pipeline.map_table(
        step,
        tasks,
        table=storage.join(output, "animations"),
        schema=schema.ANIMATIONS,
        resources=config.resources,
        bad=[pipeline.Failure(line.clip_id, line.row, line.error) for line in bad],
        intact=lambda clip_id: all(f"{clip_id}.{format}" in present for format in config.formats),
        report=report,
        about=asdict(config),
    )
    print(table(summary, config, time.monotonic() - began), flush=True)
    return summary


def _request(line: catalogue.Line, settings: Sequence[object]) -> str:
    """Return the digest of all that decides a line's result; where its sound lies is no part of it."""
    from ray_jobs import shards

    told = asdict(line) | {"audio": line.audio.rsplit("/", 1)[-1]}  # its stamp tells one content from another
    return shards.digest(json.dumps(told, sort_keys=True), *settings)


def _load(folder: str | None, device: str = "cpu") -> "Animator":
    from expclip import animator

    return animator.load(folder, device=device)


class AnimateStep:
    """One line of a catalogue -> its files and its row of ANIMATIONS."""

    def __init__(
        self, load: "Callable[[], Animator]", *, output: str, formats: Sequence[str], without: Sequence[str] = ()
    ) -> None:
        self._animator, self._output, self._formats = load(), output, formats
        self._options = options(without)

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Encode the prompts of a block together."""
        self._animator.styles([row["prompt"] for row in rows])

    def __call__(self, row: "Row") -> "Row":
        """Animate one line and write its files."""
        line = catalogue.Line(**row)
        style = self._animator.style(line.prompt, intensity=line.intensity)
        animation = self._animator.animate(
            line.audio, style, fps=line.fps, seed=line.seed, start=line.start, end=line.end, options=self._options
        )
        files = [f"{line.clip_id}.{format}" for format in self._formats]
        for name, format in zip(files, self._formats, strict=True):
            exporters.save(animation, storage.join(self._output, name), format=format)
        return {
            "prompt": line.prompt,
            "intensity": line.intensity,
            "fps": animation.fps,
            "seconds": animation.seconds,
            "weights": animation.weights_TC,
            "style": style.embedding_D.tolist(),
            "files": files,
            "provenance": json.dumps(dict(animation.provenance), sort_keys=True),
        }


def options(without: Sequence[str]) -> Any:
    """Return the post-processing with the named switches off; raises BadRequestError for an unknown one."""
    from dataclasses import fields

    from expclip.postprocess import PostOptions

    switches = [f.name for f in fields(PostOptions) if f.type is bool or f.type == "bool"]
    for name in without:
        if name not in switches:
            raise unknown("post-processing switch", name, switches)
    return PostOptions(**dict.fromkeys(without, False))


def table(summary: "Summary", config: Config, wall_s: float) -> str:
    """Return the closing table."""
    rows = [
        ("clips", f"{summary.total}"),
        ("already there", f"{summary.there}"),
        ("done now", f"{summary.done}"),
        ("failed", f"{summary.failed}"),
        ("sound", f"{summary.seconds:.1f} s"),
        ("time, start of workers included", f"{wall_s:.1f} s"),
        ("real-time factor, all workers", f"{summary.seconds / wall_s:.1f} x"),
        ("real-time factor of one worker", f"{summary.seconds / summary.work_s:.1f} x" if summary.work_s else "-"),
        ("memory of a worker at most", f"{summary.mib:.0f} MiB" if summary.mib else "-"),
        ("files", ", ".join(storage.join(config.output, f"CLIP.{format}") for format in config.formats)),
        ("table", storage.join(config.output, "animations/*.parquet")),
    ]
    if summary.failed:
        rows.append(("failures", storage.join(config.output, "animations.errors/*.parquet")))
    lines = [f"{name:<34}{value}" for name, value in rows]
    lines += [f"  {failure.clip_id or '?'}: {failure.error}" for failure in summary.failures[:10]]
    more = summary.failed - 10
    return "\n".join([*lines, f"  ... and {more} more"] if more > 0 else lines)
