"""A training at MLflow: every step once, whatever happens to the server; the model comes back and speaks."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expclip import checkpoint
from expclip.errors import BadRequestError
from ray_jobs.tracking import Tracker, Tracking

SETTINGS = {"steps": 3, "optim.clip": 1.0, "corpora.toy": "/data/toy"}
DATA = {"corpora.toy": "0123", "tead": "4567"}


def figures(step: int) -> dict[str, float]:
    return {"total": 1.0 / step, "step_s": 0.1}


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def steps(uri: str, run_id: str) -> list[int]:
    return [metric.step for metric in client(uri).get_metric_history(run_id, "total")]


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ml/mlflow.db"


def test_a_run_has_its_settings_data_and_every_step_once(store: str) -> None:
    told: list[str] = []
    curve = [(step, figures(step)) for step in range(1, 300)]
    first = Tracker(Tracking(store), told.append)
    run_id = first.begin("train-generator", "", SETTINGS, DATA)
    for step, found in curve[:150]:
        first.add(step, found)
    first.fail("KeyboardInterrupt")
    assert client(store).get_run(run_id).info.status == "KILLED"
    second = Tracker(Tracking(store), told.append)
    assert second.begin("train-generator", run_id, SETTINGS, DATA) == run_id
    second.past(curve[:100])
    for step, found in curve[100:]:
        second.add(step, found)
    second.end({"test.r": 0.5}, "")
    assert steps(store, run_id) == list(range(1, 300))
    run = client(store).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "3", "optim.clip": "1.0", "corpora.toy": "/data/toy"}
    assert run.data.metrics["final/test.r"] == 0.5
    assert {(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs} == set(DATA.items())
    assert told == []


def test_none_or_a_wrong_store() -> None:
    none = Tracker(Tracking(""), print)
    assert none.begin("v", "", {}, {}) == ""
    none.add(1, figures(1))
    none.end({}, "")
    with pytest.raises(BadRequestError, match="no MLflow at http://127.0.0.1:9: .*; tracking.uri='' trains without"):
        Tracker(Tracking("http://127.0.0.1:9"), print).begin("v", "", {}, {})


@pytest.fixture
def server(store: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's own server on loopback, over the store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client(store).search_experiments()
    arguments = ["--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    running = subprocess.Popen([sys.executable, "-m", "mlflow", "server", *arguments], start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        uri, end = f"http://127.0.0.1:{port}", time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"{uri}/health", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.5)
        yield uri, running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_a_server_that_dies_is_told_of_and_caught_up_with(
    store: str, server: tuple[str, "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_jobs.tracking._RETRY_SECONDS", 0.2)
    uri, running = server
    told: list[str] = []
    tracker = Tracker(Tracking(uri), told.append)
    run_id = tracker.begin("train-generator", "", SETTINGS, DATA)
    curve = [(step, figures(step)) for step in range(1, 31)]
    for step, found in curve[:10]:
        tracker.add(step, found)
    end = time.monotonic() + 60
    while steps(store, run_id) != list(range(1, 11)):
        assert time.monotonic() < end
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    for step, found in curve[10:]:
        tracker.add(step, found)
    tracker.end({"test.r": 0.5}, "")
    assert [f"MLflow at {uri} does not answer" in line for line in told] == [True, False]
    # The server may have died with its answer to the first ten under way: sent again, they count once.
    lacks = ("MLflow lacks 20 steps", "MLflow lacks 30 steps")
    assert told[1] in [f"{each}; running the same command again sends them" for each in lacks]
    again = Tracker(Tracking(store), told.append)
    assert again.begin("train-generator", run_id, SETTINGS, DATA) == run_id
    again.past(curve)
    again.end({}, "")
    assert steps(store, run_id) == list(range(1, 31))


@pytest.mark.model
def test_a_checkpoint_becomes_a_model_that_speaks(store: str, tmp_path: Path, babble: Any) -> None:
    import mlflow
    import pandas as pd

    from expclip.rig import load_rig

    told: list[str] = []
    tracker = Tracker(Tracking(store), told.append)
    run_id = tracker.begin("train-generator", "", SETTINGS, DATA)
    tracker.end({}, checkpoint.default_path())
    assert told == []
    names = {item.path for item in client(store).list_artifacts(run_id, "samples")}
    assert names == {"samples/faces.png", "samples/birthday.mp4"}
    mlflow.set_registry_uri(store)
    model = mlflow.pyfunc.load_model("models:/expclip/1")
    row = {"samples": babble.tolist(), "prompt": "a big happy smile", "intensity": 1.0}
    (found,) = model.predict(pd.DataFrame([row])).to_dict("records")
    assert tuple(found["names"]) == load_rig().channels
    assert np.shape(found["weights"]) == (60, 52)
    assert np.mean(np.array(found["weights"])[:, load_rig().index("mouthSmileLeft")]) > 0.2
