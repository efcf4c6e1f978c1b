"""What needs no cluster: the guard around a step, shards, compaction, the table of errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from expclip import schema
from expclip.errors import BadRequestError
from ray_jobs import pipeline, shards

SCHEMA = pa.schema({"clip_id": pa.string(), "value": pa.float64(), "seconds": pa.float64()})


class Halve:
    """Halves even numbers."""

    prepared: list[int] = []

    def prepare(self, rows: Any) -> None:
        self.prepared.append(len(rows))
        raise RuntimeError("nothing to see together")

    def __call__(self, row: Any) -> dict[str, float]:
        if row["n"] % 2:
            raise BadRequestError(f"{row['n']} is odd")
        return {"value": row["n"] / 2, "seconds": 1.5}


def block(numbers: list[int]) -> pa.Table:
    keys = [f"c{n}" for n in numbers]
    rows = [json.dumps({"n": n}) for n in numbers]
    return pa.table({"clip_id": keys, "request": [f"r{n}" for n in numbers], "row": rows})


def content(folder: Path) -> dict[str, str]:
    table = pads.dataset(folder).to_table()
    return dict(zip(table["clip_id"].to_pylist(), table["request"].to_pylist(), strict=True))


def test_bad_rows_do_not_hurt_their_neighbours(tmp_path: Path) -> None:
    guard = pipeline._Guard(Halve, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)), 1.0)
    status = guard(block([0, 1, 2])).to_pylist()
    assert [(s["clip_id"], s["error"], s["seconds"]) for s in status] == [
        ("c0", None, 1.5),
        ("c1", "1 is odd", 0.0),
        ("c2", None, 1.5),
    ]
    assert content(tmp_path) == {"c0": "r0", "c2": "r2"}
    assert Halve.prepared[-1] == 3


def test_the_same_block_again_writes_the_same_shard(tmp_path: Path) -> None:
    guard = pipeline._Guard(Halve, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)), 1.0)
    for _ in range(2):
        guard(block([0, 2]))
    guard(block([4]))
    assert len(list(tmp_path.iterdir())) == 2


def test_block_without_a_good_row_writes_nothing(tmp_path: Path) -> None:
    pipeline._Guard(Halve, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)), 1.0)(block([1, 3]))
    assert not list(tmp_path.iterdir())


def test_finished_rows_of_a_long_block_are_on_disk_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Look(Halve):
        def __call__(self, row: Any) -> dict[str, float]:
            assert len(content(tmp_path) if any(tmp_path.iterdir()) else ()) == row["n"] / 2
            return super().__call__(row)

    monkeypatch.setattr(pipeline, "_FLUSH_SECONDS", -1.0)
    status = pipeline._Guard(Look, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)), 1.0)(
        block([0, 2, 4])
    ).to_pylist()
    assert [s["error"] for s in status] == [None] * 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadRequestError("a.wav:\n  empty"), "a.wav: empty"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_reason_is_one_line(error: Exception, text: str) -> None:
    assert pipeline.reason(error) == text


def test_weights_go_into_the_table_as_arrays(tmp_path: Path) -> None:
    weights = [np.random.default_rng(k).random((k + 1, 52), np.float32) for k in range(2)]
    rows = [{"clip_id": f"c{k}", "weights": w, "style": [0.5], "files": ["a"]} for k, w in enumerate(weights)]
    shards.write(str(tmp_path), "part-x", rows, schema.ANIMATIONS)
    table = pq.read_table(tmp_path / "part-x.parquet")
    assert table.schema.equals(schema.ANIMATIONS)
    for k, value in enumerate(table["weights"].to_pylist()):
        np.testing.assert_array_equal(np.array(value, np.float32), weights[k])


def put(folder: Path, name: str, *keys: tuple[str, str]) -> None:
    rows = [{"clip_id": c, "request": r} for c, r in keys]
    shards.write(str(folder), name, rows, shards.with_request(SCHEMA))


def test_compaction_keeps_what_is_valid_once_and_what_it_does_not_know(tmp_path: Path) -> None:
    put(tmp_path, "part-1", ("a", "old"), ("b", "now"), ("other", "x"))
    put(tmp_path, "part-2", ("a", "now"), ("b", "now"))
    put(tmp_path, "part-3", ("failed", "old"))
    (tmp_path / ".123.partial.part-4.parquet").write_bytes(b"half")
    shards.compact(str(tmp_path), {"a": "now", "b": "now", "failed": None})
    assert content(tmp_path) == {"a": "now", "b": "now", "other": "x"}
    assert pads.dataset(tmp_path).to_table().num_rows == 3
    assert not (tmp_path / "part-3.parquet").exists()
    assert shards.done(str(tmp_path)) == {"a": {"now"}, "b": {"now"}, "other": {"x"}}


def test_table_of_errors_says_the_present_state(tmp_path: Path) -> None:
    folder = str(tmp_path / "t.errors")
    shards.write_errors(
        folder, [{"clip_id": "b", "row": "{}", "error": "x"}, {"clip_id": "a", "row": "{}", "error": "y"}]
    )
    assert pads.dataset(folder).to_table()["clip_id"].to_pylist() == ["a", "b"]
    shards.write_errors(folder, [])
    assert not list(Path(folder).iterdir())


def test_step_that_cannot_be_made_is_told_without_a_key(tmp_path: Path) -> None:
    def broken() -> Halve:
        raise BadRequestError("no such checkpoint: x")

    guard = pipeline._Guard(broken, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)), 1.0)
    assert [(s["clip_id"], s["error"]) for s in guard(block([0, 2])).to_pylist()] == [(None, "no such checkpoint: x")]


class Split(Halve):
    """Makes as many rows of a task as its number says."""

    def __call__(self, row: Any) -> list[dict[str, float]]:  # type: ignore[override]
        return [{"value": float(k), "seconds": 0.5} for k in range(row["n"])]


def test_a_task_may_have_several_rows_but_not_none(tmp_path: Path) -> None:
    guard = pipeline._Guard(Split, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)))
    status = guard(block([2, 0, 3])).to_pylist()
    assert [(s["clip_id"], s["error"], s["seconds"]) for s in status] == [
        ("c2", None, 1.0),
        ("c0", "ValueError: the step made no row", 0.0),
        ("c3", None, 1.5),
    ]
    table = pads.dataset(tmp_path).to_table()
    assert table["clip_id"].to_pylist() == ["c2", "c2", "c3", "c3", "c3"]
    assert table["value"].to_pylist() == [0, 1, 0, 1, 2]
    assert shards.done(str(tmp_path)) == {"c2": {"r2"}, "c3": {"r3"}}
    assert shards.places(str(tmp_path))["c3"] == ("r3", str(next(tmp_path.iterdir())))


def test_compaction_keeps_all_rows_of_a_clip_and_those_of_one_shard_only(tmp_path: Path) -> None:
    put(tmp_path, "part-1", ("a", "now"), ("a", "now"), ("b", "old"), ("b", "old"))
    put(tmp_path, "part-2", ("a", "now"), ("a", "now"), ("b", "now"), ("b", "now"), ("b", "now"))
    shards.compact(str(tmp_path), {"a": "now", "b": "now"})
    table = pads.dataset(tmp_path).to_table().to_pylist()
    assert [row["clip_id"] for row in table].count("a") == 2
    assert [row["request"] for row in table if row["clip_id"] == "b"] == ["now"] * 3


def test_what_a_dead_worker_had_finished_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FLUSH_SECONDS", -1.0)
    seen: list[int] = []

    class Dies(Halve):
        def __call__(self, row: Any) -> dict[str, float]:
            seen.append(row["n"])
            if row["n"] == 4 and len(seen) == 3:
                raise KeyboardInterrupt
            return super().__call__(row)

    tries: dict[str, int] = {}

    def begin(self: Any, name: str) -> int:
        tries[name] = tries.get(name, -1) + 1
        return tries[name]

    monkeypatch.setattr(pipeline._Guard, "_begin", begin)
    numbers = block([0, 2, 4, 6])
    with pytest.raises(KeyboardInterrupt):
        pipeline._Guard(Dies, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)))(numbers)
    status = pipeline._Guard(Dies, pipeline._Output(str(tmp_path), shards.with_request(SCHEMA)))(numbers).to_pylist()
    assert seen == [0, 2, 4, 4, 6]
    assert [(s["clip_id"], s["error"]) for s in status] == [("c0", None), ("c2", None), ("c4", None), ("c6", None)]
    assert content(tmp_path) == {f"c{n}": f"r{n}" for n in (0, 2, 4, 6)}
    assert pads.dataset(tmp_path).to_table().num_rows == 4


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"clip_id": ["a"]}), tmp_path / "0.parquet")
    with pytest.raises(BadRequestError, match=r"0.parquet was not written by a job that can be continued"):
        shards.done(str(tmp_path))


def test_few_cheap_tasks_are_done_without_workers(tmp_path: Path) -> None:
    tasks = [pipeline.Task(f"c{n}", f"r{n}", {"n": n}) for n in range(5)]
    table = str(tmp_path / "t")
    summary = pipeline.map_table(Halve, tasks, table=table, schema=SCHEMA, inline=5)
    assert (summary.done, summary.failed, summary.workers) == (3, 2, 1)
    assert content(tmp_path / "t") == {"c0": "r0", "c2": "r2", "c4": "r4"}
    again = pipeline.map_table(Halve, tasks, table=table, schema=SCHEMA, inline=5)
    assert (again.there, again.done, again.failed) == (3, 0, 2)
