"""Job `train-generator`: CLIPS + TRACKS folders and an ExpCLIP -> checkpoint. `expclip train-generator --recipe F`.

Workers share the crops of each step, which loaders read from the tables; the gradient is the mean of the workers'.
Started again, it goes on from the last snapshot in `CHECKPOINT.run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from expclip import config as settings
from expclip import train_generator
from expclip.errors import BadRequestError
from ray_jobs import trainer
from ray_jobs.tracking import Tracking
from ray_jobs.trainer import Event, Run, Scale


@dataclass(frozen=True)
class Config(train_generator.Config):
    """Where and on how many workers to train, beside what and how."""

    scale: Scale = field(default_factory=Scale)
    run: Run = field(default_factory=Run)
    tracking: Tracking = field(default_factory=Tracking)


def run(config: Config, listen: Callable[[Event], None] | None = None) -> dict[str, float]:
    """Train, print each report, write the checkpoint; return the figures on held-out clips."""
    core = settings.part(train_generator.Config, config)
    if core.batch < config.scale.workers:
        raise BadRequestError(f"a batch of {core.batch} crops is too small for {config.scale.workers} workers")
    shown = ("total", *(name for name, weight in settings.as_dict(core.losses).items() if weight))
    job = trainer.Job("train-generator", "expclip.train_generator", core, config.checkpoint, config.every, shown)
    figures = trainer.train(job, config.scale, config.run, config.tracking, listen)
    print("\n".join(f"{name}: {value:.3f}" for name, value in figures.items()))
    return figures
