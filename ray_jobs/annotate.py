"""Job `annotate`: expressions get texts, or texts get expressions: TRACKS, EXPRESSIONS or a list of texts -> TEAD.

`expclip annotate INPUT -o TEAD` leaves `TEAD/*.parquet`, `TEAD.errors/*.parquet` for what was rejected, and in
`TEAD/cache/` every answer of a language model that was paid for. Running it again does only what is missing and asks
nothing twice. `expclip train-expclip --set tead=seed,TEAD` trains on it.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import annotate, answers, checkpoint, llm, sources, storage
from expclip.errors import BadRequestError, unknown
from expclip.items import Item, SourceOptions
from expclip.llm import Reply, Request, Settings
from expclip.llm.cache import Cache
from expclip.review import ReviewOptions
from expclip.tead import SPLITS
from ray_jobs import vllm
from ray_jobs.cluster import Resources
from ray_jobs.vllm import Engine

if TYPE_CHECKING:
    from ray_jobs.pipeline import Row, Summary

_ROUNDS = 16
"""Rows of a worker's block for each request in flight: between blocks nothing is in flight."""


@dataclass(frozen=True)
class Config:
    """What to annotate, who writes, and what counts as good."""

    input: str  # TRACKS or EXPRESSIONS, a corpus's folder, or texts: .txt, or .csv .jsonl .parquet with column `text`
    output: str  # folder of the table TEAD to write, local or s3://
    backend: str = "template"  # template (no language model), openai (any compatible service) or vllm (in the cluster)
    llm: Settings = field(default_factory=Settings)
    vllm: Engine = field(default_factory=Engine)
    source: SourceOptions = field(default_factory=SourceOptions)
    review: ReviewOptions = field(default_factory=ReviewOptions)
    variants: int = 1  # records for each expression or text
    attempts: int = 3  # answers asked for until one can be used
    examples: int = 3  # records of TEAD's train split shown with each request, 0 to 9
    seed: int = 0  # decides examples and what is drawn
    limit: int = 0  # expressions or texts at most, the first by name; 0: all
    checkpoint: str | None = None  # whose ExpCLIP judges; default: the one that ships
    cache: str = ""  # folder of the answers; empty: OUTPUT/cache
    resources: Resources = field(default_factory=Resources)


def run(config: Config, report: "Callable[[Summary], None] | None" = None) -> "Summary":
    """Annotate what is missing, take out what only repeats, and print how it went."""
    config = _checked(config)
    found = sources.read(config.input, config.source)
    if not found.items and not found.bad:
        raise BadRequestError(f"{config.input}: {found.why_none(config.source)}")
    judge = checkpoint.fingerprint(config.checkpoint)
    storage.check_writable(config.output)
    storage.clear_partials(config.output)

    from ray_jobs import pipeline

    began = time.monotonic()
    chosen = sorted(found.items, key=lambda item: item.key)[: config.limit or None]
    rows = [{"item": vars(item), "variant": v} for item in chosen for v in range(1, config.variants + 1)]
    tasks = [pipeline.Task(_id(row), _request(row, config, judge), row) for row in rows]
    print(
        f"annotate: {config.input}: {found.rows} rows of {found.kind} ({found.other_splits} of other splits, "
        f"{found.alike} like another) -> {len(tasks)} records",
        flush=True,
    )
    before = Cache(config.cache).totals()
    if config.backend == "vllm":
        vllm.answer(_missing(tasks, config), config)
    summary = pipeline.map_table(
        partial(AnnotateStep, config, os.environ.get(config.llm.key_variable, "")),
        tasks,
        table=config.output,
        schema=_schema(),
        resources=config.resources,
        bad=[pipeline.Failure(line.clip_id, line.row, line.error) for line in found.bad],
        report=report,
    )
    _take_out_repeats(config, summary, tasks)
    print(closing(summary, config, before, time.monotonic() - began), flush=True)
    return summary


