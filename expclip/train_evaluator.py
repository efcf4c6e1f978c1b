"""Training of the evaluator: TEAD's train expressions upon true neutral speech, and their texts, into one space.

`fit(config, report)` returns the evaluator and its figures on held-out records with held-out speech; `run` writes the
checkpoint. Motions are composed anew at each step: expression, track, blinks, strength of the speech. The weights kept
are those of the best look at the validation split. B batch, T frames at 50 Hz, C channels, F features.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from expclip import action_units, alignment, augment, checkpoint, config, corpora, postprocess, storage, tead, tracks
from expclip.animation import sample_at
from expclip.errors import BadRequestError
from expclip.evaluator import EMOTIONS, Evaluator, EvaluatorConfig, statistics
from expclip.rig import FloatArray, load_rig
from expclip.tead import KINDS, Record

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    output: str = ""  # folder of the checkpoint to write; empty: nothing is written
    corpora: dict[str, str] = field(default_factory=dict)  # corpus name -> folder with clips/ and tracks/
    tead: str = ""  # folder of TEAD records, or several with commas, of which `seed` is the set that ships; empty: seed
    model: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    steps: int = 2000
    batch: int = 192  # motions of a step, each with one of its texts
    crop: int = 120  # steps of 20 ms of a motion
    rate: float = 1e-3  # highest learning rate
    weight_decay: float = 0.05
    classify: float = 0.3  # weight of the classifier's loss
    every: int = 100  # steps between looks at the validation split
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Speech:
    """A neutral track with its closures, at 50 Hz."""

    weights_TC: FloatArray
    closure_T: FloatArray


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained evaluator with its figures on held-out records."""

    model: Evaluator
    metrics: Mapping[str, float]
    records: tuple[Record, ...]
    steps: int
    seconds: float


def run(settings: Config, report: Report | None = None) -> dict[str, float]:
    """Train, write the checkpoint with its provenance, and return the figures."""
    if settings.output:
        storage.check_writable(settings.output)
    fitted = fit(settings, report)
    if settings.output:
        made = {
            "command": "expclip train-evaluator",
            "config": config.as_dict(settings) | {"output": "", "corpora": sorted(settings.corpora)},
            "data": {"tead": tead.digest(fitted.records), "split": "train", "corpora": sorted(settings.corpora)},
            "seed": settings.seed,
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "metrics": {name: round(value, 4) for name, value in fitted.metrics.items()},
        }
        checkpoint.save(settings.output, {"evaluator": fitted.model.to_part()}, {"evaluator": made})
    return dict(fitted.metrics)


def fit(settings: Config, report: Report | None = None) -> Fitted:
    """Train an evaluator; raises BadRequestError if there is no neutral speech with faces to compose upon."""
    started = time.monotonic()
    torch.manual_seed(settings.seed)
    speech = {split: [s for folder in settings.corpora.values() for s in load_speech(folder, split)] for split in _USED}
    if not speech["train"]:
        raise BadRequestError("no neutral train clip with a track; name folders with --set corpora.NAME=FOLDER")
    records = tead.load(settings.tead or None)
    parts = {split: [r for r in records if r.split == split] for split in tead.SPLITS}
    if not parts["train"]:
        raise BadRequestError("TEAD holds no record of the train split")
    trainer = _Trainer(settings, parts["train"], speech["train"])
    looks = {s: Trial.of(trainer.model, parts[s], speech[s] or speech["train"], settings.crop) for s in ("val", "test")}
    best, kept = -1.0, trainer.weights()
    for step in range(1, settings.steps + 1):
        figures = trainer.step(step)
        if step % settings.every == 0 or step == settings.steps:
            figures |= {f"val_{name}": value for name, value in looks["val"].figures(trainer.model).items()}
            score = figures.get("val_R@1", 0.0) + figures.get("val_emotion_f1", 0.0)
            if score > best or not parts["val"]:
                best, kept = score, trainer.weights()
        if report:
            report(step, figures)
    trainer.model.load_state_dict(kept, strict=False)
    metrics = {f"{split}_{k}": v for split, look in looks.items() for k, v in look.figures(trainer.model).items()}
    return Fitted(trainer.model.eval(), metrics, records, settings.steps, time.monotonic() - started)


