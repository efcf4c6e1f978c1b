"""`map_table`: tasks -> rows of a table, by a plain step on a pool of workers. All calls of Ray Data are here.

A step is a class without Ray: `prepare(rows)` sees a block's rows together, `__call__(row)` makes one row of the
table, or several, or raises. Workers write their own shards, so that a killed job keeps what is finished; only small
status rows come back. A row that fails lands in `TABLE.errors` with its reason, whatever becomes of its neighbours.
`TABLE.ledger` says what ran when, with which version; progress goes to the terminal, or to machines as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, cast

import pyarrow as pa

from expclip import storage
from expclip.errors import BadRequestError
from ray_jobs import cluster, ledger, shards
from ray_jobs.cluster import Resources
from ray_jobs.progress import Progress

_FLUSH_SECONDS = 5.0
"""A worker writes its unfinished shard at least this often, between two rows."""
_DEATHS = 2
"""A row that was being worked on this many times when its worker died is given up."""
_STATUS = pa.schema(
    {"clip_id": pa.string(), "error": pa.string(), "seconds": pa.float64(), "wall_s": pa.float64(), "mib": pa.float64()}
)

Row = Mapping[str, Any]


class Step(Protocol):
    """What runs in a worker: made once, then given many rows."""

    def prepare(self, rows: Sequence[Row]) -> None:
        """See the rows that come next, to do together what is cheaper together; what it raises is ignored."""

    def __call__(self, row: Row) -> Row | Sequence[Row]:
        """Return the task's row of the table, or its rows, at least one; whatever it raises is the task's error."""


@dataclass(frozen=True)
class Task:
    """A row, or rows, to make: the key, the digest of all that decides it, what the step is given (fit for JSON)."""

    clip_id: str
    request: str
    row: Row


@dataclass(frozen=True)
class Failure:
    """A row that could not be made."""

    clip_id: str
    row: str  # as JSON
    error: str


@dataclass
class Summary:
    """How a job stands, or how it ended; counted in tasks."""

    total: int
    there: int = 0  # that an earlier run had made
    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0  # of sound or picture, in the tasks done
    work_s: float = 0.0  # time that workers spent on them
    wall_s: float = 0.0  # time since the first worker began
    workers: int = 0
    mib: float = 0.0  # most memory of one worker

    @property
    def failed(self) -> int:
        """Tasks without a result."""
        return len(self.failures)


def map_table(
    step: Callable[[], Step],
    tasks: Sequence[Task],
    *,
    table: str,
    schema: pa.Schema,
    also: Mapping[str, pa.Schema] = MappingProxyType({}),
    resources: Resources = Resources(),  # noqa: B008 - frozen
    bad: Sequence[Failure] = (),
    intact: Callable[[str], bool] = lambda clip_id: True,
    report: Callable[[Summary], None] | None = None,
    about: Mapping[str, Any] | None = None,
    inline: int = 0,
) -> Summary:
    """Make the missing rows of `table` (a folder) and of `table`.errors; return what was done.

    `bad` are rows known to be wrong. A task is done if the table holds its request and `intact(clip_id)` finds its
    files. A changed request replaces the clip's old rows. `report` is called whenever some rows have come back, instead
    of telling of them as `resources.progress` asks for. `about` goes into the ledger: what was asked for. With at most
    `inline` tasks to do they are done in this process: for steps that cost less than workers take to start.
    `also` are tables beside this one: a result that holds a row under such a name has it written there as well.
    """
    target = shards.with_request(schema)
    beside = {name: shards.with_request(kind) for name, kind in also.items()}
    progress = Progress(table, resources.progress)
    storage.clear_partials(table)
    there = shards.done(table)
    todo = [t for t in tasks if t.request not in there.get(t.clip_id, ()) or not intact(t.clip_id)]
    summary = Summary(len(tasks) + len(bad), there=len(tasks) - len(todo), failures=list(bad))
    with ledger.entry(table, summary, about or {}):
        few = len(todo) <= inline
        progress.begin(summary, "" if few or not todo else cluster.starting(resources))
        if todo:
            output = _Output(table, target, beside)
            run = _run_here if few else _run
            run(step, todo, summary, output, resources, report or progress)
        failed = {failure.clip_id for failure in summary.failures}
        valid = {t.clip_id: None if t.clip_id in failed else t.request for t in tasks} | dict.fromkeys(failed)
        for folder in (table, *(storage.join(storage.parent(table), name) for name in beside)):
            shards.compact(folder, valid)
        shards.write_errors(f"{table}.errors", [vars(failure) for failure in summary.failures])
        progress.end(summary)
    return summary


@dataclass(frozen=True)
class _Output:
    """Where a job's rows go: the table, and tables beside it by the name of the key that holds their rows."""

    table: str
    schema: pa.Schema
    beside: Mapping[str, pa.Schema] = field(default_factory=dict)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        """Write a shard of each table; the table itself last, because what stands there counts as done."""
        for key, schema in self.beside.items():
            found = [{**row[key], **{k: row[k] for k in (shards.KEY, shards.REQUEST)}} for row in rows if row.get(key)]
            if found:
                shards.write(storage.join(storage.parent(self.table), key), name, found, schema)
        shards.write(self.table, name, rows, self.schema)


