"""Load on a service over loopback: `make bench-serve`, or `python -m serve.bench`.

Settings as `name=value`: url, streams, seconds, chunk, only, mode. N streams play made speech in real time, each piece
sent when a microphone would have it. *First frame*: first sound sent -> first frame here. *Lateness*: a frame's arrival
after the last sound that it needs was sent. FPS columns as in NVIDIA's script for Audio2Face-3D: frames of a stream
over its time. Nothing is asserted; look at the load that is printed first.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from expclip import config

_RATE = 16_000
_HEAD = 16
_STYLES = ("a shy smile", "cold anger", "barely holding back tears", "bright joy", "tired and bored")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    url: str = ""  # http://HOST:PORT of a running service; empty: one is started here
    mode: Literal["plain", "proxy", "haproxy"] = "plain"  # of the one started: without Ray, or behind either proxy
    cores: int = 1  # that the one started may use (plain)
    streams: tuple[int, ...] = (1, 10, 30)  # at once
    seconds: float = 20.0  # of each stream
    chunk: float = 0.02  # seconds of sound in a message
    posts: int = 20  # requests of 10 s speech, one after another
    overload: int = 10  # times as many streams as the most above
    ramp: float = 5.0  # seconds over which they come
    only: Literal["", "streams", "post", "overload"] = ""  # empty: all
    port: int = 18_000  # of the one started


@dataclass(eq=False)
class Heard:
    """What one stream saw."""

    first: float = float("nan")
    late: list[float] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    refused: float | None = None
    """Seconds until it was refused."""


def main() -> None:
    """Measure and print."""
    chosen = config.load(Config, sets=sys.argv[1:])
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {chosen.mode if not chosen.url else chosen.url}")
    with _service(chosen) as (url, pid):
        if chosen.only in ("", "streams"):
            _streams(chosen, url, pid)
        if chosen.only in ("", "post"):
            _posts(chosen, url)
        if chosen.only in ("", "overload"):
            _overload(chosen, url, pid)


@contextmanager
def _service(chosen: Config) -> Iterator[tuple[str, int]]:
    """Give the address of a service and its process, 0 if that is not known."""
    if chosen.url:
        yield chosen.url, 0
        return
    url = f"http://127.0.0.1:{chosen.port}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if chosen.mode == "haproxy":
        environment["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
    with subprocess.Popen([sys.executable, "-m", "serve.bench_service", chosen.mode, str(chosen.port)],
                          env=environment, stdin=subprocess.PIPE) as child:  # fmt: skip
        try:
            pid = _wait(url, child)
            if chosen.mode == "plain" and chosen.cores < (os.cpu_count() or 1):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), range(chosen.cores))
            yield url, pid if chosen.mode == "plain" else 0  # on Ray, the replica is another process
        finally:
            child.communicate(b"\n", timeout=120)


def _wait(url: str, child: "subprocess.Popen[bytes]", seconds: float = 180.0) -> int:
    import requests

    end = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        try:
            if requests.get(f"{url}/readyz", timeout=5).status_code == 200:
                return child.pid
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise SystemExit("the service did not start")


def speech(seconds: float, seed: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return a buzz with syllables, 16-bit."""
    time_N = np.arange(int(seconds * _RATE)) / _RATE
    buzz_N = np.sign(np.sin(2 * np.pi * (90 + seed % 120) * time_N)) * np.clip(np.sin(16 * time_N + seed), 0, 1)
    return np.asarray(buzz_N * 10_000, np.int16)


async def play(url: str, number: int, chosen: Config, *, delay: float = 0.0) -> Heard:
    """Play one stream in real time, `delay` seconds from now."""
    import websockets

    heard, sound = Heard(), speech(chosen.seconds, number).tobytes()
    step = int(chosen.chunk * _RATE) * 2
    await asyncio.sleep(delay)
    begun = time.perf_counter()
    async with websockets.connect(url.replace("http", "ws", 1) + "/v1/stream", compression=None) as socket:
        style = _STYLES[number % len(_STYLES)]
        await socket.send(json.dumps({"type": "configure", "style": style, "output": "binary", "seed": number}))
        told = json.loads(await socket.recv())
        if told["type"] == "problem":
            heard.refused = time.perf_counter() - begun
            return heard
        await asyncio.sleep(number % 10 * chosen.chunk / 10)
        start = time.perf_counter()
        listener = asyncio.create_task(_listen(socket, heard, start, told["look_ahead"], chosen.chunk))
        for k in range(0, len(sound), step):
            await asyncio.sleep(start + k / step * chosen.chunk - time.perf_counter())
            await socket.send(sound[k : k + step])
        await socket.send(json.dumps({"type": "end"}))
        await listener
        heard.seconds = time.perf_counter() - start
    return heard


