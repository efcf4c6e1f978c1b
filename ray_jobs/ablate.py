"""Job `ablate`: one training, its parts taken away one by one, from several seeds -> a table of what each is worth.

`expclip ablate -o OUT --recipe infra/recipes/ablation.toml` trains and evaluates every variant with every seed, one
after another on each worker, and leaves `OUT/cells/` (a row each), `OUT/checkpoints/`, `OUT/results.md` and a picture
for each figure. Started again, it does only what is missing or changed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from expclip import ablation, config, storage, train_generator
from expclip.errors import BadRequestError, unknown
from expclip.tead import SEED
from ray_jobs.cluster import Resources

if TYPE_CHECKING:
    from ray_jobs.pipeline import Row, Summary


@dataclass(frozen=True)
class Config:
    """What to train, how often, and what to measure on."""

    base: train_generator.Config  # settings of the variant `full`; its checkpoint and seed are set here
    output: str  # folder to write, local or s3://
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> settings that differ; empty: ours
    only: tuple[str, ...] = ()  # variants to do, by name; empty: all
    seeds: tuple[int, ...] = (0, 1, 2)
    clips: tuple[str, ...] = ()  # folders whose test clips are animated
    limit: int = 20  # clips of each folder at most
    texts: int = 120  # TEAD records of the test split whose texts are animated; 0: all
    resources: Resources = field(default_factory=lambda: Resources(block_rows=1))


def run(asked: Config) -> "Summary":
    """Train and evaluate what is missing, write the table and the pictures."""
    settings = _checked(asked)
    storage.check_writable(settings.output)

    import pyarrow as pa

    from ray_jobs import pipeline, shards

    variants = _variants(settings)
    rows = [{"variant": name, "changes": variants[name], "seed": seed} for name in variants for seed in settings.seeds]
    about = (config.as_dict(settings.base), settings.clips, settings.limit, settings.texts)
    tasks = [
        pipeline.Task(_name(row), shards.digest(json.dumps([about, row], sort_keys=True, default=str)), row)
        for row in rows
    ]
    schema = pa.schema(
        [("clip_id", pa.string()), ("variant", pa.string()), ("seed", pa.int64()), ("figures", pa.string())]
    )
    table = storage.join(settings.output, "cells")
    summary = pipeline.map_table(
        partial(AblateStep, settings), tasks, table=table, schema=schema, resources=settings.resources
    )
    _write(settings, _read(table, variants))
    return summary


def _checked(settings: Config) -> Config:
    if not settings.clips:
        raise BadRequestError("no clips to evaluate on; name folders with --set clips=[FOLDER]")
    if not settings.seeds:
        raise BadRequestError("no seeds; at least one is needed, three tell a spread")
    base = settings.base
    given: dict[str, Any] = {"corpora": {name: storage.absolute(folder) for name, folder in base.corpora.items()}}
    for name in ("expclip", "critic", "whisper", "initial", "cache"):
        given[name] = storage.absolute(getattr(base, name))
    given["tead"] = ",".join(part if part == SEED else storage.absolute(part) for part in base.tead.split(","))
    settings = replace(
        settings,
        base=config.changed(base, given),
        output=storage.absolute(settings.output),
        clips=tuple(map(storage.absolute, settings.clips)),
        resources=replace(settings.resources, block_rows=1),
    )
    for changes in _variants(settings).values():
        config.changed(settings.base, changes)  # raises what is unknown
    train_generator.check(replace(settings.base, checkpoint=""))
    return settings


def _variants(settings: Config) -> dict[str, Mapping[str, Any]]:
    known: Mapping[str, Mapping[str, Any]] = settings.variants or ablation.VARIANTS
    for name in settings.only:
        if name not in known:
            raise unknown("variant", name, known)
    chosen = {name: changes for name, changes in known.items() if not settings.only or name in settings.only}
    if not settings.base.critic:  # without a critic there is none to take away
        chosen = {name: changes for name, changes in chosen.items() if set(changes) != {"losses.sync"}}
    return chosen


def _name(row: "Row") -> str:
    return f"{row['variant']}-{row['seed']}".replace(" ", "_")


class AblateStep:
    """A variant and a seed -> its figures; its checkpoint stays."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings

    def prepare(self, rows: "Sequence[Row]") -> None:
        """Each is trained by itself."""

    def __call__(self, row: "Row") -> "Row":
        """Train, evaluate."""
        from expclip import animator, evaluate

        settings = self._settings
        folder = storage.join(settings.output, "checkpoints", _name(row))
        changes = {**row["changes"], "seed": row["seed"], "checkpoint": folder, "test_clips": 1}
        train_generator.run(config.changed(settings.base, changes))
        options = evaluate.Options(settings.clips, limit=settings.limit, texts=settings.texts)
        report = evaluate.evaluate(animator.load(folder), options)
        figures = json.dumps(ablation.headline(report))
        return {"clip_id": _name(row), "variant": row["variant"], "seed": row["seed"], "figures": figures}


def _read(table: str, variants: Mapping[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Return the headlines of the finished cells by variant, in the variants' order."""
    from expclip import tables

    rows = [row for path in storage.listing(table, ".parquet") for row in tables.read(path, _COLUMNS).to_pylist()]
    rows.sort(key=lambda row: int(row["seed"]))
    found = {name: [json.loads(row["figures"]) for row in rows if row["variant"] == name] for name in variants}
    return {name: each for name, each in found.items() if each}


_COLUMNS = ("variant", "seed", "figures")


def _write(settings: Config, found: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    table = ablation.markdown(found)
    storage.write_bytes(storage.join(settings.output, "results.md"), table.encode())
    for number, column in enumerate(ablation.COLUMNS, 1):
        picture = ablation.chart(found, column).encode()
        storage.write_bytes(storage.join(settings.output, f"figure-{number}.svg"), picture)
    print(table, flush=True)
