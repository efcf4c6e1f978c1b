"""Job `train-expclip`: TEAD -> a checkpoint with the text and expression towers. `expclip train-expclip -o CHECKPOINT`.

Workers share the texts of each step and see the features of all of them, so that any number of them takes the same
steps. Started again, it goes on from the last snapshot in `OUTPUT.run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from expclip import config as settings
from expclip import train_expclip
from ray_jobs import trainer
from ray_jobs.tracking import Tracking
from ray_jobs.trainer import Event, Run, Scale


@dataclass(frozen=True)
class Config(train_expclip.Config):
    """Where and on how many workers to train, beside what and how."""

    scale: Scale = field(default_factory=Scale)
    run: Run = field(default_factory=Run)
    tracking: Tracking = field(default_factory=Tracking)


def run(config: Config, listen: Callable[[Event], None] | None = None) -> dict[str, float]:
    """Train, print progress and the figures on the test split, write the checkpoint; return the figures."""
    core = settings.part(train_expclip.Config, config)
    job = trainer.Job(
        "train-expclip", "expclip.train_expclip", core, config.output, config.every, ("text", "expression", "align")
    )
    figures = trainer.train(job, config.scale, config.run, config.tracking, listen)
    for name, value in figures.items():
        print(f"{name:28} {value:.3f}")
    return figures
