"""Speed and memory on this machine, as ratios and real-time factors. `make bench`, or `python -m ray_jobs.bench`.

Settings as `name=value`: checkpoint, clips, seconds, frames, steps, video, only. Nothing is asserted: the figures are
for reading. All models compute with one thread, so that a real-time factor is one of a core. On a busy machine look at
the figures by CPU time; those by the clock belong to a quiet one.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from expclip import catalogue, config
from ray_jobs import bench_extract, bench_train
from ray_jobs.cluster import Resources

_BLOCK = 32


@dataclass(frozen=True)
class Config:
    """What to measure with."""

    checkpoint: str | None = None  # folder; default: the one that ships
    clips: int = 300  # of the bulk job
    seconds: float = 5.0  # of each clip
    frames: int = 60  # to render
    answers: int = 256  # of a language model's service, to annotate with
    latency: float = 1.0  # seconds of each
    in_flight: int = 8  # asked for at once
    steps: int = 30  # of training, after those in which everything starts
    video: str = ""  # a video of a face, for the speed of extraction; empty: that is left out
    only: Literal["", "animate", "annotate", "extract", "train"] = ""  # empty: all


@dataclass(frozen=True)
class Spent:
    """Time of a piece of work, in seconds."""

    wall: float
    cpu: float


def main() -> None:
    """Measure and print."""
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = config.load(Config, sets=sys.argv[1:])
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.only in ("", "animate"):
            path = _make_catalogue(Path(folder), chosen)
            _command(Path(folder), chosen)
            _bulk(Path(folder), path, chosen)
        if chosen.only in ("", "annotate"):
            _annotation(Path(folder), chosen)
        if chosen.only in ("", "extract"):
            bench_extract.main(Path(folder), chosen.video, _print)
        if chosen.only in ("", "train"):
            bench_train.main(Path(folder), chosen.steps, _print)
    if chosen.only in ("", "animate"):
        _renderer(chosen)


def _print(name: str, value: str, goal: str = "") -> None:
    print(f"{name:<62}{value:>12}   {goal}", flush=True)


def _make_catalogue(folder: Path, chosen: Config) -> str:
    """Write clips of a buzz with syllables and a catalogue of them."""
    import numpy as np

    from expclip import media

    time_N = np.arange(int(chosen.seconds * media.SAMPLE_RATE)) / media.SAMPLE_RATE
    lines = ["clip_id,audio,prompt"]
    for k in range(chosen.clips):
        buzz_N = np.sign(np.sin(2 * np.pi * (90 + k % 120) * time_N)) * np.clip(np.sin(16 * time_N + k), 0, 1)
        media.write_audio(str(folder / f"{k}.wav"), (buzz_N / 3).astype(np.float32))
        lines.append(f"c{k},{k}.wav,{('a shy smile', 'cold anger', 'barely holding back tears')[k % 3]} {k % 50}")
    path = folder / "catalogue.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def _command(folder: Path, chosen: Config) -> None:
    """One line by the command, against the bare imports."""
    python = sys.executable
    animate = [python, "-m", "ray_jobs.cli", "animate", str(folder / "0.wav"), "-p", "a shy smile", "-o"]
    animate += [str(folder / "0.livelink.csv")] + (["--checkpoint", chosen.checkpoint] if chosen.checkpoint else [])
    pairs = [(_child([python, "-c", "import torch, transformers"]), _child(animate)) for _ in range(4)][1:]
    bare, line = (Spent(min(s.wall for s in side), min(s.cpu for s in side)) for side in zip(*pairs, strict=True))
    _print("import torch, transformers (best of 3)", f"{bare.wall:.2f} s", f"cpu {bare.cpu:.2f} s")
    _print(f"expclip animate, {chosen.seconds:g} s wav to livelink csv (best of 3)", f"{line.wall:.2f} s",
           f"cpu {line.cpu:.2f} s")  # fmt: skip
    _print("  times the bare imports", f"{line.wall / bare.wall:.2f}", f"cpu {line.cpu / bare.cpu:.2f}; at most 3")
    package = min(_child([python, "-c", "import expclip"]).wall for _ in range(3))
    _print("import expclip, interpreter included (best of 3)", f"{package:.2f} s", "at most 0.2")


def _child(command: list[str]) -> Spent:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _bulk(folder: Path, path: str, chosen: Config) -> None:
    """The same clips by a loop in this process and by the job with one worker: wav -> table + livelink csv."""
    from ray_jobs import animate

    lines, _ = catalogue.read(path)
    sound = chosen.seconds * len(lines)
    loops = [_loop(folder / "loop0", lines, chosen)]
    marks: list[tuple[float, int, float]] = []
    began = time.perf_counter()
    settings = animate.Config(
        path, str(folder / "job"), ("livelink.csv",), chosen.checkpoint, resources=Resources(workers=1)
    )
    summary = animate.run(settings, report=lambda now: marks.append((time.perf_counter(), now.done, now.work_s)))
    loops.append(_loop(folder / "loop1", lines, chosen))
    loop = min(loops, key=lambda spent: spent.wall)
    first, last = marks[0], marks[-1]  # from the first block's return on, nothing is started any more
    share = len(lines) / (last[1] - first[1])
    steady, work = (last[0] - first[0]) * share, (last[2] - first[2]) * share
    print()
    _print("loop in this process, one thread", f"{sound / loop.wall:.0f} x", f"by CPU time {sound / loop.cpu:.0f} x")
    _print("job, one worker, steady state", f"{sound / steady:.0f} x", "real time; at least 100")
    _print("  inside its step", f"{sound / work:.0f} x")
    _print("Ray over the loop, steady state", f"{100 * (steady / loop.wall - 1):+.0f} %", "less than 20")
    _print("Ray over its own step, steady state", f"{100 * (steady / work - 1):+.0f} %")
    _print("start until the first block is back", f"{first[0] - began:.1f} s")
    _print("memory of the worker at most", f"{summary.mib:.0f} MiB", "less than 1536")


def _loop(output: Path, lines: list[catalogue.Line], chosen: Config) -> Spent:
    """Do what the job's worker does, block by block, without Ray; models are loaded before the clock starts."""
    import torch

    from expclip import schema
    from ray_jobs import animate, shards

    torch.set_num_threads(1)
    output.mkdir()
    step = animate.AnimateStep(partial(animate._load, chosen.checkpoint), output=str(output), formats=("livelink.csv",))
    step(asdict(lines[0]))
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(lines), _BLOCK):
        rows = [asdict(line) for line in lines[start : start + _BLOCK]]
        step.prepare(rows)
        made = [{"clip_id": row["clip_id"], **step(row)} for row in rows]
        shards.write(str(output / "animations"), f"part-{start}", made, schema.ANIMATIONS)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


