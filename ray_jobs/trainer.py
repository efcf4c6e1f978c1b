"""One training, on Ray Train's workers or in this process: the same command goes on where a killed one was.

`OUTPUT.run` (or `run.folder`) holds `run.json`, which tells what the run is, and its snapshots. Only the first worker
speaks: to an actor that this process listens to, which prints and tells MLflow. All calls of Ray Train are here.
"""

import importlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import expclip
from expclip import config, storage
from expclip.errors import BadRequestError
from expclip.snapshots import Snapshots
from expclip.training import Hooks, Place
from ray_jobs import cluster, feed
from ray_jobs.cluster import Resources
from ray_jobs.pipeline import peak_mib
from ray_jobs.tracking import Tracker, Tracking

Event = tuple[str, Any]
"""What happened: `begun`, `past`, `step`, `told` or `ended`, and with what."""
_RUN = "run.json"
_SECONDS = 0.5
"""Least time between two letters of a worker."""


@dataclass(frozen=True)
class Scale:
    """How many processes train together, and on what."""

    workers: int = 1  # processes that share each batch; 0: this process, without Ray
    least: int = 0  # go on with as few as these when some are lost and none come back; 0: wait for all
    cpus: float = 1.0  # CPUs of a worker, which are also its threads
    gpus: float = -1.0  # GPUs of a worker; -1: one for each if the cluster has them
    failures: int = 3  # times that lost workers are replaced
    address: str = ""  # cluster to join; empty: RAY_ADDRESS, else a local one


@dataclass(frozen=True)
class Run:
    """Where a run keeps its state."""

    folder: str = ""  # local or s3://, seen by all workers; empty: the output's name with .run
    resume: bool = True  # go on from what is there; false: begin anew


@dataclass(frozen=True)
class Job:
    """What to train: a module of the library with `check`, `run` and FREE, and its settings."""

    verb: str
    module: str
    settings: Any
    output: str
    every: int
    shown: Sequence[str]  # figures on the terminal, besides those of looks


def train(
    job: Job, scale: Scale, run: Run, tracking: Tracking, listen: Callable[[Event], None] | None = None
) -> dict[str, float]:
    """Train, write the checkpoint and tell of it; return the figures. `listen` hears every event.

    Raises BadRequestError for what cannot be trained on, for settings other than those the run began with, and for a
    training whose workers fail again and again.
    """
    module = importlib.import_module(job.module)
    data = module.check(job.settings)
    with tempfile.TemporaryDirectory() as nowhere:
        folder = run.folder or (f"{job.output.rstrip('/')}.run" if job.output else nowhere)
        about = _begin(job, folder, data, run.resume, module.FREE)
        tracker = Tracker(tracking, print_line)
        about["mlflow"] = tracker.begin(job.verb, about.get("mlflow", ""), about["settings"], data)
        storage.write_bytes(storage.join(folder, _RUN), json.dumps(about, indent=1).encode())
        ears = _Listener(job, tracker, listen)
        try:
            figures = _here(job, module, folder, ears) if not scale.workers else _on_ray(job, folder, scale, ears)
        except BaseException as error:
            tracker.fail(type(error).__name__)
            raise
        tracker.end(figures, job.output)
    return figures


def print_line(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _begin(job: Job, folder: str, data: Mapping[str, str], resume: bool, free: Sequence[str]) -> dict[str, Any]:
    """Return what `run.json` is to say; raises BadRequestError if the run there is another one."""
    settings = flat(config.as_dict(job.settings))
    about = {"verb": job.verb, "expclip": expclip.__version__, "settings": settings, "data": dict(data)}
    path = storage.join(folder, _RUN)
    snapshots = Snapshots(storage.join(folder, "snapshots"), print_line)
    if not resume:
        snapshots.clear()
    elif storage.exists(path) and snapshots.steps():  # without a snapshot nothing was begun that could go on
        there = json.loads(storage.read_text(path))
        fixed = {name: value for name, value in settings.items() if name not in free}
        found = _differences({"verb": job.verb, **fixed, **data}, {**there, **there["settings"], **there["data"]})
        if found:
            raise BadRequestError(
                f"the run in {folder} began with {'; '.join(found)}: another output or run.folder begins another run, "
                "run.resume=false begins this one anew"
            )
        about["mlflow"] = there.get("mlflow", "")
    return about


def _differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {then.get(name)!r}, not {value!r}" for name, value in now.items() if then.get(name, value) != value
    ][:5]


