"""The command `expclip VERB ...`. The only place that reads arguments; each verb's work is in its own module.

Exit codes: 0 done, 2 bad request, 3 done but for some rows, 130 interrupted. Nothing heavy is imported before a
verb needs it.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from expclip.errors import BadRequestError, MissingSettingError

DONE, BAD_REQUEST, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130


@dataclasses.dataclass(frozen=True)
class Job:
    """A verb whose module has a `Config` and a `run(config)`."""

    module: str
    about: str
    positional: tuple[str, ...] = ()  # settings that may be given without their names, in this order
    output: str = "output"  # setting that -o gives
    named: tuple[str, ...] = ()  # settings that --NAME gives as well


JOBS = {
    "ingest": Job("ray_jobs.ingest", "a corpus -> tables CLIPS, TRACKS and EXPRESSIONS", ("corpus", "root")),
    "extract": Job(
        "ray_jobs.extract", "videos of CLIPS -> TRACKS", ("clips",), output="tracks", named=("extractor", "model")
    ),
    "synthesize": Job("ray_jobs.synthesize", "synthetic speech with mouth motion -> CLIPS and TRACKS"),
    "annotate": Job(
        "ray_jobs.annotate", "faces get texts, texts get faces: TRACKS, EXPRESSIONS, texts -> TEAD", ("input",)
    ),
    "check": Job("ray_jobs.check", "any table of ours -> what is in it and what is wrong", ("path",), output="report"),
    "train-expclip": Job("ray_jobs.train_expclip", "TEAD -> the text and expression towers"),
    "train-critic": Job(
        "ray_jobs.train_critic", "CLIPS and TRACKS -> a critic that knows whether lips and sound agree"
    ),
    "train-generator": Job("ray_jobs.train_generator", "CLIPS, TRACKS and TEAD -> the generator", output="checkpoint"),
    "train-evaluator": Job("ray_jobs.train_evaluator", "TEAD, CLIPS and TRACKS -> the judge that `evaluate` uses"),
    "train-baseline": Job("ray_jobs.train_baseline", "CLIPS and TRACKS -> an autoregressive baseline for `evaluate`"),
    "ablate": Job("ray_jobs.ablate", "one training, its parts taken away one by one -> a table of what each is worth"),
    "evaluate": Job(
        "ray_jobs.evaluate", "a checkpoint and held-out clips -> one report", ("checkpoint",), output="report"
    ),
}
_ANIMATE = Job("ray_jobs.animate", "speech and prompts -> animations")

_EPILOG = """jobs take --recipe FILE, --set a.b=value and --dry-run; `expclip VERB --help` is their manual.
exit codes: 0 done, 2 bad request, 3 done but for some rows"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadRequestError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. What the user did wrong is one line on standard error."""
    try:
        arguments = vars(_parser().parse_args(argv))
        return int(arguments.pop("run")(arguments))
    except BadRequestError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at its end
        return DONE
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore"):  # no credentials, no such host
            return _refuse(str(error))
        raise


def _refuse(message: str) -> int:
    print(f"expclip: {' '.join(message.split())}", file=sys.stderr)
    return BAD_REQUEST