_USED = ("train", "val", "test")


def load_speech(folder: str, split: str) -> list[Speech]:
    """Return the tracks of a corpus folder's neutral clips of a split, in order of clip_id; unmeasured channels 0."""
    rig = load_rig()
    rows, found = corpora.read(folder)
    made = []
    for row in sorted(rows, key=lambda r: str(r["clip_id"])):
        if row["split"] != split or row["emotion"] not in ("", "neutral") or row["clip_id"] not in found:
            continue
        track = tracks.Track.of(found[row["clip_id"]])
        steps = int(len(track.weights_TC) / track.fps * postprocess.RATE)
        weights_TC = sample_at(track.weights_TC, track.fps, np.arange(steps) / postprocess.RATE)
        weights_TC[:, sorted(set(range(len(rig))) - set(rig.indices(track.mask)))] = 0
        phones = [(float(a), float(b), str(p)) for a, b, p in json.loads(row["phones"] or "[]")]
        made.append(Speech(weights_TC, augment.closure_curve(phones, steps, postprocess.RATE, ramp=0.03).numpy()))
    return made


def compose(
    expression_BC: torch.Tensor, speech: Sequence[Speech], random: np.random.Generator, crop: int
) -> torch.Tensor:
    """Return motions (B, T, C): each expression upon a drawn stretch of speech of drawn strength, with blinks."""
    rig, weights, closures = load_rig(), [], []
    for _ in range(len(expression_BC)):
        track = speech[int(random.integers(len(speech)))]
        start = int(random.integers(max(1, len(track.weights_TC) - crop)))
        place = np.minimum(start + np.arange(crop), len(track.weights_TC) - 1)
        weights.append(track.weights_TC[place] * np.float32(random.uniform(0.7, 1.2)))
        closures.append(track.closure_T[place])
    speech_BTC = torch.from_numpy(np.clip(np.stack(weights), 0, 1))
    made_BTC = augment.compose(speech_BTC, expression_BC[:, None].expand(-1, crop, -1), _stacked(closures), rig)
    seed = int(random.integers(1 << 30))
    blinks_BT1 = _stacked([postprocess.blink_curve(crop, seed + k) for k in range(len(made_BTC))])[..., None]
    lids, wide = rig.indices(("eyeBlinkLeft", "eyeBlinkRight")), rig.indices(("eyeWideLeft", "eyeWideRight"))
    made_BTC[..., lids] = torch.maximum(made_BTC[..., lids], blinks_BT1)
    made_BTC[..., wide] *= 1 - blinks_BT1
    return made_BTC


