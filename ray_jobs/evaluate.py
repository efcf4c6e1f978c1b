"""Job `evaluate`: a checkpoint and held-out clips -> the quality table. `expclip evaluate --set clips=['FOLDER']`."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Config:
    """What to measure and on what."""

    checkpoint: str | None = None  # folder of a checkpoint; default: the one that ships
    clips: tuple[str, ...] = ()  # folders with clips/ and, for motion, tracks/; their clips of the split are used
    split: Literal["test", "val"] = "test"  # val is for choosing settings, test for what is published
    limit: int = 100  # clips of each folder at most, the first by name
    report: str | None = None  # JSON file to write; default: only print


def run(config: Config) -> dict[str, Any]:
    """Measure, print the table, write the report; return the figures."""
    from expclip import animator, evaluate

    figures = evaluate.evaluate(animator.load(config.checkpoint), config.clips, limit=config.limit, split=config.split)
    print(evaluate.table(figures))
    if config.report:
        evaluate.write_report(config.report, figures)
    return figures