def _checked(config: Config) -> Config:
    """Return the configuration with absolute paths and each worker's share of limits; raises what cannot be."""
    for name, low, high in (("variants", 1, 1000), ("attempts", 1, 20), ("examples", 0, 9), ("limit", 0, 10**9)):
        if not low <= getattr(config, name) <= high:
            raise BadRequestError(f"{name} {getattr(config, name)} is outside {low}..{high}")
    for name, least, most in (("quality", -1.0, 1.0), ("alike", 0.0, 2.0)):
        if not least <= getattr(config.review, name) <= most:
            raise BadRequestError(f"review.{name} {getattr(config.review, name)} is outside {least:g}..{most:g}")
    if config.source.split not in ("", *SPLITS):
        raise unknown("split", config.source.split, SPLITS)
    if config.backend not in llm.BACKENDS:
        raise unknown("backend", config.backend, llm.BACKENDS)
    output = storage.absolute(config.output.rstrip("/"))
    cache = storage.absolute(config.cache) if config.cache else storage.join(output, "cache")
    config = replace(
        config, output=output, cache=cache, checkpoint=config.checkpoint and storage.absolute(config.checkpoint)
    )
    llm.load(config.backend, config.llm, Cache())  # raises what it cannot use
    if config.backend == "vllm":
        vllm.check_installed()
    if config.backend == "openai":
        workers = config.resources.workers or 1
        rows = max(config.resources.block_rows, _ROUNDS * config.llm.in_flight // workers)
        resources = replace(config.resources, workers=workers, block_rows=rows, blocks=1)
        config = replace(config, llm=llm.shared(config.llm, workers), resources=resources)
    return config


def _schema() -> Any:
    import pyarrow as pa

    from expclip.schema import TEAD

    return TEAD.append(pa.field("clip_id", pa.string(), metadata={"comment": "the id, again"}))


def _id(row: "Row") -> str:
    return answers.record_id(Item(**row["item"]), row["variant"])


def _request(row: "Row", config: Config, judge: str) -> str:
    """Return the digest of all that decides a record."""
    from ray_jobs import shards

    request = _build(row, config)
    parts = (config.backend, config.attempts, config.review, judge, annotate.PROMPT_VERSION, json.dumps(row["item"]))
    return shards.digest(llm.request_key(config.llm, request), *parts)


def _build(row: "Row", config: Config) -> Request:
    return annotate.build(Item(**row["item"]), row["variant"], examples=config.examples, seed=config.seed)


def _missing(tasks: Sequence[Any], config: Config) -> Iterator[Request]:
    """Yield the requests of the tasks whose record is not in the table."""
    from ray_jobs import shards

    there = shards.done(config.output)
    return (_build(task.row, config) for task in tasks if task.request not in there.get(task.clip_id, ()))


class AnnotateStep:
    """An item -> its row of TEAD. Requests of a block run ahead while earlier answers are reviewed."""

    def __init__(self, config: Config, key: str = "") -> None:
        """`key` is the service's; it travels with the work, since nodes of a cluster do not share an environment."""
        from expclip import review

        if key:
            os.environ[config.llm.key_variable] = key
        self._config = config
        self._backend = llm.load(config.backend, config.llm, Cache(config.cache))
        self._judge = review.Judge(review.load_model(config.checkpoint), config.review)
        self._ids: deque[str] = deque()
        self._replies: Iterator[Reply] = iter(())

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Start the requests of a block."""
        self._ids = deque(map(_id, rows))
        self._replies = self._complete(rows)

    def __call__(self, row: "Row") -> "Row":
        """Return the row of TEAD that an item becomes, or raise why none."""
        item, variant = Item(**row["item"]), row["variant"]
        reply = self._reply(row)
        if reply.error:
            raise BadRequestError(reply.error)
        shown = annotate.shown_examples(item, variant, self._config.examples, self._config.seed)
        try:
            record = answers.parse(item, reply, variant)
            faults = list(answers.problems(item, record, shown))
        except BadRequestError as error:
            faults = [str(error)]
        if faults:
            raise BadRequestError(f"answer {reply.attempt} of {self._config.attempts}: {'; '.join(faults[:3])}")
        verdict = self._judge.verdict(record, shown)
        if verdict.problem:
            raise BadRequestError(verdict.problem)
        return answers.table_row(item, record, backend=self._config.backend, model=self._backend.model) | {
            "quality": verdict.quality, "signature": verdict.signature
        }  # fmt: skip

    def close(self) -> None:
        """End what the backend has running."""
        getattr(self._backend, "close", lambda: None)()

    def _reply(self, row: "Row") -> Reply:
        """Return the answer to a row, passing by those of rows that were never asked for."""
        while self._ids:
            reply = next(self._replies)
            if self._ids.popleft() == _id(row):
                return reply
        return next(self._complete([row]))

    def _complete(self, rows: "Sequence[Row]") -> Iterator[Reply]:
        requests = [_build(row, self._config) for row in rows]
        return self._backend.complete(requests, partial(answers.revise, attempts=self._config.attempts))


def _take_out_repeats(config: Config, summary: "Summary", tasks: Sequence[Any]) -> None:
    """Move records that repeat an earlier one from the table to its errors."""
    from expclip import repeats
    from ray_jobs import pipeline, shards

    rows = {task.clip_id: task.row for task in tasks}
    table = _read(config.output, ["id", "texts", "signature"])
    found = repeats.repeated(sorted(table, key=lambda row: (row["id"] in rows, row["id"])), config.review.alike)
    found = {record_id: why for record_id, why in found.items() if record_id in rows}
    if found:
        summary.failures += [pipeline.Failure(key, json.dumps(rows[key]), why) for key, why in found.items()]
        summary.done -= len(found)
        shards.compact(config.output, dict.fromkeys(found))
        shards.write_errors(f"{config.output}.errors", [vars(failure) for failure in summary.failures])


def _read(folder: str, columns: Sequence[str]) -> "list[Row]":
    from expclip import tracks

    return [row for path in storage.listing(folder, ".parquet") for row in tracks.read_file(path, columns).to_pylist()]


def closing(summary: "Summary", config: Config, before: tuple[int, int, int], wall_s: float) -> str:
    """Return the closing table."""
    paid, tokens_in, tokens_out = (n - b for n, b in zip(Cache(config.cache).totals(), before, strict=True))
    quality = [row["quality"] for row in _read(config.output, ["quality"]) if row["quality"] == row["quality"]]
    rows = [
        ("records wanted", f"{summary.total}"),
        ("already there", f"{summary.there}"),
        ("written now", f"{summary.done}"),
        ("rejected", f"{summary.failed}"),
        ("mean agreement of texts and faces", f"{sum(quality) / len(quality):.2f}" if quality else "-"),
        ("answers paid for", f"{paid}"),
        ("tokens", f"{tokens_in} in, {tokens_out} out"),
        ("cost", f"{llm.cost(config.llm, tokens_in, tokens_out):.4f}"),
        ("time", f"{wall_s:.1f} s"),
        ("table", storage.join(config.output, "*.parquet")),
    ]
    rows += [("rejects", f"{config.output}.errors/*.parquet")] if summary.failed else []
    lines = [f"{name:<36}{value}" for name, value in rows]
    lines += [f"  {failure.clip_id or '?'}: {failure.error}" for failure in summary.failures[:10]]
    more = summary.failed - 10
    return "\n".join([*lines, f"  ... and {more} more"] if more > 0 else lines)