def _parser() -> argparse.ArgumentParser:
    from expclip import __version__

    parser = _Parser(
        prog="expclip",
        description="Speech plus a prompt in plain words becomes facial animation on ARKit blendshapes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"expclip {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_animate(verbs)
    _add_style(verbs)
    rig = verbs.add_parser("rig", help="the rig's channels, regions and action units")
    rig.add_argument("name", nargs="?", default="arkit52")
    rig.set_defaults(run=_rig)
    for verb, job in JOBS.items():
        _add_job(verbs, verb, job)
    return parser


def _add_animate(verbs: Any) -> None:
    parser = verbs.add_parser(
        "animate",
        help=_ANIMATE.about,
        description="Animate one line, or every row of a catalogue (.csv, .parquet, .jsonl) as a job.",
        epilog="-o of a line: a file by suffix, or with --format a folder or a name without suffix. -o of a catalogue: "
        "the folder to fill; running the same command again does only what is missing.",
    )
    add = parser.add_argument
    add("input", help="a sound or video file, or a catalogue: clip_id,audio,prompt[,intensity,start,end,seed,fps]")
    add("-p", "--prompt", help="how the line is felt, in words (a catalogue has its own)")
    add("-o", "--output", action="append", default=[], help="file or folder to write; may be given several times")
    add("--format", default="", help="formats by name, with commas: livelink.csv,a2f.json,glb,mp4,npz")
    add("--checkpoint", help="folder of a checkpoint, local or s3:// (default: the one that ships)")
    add("--intensity", type=float, help="strength, 0 to 1.5 (default 1)")
    add("--seed", type=int, help="decides the blinks (default 0)")
    add("--fps", type=float, help="frames a second (default 30)")
    add("--start", type=float, help="first second of the sound to use")
    add("--end", type=float, help="last second of the sound to use")
    add("--without", default="", help="post-processing to leave out: smoothing,silence,closure,blinks,limit,clamp")
    _add_settings(parser)
    parser.set_defaults(run=_animate)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", metavar="FILE", help="TOML whose table of the verb's name gives settings")
    parser.add_argument("--set", metavar="a.b=VALUE", dest="sets", action="append", default=[], help="one setting")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def _animate(given: dict[str, Any]) -> int:
    from expclip.catalogue import is_catalogue

    if is_catalogue(given["input"]):
        return _animate_catalogue(given)
    for name in ("recipe", "sets", "dry_run"):
        if given[name]:
            raise BadRequestError(f"--{name.rstrip('s').replace('_', '-')} is for catalogues, not for a single line")
    if given["prompt"] is None:
        raise BadRequestError("no prompt; say how the line is felt with -p TEXT")
    from ray_jobs import line

    names = ("checkpoint", "intensity", "seed", "fps", "start", "end")
    line.run(
        line.Request(
            given["input"],
            given["prompt"],
            tuple(given["output"]),
            _listed(given["format"]),
            without=_listed(given["without"]),
            **_given(given, names),
        )  # fmt: skip
    )
    return DONE


def _animate_catalogue(given: dict[str, Any]) -> int:
    from expclip import exporters

    for name in ("prompt", "start", "end"):
        if given[name] is not None:
            raise BadRequestError(f"--{name} is for a single line; a catalogue has a column for it")
    if len(given["output"]) > 1:
        raise BadRequestError(f"a catalogue fills one folder, not {len(given['output'])}")
    if given["output"] and given["output"][0].lower().endswith(tuple(f".{name}" for name in exporters.EXPORTERS)):
        raise BadRequestError(f"a catalogue fills a folder, and {given['output'][0]!r} is the name of a file")
    settings = _given(given, ("checkpoint", "intensity", "seed", "fps"))
    for name, setting in (("format", "formats"), ("without", "without")):
        if given[name]:
            settings[setting] = _listed(given[name])
    if given["output"]:
        settings["output"] = given["output"][0]
    return _run_job("animate", _ANIMATE, given, catalogue=given["input"], **settings)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lstrip(".") for part in text.split(",") if part.strip()))


def _given(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if given[name] is not None}


def _add_style(verbs: Any) -> None:
    parser = verbs.add_parser("style", help="what a prompt asks of the face: action units, blendshapes, a still")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="prompts, or - for one a line on standard input")
    parser.add_argument("--json", action="store_true", help="one object a line: text, strength, action_units, weights")
    parser.add_argument("-o", "--output", metavar="FACE.png", help="draw the face; several texts become one sheet")
    parser.add_argument("--checkpoint", help="folder of a checkpoint, local or s3://")
    parser.add_argument("--intensity", type=float, default=1.0, help="strength, 0 to 1.5 (default 1)")
    parser.set_defaults(run=_style)


def _style(given: dict[str, Any]) -> int:
    from ray_jobs import style

    style.run(
        given["texts"], as_json=given["json"], picture=given["output"], folder=given["checkpoint"],
        intensity=given["intensity"],
    )  # fmt: skip
    return DONE


