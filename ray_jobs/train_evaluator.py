"""Job `train-evaluator`: TEAD and neutral speech with faces -> the judge that `evaluate` uses, in this process.

`expclip train-evaluator -o FOLDER --set corpora.synth=FOLDER`. One core is enough.
"""

from collections.abc import Mapping

from expclip.train_evaluator import Config
from expclip.train_evaluator import run as train

__all__ = ["Config", "run"]


def run(config: Config) -> dict[str, float]:
    """Train, print the figures of each look, write the checkpoint and return the final figures."""
    found = train(config, _tell)
    print("\n".join(f"{name:<24} {value:.4g}" for name, value in found.items()), flush=True)
    return found


def _tell(step: int, figures: Mapping[str, float]) -> None:
    if any(name.startswith("val_") for name in figures):
        print(f"{step:>6}  " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)
