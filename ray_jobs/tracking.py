"""A training as an MLflow run: settings, digests of the data, every step's figures, faces, a clip, the model.

Figures go out from a thread. When the server is gone, training goes on: what it lacks lies in the run's snapshots and
is sent when it answers again, at the end, or when the command is run again. No step is sent twice. All calls of MLflow
are here, but for the model's own in `mlflow_model.py`.
"""

import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from expclip.errors import BadRequestError

_RETRY_SECONDS = 5.0
_AT_ONCE = 80
"""Steps in one request: MLflow takes 1000 figures."""
_MOST = 1000
_PROMPTS = (
    *("a calm, neutral face", "a shy smile", "cold anger", "barely holding back tears", "utterly astonished"),
    *("terrified, backing away", "a sneer of contempt", "revolted", "bored to death", "proud and delighted"),
    *("a smug little grin", "worried sick"),
)
"""What the faces of a run show."""

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Tracking:
    """Where a training is told of."""

    uri: str = "auto"  # MLflow's store or server; auto: MLFLOW_TRACKING_URI, else sqlite:///runs/mlflow.db; empty: none
    experiment: str = "expclip"
    name: str = ""  # of the run; empty: the verb
    model: str = "expclip"  # name under which a whole checkpoint is registered; empty: it is not


class Tracker:
    """One run at MLflow, or none."""

    def __init__(self, tracking: Tracking, tell: Callable[[str], None]) -> None:
        """`tell` hears in one line of what cannot be sent."""
        self._tracking, self._tell = tracking, tell
        uri = tracking.uri
        if uri == "auto":
            uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///runs/mlflow.db"
        self.uri, self.run_id = uri, ""
        self._client: Any = None
        self._waiting: list[tuple[int, Figures]] = []
        self._sent = -1  # last step that is there; -1: to be asked
        self._lock, self._over = threading.Lock(), threading.Event()
        self._down = False
        self._thread = threading.Thread(target=self._send_on, daemon=True)

    def begin(self, verb: str, run_id: str, settings: Mapping[str, Any], data: Mapping[str, str]) -> str:
        """Begin a run or go on with one; return its id. Raises BadRequestError if a new one cannot begin."""
        if not self.uri:
            return ""
        self._client = _client(self.uri)
        try:
            if not run_id or not self._known(run_id):
                run_id, self._sent = self._create(verb, settings, data), 0
            else:
                self._client.update_run(run_id, status="RUNNING")
        except Exception as error:
            if not run_id:
                raise BadRequestError(
                    f"no MLflow at {self.uri}: {_first_line(error)}; tracking.uri='' trains without"
                ) from None
        self.run_id = run_id
        self._thread.start()
        return run_id

    def _known(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run_id))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # another store than the one it began in
                return False
            raise

    def _create(self, verb: str, settings: Mapping[str, Any], data: Mapping[str, str]) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        client, name = self._client, self._tracking.experiment
        found = client.get_experiment_by_name(name)
        place = found.experiment_id if found else client.create_experiment(name, artifact_location=_beside(self.uri))
        run = client.create_run(place, run_name=self._tracking.name or verb, tags={"verb": verb}).info.run_id
        parameters = [Param(key, str(value)[:6000]) for key, value in settings.items()]
        for first in range(0, len(parameters), 100):
            client.log_batch(run, params=parameters[first : first + 100])
        inputs = [
            DatasetInput(
                Dataset(key, digest, "local", str(settings.get(key) or key)), [InputTag("mlflow.data.context", "train")]
            )
            for key, digest in data.items()
        ]
        client.log_inputs(run, datasets=inputs)
        return str(run)

    def past(self, curve: Sequence[tuple[int, Figures]]) -> None:
        """Hear what the run told before it was resumed: what MLflow lacks of it is sent."""
        with self._lock:
            self._waiting = [*curve, *self._waiting]

    def add(self, step: int, figures: Figures) -> None:
        """Hear of a step."""
        with self._lock:
            self._waiting.append((step, figures))

    def _send_on(self) -> None:
        while not self._over.wait(1.0):
            if not self._send():
                self._over.wait(_RETRY_SECONDS)

    def _send(self) -> bool:
        """Send what waits; return whether MLflow took it."""
        from mlflow.entities import Metric

        try:
            if self._sent < 0:
                history = self._client.get_metric_history(self.run_id, "step_s")
                self._sent = max((metric.step for metric in history), default=0)
            while True:
                with self._lock:
                    self._waiting = [(step, figures) for step, figures in self._waiting if step > self._sent]
                    part = self._waiting[:_AT_ONCE]
                if not part:
                    break
                now = int(time.time() * 1000)
                metrics = [Metric(name, float(value), now, step) for step, f in part for name, value in f.items()]
                for first in range(0, len(metrics), _MOST):
                    self._client.log_batch(self.run_id, metrics=metrics[first : first + _MOST])
                self._sent = part[-1][0]
        except Exception as error:
            if not self._down:
                self._tell(f"MLflow at {self.uri} does not answer ({_first_line(error)}); training goes on")
            self._down = True
            return False
        if self._down:
            self._tell(f"MLflow at {self.uri} answers again and has caught up to step {self._sent}")
        self._down = False
        return True

    def fail(self, reason: str) -> None:
        """Tell that the training ended with an error."""
        self._finish(lambda: self._client.set_terminated(self.run_id, "KILLED" if "Interrupt" in reason else "FAILED"))

    def end(self, figures: Figures, checkpoint: str) -> None:
        """Tell how the training ended: figures, faces, a clip, the checkpoint."""

        def rest() -> None:
            self._client.log_batch(self.run_id, metrics=_final(figures))
            if checkpoint:
                self._artifacts(checkpoint)
            self._client.set_terminated(self.run_id)

        self._finish(rest)

    def _finish(self, rest: Callable[[], None]) -> None:
        if not self.run_id:
            return
        self._over.set()
        self._thread.join(timeout=60)
        if self._send():
            try:
                rest()
                return
            except Exception as error:
                self._tell(f"MLflow at {self.uri} did not take all of the end: {_first_line(error)}")
        if self._waiting:
            self._tell(f"MLflow lacks {len(self._waiting)} steps; running the same command again sends them")

    def _artifacts(self, checkpoint: str) -> None:
        from expclip import checkpoint as checkpoints
        from expclip import storage

        whole = "generator" in checkpoints.load(checkpoint).parts
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "checkpoint"
            local.mkdir()
            for path in storage.listing(checkpoint):
                (local / path.rsplit("/", 1)[-1]).write_bytes(storage.read_bytes(path))
            samples = Path(folder) / "samples"
            samples.mkdir()
            _draw(str(local), samples, whole)
            self._client.log_artifacts(self.run_id, str(samples), "samples")
            if not whole:
                self._client.log_artifacts(self.run_id, str(local), "checkpoint")
            elif self._tracking.model:
                self._register(str(local))

    def _register(self, checkpoint: str) -> None:
        import mlflow

        from ray_jobs import mlflow_model

        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=self.run_id), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it would have an example of what goes in beside the signature
            mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(mlflow_model.__file__)),
                artifacts={"checkpoint": checkpoint},
                signature=mlflow_model.signature(),
                pip_requirements=["expclip"],
                registered_model_name=self._tracking.model,
            )