async def _listen(socket: Any, heard: Heard, start: float, look_ahead: float, chunk: float) -> None:
    async for message in socket:
        now = time.perf_counter() - start
        if isinstance(message, str):
            if json.loads(message)["type"] in ("ended", "problem"):
                return
            continue
        if not heard.frames:
            heard.first = now
        count, channels = np.frombuffer(message, "<u4", 2, 8)
        heard.frames += int(count)
        times_K = np.frombuffer(message, "<f4", offset=_HEAD).reshape(int(count), int(channels) + 1)[:, 0]
        # Piece k holds the sound up to (k + 1) pieces and is sent at k pieces.
        needed_K = np.ceil((times_K + look_ahead) / chunk - 1e-3) * chunk - chunk
        heard.late += (now - needed_K).tolist()


async def _together(url: str, count: int, chosen: Config, *, ramp: float = 0.0) -> list[Heard]:
    calls = (play(url, k, chosen, delay=k / count * ramp) for k in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    heard = [h for h in found if isinstance(h, Heard)]
    if len(heard) < count:
        print(f"{count - len(heard)} connections broke off", flush=True)
    return heard


def _streams(chosen: Config, url: str, pid: int) -> None:
    print(f"\n{'streams':>7} | first frame ms p50 p95 p99 | lateness ms p50 p95 p99 max | cores | MiB")
    results = []
    for count in chosen.streams:
        before, began = _cpu(pid), time.perf_counter()
        heard = asyncio.run(_together(url, count, chosen))
        used = (_cpu(pid) - before) / (time.perf_counter() - began)
        played = [h for h in heard if h.refused is None and h.frames]
        first = np.percentile([h.first * 1e3 for h in played], (50, 95, 99))
        late = np.percentile([x * 1e3 for h in played for x in h.late], (50, 95, 99, 100))
        print(f"{len(played):>7} | {_row(first)} | {_row(late)} | {used:.2f} | {_memory(pid):.0f}", flush=True)
        results.append((count, [h.frames / h.seconds for h in played]))
    print(f"\n{'streams':>7} | FPS of a stream: min p1 p5 p10 median mean p90 p95 p99 max")
    for count, rates in results:
        low, high = np.percentile(rates, (0, 1, 5, 10, 50)), np.percentile(rates, (90, 95, 99, 100))
        print(f"{count:>7} | {_row([*low, np.mean(rates), *high], 2)}", flush=True)


def _row(values: Any, digits: int = 0) -> str:
    return " ".join(f"{value:>6.{digits}f}" for value in values)


def _posts(chosen: Config, url: str) -> None:
    import io

    import requests
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, speech(10, 3), _RATE, format="WAV", subtype="PCM_16")
    for name in ("json", "npz", "livelink.csv"):
        took = []
        for _ in range(chosen.posts):
            began = time.perf_counter()
            answer = requests.post(f"{url}/v1/animate?style=proud&format={name}", data=file.getvalue(), timeout=60)
            answer.raise_for_status()
            took.append((time.perf_counter() - began) * 1e3)
        print(f"\nPOST /v1/animate, 10 s of speech, {name}: ms p50 p95 p99 {_row(np.percentile(took, (50, 95, 99)))}")


def _overload(chosen: Config, url: str, pid: int) -> None:
    most, before = max(chosen.streams), _memory(pid)
    heard = asyncio.run(_together(url, most * chosen.overload, chosen, ramp=chosen.ramp))
    refused = [h.refused * 1e3 for h in heard if h.refused is not None]
    late = [x * 1e3 for h in heard if h.refused is None for x in h.late]
    print(f"\n{most * chosen.overload} streams asked for: {len(heard) - len(refused)} taken, {len(refused)} refused")
    if refused:
        print(f"refused after ms p50 p95 p99 {_row(np.percentile(refused, (50, 95, 99)))}")
    if late:
        print(f"lateness of those taken, ms p50 p95 p99 max {_row(np.percentile(late, (50, 95, 99, 100)))}")
    print(f"memory {before:.0f} -> {_memory(pid):.0f} MiB")


def _cpu(pid: int) -> float:
    """Return a process's seconds of processor time."""
    if not pid:
        return 0.0
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        parts = file.read().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    if not pid:
        return 0.0
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
