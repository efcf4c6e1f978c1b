"""Job `train-expclip`: TEAD -> a checkpoint with the text and expression towers, in this process.

`expclip train-expclip -o CHECKPOINT --set steps=700`. One core is enough; settings and results go to MLflow if
`MLFLOW_TRACKING_URI` is set.
"""

import os
from collections.abc import Mapping

from expclip import config as settings
from expclip import train_expclip
from expclip.train_expclip import Config

__all__ = ["Config", "run"]


def run(config: Config) -> dict[str, float]:
    """Train, print progress and the figures on the test split, write the checkpoint; return the figures."""
    figures = train_expclip.run(config, _print)
    for name, value in figures.items():
        print(f"{name:28} {value:.3f}")
    if os.environ.get("MLFLOW_TRACKING_URI"):
        _log(config, figures)
    return figures


def _print(step: int, figures: Mapping[str, float]) -> None:
    if step % 50 == 0 or "val" in figures:
        shown = ("text", "expression", "align", "val", *(f"{kind}_au_f1" for kind in ("tag", "prompt", "description")))
        print(f"step {step:5}  " + "  ".join(f"{k} {figures[k]:.3f}" for k in shown if k in figures), flush=True)


def _log(config: Config, figures: Mapping[str, float]) -> None:
    import mlflow

    with mlflow.start_run(run_name="train-expclip"):
        mlflow.log_dict(settings.as_dict(config), "config.json")
        mlflow.log_metrics(dict(figures))
