"""Training of the generator on CLIPS + TRACKS and the styles of a frozen ExpCLIP: `run(config)` writes a checkpoint.

Each crop teaches only the channels of its corpus's mask. With EPA a clip without an emotion of its own gets a style
drawn from TEAD, and its target is its speech composed with what that style decodes to. Everything is drawn from the
seed; the weights kept are a running mean (EMA). B batch, T steps, C channels, D style dimension.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from expclip import augment, checkpoint, config, devices, metrics, motion_losses, speech_clips, storage, sync, tead
from expclip.augment import EpaOptions, Palette
from expclip.errors import BadRequestError
from expclip.generator import Generator, GeneratorConfig
from expclip.model import ExpCLIP
from expclip.speech import HOP, RATE, Student, WhisperSpeech, whisper_from_safetensors
from expclip.speech_clips import PHONES, Batch, Clip, Sampler, Variation

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class LossWeights:
    """Weight of each loss; 0 turns it off."""

    position: float = 10.0
    velocity: float = 30.0
    correlation: float = 0.2
    closure: float = 1.0
    phones: float = 0.3
    distillation: float = 0.3
    style: float = 0.05


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    expclip: str  # checkpoint folder with the frozen ExpCLIP
    corpora: dict[str, str] = field(default_factory=dict)  # corpus name -> folder with clips/ and tracks/
    shares: dict[str, float] = field(default_factory=dict)  # corpus name -> share of the crops; default 1
    checkpoint: str = ""  # folder to write; empty: nothing is written
    initial: str = ""  # checkpoint whose generator training starts from; empty: from scratch
    whisper: str = ""  # safetensors of a Whisper encoder to distil from; empty: no teacher
    cache: str = ""  # local folder that keeps the teacher's features between runs; empty: computed anew
    tead: str = ""  # folder of TEAD records, or several with commas, of which `seed` is the set that ships; empty: seed
    texts: int = 3000  # most TEAD texts whose styles are drawn from, beside all expressions; 0: all
    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    epa: EpaOptions = field(default_factory=EpaOptions)
    variation: Variation = field(default_factory=Variation)
    losses: LossWeights = field(default_factory=LossWeights)
    steps: int = 4000
    batch: int = 24  # crops of a step
    crop: int = 160  # steps of 20 ms of a crop
    rate: float = 2e-3  # highest learning rate
    weight_decay: float = 0.02
    average: float = 0.998  # decay of the running mean of weights
    every: int = 100  # steps between reports
    minutes: float = 0.0  # stop by then, whatever the step; 0: no limit
    device: str = "auto"  # cpu, cuda, cuda:K; auto: a GPU if there is one
    loaders: int = 1  # threads that make batches ahead
    seed: int = 0
    max_offset: float = 0.1  # seconds; clips whose lips and sound lie further apart are not trained or measured on
    test_clips: int = 100  # held-out clips of each corpus to measure on, at the end
    closure_recall: float = 0.975  # share of p, b, m of the validation split that closure >= 0.5 finds; 0: as trained


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained generator with its figures on held-out clips."""

    generator: Generator
    metrics: Mapping[str, float]
    steps: int
    seconds: float


class Heads(nn.Module):
    """Heads that only training needs: phones and the teacher's features from the front end's."""

    def __init__(self, width: int, teacher: int) -> None:
        super().__init__()
        self.phones = nn.Linear(width, len(PHONES))
        self.teacher = nn.Linear(width, teacher) if teacher else None


def run(settings: Config, report: Report | None = None) -> dict[str, float]:
    """Train, write the checkpoint (the frozen ExpCLIP beside the generator) and return the figures."""
    source = checkpoint.load(settings.expclip)
    if settings.checkpoint:
        storage.check_writable(settings.checkpoint)  # before the work, not after it
    fitted = fit(settings, report)
    if settings.checkpoint:
        made = {
            "command": "expclip train-generator",
            "config": config.as_dict(settings),
            "data": {"tead": tead.digest(tead.load(settings.tead or None)), "corpora": sorted(settings.corpora)},
            "seed": settings.seed,
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "metrics": {name: round(value, 4) for name, value in fitted.metrics.items()},
        }
        parts = {"expclip": source.part("expclip"), "generator": fitted.generator.to_part()}
        checkpoint.save(settings.checkpoint, parts, {**source.provenance, "generator": made})
    return dict(fitted.metrics)


