"""Training of the generator on CLIPS + TRACKS and the styles of a frozen ExpCLIP: `run(settings)` writes a checkpoint.

Each crop teaches only the channels of its corpus's mask. With EPA a clip without a feeling of its own gets a style
drawn from TEAD, and its target is its speech composed with what that style decodes to; a clip that was acted keeps its
own face and gets the style of its action units, else of its label in words. Everything is drawn from the seed; the
weights kept are a running mean (EMA). B batch, T steps, C channels, D style dimension.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from expclip import checkpoint, clip_table, config, devices, storage, teacher, tead, training, validation
from expclip.augment import EpaOptions
from expclip.clip_table import ClipTable
from expclip.crops import Batch, Sampler
from expclip.errors import BadRequestError, unknown
from expclip.generator import Generator, GeneratorConfig
from expclip.generator_learner import Learner
from expclip.model import ExpCLIP
from expclip.sound_variation import Variation
from expclip.tead import KINDS
from expclip.training import Hooks, Optim, Plan

FREE = ("checkpoint", "cache", "every", "minutes", "device", "loaders", "test_clips", "optim.save", "optim.keep")
"""Settings that do not change what is learnt: a run may go on with others."""


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
    sync: float = 0.02  # counts only with a critic


@dataclass(frozen=True)
class Config:
    """What to train, on what, for how long."""

    expclip: str  # checkpoint folder with the frozen ExpCLIP
    corpora: dict[str, str] = field(default_factory=dict)  # corpus name -> folder with clips/ and tracks/
    shares: dict[str, float] = field(default_factory=dict)  # corpus name -> share of the crops; default 1
    checkpoint: str = ""  # folder to write; empty: nothing is written
    initial: str = ""  # checkpoint whose generator training starts from; empty: from scratch
    whisper: str = ""  # safetensors of a Whisper encoder to distil from; empty: no teacher
    cache: str = ""  # local folder that keeps the teacher's features between runs; empty: in the run's folder
    tead: str = ""  # folder of TEAD records, or several with commas, of which `seed` is the set that ships; empty: seed
    critic: str = ""  # checkpoint with a sync critic, which then teaches, too; empty: none
    texts: int = 3000  # most TEAD texts whose styles are drawn from, beside all expressions; 0: all
    kinds: tuple[str, ...] = KINDS  # of those texts
    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    epa: EpaOptions = field(default_factory=EpaOptions)
    variation: Variation = field(default_factory=Variation)
    losses: LossWeights = field(default_factory=LossWeights)
    optim: Optim = field(default_factory=Optim)
    steps: int = 4000
    batch: int = 24  # crops of a step, of all workers together
    crop: int = 160  # steps of 20 ms of a crop
    rate: float = 2e-3  # highest learning rate
    weight_decay: float = 0.02
    average: float = 0.998  # decay of the running mean of weights
    every: int = 100  # steps between lines on the terminal
    look: int = 500  # steps between looks at the validation split; the weights of the best one are kept; 0: the last
    look_clips: int = 24  # clips of each corpus that a look is on, at most
    minutes: float = 0.0  # stop by then, whatever the step; 0: no limit
    device: str = "auto"  # cpu, cuda, cuda:K; auto: a GPU if there is one
    loaders: int = 1  # threads (without Ray) or processes of each worker that make batches ahead
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


def check(settings: Config) -> dict[str, str]:
    """Return the digests of all data; raises BadRequestError for what cannot be trained on, before any work."""
    if not settings.corpora:
        raise BadRequestError("no corpora to train on; give corpora = {NAME = FOLDER, ...}")
    strange = set(settings.shares) - set(settings.corpora)
    if strange:
        raise BadRequestError(f"shares name {sorted(strange)}, but the corpora are {sorted(settings.corpora)}")
    for kind in settings.kinds:
        if kind not in KINDS:
            raise unknown("kind of text", kind, KINDS)
    given = checkpoint.load(settings.expclip)
    given.part("expclip")
    if settings.initial:
        checkpoint.load(settings.initial).part("generator")
    if settings.critic:
        checkpoint.load(settings.critic).part("critic")
    if settings.whisper and not storage.exists(settings.whisper):
        raise BadRequestError(f"no such file: {settings.whisper}")
    table, _ = _table(settings)
    digests = {f"corpora.{name}": table.of(name).digest() for name in settings.corpora}
    records = tead.load(settings.tead or None)
    if settings.checkpoint:
        storage.check_writable(settings.checkpoint)  # before the work, not after it
    return {**digests, "tead": tead.digest(records), "expclip": given.digest}


def run(settings: Config, hooks: Hooks | None = None) -> dict[str, float]:
    """Train, write the checkpoint (the frozen ExpCLIP beside the generator) and return the figures.

    Of several processes the first one measures, writes and returns; the others return nothing.
    """
    hooks = hooks or Hooks()
    data = check(settings)  # in every process, so that all of them refuse
    fitted = fit(settings, hooks)
    if fitted is None:
        return {}
    if settings.checkpoint:
        source = checkpoint.load(settings.expclip)
        made = {
            "command": "expclip train-generator",
            "config": config.as_dict(settings),
            "data": data,
            "seed": settings.seed,
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "metrics": {name: round(value, 4) for name, value in fitted.metrics.items()},
        }
        parts = {"expclip": source.part("expclip"), "generator": fitted.generator.to_part()}
        checkpoint.save(settings.checkpoint, parts, {**source.provenance, "generator": made})
    return dict(fitted.metrics)


def _table(settings: Config) -> tuple[ClipTable, dict[str, float]]:
    table, figures = clip_table.load(settings.corpora, max_offset=settings.max_offset)
    if not len(table.only("train")):
        raise BadRequestError(f"no clip of {', '.join(settings.corpora)} is of the train split")
    return table, figures


def fit(settings: Config, hooks: Hooks | None = None) -> Fitted | None:
    """Train a generator; return the mean of its weights with figures on the held-out clips, in the first process."""
    hooks = hooks or Hooks()
    table, figures = _table(settings)
    device = devices.resolve(settings.device)
    training.seed_all(settings.seed)
    model = ExpCLIP.from_part(checkpoint.load(settings.expclip).part("expclip")).to(device)
    features = _teacher(settings, table.only("train"), device, hooks)
    learner = Learner(settings, model, features.width if features else 0)
    feed = Crops(settings, table.only("train"), features, device, hooks)
    plan = Plan(settings.steps, settings.look, minutes=settings.minutes)
    held = [table.only("val", corpus=name, most=settings.look_clips) for name in settings.corpora]
    stepper = learner.stepper(hooks)
    course = training.fit(stepper, plan, feed, lambda mean: validation.look(learner.averaged(mean), held), hooks)
    if hooks.place.rank:
        return None
    generator = learner.averaged(course.kept or stepper.mean)
    if settings.closure_recall:
        validation.calibrate(generator, table.only("val"), settings.closure_recall)
    figures |= {f"{name}.unreadable": count for name, count in feed.unreadable().items()}
    for name in settings.corpora:
        for split in ("val", "test"):
            found = table.only(split, corpus=name, most=settings.test_clips)
            figures |= {f"{split}.{name}.{key}": value for key, value in validation.measure(generator, found).items()}
    return Fitted(generator, figures, stepper.done, course.seconds)


def _teacher(settings: Config, table: ClipTable, device: torch.device, hooks: Hooks) -> teacher.Features | None:
    if not (settings.whisper and settings.losses.distillation):
        return None
    path = teacher.path_of(settings.whisper, table, settings.cache or hooks.folder or tempfile.gettempdir())
    if hooks.place.rank == 0:
        teacher.make(settings.whisper, table, path, device)
    return teacher.wait(path)


class Crops:
    """The batches of this process, from the feed, and what was found odd about the clips."""

    def __init__(
        self, settings: Config, table: ClipTable, features: teacher.Features | None, device: torch.device, hooks: Hooks
    ) -> None:
        self._settings, self._device, self._hooks = settings, device, hooks
        shares = {name: settings.shares.get(name, 1.0) for name in settings.corpora}
        self.sampler = Sampler(
            table, shares, seed=settings.seed, steps=settings.crop, variation=settings.variation, teacher=features
        )
        self._corpus = {entry.clip_id: entry.corpus for entry in table.entries}
        self._bad: dict[str, str] = {}

    def __call__(self, numbers: range) -> Iterator[Sequence[Batch]]:
        """Yield the parts of each step's batch."""
        world, size = self._hooks.place.world, self._settings.batch
        if size < world:
            raise BadRequestError(f"a batch of {size} crops is too small for {world} workers")
        slots = self._hooks.place.slots(size)
        rows = self._hooks.feed(self.sampler, numbers, slots, self._settings.loaders)
        for number, columns in zip(numbers, rows, strict=True):
            self._hear(columns["bad"])
            batch = Batch.of(columns, number, slots, self._device)
            yield batch.parts(self._settings.optim.accumulate)

    def _hear(self, bad: Iterable[str]) -> None:
        for line in (line for text in bad for line in str(text).splitlines()):
            clip_id, _, why = line.partition(": ")
            if clip_id not in self._bad:
                self._bad[clip_id] = why
                self._hooks.tell(f"clip {clip_id} is left out: {why}")

    def unreadable(self) -> dict[str, int]:
        """Return how many clips of each corpus could not be read, of those that this process drew."""
        corpora = [self._corpus[clip_id] for clip_id in self._bad]
        return {name: corpora.count(name) for name in sorted(set(corpora))}
