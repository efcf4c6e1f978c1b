"""A checkpoint as an MLflow model: rows of speech and prompt in, frames of weights out.

`mlflow models serve -m models:/expclip/1 --env-manager local`, or `mlflow.pyfunc.load_model`. A row has `audio`
(a path) or `samples` (mono, 16 kHz, -1..1), `prompt` and, if wanted, `intensity` (0..1.5) and `fps`. An answer has
`fps`, `names` (of the channels) and `weights` (frames, channels), 0..1.
"""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array


def signature() -> ModelSignature:
    """Return what goes in and what comes out."""
    return ModelSignature(
        Schema([
            ColSpec(DataType.string, "audio", required=False),
            ColSpec(Array(DataType.double), "samples", required=False),
            ColSpec(DataType.string, "prompt"),
            ColSpec(DataType.double, "intensity", required=False),
            ColSpec(DataType.double, "fps", required=False),
        ]),
        Schema([
            ColSpec(DataType.double, "fps"),
            ColSpec(Array(DataType.string), "names"),
            ColSpec(Array(Array(DataType.double)), "weights"),
        ]),
    )  # fmt: skip


class Speech(PythonModel):
    """An Animator behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint."""
        from expclip import animator

        self._animator = animator.load(context.artifacts["checkpoint"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a row of frames for each row."""
        rows = [self._row(row) for row in model_input.to_dict("records")]
        return pd.DataFrame(rows, columns=["fps", "names", "weights"])

    def _row(self, row: dict[Any, Any]) -> dict[str, Any]:
        samples = row.get("samples")
        given = isinstance(samples, list | tuple | np.ndarray) and len(samples)
        audio = np.asarray(samples, np.float32) if given else str(row["audio"])
        style = self._animator.style(str(row["prompt"]), intensity=_number(row, "intensity", 1.0))
        made = self._animator.animate(audio, style, fps=_number(row, "fps", 30.0))
        weights = [[float(value) for value in frame] for frame in made.weights_TC]
        return {"fps": made.fps, "names": list(made.names), "weights": weights}


def _number(row: dict[Any, Any], name: str, missing: float) -> float:
    value = row.get(name)
    return missing if value is None or value != value else float(value)


set_model(Speech())
