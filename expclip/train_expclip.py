"""Training of ExpCLIP on TEAD: `fit(settings)` returns the model and its figures; `run` writes the checkpoint.

Everything is drawn from the seed. Each step sees texts of every kind, padded in groups of like length; several
processes share the groups, and each has the features of all of them, so that the losses are those of the whole batch.
The weights that are kept are a running mean (EMA) of those that are trained. B batch, F features of the text tower.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from expclip import checkpoint, config, devices, losses, retrieval, storage, tead, training
from expclip.errors import BadRequestError
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.prompts import Sample, Sampler
from expclip.training import Hooks, Optim, Place, Plan, Stepper

_GROUP = {"cpu": 16}
"""Texts that are padded together, neighbours in length: mixed lengths would be half padding, which a CPU feels."""
_LARGE_GROUP = 64

FREE = ("output", "minutes", "device", "every", "optim.save", "optim.keep")
"""Settings that do not change what is learnt: a run may go on with others."""


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
    optim: Optim = field(default_factory=lambda: Optim(clip=5.0, warmup=0.05))
    steps: int = 1600
    head_rate: float = 1e-3  # highest learning rate of the heads
    tower_rate: float = 1e-3  # highest learning rate of the text tower's corrections
    weight_decay: float = 0.05
    align: float = 1.0  # weight of the contrastive loss
    affect: float = 0.2  # weight of category, valence and arousal
    average: float = 0.99  # decay of the running mean of weights
    look: int = 200  # steps between looks at the validation split; the weights of the best one are kept
    patience: int = 4  # looks without improvement after which training stops
    every: int = 50  # steps between lines on the terminal
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


def check(settings: Config) -> dict[str, str]:
    """Return the digests of all data; raises BadRequestError for what cannot be trained on, before any work."""
    records = tead.load(settings.tead or None)
    tead.require_texts(records)
    if not any(record.split == "train" for record in records):
        raise BadRequestError(f"no record of {settings.tead or tead.SEED} is of the train split")
    started = {"start": checkpoint.load(settings.start).digest} if settings.start else {}
    if settings.output:
        storage.check_writable(settings.output)
    return {"tead": tead.digest(records), **started}


def run(settings: Config, hooks: Hooks | None = None) -> dict[str, float]:
    """Train, write the checkpoint with its provenance, and return the figures; in the first process alone."""
    hooks = hooks or Hooks()
    check(settings)  # in every process, so that all of them refuse
    fitted = fit(settings, hooks)
    if fitted is None:
        return {}
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


def fit(settings: Config, hooks: Hooks | None = None) -> Fitted | None:
    """Train an ExpCLIP; return it with its figures, in the first process."""
    hooks = hooks or Hooks()
    training.seed_all(settings.seed)
    records = tead.load(settings.tead or None)
    parts = {name: [r for r in records if r.split == name] for name in tead.SPLITS}
    device = devices.resolve(settings.device)
    model = _started(ExpCLIP(settings.model), settings.start).to(device)
    learner = Learner(model, settings, hooks.place)
    unseen = [record.texts["tag"] for record in (*parts["val"], *parts["test"])]
    sampler = Sampler(parts["train"], settings.seed, without=unseen)
    mix: dict[str, int] = config.as_dict(settings.mix)

    def batches(numbers: range) -> Iterator[Sequence[Batch]]:
        for number in numbers:
            yield [Batch(number, tuple(sorted(sampler.batch(mix, number), key=lambda sample: len(sample.text))))]

    plan = Plan(settings.steps, settings.look, settings.patience, settings.minutes)
    stepper = learner.stepper()
    course = training.fit(stepper, plan, batches, lambda mean: learner.look(mean, parts["val"]), hooks)
    if hooks.place.rank:
        return None
    learner.take(course.kept or stepper.mean)
    model = _with_gate(model.eval(), parts["val"])
    metrics = {f"val_{k}": v for k, v in retrieval.evaluate(model, parts["val"]).items()} if parts["val"] else {}
    metrics |= retrieval.evaluate(model, parts["test"]) if parts["test"] else {}
    return Fitted(model, metrics, records, stepper.done, course.seconds)


@dataclass(frozen=True)
class Batch:
    """The texts of a step, by length."""

    number: int
    samples: tuple[Sample, ...]


class Learner(nn.Module):
    """ExpCLIP under training: texts of a step in, losses out."""

    def __init__(self, model: ExpCLIP, settings: Config, place: Place) -> None:
        super().__init__()
        self.model, self.settings, self.place = model, settings, place

    def stepper(self) -> Stepper:
        """Return what steps this module."""
        settings, learnt = self.settings, [(n, w) for n, w in self.model.named_parameters() if w.requires_grad]
        tower = [weight for name, weight in learnt if name.startswith("tower.")]
        heads = [weight for name, weight in learnt if not name.startswith("tower.")]
        groups = [
            {"params": weights, "lr": rate, "weight_decay": settings.weight_decay}
            for weights, rate in ((heads, settings.head_rate), (tower, settings.tower_rate))
            if weights
        ]
        return Stepper(self, groups, settings.optim, average=settings.average, place=self.place)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return each loss of the whole step and their sum as `total`, in every process the same."""
        self.model.train()
        if self.settings.start:
            self.model.expression_head.eval()
        features_BF = self._features(batch)
        training.seed_all(self.settings.seed, batch.number)  # the heads' dropout is the same everywhere
        found = self._losses(features_BF, batch.samples)
        return {"total": torch.stack(list(found.values())).sum(), **found}

    def _features(self, batch: Batch) -> torch.Tensor:
        """Return tower features (B, F) of all texts; this process computes those of its own groups."""
        texts = [sample.text for sample in batch.samples]
        size = _GROUP.get(self.model.device.type, _LARGE_GROUP)
        groups = [texts[first : first + size] for first in range(0, len(texts), size)]
        found = {k: self._group(batch.number, k, groups[k]) for k in self.place.slots(len(groups))}
        if self.place.world == 1:
            return torch.cat([found[k] for k in range(len(groups))])
        width = self.model.tower.features
        each = torch.zeros(-(-len(groups) // self.place.world) * size, width, device=self.model.device)
        if found:
            own_BF = torch.cat(list(found.values()))
            each = torch.cat([own_BF, each[len(own_BF) :]])
        every_WBF = _Gathered.apply(each, self.place)  # type: ignore[no-untyped-call]
        places = {k: (k % self.place.world, k // self.place.world * size) for k in range(len(groups))}
        return torch.cat([every_WBF[w, first : first + len(groups[k])] for k, (w, first) in places.items()])

    def _group(self, number: int, k: int, texts: Sequence[str]) -> torch.Tensor:
        """Return features (B, F) of texts, in bfloat16 within: twice as fast where the processor knows it."""
        training.seed_all(self.settings.seed, number, k)
        trained, optim = self.settings.model.lora_rank > 0, self.settings.optim
        enabled = trained and optim.precision != "float32"
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=enabled):
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

    def take(self, mean: Mapping[str, torch.Tensor]) -> None:
        """Put the running mean of the weights into the model."""
        named = dict(self.named_parameters())
        with torch.no_grad():
            for name, weight in mean.items():
                named[name].copy_(weight)

    def look(self, mean: Mapping[str, torch.Tensor], records: Sequence[tead.Record]) -> dict[str, float]:
        """Return validation figures of mean weights; `val` is the one that decides. No records: nothing."""
        if not records:
            return {}
        live = {name: weight.detach().clone() for name, weight in self.named_parameters() if name in mean}
        self.take(mean)
        found = retrieval.evaluate(self.model.eval(), records)
        self.take(live)
        found["val"] = float(np.mean([found[f"{kind}_au_f1"] + found[f"{kind}_r2_units"] for kind in tead.KINDS]))
        return found


class _Gathered(torch.autograd.Function):
    """Features of all processes (W, B, F) of those of each; what comes back is this process's own share.

    Every process computes the same loss of the same whole, so the share of the gradient is complete; times W, since
    the processes' gradients are averaged.
    """

    @staticmethod
    def forward(context: Any, own_BF: torch.Tensor, place: Place) -> torch.Tensor:
        """Gather."""
        context.place = place
        every = [torch.empty_like(own_BF) for _ in range(place.world)]
        torch.distributed.all_gather(every, own_BF.contiguous())
        return torch.stack(every)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        """Return this process's part."""
        return gradients[0][context.place.rank] * context.place.world, None


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
