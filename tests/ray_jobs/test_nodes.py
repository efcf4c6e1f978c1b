"""A cluster of three nodes that loses one, and workers that die: every row once in the table, little done twice.

The cluster has a process of its own, because a process holds one connection to Ray.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expclip import corpora

pytestmark = pytest.mark.ray
ROWS, BLOCK = 90, 3

SCRIPT = '''
import json, os, sys, threading, time
import ray
from ray.cluster_utils import Cluster
from ray import cloudpickle
import pyarrow as pa
from ray_jobs import pipeline
from ray_jobs.cluster import Resources

folder, rows, block = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Slow:
    """Leaves a mark for each row it begins, named after its process and node."""

    def prepare(self, rows):
        pass

    def __call__(self, row):
        node = ray.get_runtime_context().get_node_id()
        with open(f"{folder}/marks/{node}-{os.getpid()}", "a") as file:
            file.write(f"{row['n']}\\n")
        time.sleep(0.05)
        return {"value": row["n"] / 2, "seconds": 1.0}


small = {"object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False)
lost = nodes[1].node_id


def kill():
    while not any(name.startswith(lost) for name in os.listdir(f"{folder}/marks")):
        time.sleep(0.02)
    time.sleep(0.3)
    cluster.remove_node(nodes[1], allow_graceful=False)


killer = threading.Thread(target=kill, daemon=True)
killer.start()
tasks = [pipeline.Task(f"c{n}", f"r{n}", {"n": n}) for n in range(rows)]
schema = pa.schema({"clip_id": pa.string(), "value": pa.float64(), "seconds": pa.float64()})
summary = pipeline.map_table(
    Slow, tasks, table=f"{folder}/t", schema=schema, resources=Resources(workers=3, block_rows=block)
)
killer.join(20)
told = {"done": summary.done, "failed": summary.failed, "lost": lost, "died": not killer.is_alive()}
with open(f"{folder}/told.json", "w") as file:
    json.dump(told, file)
ray.shutdown()
cluster.shutdown()
'''


def test_a_node_lost_midway_costs_the_blocks_in_flight_and_no_row(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    quick = {"initial_delay_ms": "0", "period_ms": "500", "timeout_ms": "1000", "failure_threshold": "3"}
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONWARNINGS": "ignore"}
    environment |= {f"RAY_health_check_{name}": value for name, value in quick.items()}
    script = tmp_path / "nodes.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(ROWS), str(BLOCK)],
        env=environment, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads((tmp_path / "told.json").read_text())
    assert (told["done"], told["failed"], told["died"]) == (ROWS, 0, True)
    table = corpora.table(str(tmp_path / "t"))
    assert sorted(table["clip_id"].to_pylist()) == sorted(f"c{n}" for n in range(ROWS))
    marks = {path.name: path.read_text().split() for path in (tmp_path / "marks").iterdir()}
    assert any(name.startswith(told["lost"]) for name in marks)
    assert not all(name.startswith(told["lost"]) for name in marks)
    begun = [int(n) for rows in marks.values() for n in rows]
    assert set(begun) == set(range(ROWS))
    dead = sum(name.startswith(told["lost"]) for name in marks)
    assert len(begun) - ROWS <= dead * BLOCK
