"""Training of ExpCLIP on TEAD: `fit(config, report)` returns the model and its figures; `run` writes the checkpoint.

Everything is drawn from the seed. Each step sees texts of every kind, padded in groups of like length.
The weights that are kept are a running mean (EMA) of those that are trained.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from expclip import checkpoint, config, devices, losses, retrieval, tead
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.prompts import Sample, Sampler

_GROUP = 16
"""Texts that are padded together on a CPU, neighbours in length: mixed lengths would be half padding."""

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Mix:
    """How many texts of each kind a step sees."""

    tag: int = 24
    word: int = 8
    prompt: int = 24
    situation: int = 12
    description: int = 12
    grammar: int = 10
    mixture: int = 4


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    output: str = ""  # folder of the checkpoint to write; empty: nothing is written
    tead: str = ""  # folder of TEAD records, or several with commas, of which `seed` is the set that ships; empty: seed
    start: str = ""  # checkpoint to start from, whose style space (the expression encoder) stays as it is
    model: ExpCLIPConfig = field(default_factory=ExpCLIPConfig)
    mix: Mix = field(default_factory=Mix)
    steps: int = 1600
    head_rate: float = 1e-3  # highest learning rate of the heads
    tower_rate: float = 1e-3  # highest learning rate of the text tower's corrections
    weight_decay: float = 0.05
    align: float = 1.0  # weight of the contrastive loss
    affect: float = 0.2  # weight of category, valence and arousal
    average: float = 0.99  # decay of the running mean of weights
    every: int = 200  # steps between looks at the validation split
    patience: int = 4  # looks without improvement after which training stops
    seed: int = 0
    minutes: float = 0.0  # stop by then, whatever the step; 0: no limit
    device: str = "auto"  # cpu, cuda, cuda:K; auto: a GPU if there is one


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model with its figures on the validation and test splits."""

    model: ExpCLIP
    metrics: Mapping[str, float]
    records: tuple[tead.Record, ...]
    steps: int
    seconds: float


def run(settings: Config, report: Report | None = None) -> dict[str, float]:
    """Train, write the checkpoint with its provenance, and return the figures."""
    fitted = fit(settings, report)
    if settings.output:
        provenance = {
            "expclip": {
                "command": "expclip train-expclip",
                "config": config.as_dict(settings),
                "data": {"tead": tead.digest(fitted.records), "records": len(fitted.records)},
                "seed": settings.seed,
                "steps": fitted.steps,
                "seconds": round(fitted.seconds, 1),
                "metrics": dict(fitted.metrics),
            }
        }
        checkpoint.save(settings.output, {"expclip": fitted.model.to_part()}, provenance)
    return dict(fitted.metrics)


def fit(settings: Config, report: Report | None = None) -> Fitted:
    """Train an ExpCLIP; `report(step, figures)` is called with losses and, at each look, validation figures."""
    started = time.monotonic()
    torch.manual_seed(settings.seed)
    records = tead.load(settings.tead or None)
    parts = {name: [r for r in records if r.split == name] for name in tead.SPLITS}
    device = devices.resolve(settings.device)
    model = _started(ExpCLIP(settings.model), settings.start).to(device)
    unseen = [record.texts["tag"] for record in (*parts["val"], *parts["test"])]
    trainer = _Trainer(model, settings, Sampler(parts["train"], settings.seed, without=unseen))
    best, waited, done = -1.0, 0, 0
    kept = trainer.averaged()
    for step in range(1, settings.steps + 1):
        figures, done = trainer.step(step), step
        late = bool(settings.minutes) and time.monotonic() - started > 60 * settings.minutes
        if step % settings.every == 0 or step == settings.steps or late:
            figures |= trainer.look(parts["val"])
            better = figures["val"] > best or not parts["val"]  # with nothing held out, the last weights are kept
            waited = 0 if better else waited + 1
            if better:
                best, kept = figures["val"], trainer.averaged()
        if report:
            report(step, figures)
        if late or waited > settings.patience:
            break
    model.load_state_dict(kept, strict=False)
    model = _with_gate(model.eval(), parts["val"])
    metrics = {f"val_{k}": v for k, v in retrieval.evaluate(model, parts["val"]).items()} if parts["val"] else {}
    metrics |= retrieval.evaluate(model, parts["test"]) if parts["test"] else {}
    return Fitted(model, metrics, records, done, time.monotonic() - started)


