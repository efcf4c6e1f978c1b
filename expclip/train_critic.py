"""Training of the sync critic on CLIPS + TRACKS: `run(config)` writes a checkpoint with the part `critic`.

Mouths are those of the speakers, and the same composed with expressions of TEAD, so that a smile or a snarl is not
taken for bad lips. Everything is drawn from the seed. B batch, T steps, C channels.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from expclip import action_units, augment, checkpoint, clip_table, config, critic, devices, postprocess, storage, tead
from expclip.clip_table import ClipTable
from expclip.critic import CriticConfig, SyncCritic
from expclip.crops import Batch, Sampler
from expclip.errors import BadRequestError
from expclip.rig import FloatArray
from expclip.sound_variation import Variation
from expclip.speech_clips import Clip

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    corpora: dict[str, str] = field(default_factory=dict)  # corpus name -> folder with clips/ and tracks/
    shares: dict[str, float] = field(default_factory=dict)  # corpus name -> share of the crops; default 1
    output: str = ""  # folder of the checkpoint to write; empty: nothing is written
    tead: str = ""  # folder of TEAD records, or several with commas, of which `seed` is the set that ships; empty: seed
    model: CriticConfig = field(default_factory=CriticConfig)
    variation: Variation = field(default_factory=Variation)
    styled: float = 0.5  # share of the mouths that are composed with an expression of TEAD
    steps: int = 1500
    batch: int = 16  # crops of a step
    crop: int = 160  # steps of 20 ms of a crop
    rate: float = 2e-3  # highest learning rate
    weight_decay: float = 0.02
    every: int = 100  # steps between reports
    device: str = "auto"  # cpu, cuda, cuda:K; auto: a GPU if there is one
    seed: int = 0
    max_offset: float = 0.1  # seconds; clips whose lips and sound lie further apart are not trained on
    test_clips: int = 100  # held-out clips of each corpus to measure on, at the end


def run(settings: Config, report: Report | None = None) -> dict[str, float]:
    """Train, write the checkpoint and return the figures on held-out clips."""
    if not settings.corpora:
        raise BadRequestError("no corpora to train on; give corpora = {NAME = FOLDER, ...}")
    if settings.output:
        storage.check_writable(settings.output)
    began = time.monotonic()
    table, figures = clip_table.load(settings.corpora, max_offset=settings.max_offset)
    model = fit(settings, table.only("train"), report)
    for name in settings.corpora:
        held_out = table.only("test", corpus=name, most=settings.test_clips)
        figures |= {f"test.{name}.{key}": value for key, value in measure(model, held_out).items()}
    if settings.output:
        made = {
            "command": "expclip train-critic",
            "config": config.as_dict(settings),
            "seconds": round(time.monotonic() - began, 1),
            "metrics": {name: round(value, 4) for name, value in figures.items()},
        }
        checkpoint.save(settings.output, {"critic": model.to_part()}, {"critic": made})
    return figures


def fit(settings: Config, clips: ClipTable, report: Report | None = None) -> SyncCritic:
    """Return a critic trained on clips, frozen."""
    if not len(clips):
        raise BadRequestError("no clip of the train split whose lips and sound are together")
    torch.manual_seed(settings.seed)
    device = devices.resolve(settings.device)
    model = SyncCritic(settings.model).train().to(device)
    shares = {name: settings.shares.get(name, 1.0) for name in settings.corpora}
    sampler = Sampler(clips, shares, seed=settings.seed, steps=settings.crop, variation=settings.variation)
    faces_NC = np.stack([action_units.to_weights(dict(r.aus)) for r in tead.load(settings.tead or None, split="train")])
    optimizer = torch.optim.AdamW(model.parameters(), settings.rate, weight_decay=settings.weight_decay)
    total = 0.0
    for step in range(settings.steps):
        progress = step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = (
                settings.rate * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + float(np.cos(np.pi * progress))))
            )
        batch = sampler.batch(step, range(settings.batch), device)
        mouth_BTC = styled(batch, faces_NC, np.random.default_rng([settings.seed, step, 1]), settings.styled)
        counted_BT = critic.speaking(batch.weights_BTC, batch.taught_BTC)
        loss = critic.sync(model.hear(batch.audio_BN), model.see(mouth_BTC), counted_BT)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if report and (step + 1) % settings.every == 0:
            report(step + 1, {"sync": total / settings.every})
            total = 0.0
    return model.eval().requires_grad_(False)


def styled(batch: Batch, faces_NC: FloatArray, random: np.random.Generator, share: float) -> torch.Tensor:
    """Return the batch's faces (B, T, C), that share of them composed with a drawn expression of drawn strength."""
    speech_BTC = batch.weights_BTC
    count = len(speech_BTC)
    strength_B = (random.random(count) < share) * random.uniform(0.2, 1.2, count)
    drawn_BC = np.clip(faces_NC[random.integers(len(faces_NC), size=count)] * strength_B[:, None], 0, 1)
    face_BTC = torch.from_numpy(drawn_BC.astype(np.float32)).to(speech_BTC.device)[:, None].expand_as(speech_BTC)
    return augment.compose(speech_BTC, face_BTC, batch.closure_BT)


def measure(model: SyncCritic, clips: Iterable[Clip]) -> dict[str, float]:
    """Return the share of clips whose offset is found within 20 ms, the same with their mouths 100 ms late, surety."""
    device = model.audio_in.weight.device
    late = postprocess.RATE // 10
    right, moved, sure = [], [], []
    for clip in clips:
        if len(clip) < 40:
            continue
        audio_N = torch.from_numpy(clip.audio_N.astype(np.float32) / 32767).to(device)
        weights_TC = torch.from_numpy(clip.weights_TC).to(device)
        offset_ms, surety = critic.offset(model, audio_N, weights_TC)
        late_ms, _ = critic.offset(model, audio_N, weights_TC.roll(late, 0))
        right.append(abs(offset_ms) <= 20)
        moved.append(abs(late_ms - 100) <= 20)
        sure.append(surety)
    if not right:
        return {}
    return {"found": float(np.mean(right)), "found_late": float(np.mean(moved)), "sure": float(np.mean(sure))}
