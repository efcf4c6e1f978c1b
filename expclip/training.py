"""How any of our models is trained: steps, a running mean of the weights, looks, snapshots; in one process or several.

`fit` takes a Stepper from where it stands to the end. All chance is a pure function of seed, step and slot, so that a
state is weights, optimiser and counters alone, and that a restored one goes on exactly. Several processes (torch's
DistributedDataParallel) share each batch by slots and average their gradients; each of them runs `fit`.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from expclip.snapshots import Snapshots

T = TypeVar("T")
Report = Callable[[int, Mapping[str, float]], None]
Curve = Sequence[tuple[int, Mapping[str, float]]]
"""Steps and their figures."""
_FLOOR = 0.02
"""Share of the highest learning rate that is left at the end."""


@dataclass(frozen=True)
class Optim:
    """How steps are taken and how their state is kept."""

    clip: float = 1.0  # largest norm of the gradient
    warmup: float = 0.025  # share of the steps over which the learning rate rises; then it falls along half a cosine
    accumulate: int = 1  # parts of a worker's batch whose gradients are summed before a step: less memory
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the networks; auto: bfloat16 on a GPU
    compile: bool = True  # compile the networks, on a GPU
    save: int = 200  # steps between snapshots, from which a killed run goes on; 0: only at the end
    keep: int = 2  # snapshots that are kept


@dataclass(frozen=True)
class Place:
    """Which of the processes this one is."""

    rank: int = 0
    world: int = 1

    def slots(self, count: int) -> range:
        """Return the slots of a batch of `count` that are this process's."""
        return range(self.rank, count, self.world)

    def agreed(self, value: T) -> T:
        """Return the value that the first process gave."""
        if self.world == 1:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held, src=0)
        return held[0]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of the processes' values."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values / self.world


class Feed(Protocol):
    """How batches come: `rows(number, slots)` of a sampler for one step after another, made ahead."""

    def __call__(self, sampler: Any, numbers: range, slots: Sequence[int], workers: int) -> Iterator[Mapping[str, Any]]:
        """Yield the columns of those slots for each number."""


def threads(sampler: Any, numbers: range, slots: Sequence[int], workers: int) -> Iterator[Mapping[str, Any]]:
    """Feed from threads of this process."""
    return ahead(lambda number: sampler.rows(number, slots), numbers, workers)


