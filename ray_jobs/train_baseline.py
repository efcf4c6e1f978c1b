"""Job `train-baseline`: corpora -> an autoregressive baseline with emotion labels, for `evaluate`; in this process.

`expclip train-baseline -o FOLDER --set corpora.grid=FOLDER`, then `expclip evaluate --set baseline=FOLDER ...`.
"""

from collections.abc import Mapping

from expclip.train_baseline import Config
from expclip.train_baseline import run as train

__all__ = ["Config", "run"]


def run(config: Config) -> dict[str, float]:
    """Train, print each report, write the checkpoint and return the last losses."""
    return train(config, _tell)


def _tell(step: int, losses: Mapping[str, float]) -> None:
    print(f"step {step}: " + ", ".join(f"{name} {value:.5f}" for name, value in losses.items()), flush=True)
