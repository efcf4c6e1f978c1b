"""How good a generator is on held-out clips, under the zero style, and the threshold of its closure.

T steps of 20 ms, C channels.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from expclip import metrics
from expclip.clip_table import ClipTable
from expclip.generator import Generator
from expclip.speech import RATE
from expclip.speech_clips import Clip


def look(generator: Generator, held: Sequence[ClipTable]) -> dict[str, float]:
    """Return the mean figures of held-out clips by corpus; `val`, the mean of all, decides. Nothing held: nothing."""
    found: dict[str, float] = {}
    for table in (table for table in held if len(table)):
        name = table.entries[0].corpus
        found |= {f"val.{name}.{key}": value for key, value in measure(generator, table).items()}
    known = [value for value in found.values() if np.isfinite(value)]
    return {**found, "val": float(np.mean(known))} if known else found


@torch.inference_mode()
def predict(generator: Generator, clip: Clip) -> tuple[Any, Any]:
    """Return the neutral face (T, C) and the closure (T,) that the generator gives a clip."""
    steps = len(clip)
    device = generator.closure.weight.device
    audio_N = clip.audio_N.astype(np.float32) / 32767
    style = torch.zeros(1, steps, generator.config.style, device=device)
    silent = torch.zeros(1, steps, len(generator.rig), device=device)
    motion = generator(torch.from_numpy(audio_N).to(device)[None], style, silent)
    return motion.weights_BTC[0].cpu().numpy(), motion.closure_BT[0].cpu().numpy()


@torch.no_grad()
def calibrate(generator: Generator, clips: Iterable[Clip], recall: float) -> None:
    """Shift the closure so that its probability reaches 0.5 in that share of the clips' p, b and m.

    The threshold is then one number for every checkpoint. Without phones nothing is changed.
    """
    peaks = []
    for clip in clips:
        logit_T = np.log(np.maximum(closure_T := predict(generator, clip)[1], 1e-6)) - np.log1p(-closure_T + 1e-6)
        for start, end in metrics.bilabials(clip.phones):
            peaks.append(logit_T[max(int(start * RATE) - 1, 0) : int(np.ceil(end * RATE)) + 2].max(initial=-12.0))
    if peaks:
        generator.closure.bias.sub_(float(np.quantile(peaks, 1 - recall, method="lower")))


def measure(generator: Generator, clips: Iterable[Clip]) -> dict[str, float]:
    """Return figures on clips under the zero style: r of jawOpen and mouthPucker (neutral clips), closures."""
    scores: dict[str, list[float]] = {}
    guessed, phones = [], []
    for clip in clips:
        weights_TC, closure_T = predict(generator, clip)
        for name in ("jawOpen", "mouthPucker"):
            k = generator.rig.index(name)
            valid = clip.taught_TC[:, k]
            if not clip.acted and valid.sum() > 10:
                r = metrics.pearson(weights_TC[valid, k], clip.weights_TC[valid, k])
                scores.setdefault(f"{name}.r", []).append(r)
        if clip.phones:
            guessed.append(closure_T)
            phones.append(clip.phones)
    figures = {name: float(np.nanmean(values)) for name, values in scores.items() if np.isfinite(values).any()}
    if phones:
        figures |= metrics.closure_head(guessed, phones, threshold=0.5)
    return figures
