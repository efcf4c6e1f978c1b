"""Job `train_generator`: CLIPS + TRACKS folders and an ExpCLIP -> checkpoint. `expclip train-generator --recipe F`."""

from collections.abc import Mapping
from typing import Any

from expclip.train_generator import Config as Config


def run(config: Config) -> dict[str, Any]:
    """Train, print each report, write the checkpoint; return the figures on held-out clips."""
    from expclip import train_generator

    def report(step: int, losses: Mapping[str, float]) -> None:
        print(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items()), flush=True)

    figures = train_generator.run(config, report)
    print("\n".join(f"{name}: {value:.3f}" for name, value in figures.items()))
    return figures
