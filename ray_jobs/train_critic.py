"""Job `train-critic`: CLIPS + TRACKS folders -> a checkpoint with a sync critic. `expclip train-critic --recipe F`."""

from collections.abc import Mapping

from expclip.train_critic import Config as Config


def run(config: Config) -> dict[str, float]:
    """Train, print each report, write the checkpoint; return the figures on held-out clips."""
    from expclip import train_critic

    def report(step: int, losses: Mapping[str, float]) -> None:
        print(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items()), flush=True)

    figures = train_critic.run(config, report)
    print("\n".join(f"{name}: {value:.3f}" for name, value in figures.items()))
    return figures