def ahead(make: Callable[[int], T], numbers: Iterable[int], workers: int) -> Iterator[T]:
    """Yield `make(number)` in order; threads make the next ones meanwhile."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        coming: deque[Future[T]] = deque()
        for number in numbers:
            coming.append(pool.submit(make, number))
            if len(coming) > max(1, workers):
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


@dataclass(frozen=True)
class Hooks:
    """What a training is connected to."""

    report: Report = lambda step, figures: None  # hears of every step and every look, in the first process alone
    past: Callable[[Curve], None] = lambda curve: None  # hears at the beginning what a resumed run had told
    tell: Callable[[str], None] = lambda line: None  # hears in one line of what is odd
    place: Place = field(default_factory=Place)
    feed: Feed = threads
    snapshots: Snapshots | None = None  # None: a killed run begins anew
    folder: str = ""  # of the run, for what is worth keeping; empty: there is none
    pause: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None  # after each snapshot, everywhere


@dataclass(frozen=True)
class Plan:
    """How long to train and when to look."""

    steps: int
    look: int = 0  # steps between looks at the validation split; 0: none
    patience: int | None = None  # looks without improvement after which training stops; None: it does not
    minutes: float = 0.0  # 0: no limit


def autocast(device: torch.device, optim: Optim) -> AbstractContextManager[Any]:
    """Return the context in which networks compute."""
    precise = optim.precision == "float32" or (optim.precision == "auto" and device.type != "cuda")
    return nullcontext() if precise else torch.autocast(device.type, dtype=torch.bfloat16)


def compiled(function: Callable[..., Any], device: torch.device, optim: Optim) -> Callable[..., Any]:
    """Return the function, compiled where that pays."""
    return torch.compile(function) if optim.compile and device.type == "cuda" else function


def seed_all(*key: int) -> None:
    """Seed torch from a few numbers."""
    torch.manual_seed(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7], "big"))


class Stepper:
    """A module whose `forward(batch)` gives losses, `total` among them: its optimiser and the mean of its weights."""

    def __init__(
        self, module: nn.Module, groups: Sequence[Mapping[str, Any]], optim: Optim, *, average: float, place: Place
    ) -> None:
        """`groups` are AdamW's, each with the highest learning rate as `lr`; `average` is the decay of the mean."""
        self.module, self.optim, self.average, self.place = module, optim, average, place
        self.learnt = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self.optimizer = torch.optim.AdamW([{**group, "highest": group["lr"]} for group in groups])
        self.mean = {name: weight.detach().clone() for name, weight in self.learnt.items()}
        self.done = 0
        self.parallel = module
        if place.world > 1:
            self.parallel = nn.parallel.DistributedDataParallel(
                module, broadcast_buffers=False, find_unused_parameters=True
            )

    def step(self, parts: Sequence[Any], progress: float) -> dict[str, float]:
        """Take a step on this process's parts of a batch; return the losses, the mean of all processes.

        A step whose gradient is not finite changes nothing and is counted in `skipped`.
        """
        self._set_rate(progress)
        self.optimizer.zero_grad(set_to_none=True)
        found: list[torch.Tensor] = []
        for k, part in enumerate(parts):
            alone = k + 1 < len(parts) and isinstance(self.parallel, nn.parallel.DistributedDataParallel)
            with self.parallel.no_sync() if alone else nullcontext():  # type: ignore[operator]
                losses = self.parallel(part)
                (losses["total"] / len(parts)).backward()
            found.append(torch.stack([loss.detach() for loss in losses.values()]))
        norm = nn.utils.clip_grad_norm_(self.learnt.values(), self.optim.clip)
        values = self.place.mean(torch.stack(found).mean(0)).tolist()
        finite = bool(torch.isfinite(norm))
        if finite:
            self.optimizer.step()
            self._follow()
        self.done += 1
        return {**dict(zip(losses, values, strict=True)), "skipped": float(not finite)}

    def _set_rate(self, progress: float) -> None:
        rise = min(1.0, (progress + 1e-3) / self.optim.warmup) if self.optim.warmup else 1.0
        share = rise * (_FLOOR + (1 - _FLOOR) * (0.5 + 0.5 * float(np.cos(np.pi * progress))))
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * share

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.average, (1 + self.done) / (10 + self.done))
        torch._foreach_lerp_(list(self.mean.values()), [w.detach() for w in self.learnt.values()], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on."""
        weights = {name: weight.detach() for name, weight in self.learnt.items()}
        return {"done": self.done, "weights": weights, "mean": self.mean, "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        self.done = state["done"]
        self.optimizer.load_state_dict(state["optimizer"])
        for name, weight in self.learnt.items():
            weight.copy_(state["weights"][name])
            self.mean[name].copy_(state["mean"][name])


@dataclass
class Course:
    """How a training went so far."""

    best: float = -np.inf
    waited: int = 0  # looks since the best one
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)  # mean weights at the best look
    seconds: float = 0.0
    over: bool = False
    curve: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)  # all figures of all steps


def fit(
    stepper: Stepper,
    plan: Plan,
    batches: Callable[[range], Iterator[Sequence[Any]]],
    look: Callable[[Mapping[str, torch.Tensor]], Mapping[str, float]],
    hooks: Hooks,
) -> Course:
    """Train to the end of the plan, from the last snapshot if there is one; return how it went.

    `batches(numbers)` yields the parts of this process's share of each step. `look(weights)` gives figures of mean
    weights on the validation split, in the first process; `val`, if there, decides which weights are kept. Without it
    the last ones are.
    """
    course = _resumed(stepper, hooks)
    if hooks.place.rank == 0:
        hooks.past(course.curve)
    began = time.monotonic() - course.seconds
    feed, used = batches(range(stepper.done, plan.steps)), _used(course, plan)
    course.over = used >= 1 or _impatient(course, plan)  # more minutes may be given now than before
    while stepper.done < plan.steps and not course.over:
        asked = time.monotonic()
        parts = next(feed)
        waited = time.monotonic() - asked
        figures = stepper.step(parts, max(stepper.done / plan.steps, used))
        now = time.monotonic()
        clock = torch.tensor([waited, now - asked, now - began], device=next(iter(stepper.mean.values())).device)
        figures["wait_s"], figures["step_s"], course.seconds = hooks.place.mean(clock).tolist()
        used = _used(course, plan)
        course.over = used >= 1 or stepper.done == plan.steps
        if course.over or (plan.look and stepper.done % plan.look == 0):
            figures |= {name: float(value) for name, value in _look(stepper, plan, course, look, hooks).items()}
        if hooks.place.rank == 0:
            course.curve.append((stepper.done, figures))
            hooks.report(stepper.done, figures)
        if course.over or (stepper.optim.save and stepper.done % stepper.optim.save == 0):
            _save(stepper, course, hooks)
            hooks.pause(stepper.done, figures)
    return course


def _look(
    stepper: Stepper,
    plan: Plan,
    course: Course,
    look: Callable[[Mapping[str, torch.Tensor]], Mapping[str, float]],
    hooks: Hooks,
) -> Mapping[str, float]:
    figures = hooks.place.agreed(dict(look(stepper.mean)) if hooks.place.rank == 0 else {})
    better = figures.get("val", np.inf) > course.best
    course.waited = 0 if better else course.waited + 1
    if better:
        course.best = float(figures.get("val", course.best))
        course.kept = {name: weight.clone() for name, weight in stepper.mean.items()}
    course.over = course.over or _impatient(course, plan)
    return figures


def _used(course: Course, plan: Plan) -> float:
    """Return the share of the time that is used up."""
    return min(1.0, course.seconds / (60 * plan.minutes)) if plan.minutes else 0.0


def _impatient(course: Course, plan: Plan) -> bool:
    return plan.patience is not None and course.waited > plan.patience


def _save(stepper: Stepper, course: Course, hooks: Hooks) -> None:
    if hooks.snapshots and hooks.place.rank == 0:
        hooks.snapshots.save(stepper.done, {"stepper": stepper.state_dict(), "course": vars(course)})


def _resumed(stepper: Stepper, hooks: Hooks) -> Course:
    if hooks.snapshots is None:
        return Course()
    step = hooks.place.agreed(hooks.snapshots.intact() if hooks.place.rank == 0 else 0)
    if not step:
        return Course()
    state = hooks.snapshots.load(step, next(iter(stepper.mean.values())).device)
    stepper.load_state_dict(state["stepper"])
    return Course(**state["course"])