def _rig(given: dict[str, Any]) -> int:
    from expclip.rig import load_rig

    rig = load_rig(given["name"])
    region = {name: region for region, names in rig.regions.items() for name in names}
    print(f"rig {rig.name}: {len(rig)} channels, digest {rig.digest}\n")
    for k, name in enumerate(rig.channels):
        print(f"{k:>4}  {name:<22}{region.get(name, '')}")
    print("\naction units (* is Left or Right)\n")
    for unit in rig.action_units.values():
        shapes = ", ".join(f"{shape} {value:g}" for shape, value in unit.shapes.items())
        print(f"  {unit.code:<6}{unit.name:<28}{shapes}")
    return DONE


def _add_job(verbs: Any, verb: str, job: Job) -> None:
    parser = verbs.add_parser(verb, help=job.about, description=job.about, add_help=False)
    parser.add_argument("positional", nargs="*", metavar=" ".join(job.positional).upper() or "-")
    parser.add_argument("-o", "--output")
    parser.add_argument("-h", "--help", action="store_true")
    for name in job.named:
        parser.add_argument(f"--{name}")
    _add_settings(parser)
    parser.set_defaults(run=lambda given: _job(verb, job, given))


def _job(verb: str, job: Job, given: dict[str, Any]) -> int:
    if given["help"]:
        print(_manual(verb, job))
        return DONE
    if len(given["positional"]) > len(job.positional):
        surplus = given["positional"][len(job.positional)]
        raise BadRequestError(f"surplus argument {surplus!r}; {verb} takes: {' '.join(job.positional) or 'none'}")
    settings = dict(zip(job.positional, given["positional"], strict=False)) | _given(given, job.named)
    if given["output"] is not None:
        settings[job.output] = given["output"]
    return _run_job(verb, job, given, **settings)


def _run_job(verb: str, job: Job, given: dict[str, Any], **settings: Any) -> int:
    from expclip import config

    module = _module(verb, job)
    try:
        resolved = config.load(module.Config, given["recipe"], verb, given["sets"], **settings)
    except MissingSettingError as error:
        named = {name: name.upper() for name in job.positional} | {job.output: f"-o {job.output.upper()}"}
        missing = ", ".join(named.get(name, f"--set {name}=VALUE") for name in error.names)
        raise BadRequestError(f"{verb} needs {missing} (see expclip {verb} --help)") from None
    if given["dry_run"]:
        print(json.dumps(config.as_dict(resolved), indent=1, default=str))
        return DONE
    result = module.run(resolved)
    failed = result.get("failed", 0) if isinstance(result, dict) else getattr(result, "failed", 0)
    return SOME_FAILED if failed else DONE


def _module(verb: str, job: Job) -> ModuleType:
    try:
        return importlib.import_module(job.module)
    except ModuleNotFoundError as error:
        package = error.name or job.module
        raise BadRequestError(f"{verb} needs the package {package!r}, which is not installed") from None


def _manual(verb: str, job: Job) -> str:
    """Return the job's docstring and its Config classes as they stand in the source, comments included."""
    module = _module(verb, job)
    classes: list[Any] = [kind for kind in module.Config.__mro__ if dataclasses.is_dataclass(kind)]
    for kind in classes:  # grows while it is walked
        hints = inspect.get_annotations(kind, eval_str=True)
        classes += [hint for hint in hints.values() if dataclasses.is_dataclass(hint) and hint not in classes]
    positional = "".join(f" {name.upper()}" for name in job.positional)
    named = "".join(f" [--{name} {name.upper()}]" for name in job.named)
    usage = f"usage: expclip {verb}{positional} [-o {job.output.upper()}]{named}"
    usage += " [--recipe FILE] [--set a.b=VALUE] [--dry-run]"
    return "\n\n".join([usage, inspect.getdoc(module) or "", *(inspect.getsource(kind).rstrip() for kind in classes)])


if __name__ == "__main__":
    sys.exit(main())