class _Endpoint:
    """An OpenAI-compatible service on loopback that takes a fixed time for each answer, on a loop in a thread."""

    def __init__(self, latency: float) -> None:
        self.first = 0.0  # when it was first asked
        self._latency = latency
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        started = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self.url = f"http://127.0.0.1:{started.result().sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while (line := await reader.readline()).strip():
                head += line
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            self.first = self.first or time.perf_counter()
            await asyncio.sleep(self._latency)
            content = _completion(body["seed"])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        writer.close()


def _completion(number: int) -> bytes:
    answer = {
        "emotion": "calm joy", "category": "happiness", "valence": 0.5, "arousal": 0.1, "tag": "calm joy",
        "action_units": [{"unit": "AU12", "intensity": 0.4}, {"unit": "AU6", "intensity": 0.3}],
        "situation": f"The train number {number} is on time and the seat by the window is free.",
        "description": f"Lip corners up a little, cheeks lifted, look number {number}.",
    }  # fmt: skip
    choice = {"message": {"content": json.dumps(answer)}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 150}}).encode()


def _annotation(folder: Path, chosen: Config) -> None:
    """Texts by a bare client and by the job with one worker, both with as many requests in flight."""
    from expclip.llm import Settings
    from expclip.review import ReviewOptions
    from ray_jobs import annotate

    bare, endpoint = _Endpoint(chosen.latency), _Endpoint(chosen.latency)
    bare_s = asyncio.run(_ask(bare.url, chosen))
    (folder / "texts.txt").write_text(
        "\n".join(f"Say line {k} with quiet joy." for k in range(chosen.answers)), "utf-8"
    )
    settings = annotate.Config(
        str(folder / "texts.txt"), str(folder / "tead"), "openai",
        Settings(endpoint.url, "bench", in_flight=chosen.in_flight), review=ReviewOptions(quality=-1, alike=2),
        checkpoint=chosen.checkpoint,
    )  # fmt: skip
    marks: list[tuple[float, float]] = []
    summary = annotate.run(settings, report=lambda now: marks.append((time.perf_counter(), now.work_s)))
    job_s = marks[-1][0] - endpoint.first
    print()
    _print(
        f"answers of {chosen.latency:g} s, {chosen.in_flight} in flight: bare client",
        f"{chosen.answers / bare_s:.1f} /s",
    )
    _print("job, one worker, from its first request on", f"{summary.done / job_s:.1f} /s", f"{summary.failed} rejected")
    _print("  share of the bare client", f"{100 * bare_s / job_s:.0f} %", "at least 90")


async def _ask(url: str, chosen: Config) -> float:
    """Return the seconds in which a bare client gets all answers."""
    import aiohttp

    slots = asyncio.Semaphore(chosen.in_flight)

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        async with slots, session.post(f"{url}/chat/completions", json={"seed": number}) as response:
            await response.read()

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(one(session, number) for number in range(chosen.answers)))
        return time.perf_counter() - began


def _renderer(chosen: Config) -> None:
    from expclip import render

    began = time.process_time()
    wall_fps = render.measure(chosen.frames)
    cpu = time.process_time() - began
    print()
    _print("frames of the face drawn a second, 512 px", f"{wall_fps:.0f}", f"at least 30; {cpu:.1f} s CPU in all")


if __name__ == "__main__":
    main()