def flat(settings: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Return nested settings as one level, `a.b` for b in a."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{at}{name}.") if isinstance(value, Mapping) else {f"{at}{name}": value}
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


class _Listener:
    """Hears what the first worker tells: prints it and passes it on."""

    def __init__(self, job: Job, tracker: Tracker, listen: Callable[[Event], None] | None) -> None:
        self._job, self._tracker, self._listen = job, tracker, listen
        self._sums: dict[str, list[float]] = {}
        self._begins = True

    def __call__(self, event: Event) -> None:
        kind, what = event
        if kind == "step":
            self._step(*what)
        elif kind == "past":
            self._begins = True
            self._tracker.past(what)
            if what:
                print_line(f"goes on after step {what[-1][0]}")
        elif kind == "told":
            print_line(what)
        if self._listen:
            self._listen(event)

    def _step(self, step: int, figures: Mapping[str, float]) -> None:
        self._tracker.add(step, figures)
        clocks = () if self._begins else ("wait_s", "step_s")  # the first batch waits for the loaders to start
        self._begins = False
        for name in (*self._job.shown, *clocks):
            self._sums.setdefault(name, []).append(figures.get(name, 0.0))
        looked = {name: value for name, value in figures.items() if name == "val" or name.endswith("_au_f1")}
        if step % self._job.every and not looked:
            return
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        seconds, waited = means.pop("step_s", 0.0), means.pop("wait_s", 0.0)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in {**means, **looked}.items())
        speed = f"; {1 / seconds:.1f} steps/s, {100 * waited / seconds:.0f} % waiting for data" if seconds else ""
        print_line(f"step {step}: {shown}{speed}")
        self._sums = {}


def _hooks(job: Job, folder: str, place: Place, say: Callable[[Event], None], **more: Any) -> Hooks:
    def tell(line: str) -> None:
        say(("told", line))

    kept = Snapshots(storage.join(folder, "snapshots"), tell, keep=job.settings.optim.keep)
    return Hooks(
        report=lambda step, figures: say(("step", (step, dict(figures)))),
        past=lambda curve: say(("past", list(curve))),
        tell=tell, place=place, snapshots=kept, folder="" if storage.is_remote(folder) else folder, **more,
    )  # fmt: skip


def _here(job: Job, module: Any, folder: str, ears: Callable[[Event], None]) -> dict[str, float]:
    figures: dict[str, float] = module.run(job.settings, _hooks(job, folder, Place(), ears))
    return figures


def _on_ray(job: Job, folder: str, scale: Scale, ears: Callable[[Event], None]) -> dict[str, float]:
    loaders = getattr(job.settings, "loaders", 0)
    needed = scale.workers * (scale.cpus + loaders * feed.CPUS)
    if not storage.is_remote(folder):
        folder = str(Path(folder).resolve())  # workers have another working directory
    with cluster.connected(Resources(address=scale.address), cpus=needed) as ray:
        there = ray.cluster_resources()
        if there.get("CPU", 0.0) < (scale.least or scale.workers) * (scale.cpus + loaders * feed.CPUS):
            raise BadRequestError(f"training needs {needed:g} CPUs, and the cluster has {there.get('CPU', 0.0):g}")
        gpus = float(there.get("GPU", 0.0) >= scale.workers) if scale.gpus < 0 else scale.gpus
        ear = ray.remote(num_cpus=0)(_Ear).remote()
        over = threading.Event()
        listener = threading.Thread(target=_listen, args=(ray, ear, ears, over), daemon=True)
        listener.start()
        try:
            return _fit(job, folder, replace(scale, gpus=gpus), ear)
        finally:
            over.set()
            listener.join(timeout=30)


def _listen(ray: Any, ear: Any, ears: Callable[[Event], None], over: threading.Event) -> None:
    last = False
    while not last:
        last = over.wait(_SECONDS)
        for event in ray.get(ear.take.remote()):
            ears(event)


