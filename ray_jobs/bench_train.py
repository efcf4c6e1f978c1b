"""Speed of training: the generator at its own size on made clips, by one worker and by two that share each batch.

For `bench.py`. The first steps, in which loaders start, are left out.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from expclip import checkpoint, corpora, media
from expclip.rig import load_rig
from expclip.schema import CLIPS, TRACKS
from expclip.training import Optim
from ray_jobs import train_generator
from ray_jobs.tracking import Tracking
from ray_jobs.trainer import Event, Scale

_CLIPS, _SECONDS = 40, 4
_BATCH, _CROP = 16, 160
_FIRST = 5
"""Steps in which everything starts."""


def main(folder: Path, steps: int, show: Callable[..., None]) -> None:
    """Train twice and show how fast."""
    corpus = _make(folder / "train")
    speeds = []
    for workers in (1, 2):
        clocks: list[tuple[float, float]] = []
        memory: list[float] = []

        def hear(event: Event, clocks: list[tuple[float, float]] = clocks, memory: list[float] = memory) -> None:
            if event[0] == "step":
                clocks.append((event[1][1]["wait_s"], event[1][1]["step_s"]))
            elif event[0] == "ended":
                memory.append(event[1]["mib"])

        settings = train_generator.Config(
            checkpoint.default_path(), {"made": corpus}, steps=_FIRST + steps, batch=_BATCH, crop=_CROP, look=0,
            texts=100, optim=Optim(save=0), every=10**9, test_clips=1, scale=Scale(workers=workers),
            tracking=Tracking(uri=""),
        )  # fmt: skip
        train_generator.run(settings, hear)
        waited, took = np.array(clocks[_FIRST:]).sum(0)
        speeds.append(steps / took)
        hour = 3600 / (_BATCH * _CROP * 0.02)
        show(f"training, {workers} worker(s), {_BATCH} crops of 3.2 s", f"{speeds[-1]:.2f} steps/s")
        show("  of it waiting for data", f"{100 * waited / took:.1f} %", "less than 5 %")
        show("  an hour of speech", f"{hour / speeds[-1]:.0f} s")
        show("  memory of a worker at most", f"{max(memory):.0f} MiB")
    show("two workers over one", f"{speeds[1] / speeds[0]:.2f}", "at least 1.6 on two free cores")


def _make(folder: Path) -> str:
    """Write a corpus of bursts of noise whose jaw follows."""
    rig, random = load_rig(), np.random.default_rng(0)
    clips: list[dict[str, Any]] = []
    tracks: list[dict[str, Any]] = []
    for k in range(_CLIPS):
        loud_T = (np.sin(np.arange(50 * _SECONDS) / (4 + k % 7)) > 0).astype(np.float32)
        sound_N = 0.2 * np.repeat(loud_T, 320) * random.standard_normal(16_000 * _SECONDS)
        media.write_audio(str(folder / "audio" / f"{k}.wav"), sound_N.astype(np.float32))
        weights_TC = rig.zeros(len(loud_T))
        weights_TC[:, rig.index("jawOpen")] = 0.6 * loud_T
        clips.append({
            **dict.fromkeys(CLIPS.names, ""),
            "clip_id": str(k), "split": "test" if k == 0 else "train", "audio": f"audio/{k}.wav", "start": 0.0,
            "end": float("nan"), "phones": json.dumps([[0.0, 1.0, "AA"]]),
        })  # fmt: skip
        tracks.append({
            "clip_id": str(k), "fps": 50.0, "weights": list(weights_TC), "valid": [True] * len(loud_T),
            "mask": ["jawOpen"],
        })  # fmt: skip
    corpora.write_table(str(folder / "clips" / "0.parquet"), clips, CLIPS)
    corpora.write_table(str(folder / "tracks" / "0.parquet"), tracks, TRACKS)
    return str(folder)