def _draw(checkpoint: str, folder: Path, whole: bool) -> None:
    """Draw faces of prompts, and a clip of the demo's first line if the checkpoint can speak."""
    import numpy as np
    import torch

    from expclip import animator, render
    from expclip import checkpoint as checkpoints
    from expclip.model import ExpCLIP

    model = ExpCLIP.from_part(checkpoints.load(checkpoint).part("expclip"))
    with torch.inference_mode():
        direction_BD, strength_B = model.encode_text(list(_PROMPTS))
        weights_BC = model.decode_expression(direction_BD * strength_B[:, None])[1].numpy()
    render.contact_sheet(np.asarray(weights_BC), list(_PROMPTS), str(folder / "faces.png"))
    if whole:
        speaking = animator.load(checkpoint)
        sound = str(resources.files("expclip") / "data" / "demo" / "01_birthday.ogg")
        speaking.animate(sound, "delighted and a little overwhelmed", fps=30).save(folder / "birthday.mp4")


def _final(figures: Figures) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(f"final/{name}", float(value), now, 0) for name, value in figures.items()][:_MOST]


def _client(uri: str) -> Any:
    """Return MLflow's client, which gives up soon on a server that is gone."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    if (path := _file_of(uri)) is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _file_of(uri: str) -> str | None:
    return uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else None


def _beside(uri: str) -> str | None:
    """Return where artifacts of a store in a file go; a server decides itself."""
    path = _file_of(uri)
    return None if path is None else (Path(path).resolve().parent / "artifacts").as_uri()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