class _Trainer:
    """The model under training, its optimiser and the running mean of its weights."""

    def __init__(self, model: ExpCLIP, settings: Config, sampler: Sampler) -> None:
        self.model, self.settings, self.sampler = model, settings, sampler
        self.device = model.device
        tower = [w for n, w in model.named_parameters() if w.requires_grad and n.startswith("tower.")]
        heads = [w for n, w in model.named_parameters() if w.requires_grad and not n.startswith("tower.")]
        groups = [{"params": heads, "lr": settings.head_rate}, {"params": tower, "lr": settings.tower_rate}]
        groups = [group for group in groups if group["params"]]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.mean = {name: weight.detach().clone() for name, weight in model.trained().items()}
        self.weights = heads + tower

    def _rate(self, step: int) -> float:
        """Rise over the first twentieth, then fall along a cosine to a fiftieth."""
        share = step / max(1, self.settings.steps)
        return min(1.0, (share + 1e-3) / 0.05) * (0.02 + 0.98 * (0.5 + 0.5 * float(np.cos(np.pi * share))))

    def step(self, step: int) -> dict[str, float]:
        """Take one step and return the losses."""
        self.model.train()
        if self.settings.start:
            self.model.expression_head.eval()
        samples = sorted(self.sampler.batch(config.as_dict(self.settings.mix)), key=lambda sample: len(sample.text))
        texts = [sample.text for sample in samples]
        group = _GROUP if self.device.type == "cpu" else len(texts)
        features_BF = torch.cat([self._features(texts[k : k + group]) for k in range(0, len(texts), group)])
        parts = self._losses(features_BF, samples)
        loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimizer.step()
        self.schedule.step()
        keep = min(self.settings.average, step / (step + 10))
        for name, weight in self.model.trained().items():
            self.mean[name].lerp_(weight.detach(), 1 - keep)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        """Return tower features (B, F), in bfloat16 within: twice as fast where the processor knows it."""
        trained = self.settings.model.lora_rank > 0
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=trained):
            return self.model.tower.encode(texts)

    def _losses(self, features_BF: torch.Tensor, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        model = self.model
        truth = _Truth(model, samples)
        texts_BD, strength_B = model.encode_features(features_BF)
        expressions_BD, felt_B = model.encode_expression(truth.weights_BC)
        both_BD, both_B = torch.cat([texts_BD, expressions_BD]), torch.cat([strength_B, felt_B])
        presence_BU, relative_BU = model.decode_direction(both_BD)
        count = len(samples)
        target = losses.soft_targets(truth.units_BU)
        return {
            "text": losses.reconstruction(
                presence_BU[:count], relative_BU[:count], both_B[:count], truth.units_BU
            ),
            "expression": losses.reconstruction(
                presence_BU[count:], relative_BU[count:], both_B[count:], truth.units_BU
            ),
            "align": self.settings.align
            * losses.alignment(texts_BD, expressions_BD, target, log_temperature=model.log_temperature),
            "affect": self.settings.affect
            * losses.affect(model.affect(texts_BD), truth.categories_B, truth.circumplex_B2, truth.known_B),
        }  # fmt: skip

    def averaged(self) -> dict[str, torch.Tensor]:
        """Return the running mean of the trained weights."""
        return {name: weight.clone() for name, weight in self.mean.items()}

    def look(self, records: Sequence[tead.Record]) -> dict[str, float]:
        """Return validation figures of the averaged weights; `val` is the one that decides."""
        if not records:
            return {"val": 0.0}
        live = {name: weight.detach().clone() for name, weight in self.model.trained().items()}
        self.model.load_state_dict(self.mean, strict=False)
        found = retrieval.evaluate(self.model.eval(), records)
        self.model.load_state_dict(live, strict=False)
        found["val"] = float(np.mean([found[f"{kind}_au_f1"] + found[f"{kind}_r2_units"] for kind in tead.KINDS]))
        return found


class _Truth:
    """Samples as tensors: units, weights, category, valence and arousal where the record is known."""

    def __init__(self, model: ExpCLIP, samples: Sequence[Sample]) -> None:
        from expclip.action_units import to_vector, vector_to_weights

        units_BU = np.stack([to_vector(sample.aus, model.rig) for sample in samples])
        device = model.device
        self.units_BU = torch.from_numpy(units_BU).to(device)
        self.weights_BC = torch.from_numpy(vector_to_weights(units_BU, model.rig)).to(device)
        records = [sample.record for sample in samples]
        self.known_B = torch.tensor([record is not None for record in records], device=device)
        categories = [tead.CATEGORIES.index(r.category) if r else 0 for r in records]
        self.categories_B = torch.tensor(categories, device=device)
        circumplex = [[r.valence, r.arousal] if r else [0.0, 0.0] for r in records]
        self.circumplex_B2 = torch.tensor(circumplex, device=device)


_SPACE = ("expression_head", "log_temperature")
"""What makes the style space. With it kept, a generator that was trained in it needs no new training."""


def _started(model: ExpCLIP, folder: str) -> ExpCLIP:
    """Return the model with the tensors of a checkpoint, its style space frozen; as it is if no folder is given."""
    if not folder:
        return model
    part = checkpoint.load(folder).part("expclip")
    known = model.trained()
    model.load_state_dict({name: value for name, value in part.tensors.items() if name in known}, strict=False)
    for name, weight in model.named_parameters():
        if name.startswith(_SPACE):
            weight.requires_grad_(False)
    return model


def _with_gate(model: ExpCLIP, records: Sequence[tead.Record]) -> ExpCLIP:
    """Return the model with the decoder's gate that is best on records (the validation split)."""
    if not records:
        return model
    choices = [(round(0.26 + 0.03 * k, 2), power) for k in range(9) for power in (0.0, 0.25, 0.5, 0.75, 1.0)]
    presence, confidence = retrieval.best_gate(model, records, choices)
    part = model.to_part()
    sizes: dict[str, Any] = {**part.config, "presence": presence, "confidence": confidence}
    return ExpCLIP.from_part(checkpoint.Part(sizes, part.tensors)).to(model.device)