def _fit(job: Job, folder: str, scale: Scale, ear: Any) -> dict[str, float]:
    from ray.train.torch import TorchConfig

    rt: Any = importlib.import_module("ray.train")  # its types are those of an older version
    torch_trainer: Any = importlib.import_module("ray.train.torch").TorchTrainer
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    notes = storage.join(folder, "ray")
    count = (scale.least, scale.workers) if scale.least else scale.workers
    cpus = scale.cpus + getattr(job.settings, "loaders", 0) * feed.CPUS
    resources = {"CPU": cpus} | ({"GPU": scale.gpus} if scale.gpus else {})
    trainer = torch_trainer(
        _loop,
        train_loop_config={"job": job, "folder": folder, "scale": scale, "ear": ear, "at": os.getcwd()},
        scaling_config=rt.ScalingConfig(
            num_workers=count, use_gpu=bool(scale.gpus), resources_per_worker=resources,
            elastic_resize_monitor_interval_s=30.0,
        ),
        torch_config=TorchConfig(backend="nccl" if scale.gpus else "gloo"),
        run_config=rt.RunConfig(
            name=uuid.uuid4().hex[:8], storage_path=notes, failure_config=rt.FailureConfig(max_failures=scale.failures)
        ),
    )  # fmt: skip
    try:
        returned = trainer.fit().return_value
    except rt.TrainingFailedError as error:
        reasons = [line.strip() for line in str(error).splitlines() if line.strip()]
        refused = [reason for reason in reasons if f"{BadRequestError.__name__}: " in reason]
        if refused:
            raise BadRequestError(refused[-1].partition(f"{BadRequestError.__name__}: ")[2]) from error
        raise BadRequestError(
            f"training failed {scale.failures + 1} times ({reasons[-1]}); "
            "the same command goes on from its last snapshot"
        ) from error
    if not storage.is_remote(notes):
        shutil.rmtree(notes, ignore_errors=True)
    if "refused" in returned:
        raise BadRequestError(returned["refused"])
    figures: dict[str, float] = returned["figures"]
    return figures


class _Ear:
    """Keeps what the first worker tells until the driver asks; lives in an actor."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def put(self, events: list[Event]) -> None:
        """Hear."""
        self._events += events

    def take(self) -> list[Event]:
        """Give away what was heard."""
        events, self._events = self._events, []
        return events


class _Mouth:
    """Tells an ear, several events at once."""

    def __init__(self, ear: Any) -> None:
        self._ear, self._events, self._told = ear, list[Event](), 0.0

    def __call__(self, event: Event) -> None:
        self._events.append(event)
        if time.monotonic() - self._told > _SECONDS or event[0] != "step":
            self.flush()

    def flush(self) -> None:
        """Tell the rest and wait until it is heard."""
        import ray

        events, self._events = self._events, []
        ray.get(self._ear.put.remote(events))
        self._told = time.monotonic()


def _loop(given: dict[str, Any]) -> dict[str, Any]:
    """Train in a worker; what the first one returns comes back to the driver."""
    import ray.train as rt
    import torch
    from ray.train.torch import get_device

    job, scale, context = given["job"], given["scale"], rt.get_context()
    torch.set_num_threads(max(1, int(scale.cpus)))
    if os.path.isdir(given["at"]):
        os.chdir(given["at"])  # paths may be relative to where the command was given
    place, say = Place(context.get_world_rank(), context.get_world_size()), _Mouth(given["ear"])
    say(("begun", {"rank": place.rank, "world": place.world, "pid": os.getpid()}))

    def pause(step: int, figures: Mapping[str, float]) -> None:
        say.flush()
        rt.report({"step": step, **figures})

    settings = replace(job.settings, device=str(get_device())) if scale.gpus else job.settings
    hooks = _hooks(job, given["folder"], place, say, feed=feed.crops, pause=pause)
    try:
        return {"figures": importlib.import_module(job.module).run(settings, hooks)}
    except BadRequestError as error:
        if place.world > 1:  # the others may wait for this one: only Ray can end them
            raise
        return {"refused": str(error)}
    finally:
        say(("ended", {"rank": place.rank, "mib": peak_mib()}))