def _stacked(curves: Sequence[FloatArray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(curves).astype(np.float32))


class _Trainer:
    """The evaluator under training, its texts' features and its optimiser."""

    def __init__(self, settings: Config, records: Sequence[Record], speech: Sequence[Speech]) -> None:
        self.settings, self.records, self.speech = settings, records, speech
        self.random = np.random.default_rng(settings.seed)
        self.model = Evaluator(settings.model)
        self.features_KRF = text_features(self.model, records)
        self.expression_RC = _expressions(records)
        counts = np.array([sum(r.category == name for r in records) for name in EMOTIONS], float)
        self.share = torch.tensor(1 / np.sqrt(np.maximum(counts, 1)), dtype=torch.float32)
        weights = [w for n, w in self.model.named_parameters() if not n.startswith("tower.")]
        self.optimizer = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, settings.steps)
        with torch.no_grad():
            sample = statistics(compose(self.expression_RC[self._draw(512)], speech, self.random, settings.crop))
        self.model.middle.copy_(sample.mean(0))
        self.model.scale.copy_(sample.std(0).clamp(min=0.02))

    def _draw(self, count: int) -> torch.Tensor:
        chosen = self.random.choice(len(self.records), size=min(count, len(self.records)), replace=False)
        return torch.from_numpy(chosen)

    def step(self, step: int) -> dict[str, float]:
        """Take one step and return the losses."""
        self.model.train()
        rows = self._draw(self.settings.batch)
        kinds = torch.from_numpy(self.random.integers(len(KINDS), size=len(rows)))
        motions_BTC = compose(self.expression_RC[rows], self.speech, self.random, self.settings.crop)
        texts_BD = self.model.text_embedding(self.features_KRF[kinds, rows])
        motions_BD = self.model.motion_embedding(statistics(motions_BTC))
        likeness_BB = texts_BD @ motions_BD.T / self.model.log_temperature.clamp(-4, 0).exp()
        own_B, cross = torch.arange(len(rows)), torch.nn.functional.cross_entropy
        align = (cross(likeness_BB, own_B) + cross(likeness_BB.T, own_B)) / 2
        names = [self.records[int(row)].category for row in rows]
        known = [k for k, name in enumerate(names) if name in EMOTIONS]
        wanted = torch.tensor([EMOTIONS.index(names[k]) for k in known])
        told = cross(self.model.emotions(motions_BD[known]), wanted, weight=self.share) if known else align * 0
        self.optimizer.zero_grad(set_to_none=True)
        (align + self.settings.classify * told).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        return {"align": float(align.detach()), "emotion": float(told.detach())}

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the trained tensors."""
        return {name: value.detach().clone() for name, value in self.model.trained().items()}


def _expressions(records: Sequence[Record]) -> torch.Tensor:
    weights = [action_units.to_weights(record.aus) for record in records]
    return torch.from_numpy(np.stack(weights)) if weights else torch.zeros(0, len(load_rig()))


@torch.inference_mode()
def text_features(model: Evaluator, records: Sequence[Record]) -> torch.Tensor:
    """Return the tower's features (K kinds, R records, F) of all texts, those of like length encoded together."""
    texts = [record.texts[kind] for kind in KINDS for record in records]
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
    out = torch.zeros(len(texts), model.tower.features)
    for k in range(0, len(order), 64):
        out[order[k : k + 64]] = model.tower.encode([texts[row] for row in order[k : k + 64]]).cpu()
    return out.reshape(len(KINDS), len(records), -1).clone()


@dataclass(frozen=True, eq=False)
class Trial:
    """Held-out records as features of their texts and statistics of motions composed once."""

    records: Sequence[Record]
    features_KRF: torch.Tensor
    statistics_RF: torch.Tensor

    @classmethod
    def of(cls, model: Evaluator, records: Sequence[Record], speech: Sequence[Speech], crop: int) -> "Trial":
        """Return the trial of some records with some speech; the same each time."""
        random = np.random.default_rng(1)
        made = (
            compose(_expressions(records), speech, random, crop) if records else torch.zeros(0, crop, len(load_rig()))
        )
        return cls(records, text_features(model, records), statistics(made))

    @torch.inference_mode()
    def figures(self, model: Evaluator) -> dict[str, float]:
        """Return R@1 to R@3 of prompts over true motions, R@1 of shuffled ones, and the emotions' macro-F1."""
        if len(self.records) < 2:
            return {}
        model.eval()
        motions_RD, seen = model.motions(self.statistics_RF.numpy())
        texts_RD = model.text_embedding(self.features_KRF[KINDS.index("prompt")]).numpy()
        found = {name: float(np.mean(each)) for name, each in _recalls(texts_RD, motions_RD).items()}
        shuffled_RD = np.roll(motions_RD, 1, axis=0)
        found["R@1_shuffled"] = float(np.mean(_recalls(texts_RD, shuffled_RD)["R@1"]))
        pairs: list[Any] = [(r.category, s) for r, s in zip(self.records, seen, strict=True) if r.category in EMOTIONS]
        if pairs:
            truth, guess = zip(*pairs, strict=True)
            found["emotion_f1"] = alignment.macro_f1(truth, guess, EMOTIONS)
        return found


def _recalls(texts_RD: FloatArray, motions_RD: FloatArray) -> dict[str, list[float]]:
    return alignment.recalls(alignment.distances(texts_RD, motions_RD))
