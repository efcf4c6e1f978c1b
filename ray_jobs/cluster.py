"""The Ray cluster a job runs on: one that is there already, or a small local one for this run alone.

The environment is set before Ray is imported, because that is when Ray reads it.
"""

import logging
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from expclip.errors import BadRequestError

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # the second version makes one block of a small table
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its alarms about actor pools come with correct results
}
_STORE_BYTES = 256 << 20
"""Object store of a local cluster: blocks carry file names and status, never frames."""


@dataclass(frozen=True)
class Resources:
    """What a job may use, and how it tells of its progress."""

    workers: int = 0  # processes at once; 0: one for each `cpus` of the cluster
    cpus: float = 1.0  # CPUs of a worker, which are also its threads
    gpus: float = 0.0  # GPUs of a worker
    block_rows: int = 32  # rows that a worker takes at once, at most
    blocks: int = 8  # blocks for each worker, at least: more make loads even, fewer cost less
    address: str = ""  # cluster to join; empty: RAY_ADDRESS, else a local one
    progress: str = "text"  # text: lines on the terminal; json: NDJSON on standard error; FILE: both, NDJSON there

    def __post_init__(self) -> None:
        least = {"workers": 0, "cpus": 0.01, "gpus": 0, "block_rows": 1, "blocks": 1}
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise BadRequestError(f"resources.{name} is {getattr(self, name)}; valid: {value} and more")


_KEPT: list[ExitStack] = []
"""What ends with the block of `kept`, if there is one."""


@contextmanager
def kept() -> Iterator[None]:
    """Let the cluster that one table of a job starts, if any does, live on for the tables that follow in the block."""
    with ExitStack() as stack:
        if not _KEPT:
            _KEPT.append(stack)
            stack.callback(_KEPT.clear)
        yield


def starting(resources: Resources) -> str:
    """Return what `connected` is about to do, for people to read; empty if Ray runs already."""
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        return ""
    address = resources.address or os.environ.get("RAY_ADDRESS", "")
    return f"joining Ray at {address}" if address else "starting Ray on this machine, which takes some seconds"


@contextmanager
def connected(resources: Resources, *, cpus: float = 0.0) -> Iterator[Any]:
    """Give the `ray` module, connected; a cluster started here ends with the block, or with that of `kept`.

    A cluster started here says that it has at least so many `cpus`: for workers that wait for each other, sharing a
    core is better than waiting for one. Raises BadRequestError if the cluster named cannot be joined, or if none can
    be started here.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = resources.address or os.environ.get("RAY_ADDRESS", "")
    if not address:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster of one process's own; others bring a token
    import ray
    import ray.data  # configures its loggers, so it comes before they are quieted

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with ExitStack() as own:
        stack = _KEPT[0] if _KEPT else own
        if not ray.is_initialized():
            if address:
                _join(ray, address)
            else:
                # Socket paths below it may not be longer than 107 bytes, whatever TMPDIR says.
                folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True)
                _start(ray, stack.enter_context(folder), cpus=cpus)
            stack.callback(ray.shutdown)
        yield ray


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise BadRequestError(f"no Ray cluster at {address!r}: {reason[0]}") from None


def _start(ray: Any, folder: str, tries: int = 3, cpus: float = 0.0) -> None:
    """Start a local cluster; one whose processes are not up within Ray's 30 s, on a busy machine, is tried again."""
    try:
        with _silent():
            ray.init(
                address="local",
                num_cpus=max(math.ceil(cpus), os.cpu_count() or 1) if cpus else None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=_STORE_BYTES,
                _temp_dir=folder,
            )
    except Exception as error:  # a bare one
        ray.shutdown()
        if tries > 1:
            return _start(ray, folder, tries - 1, cpus)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BadRequestError(
            f"no Ray cluster could be started on this machine (is it busy? try again): {lines[0]}"
        ) from None


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what native code prints to standard error: Ray announces there that its log level was set."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def worker_count(ray: Any, resources: Resources) -> int:
    """Return how many workers of that size the cluster can hold, at least one; or the number asked for."""
    if resources.workers:
        return resources.workers
    total = ray.cluster_resources()
    counts = [total.get("CPU", 1.0) / max(resources.cpus, 0.01)]
    if resources.gpus:
        counts.append(total.get("GPU", 0.0) / resources.gpus)
    return max(1, int(min(counts)))