def fit(settings: Config, report: Report | None = None) -> Fitted:
    """Train a generator; return the running mean of its weights with figures on the held-out clips."""
    _check(settings)
    began = time.monotonic()
    torch.manual_seed(settings.seed)
    device = devices.resolve(settings.device)
    model = ExpCLIP.from_part(checkpoint.load(settings.expclip).part("expclip")).to(device)
    clips, figures = in_sync(settings.corpora, settings.max_offset)
    train = [clip for found in clips.values() for clip in found if clip.split == "train"]
    teacher = (
        teach(settings.whisper, train, cache=settings.cache, device=device)
        if settings.whisper and settings.losses.distillation
        else None
    )
    trainer = Trainer(settings, model, train, teacher)
    began = time.monotonic()
    step = trainer.train(report)
    seconds = time.monotonic() - began
    generator = trainer.average.eval().requires_grad_(False)
    if settings.closure_recall:
        calibrate(
            generator, [c for found in clips.values() for c in found if c.split == "val"], settings.closure_recall
        )
    for name, found in clips.items():
        for split in ("val", "test"):
            held_out = [clip for clip in found if clip.split == split][: settings.test_clips]
            figures |= {f"{split}.{name}.{key}": value for key, value in measure(generator, held_out).items()}
    return Fitted(generator, figures, step, seconds)


def in_sync(corpora: Mapping[str, str], max_offset: float) -> tuple[dict[str, list[Clip]], dict[str, float]]:
    """Return each corpus's clips, and how many were left out: those without sound, and those out of sync by more."""
    clips: dict[str, list[Clip]] = {}
    figures: dict[str, float] = {}
    for name, folder in corpora.items():
        found = speech_clips.load(folder, name)
        if silent := speech_clips.without_sound(folder):
            figures[f"{name}.without_sound"] = silent
        known = np.array([(clip.offset_s, clip.offset_lead, len(clip) / RATE) for clip in found]).reshape(-1, 3)
        owners = [clip.recording for clip in found], [clip.speaker for clip in found], [name] * len(found)
        offset_K = sync.settled(*known.T, *owners)
        clips[name] = [clip for clip, offset in zip(found, offset_K, strict=True) if not abs(offset) > max_offset]
        if len(found) > len(clips[name]):
            figures[f"{name}.out_of_sync"] = len(found) - len(clips[name])
    return clips, figures


def _check(settings: Config) -> None:
    if not settings.corpora:
        raise BadRequestError("no corpora to train on; give corpora = {NAME = FOLDER, ...}")
    unknown = set(settings.shares) - set(settings.corpora)
    if unknown:
        raise BadRequestError(f"shares name {sorted(unknown)}, but the corpora are {sorted(settings.corpora)}")


