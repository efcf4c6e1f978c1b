"""Speed and memory of `extract`, as ratios of one run: against a bare loop, with two workers, with many clips.

Part of `make bench`. Speed needs the extra `extract` and a video of a face: `python -m ray_jobs.bench video=FILE`.
Each comparison is kept to its cores, helpers included, and both sides take turns; on a busy machine read the figures
by CPU time.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from expclip import corpora, media
from expclip.corpora import rows
from expclip.extractors import Face, Settings, Source, bundle
from expclip.rig import load_rig
from expclip.schema import CLIPS

Print = Callable[[str, str, str], None]
_TURNS = 3
_FEW, _MANY = 100, 2000
_SECONDS = 60.0
"""Of video that each worker gets."""


def main(folder: Path, video: str, tell: Print) -> None:
    """Measure in a folder and tell; without a video only memory."""
    if video:
        _against_bare_loop(video, tell)
        _workers(folder, video, tell)
    _memory(folder, tell)


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Keep this process, and those it starts, to so many cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds by the clock and of processor time, children included."""

    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    wall, before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - wall, cpu() - before


def _against_bare_loop(video: str, tell: Print) -> None:
    from expclip.extractors import mediapipe

    content = bundle.read()
    extractor = mediapipe.MediaPipe(content, "bench")
    frames = len(extractor.measure(Source("", video))[0].time_T)
    with _cores(1):
        turns = [
            (_spent(lambda: _bare_loop(video, content)), _spent(lambda: extractor.measure(Source("", video))))
            for _ in range(_TURNS)
        ]
    extractor.close()
    bare, ours = (statistics.median(frames / side[0] for side in sides) for sides in zip(*turns, strict=True))
    cpu = statistics.median(bare[1] / ours[1] for bare, ours in turns)
    tell("bare MediaPipe loop on one core, frames a second", f"{bare:.0f}", f"{frames} frames of {Path(video).name}")
    tell("extractor on the same core, frames a second", f"{ours:.0f}", "")
    tell("  of the bare loop's rate", f"{100 * ours / bare:.0f} %", f"by CPU time {100 * cpu:.0f} %; at least 90")


def _bare_loop(video: str, content: bytes) -> None:
    """What the shortest program does: ffmpeg decodes, MediaPipe tracks one face, the scores are taken."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    from expclip.video import Frames

    with Frames(video) as first:
        height, width, _ = next(iter(first)).picture.shape
    command = [media.ffmpeg(), "-v", "error", "-threads", "1", "-i", f"file:{video}", "-vf", f"scale={width}:{height}"]
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=content),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    scores: list[list[float]] = []
    size = height * width * 3
    with (
        vision.FaceLandmarker.create_from_options(options) as landmarker,
        subprocess.Popen([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        while len(raw := process.stdout.read(size)) == size:
            picture = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
            image = Image(image_format=ImageFormat.SRGB, data=picture)
            for face in landmarker.detect_for_video(image, 40 * len(scores)).face_blendshapes:
                scores.append([shape.score for shape in face])


def _corpus(folder: Path, count: int, audio: str, video: str) -> str:
    """Write a corpus folder of so many clips of one file."""
    clips = [
        rows.clip_row(f"c{k:05d}", speaker=f"s{k // 10}", audio=audio, video=video, licence="bench")
        for k in range(count)
    ]
    corpora.write_table(str(folder / "clips" / "0.parquet"), clips, CLIPS)
    return str(folder)


def _workers(folder: Path, video: str, tell: Print) -> None:
    """The whole job with one worker on one core and with two on two, from the first block's return to the last's."""
    path = os.path.abspath(video)
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        return
    clips = max(6, round(_SECONDS / max(len(media.read_audio(path)) / media.SAMPLE_RATE, 0.1)))
    rates: dict[int, list[float]] = {}
    for count in (1, 2, 1, 2):
        turn = len(rates.get(count, ()))
        corpus = _corpus(folder / f"workers{count}-{turn}", count * clips, path, path)
        with _cores(count):
            told = _child("ray_jobs.bench_extract", "job", corpus, "mediapipe", str(count), "4")
        rates.setdefault(count, []).append(told["rate"])
    one, two = (max(rates[count]) for count in (1, 2))
    tell("job, one worker on one core, seconds of video a second", f"{one:.1f}", "")
    tell("job, two workers on two cores", f"{two:.1f}", "")
    tell("  times the rate of one", f"{two / one:.2f}", "at least 1.8")


def _memory(folder: Path, tell: Print) -> None:
    """Driver and worker with few and with many clips, with an extractor that costs nothing."""
    sound = str(folder / "tone.wav")
    media.write_audio(sound, (np.sin(np.arange(32_000) / 20) / 2).astype(np.float32))
    found = {}
    for count in (_FEW, _MANY):
        corpus = _corpus(folder / f"memory{count}", count, sound, sound)
        found[count] = _child("ray_jobs.bench_extract", "job", corpus, "ray_jobs.bench_extract:fake", "1", "32")
    for name in ("driver", "worker"):
        few, many = (found[count][name] for count in (_FEW, _MANY))
        tell(f"memory of the {name}, {_FEW} and {_MANY} clips", f"{few:.0f}, {many:.0f}",
             f"MiB: {100 * (many / few - 1):+.0f} %; within 10")  # fmt: skip


def _child(module: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _job(corpus: str, extractor: str, workers: str, block_rows: str) -> None:
    """Run one extraction in this process; print its figures as JSON on the last line."""
    from ray_jobs import extract, ledger
    from ray_jobs.cluster import Resources

    progress = Path(corpus) / "progress.ndjson"
    resources = Resources(workers=int(workers), block_rows=int(block_rows), progress=str(progress))
    extract.run(extract.Config(corpus, f"{corpus}/tracks", extractor, resources=resources))
    told = [json.loads(line) for line in progress.read_text("utf-8").splitlines()]
    marks = [each for each in told if each["event"] == "progress" and each["table"].endswith("measured")]
    span = marks[-1]["wall_s"] - marks[0]["wall_s"]
    figures = {
        "rate": (marks[-1]["seconds"] - marks[0]["seconds"]) / span if span > 0 else float("nan"),
        "driver": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "worker": ledger.read(f"{corpus}/tracks.work/measured")[-1]["mib"],
    }
    print(json.dumps(figures))


class Fake:
    """Sees a face that opens its jaw now and then, in two seconds of no video."""

    version = "fake"
    needs_video = False

    def measure(self, source: Source) -> list[Face]:
        """Return the same face for every clip."""
        time_T = np.arange(50) / 25
        weights_TC, nothing_T = load_rig().zeros(50), np.full(50, np.nan, np.float32)
        weights_TC[:, load_rig().index("jawOpen")] = np.abs(np.sin(9 * time_T))
        pose_T6 = np.zeros((50, 6), np.float32)
        return [Face(time_T, weights_TC, pose_T6, nothing_T, nothing_T, nothing_T, mask=("jawOpen",))]


def fake(settings: Settings) -> Fake:
    """Return the extractor that costs nothing."""
    return Fake()


if __name__ == "__main__":
    _job(*sys.argv[2:])
