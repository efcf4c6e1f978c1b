"""Job `evaluate`: a checkpoint and held-out clips -> one report. `expclip evaluate [CHECKPOINT] --set clips=[FOLDER]`.

Prints every figure with its 95 % interval; `-o` writes the report as .json or, with plots and faces, as .html.
"""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Config:
    """What to measure and on what."""

    checkpoint: str | None = None  # folder of a checkpoint; default: the one that ships
    clips: tuple[str, ...] = ()  # folders with clips/ and, for motion, tracks/; their clips of the split are used
    split: Literal["test", "val"] = "test"  # val is for choosing settings, test for what is published
    limit: int = 100  # clips of each folder at most, the first by name
    texts: int = 0  # TEAD records of the split whose texts are animated; 0: all
    ict: str = ""  # ICT-FaceKit folder of .obj files, or the same as .npz, to measure on beside our own head
    tead: str = ""  # folder of TEAD records, or several with commas; empty: the set that ships
    judge: str = ""  # checkpoint with an evaluator; empty: the one that ships
    baseline: str = ""  # checkpoint of `train-baseline` to compare with; empty: none
    report: str = ""  # .json or .html to write; empty: only print
    seed: int = 0


def run(config: Config) -> dict[str, Any]:
    """Measure, print the table, write the report; return it, with how many clips could not be read (`failed`)."""
    from expclip import animator, evaluate

    if config.report:
        evaluate.check_path(config.report)
    named = {
        name: getattr(config, name) for name in ("split", "limit", "texts", "ict", "tead", "judge", "baseline", "seed")
    }
    options = evaluate.Options(config.clips, **named)
    evaluate.check(options)
    report = evaluate.evaluate(animator.load(config.checkpoint), options)
    print(evaluate.table(report), flush=True)
    if config.report:
        evaluate.write_report(config.report, report)
    return report