class Trainer:
    """One training: the networks, the styles and the crops."""

    def __init__(
        self, settings: Config, model: ExpCLIP, clips: Sequence[Clip], teacher: Mapping[str, Any] | None
    ) -> None:
        self.settings, self.expclip = settings, model.eval()
        self.device = model.device
        self.random = np.random.default_rng(settings.seed)
        self.generator = self._initial().to(self.device)
        self.average = Generator(self.generator.config).requires_grad_(False).to(self.device)
        self.average.load_state_dict(self.generator.state_dict())
        wide = next(iter(teacher.values())).shape[1] if teacher else 0
        self.heads = Heads(self.generator.encoder.width, wide).to(self.device)
        records = tead.load(settings.tead or None, split="train")
        self.styles: Palette | None = (
            augment.palette(model, records, most_texts=settings.texts) if settings.epa.share else None
        )
        self.sampler = Sampler(
            clips,
            {name: settings.shares.get(name, 1.0) for name in settings.corpora},
            seed=settings.seed,
            variation=settings.variation,
            teacher=teacher,
            device=self.device,
        )
        self.counts_C = motion_losses.channel_weights(self.generator.rig).to(self.device)
        learnt = [p for p in (*self.generator.parameters(), *self.heads.parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(learnt, settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
        self.learnt = learnt
        self._acted_styles: dict[bytes, torch.Tensor] = {}

    def _initial(self) -> Generator:
        if self.settings.initial:
            part = checkpoint.load(self.settings.initial).part("generator")
            return Generator.from_part(part).train().requires_grad_(True)
        return Generator(self.settings.model).train()

    def train(self, report: Report | None = None) -> int:
        """Take all steps (or as many as the minutes allow); return how many."""
        settings, began = self.settings, time.monotonic()
        sums: dict[str, float] = {}
        for step, batch in enumerate(self._batches()):
            used = (time.monotonic() - began) / (60 * settings.minutes) if settings.minutes else 0.0
            if used >= 1:
                return step
            self._schedule(max(step / settings.steps, used), step)
            for name, value in self.step(step, batch).items():
                sums[name] = sums.get(name, 0.0) + value
            if report and (step + 1) % settings.every == 0:
                report(step + 1, {name: value / settings.every for name, value in sums.items()})
                sums = {}
        return settings.steps

    def _batches(self) -> Iterator[Batch]:
        """Yield a batch for each step; the next ones are made by threads meanwhile, each from a seed of its own."""
        settings = self.settings
        with ThreadPoolExecutor(settings.loaders) as pool:
            coming: deque[Future[Batch]] = deque()
            for step in range(settings.steps):
                for number in range(step + len(coming), min(step + 1 + settings.loaders, settings.steps)):
                    coming.append(pool.submit(self.sampler.batch, settings.batch, settings.crop, number))
                yield coming.popleft().result()

    def _schedule(self, progress: float, step: int) -> None:
        """Warm up over 100 steps, then fall along a half cosine."""
        rate = self.settings.rate * min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + float(np.cos(np.pi * progress))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, step: int, batch: Batch) -> dict[str, float]:
        """Take one step; return each loss."""
        losses = self.losses(batch)
        total = torch.stack([getattr(self.settings.losses, name) * loss for name, loss in losses.items()]).sum()
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learnt, 1.0)
        self.optimizer.step()
        self._follow(step)
        values = torch.stack([total, *losses.values()]).tolist()
        return dict(zip(("total", *losses), values, strict=True))

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        decay = min(self.settings.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return each loss of a batch whose weight is not 0."""
        features_BTF = self._features(batch.audio_BN)
        steps = features_BTF.shape[1]
        drawn, own = self._styles(batch, steps)
        style_BTD, expression_BTC = augment.decode(self.expclip, drawn, steps)
        motion = self.generator.decode(features_BTF, style_BTD, expression_BTC)
        composed_BTC = augment.compose(batch.weights_BTC, expression_BTC, batch.closure_BT, self.generator.rig)
        target_BTC = torch.where(own[:, None, None], batch.weights_BTC, composed_BTC)
        counted_BTC = batch.taught_BTC * self.counts_C
        guess_BTC, jaw = motion.weights_BTC, self.generator.rig.index("jawOpen")
        known_BT = (batch.phone_BT >= 0).float()
        all_losses: dict[str, Callable[[], torch.Tensor]] = {
            "position": lambda: motion_losses.position(guess_BTC, target_BTC, counted_BTC),
            "velocity": lambda: motion_losses.velocity(guess_BTC, target_BTC, counted_BTC),
            "correlation": lambda: motion_losses.correlation(
                guess_BTC[..., jaw], target_BTC[..., jaw], batch.taught_BTC[..., jaw].float()
            ),
            "closure": lambda: motion_losses.closure(motion.closure_BT, batch.closure_BT, known_BT),
            "phones": lambda: motion_losses.phones(self.heads.phones(features_BTF), batch.phone_BT),
            "distillation": lambda: self._distillation(features_BTF, batch.teacher_BTF),
            "style": lambda: self._style_loss(guess_BTC, style_BTD, batch.weights_BTC),
        }
        return {name: loss() for name, loss in all_losses.items() if getattr(self.settings.losses, name)}

    def _features(self, audio_BN: torch.Tensor) -> torch.Tensor:
        encoder = self.generator.encoder
        if not isinstance(encoder, Student):
            return self.generator.features(audio_BN)
        with torch.no_grad():
            mel_BTM = speech_clips.vary_mel(encoder.mel(audio_BN), self.random, self.settings.variation)
        return encoder.encode(mel_BTM)

    def _styles(self, batch: Batch, steps: int) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return a style (T or 1, D) for each crop, and which crops keep their own face as target."""
        styles, own = [], []
        for emotion_C in batch.emotions:
            if emotion_C is not None:
                styles.append(self._acted(emotion_C))
            elif self.styles is not None and self.random.random() < self.settings.epa.share:
                styles.append(augment.draw(self.styles, self.random, steps=steps, options=self.settings.epa))
            else:
                styles.append(torch.zeros(1, self.generator.config.style))
            own.append(emotion_C is not None)
        return styles, torch.tensor(own, device=self.device)

    @torch.no_grad()
    def _acted(self, emotion_C: Any) -> torch.Tensor:
        """Return the style (1, D) of an acted expression, on the CPU."""
        key = emotion_C.tobytes()
        if key not in self._acted_styles:
            direction_BD, strength_B = self.expclip.encode_expression(torch.from_numpy(emotion_C)[None].to(self.device))
            self._acted_styles[key] = (direction_BD * strength_B[:, None]).cpu()
        return self._acted_styles[key]

    def _distillation(self, features_BTF: torch.Tensor, teacher_BTF: torch.Tensor | None) -> torch.Tensor:
        if teacher_BTF is None or self.heads.teacher is None:
            return features_BTF.sum() * 0
        return motion_losses.distillation(self.heads.teacher(features_BTF), teacher_BTF)

    def _style_loss(self, guess_BTC: torch.Tensor, style_BTD: torch.Tensor, speech_BTC: torch.Tensor) -> torch.Tensor:
        constant_B = (style_BTD - style_BTD[:, :1]).abs().amax((1, 2)) < 1e-6
        quiet_BT = (speech_BTC[..., self.generator.rig.index("jawOpen")] < 0.08).float() * constant_B[:, None]
        return motion_losses.style_consistency(self.expclip, guess_BTC, style_BTD[:, 0], quiet_BT)


def teach(
    whisper: str, clips: Sequence[Clip], *, cache: str = "", batch: int = 16, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Return a Whisper encoder's features (T, F) float16 of each clip, in windows of at most 10 s.

    `cache` is a local folder in which they are kept as one memory-mapped file for the next run on the same clips.
    """
    if not cache:
        return _teach(whisper, clips, batch, device)
    ordered = sorted(clips, key=lambda clip: clip.clip_id)
    names = "\n".join([whisper, *(f"{clip.clip_id} {len(clip)}" for clip in ordered)])
    path = Path(cache) / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        found = _teach(whisper, clips, batch, device)
        storage.check_writable(cache)
        with storage.write_once(str(path)) as name:
            np.save(name, np.concatenate([found[clip.clip_id] for clip in ordered]))
    table = np.load(path, mmap_mode="r")
    ends = np.cumsum([len(clip) for clip in ordered])
    return {clip.clip_id: table[end - len(clip) : end] for clip, end in zip(ordered, ends, strict=True)}


@torch.inference_mode()
def _teach(whisper: str, clips: Sequence[Clip], batch: int, device: torch.device | str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ordered = sorted(clips, key=len)
    encoder: WhisperSpeech | None = None
    for k in range(0, len(ordered), batch):
        group = ordered[k : k + batch]
        steps = len(group[-1])
        seconds = float(min(10, -(-steps // RATE)))
        if encoder is None or encoder.seconds != seconds:
            encoder = whisper_from_safetensors(whisper, seconds).to(device)
        audio_BN = np.stack([np.pad(clip.audio_N, (0, steps * HOP - len(clip.audio_N))) for clip in group])
        features = encoder(torch.from_numpy(audio_BN.astype(np.float32) / 32767).to(device)).half().cpu().numpy()
        found |= {clip.clip_id: features[i, : len(clip)].copy() for i, clip in enumerate(group)}
    return found


@torch.inference_mode()
def predict(generator: Generator, clip: Clip) -> tuple[Any, Any]:
    """Return the neutral face (T, C) and the closure (T,) that the generator gives a clip."""
    steps = len(clip.audio_N) // generator.hop
    device = generator.closure.weight.device
    audio_N = clip.audio_N[: steps * generator.hop].astype(np.float32) / 32767
    style = torch.zeros(1, steps, generator.config.style, device=device)
    silent = torch.zeros(1, steps, len(generator.rig), device=device)
    motion = generator(torch.from_numpy(audio_N).to(device)[None], style, silent)
    return motion.weights_BTC[0].cpu().numpy(), motion.closure_BT[0].cpu().numpy()


@torch.no_grad()
def calibrate(generator: Generator, clips: Sequence[Clip], recall: float) -> None:
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


def measure(generator: Generator, clips: Sequence[Clip]) -> dict[str, float]:
    """Return figures on clips under the zero style: r of jawOpen and mouthPucker (neutral clips), closures."""
    scores: dict[str, list[float]] = {}
    guessed, phones = [], []
    for clip in clips:
        weights_TC, closure_T = predict(generator, clip)
        for name in ("jawOpen", "mouthPucker"):
            k = generator.rig.index(name)
            valid = clip.taught_TC[:, k]
            if clip.emotion_C is None and valid.sum() > 10:
                r = metrics.pearson(weights_TC[valid, k], clip.weights_TC[valid, k])
                scores.setdefault(f"{name}.r", []).append(r)
        if clip.phones:
            guessed.append(closure_T)
            phones.append(clip.phones)
    figures = {name: float(np.nanmean(values)) for name, values in scores.items()}
    if phones:
        figures |= metrics.closure_head(guessed, phones, threshold=0.5)
    return figures