def _run(
    step: Callable[[], Step],
    todo: Sequence[Task],
    summary: Summary,
    output: _Output,
    resources: Resources,
    report: Callable[[Summary], None],
) -> None:
    with cluster.connected(resources) as ray:
        summary.workers = min(cluster.worker_count(ray, resources), len(todo))
        size = min(resources.block_rows, -(-len(todo) // (summary.workers * resources.blocks)))
        blocks = [_block(todo[start : start + size]) for start in range(0, len(todo), size)]
        summary.workers = min(summary.workers, len(blocks))
        _follow(_statuses(ray, step, blocks, output, resources, summary.workers), todo, summary, report)


def _run_here(
    step: Callable[[], Step],
    todo: Sequence[Task],
    summary: Summary,
    output: _Output,
    resources: Resources,
    report: Callable[[Summary], None],
) -> None:
    summary.workers = 1
    guard, size = _Guard(step, output), resources.block_rows
    blocks = (_block(todo[start : start + size]) for start in range(0, len(todo), size))
    _follow((guard(block).to_pylist() for block in blocks), todo, summary, report)


def _follow(
    statuses: Iterable[list[Row]], todo: Sequence[Task], summary: Summary, report: Callable[[Summary], None]
) -> None:
    """Count what comes back, block by block."""
    rows = {task.clip_id: task.row for task in todo}
    for status in statuses:
        if status and status[0]["clip_id"] is None:
            raise BadRequestError(f"workers cannot start: {status[0]['error']}")
        _count(summary, status, rows)
        report(summary)


def _block(tasks: Sequence[Task]) -> pa.Table:
    keys, requests = [t.clip_id for t in tasks], [t.request for t in tasks]
    return pa.table({shards.KEY: keys, shards.REQUEST: requests, "row": [json.dumps(dict(t.row)) for t in tasks]})


def _statuses(
    ray: Any, step: Callable[[], Step], blocks: list[pa.Table], output: _Output, resources: Resources, workers: int
) -> Iterator[list[Row]]:
    """Yield status rows block by block, as workers finish them."""
    import ray.data as rd
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # The journal lives where this process does: lost with another node, it would take all workers' blocks with it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    journal = ray.remote(num_cpus=0, scheduling_strategy=here)(_Journal).remote()
    data = rd.from_arrow(blocks).map_batches(
        _Guard,
        fn_constructor_args=(step, output, resources.cpus, journal),
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=rd.ActorPoolStrategy(size=workers),
        num_cpus=resources.cpus,
        num_gpus=resources.gpus or None,
    )
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield cast(pa.Table, batch).to_pylist()


def _count(summary: Summary, status: Iterable[Row], rows: Mapping[str, Row]) -> None:
    for entry in status:
        if entry["error"] is None:
            summary.done += 1
            summary.seconds += entry["seconds"]
        else:
            clip_id = entry["clip_id"]
            summary.failures.append(Failure(clip_id, json.dumps(dict(rows[clip_id])), entry["error"]))
        summary.work_s += entry["wall_s"]
        summary.mib = max(summary.mib, entry["mib"])


class _Journal:
    """Remembers what workers had begun, so that a row that kills its worker is found out. Lives in an actor."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, name: str) -> int:
        """Count one more beginning of a block or row; return how often it was begun before."""
        self._begun[name] = self._begun.get(name, -1) + 1
        return self._begun[name]


class _Guard:
    """Holds a step in a worker and keeps one bad row from hurting the others."""

    def __init__(
        self,
        step: Callable[[], Step],
        output: _Output,
        cpus: float = 0.0,
        journal: Any = None,
    ) -> None:
        if cpus:
            os.environ["OMP_NUM_THREADS"] = str(max(1, int(cpus)))
        self._output, self._journal = output, journal
        self._step: Step | None = None
        try:
            self._step = step()
        except Exception as error:  # raised from here, it would make Ray start one worker after another
            self._broken = reason(error)
        if cpus and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(max(1, int(cpus)))

    def __call__(self, block: pa.Table) -> pa.Table:
        """Work on the block's rows, write their shard, return their status; without a key where there is no step."""
        if self._step is None:
            return pa.Table.from_pylist([{"error": self._broken}], _STATUS)
        keys = list(zip(block[shards.KEY].to_pylist(), block[shards.REQUEST].to_pylist(), strict=True))
        rows = [json.loads(text) for text in block["row"].to_pylist()]
        name, finished = shards.block_name(keys), set[tuple[str, str]]()
        careful = self._begin(name)
        if careful:  # a worker died on this block before: find the row, keep what it had finished
            finished, name = shards.finished(self._output.table, name), f"{name}-{careful}"
        with suppress(Exception):  # each row will meet its own error
            self._step.prepare(rows)
        made: list[Row] = []
        status: list[tuple[str, str | None, float, float]] = []
        flushed = time.monotonic()
        for (clip_id, request), row in zip(keys, rows, strict=True):
            began = time.monotonic()
            if (clip_id, request) in finished:
                status.append((clip_id, None, 0.0, began))
                continue
            try:
                if careful and self._begin(f"{request}/{clip_id}") >= _DEATHS:
                    raise RuntimeError(f"the worker died {_DEATHS} times on this row")
                results = _several(self._step(row))
                wall_s = (time.monotonic() - began) / len(results)
                made += [{**r, shards.KEY: clip_id, shards.REQUEST: request, "wall_s": wall_s} for r in results]
                status.append((clip_id, None, float(sum(r.get("seconds", 0.0) for r in results)), began))
            except Exception as error:
                status.append((clip_id, reason(error), 0.0, began))
            if time.monotonic() - flushed > _FLUSH_SECONDS:
                self._output.write(name, made)
                flushed = time.monotonic()
        if made:
            self._output.write(name, made)
        return _status(status)

    def _begin(self, name: str) -> int:
        if self._journal is None:
            return 0
        import ray

        return int(ray.get(self._journal.begin.remote(name)))


def _several(result: Row | Sequence[Row]) -> Sequence[Row]:
    rows = [result] if isinstance(result, Mapping) else result
    if not rows:
        raise ValueError("the step made no row")
    return rows


def _status(entries: Sequence[tuple[str, str | None, float, float]]) -> pa.Table:
    """Return the status rows of a block from (clip_id, error, seconds of sound, time begun), in order of the work."""
    ends = [begun for *_, begun in entries[1:]] + [time.monotonic()]
    rows = [
        {"clip_id": c, "error": e, "seconds": s, "wall_s": end - begun, "mib": _peak_mib()}
        for (c, e, s, begun), end in zip(entries, ends, strict=True)
    ]
    return pa.Table.from_pylist(rows, _STATUS)


def _peak_mib() -> float:
    """Return the most memory this process has held, in MiB."""
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reason(error: Exception) -> str:
    """Return an error as one line; a request's own fault needs no class name."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, BadRequestError) else f"{type(error).__name__}: {text}")[:500]
