"""Training of the autoregressive baseline (`faceformer`) on corpora's neutral clips, labels composed upon them.

A label's expression is the mean of TEAD's train expressions of that category. The second of two passes is fed with
what the first one made, so that the baseline learns to go on from its own faces. B batch, T steps of 40 ms, C channels.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from expclip import action_units, augment, checkpoint, clip_table, config, storage, tead
from expclip.errors import BadRequestError
from expclip.evaluator import EMOTIONS
from expclip.faceformer import HOP, FaceFormer, FaceFormerConfig
from expclip.rig import FloatArray, load_rig
from expclip.speech_clips import Clip

Report = Callable[[int, Mapping[str, float]], None]
_NEUTRAL = 0.3
"""Share of the crops with the neutral label."""


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    output: str = ""  # folder of the checkpoint to write; empty: nothing is written
    corpora: dict[str, str] = field(default_factory=dict)  # corpus name -> folder with clips/ and tracks/
    tead: str = ""  # folder of TEAD records, or several with commas; empty: the set that ships
    model: FaceFormerConfig = field(default_factory=FaceFormerConfig)
    clips: int = 400  # most train clips of each corpus
    steps: int = 600
    batch: int = 24
    rate: float = 1e-3  # highest learning rate
    every: int = 50  # steps between reports
    seed: int = 0


def run(settings: Config, report: Report | None = None) -> dict[str, float]:
    """Train, write the checkpoint with its provenance, and return the last losses."""
    if settings.output:
        storage.check_writable(settings.output)
    started = time.monotonic()
    model, losses = fit(settings, report)
    if settings.output:
        made = {
            "command": "expclip train-baseline",
            "config": config.as_dict(settings) | {"output": "", "corpora": sorted(settings.corpora)},
            "seed": settings.seed,
            "seconds": round(time.monotonic() - started, 1),
            "losses": {name: round(value, 5) for name, value in losses.items()},
        }
        checkpoint.save(settings.output, {"faceformer": model.to_part()}, {"faceformer": made})
    return losses


def fit(settings: Config, report: Report | None = None) -> tuple[FaceFormer, dict[str, float]]:
    """Return a trained baseline and its last losses; raises BadRequestError if there is nothing to train on."""
    torch.manual_seed(settings.seed)
    clips = _clips(settings) if settings.corpora else []
    if not clips:
        raise BadRequestError("no neutral train clip with a track; name folders with --set corpora.NAME=FOLDER")
    random, model = np.random.default_rng(settings.seed), FaceFormer(settings.model)
    expression_LC = label_expressions(tead.load(settings.tead or None, split="train"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses: dict[str, float] = {}
    for step in range(1, settings.steps + 1):
        crops = [
            _crop(clips[int(random.integers(len(clips)))], settings.model.context, random)
            for _ in range(settings.batch)
        ]
        losses = _step(model, optimizer, crops, expression_LC)
        schedule.step()
        if report and (step % settings.every == 0 or step == settings.steps):
            report(step, losses)
    return model.eval(), losses


def _clips(settings: Config) -> list[Clip]:
    """Return the neutral train clips, spread over each corpus."""
    table, _ = clip_table.load(settings.corpora)
    found: list[Clip] = []
    for name in settings.corpora:
        neutral = [k for k, e in enumerate(table.entries) if (e.corpus, e.split, e.acted) == (name, "train", "")]
        found += [table.clip(k) for k in neutral[:: -(-len(neutral) // settings.clips) or 1]]
    return found


def label_expressions(records: Sequence[tead.Record]) -> torch.Tensor:
    """Return the mean expression (L, C) of each label, 0 for neutral and for one that no record has."""
    mean_LC = np.zeros((len(EMOTIONS), len(load_rig())), np.float32)
    for k, emotion in enumerate(EMOTIONS):
        faces = [action_units.to_weights(record.aus) for record in records if record.category == emotion != "neutral"]
        mean_LC[k] = np.mean(faces, axis=0) if faces else 0
    return torch.from_numpy(mean_LC)


@dataclass(frozen=True, eq=False)
class _Crop:
    audio_N: FloatArray
    weights_TC: FloatArray
    taught_TC: npt.NDArray[np.bool_]
    closure_T: FloatArray
    label: int


def _crop(clip: Clip, steps: int, random: np.random.Generator) -> _Crop:
    """Return a drawn stretch of a clip at 25 fps with a drawn label; short clips are held at their end."""
    start = 2 * int(random.integers(max(1, len(clip) // 2 - steps)))
    place = np.minimum(start + 2 * np.arange(steps), len(clip) - 1)
    sound = clip.audio_N[start * HOP // 2 :][: steps * HOP].astype(np.float32) / 32767
    audio_N: FloatArray = np.zeros(steps * HOP, np.float32)
    audio_N[: len(sound)] = sound
    taught_TC = clip.taught_TC[place] & ((start + 2 * np.arange(steps)) < len(clip))[:, None]
    label = 0 if random.random() < _NEUTRAL else int(random.integers(1, len(EMOTIONS)))
    return _Crop(audio_N, clip.weights_TC[place], taught_TC, clip.closure_T[place], label)


def _step(
    model: FaceFormer, optimizer: torch.optim.Optimizer, crops: Sequence[_Crop], expression_LC: torch.Tensor
) -> dict[str, float]:
    audio_BN = torch.from_numpy(np.stack([crop.audio_N for crop in crops]))
    speech_BTC = torch.from_numpy(np.stack([crop.weights_TC for crop in crops]))
    taught_BTC = torch.from_numpy(np.stack([crop.taught_TC for crop in crops]))
    closure_BT = torch.from_numpy(np.stack([crop.closure_T for crop in crops]).astype(np.float32))
    label_B = torch.tensor([crop.label for crop in crops])
    speech_BTC = speech_BTC * taught_BTC
    felt_BTC = expression_LC[label_B][:, None].expand_as(speech_BTC)
    target_BTC = augment.compose(speech_BTC, felt_BTC, closure_BT)
    apart = [c for c in range(target_BTC.shape[-1]) if c not in load_rig().region("mouth")]
    taught_BTC[..., apart] = True  # off the mouth the label alone decides
    heard_BTW = model.hear(audio_BN)
    with torch.no_grad():
        first_BTC = model(heard_BTW, _before(target_BTC), label_B).clamp(0, 1)
    made_BTC = model(heard_BTW, _before(first_BTC), label_B)
    share = taught_BTC.float().sum().clamp(min=1)
    fit = (((made_BTC - target_BTC) ** 2) * taught_BTC).sum() / share
    speed = ((made_BTC.diff(dim=1) - target_BTC.diff(dim=1)) ** 2 * taught_BTC[:, 1:]).sum() / share
    optimizer.zero_grad(set_to_none=True)
    (fit + speed).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"fit": float(fit.detach()), "speed": float(speed.detach())}


def _before(face_BTC: torch.Tensor) -> torch.Tensor:
    """Return the face before each step: neutral, then those made."""
    return torch.cat([torch.zeros_like(face_BTC[:, :1]), face_BTC[:, :-1]], 1)
