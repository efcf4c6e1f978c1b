"""Evaluation: an Animator and held-out clips -> one report with every figure by name, its interval and its meaning.

`evaluate(animator, options)` returns the report as plain JSON values (`definitions` tells what the names mean); `table`
makes lines of it, `write_report` a .json or a .html. The same options give the same report.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expclip import (
    __version__,
    asks,
    definitions,
    evaluate_motion,
    evaluate_texts,
    evaluator,
    faceformer,
    figures,
    held,
    mesh,
    retrieval,
    storage,
    tead,
)
from expclip.actor import Actor
from expclip.animator import Animator
from expclip.asks import NEUTRAL, STRONG
from expclip.errors import BadRequestError
from expclip.held import Corpus, Held
from expclip.mesh import Mesh

SUFFIXES = (".json", ".html")
_PROMPT_CLIPS = 4
"""Clips that the prompts of the groups are spoken on."""
_NOTE = (
    "Samples of one prompt differ by blinks alone, so MEE, CE and MultiModality do not apply; PLRS, LSE and WInD need"
    " models that are not here. What one folder measures is compared in its own channels alone: never compare folders."
)


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    folders: Sequence[str]
    split: str = "test"
    limit: int = 100  # clips of each folder
    texts: int = 0  # records of TEAD whose texts are animated; 0: all of the split
    ict: str = ""  # ICT-FaceKit folder or .npz to measure on beside our own head
    tead: str = ""  # folder of TEAD records, or several with commas; empty: the set that ships
    judge: str = ""  # checkpoint with an evaluator; empty: the one that ships
    baseline: str = ""  # checkpoint with a `faceformer`; empty: none
    seed: int = 0


def evaluate(animator: Animator, options: Options) -> dict[str, Any]:
    """Return the report; raises BadRequestError for missing clips, meshes or evaluators before anything is animated."""
    check(options)
    meshes = [mesh.own(), *([mesh.ict(options.ict)] if options.ict else [])]
    judge, digest = evaluator.load(options.judge or None)
    corpora = [held.load(folder, limit=options.limit, split=options.split) for folder in options.folders]
    records = tead.load(options.tead or None, split=options.split)
    if not records:
        raise BadRequestError(f"TEAD holds no record of the {options.split} split")
    actor = Actor(animator, faceformer.load(options.baseline) if options.baseline else None)
    report: dict[str, Any] = {
        "about": _about(animator, options, meshes, digest),
        "retrieval": retrieval.evaluate(animator.expclip, records),
        "corpora": {corpus.name: of_corpus(actor, corpus, meshes, options) for corpus in corpora},
    }
    clips = spoken(corpora)
    report["prompts"] = {
        name: evaluate_texts.aligned(actor, judge, group, clips, options.seed)
        for name, group in asks.groups(records, most=options.texts, seed=options.seed).items()
    }
    report["robustness"] = evaluate_texts.robustness(actor, asks.listed("paraphrases"))
    report["faces"] = _faces(actor)
    report["failed"] = sum(len(corpus.failed) for corpus in corpora)
    made: dict[str, Any] = figures.plain(report)
    return made | {"definitions": {name: vars(what) for name, what in definitions.load().items()}}


def check(options: Options) -> None:
    """Raise BadRequestError for options that no folder could satisfy."""
    if not options.folders:
        raise BadRequestError("no clips to evaluate on; name folders with --set clips=[FOLDER]")
    if options.limit < 1:
        raise BadRequestError(f"limit {options.limit} is less than 1")
    if options.texts < 0:
        raise BadRequestError(f"texts {options.texts} is less than 0")
    names = [held.name_of(folder) for folder in options.folders]
    if len(set(names)) < len(names):
        raise BadRequestError(f"two folders of one name: {', '.join(names)}; figures are told by it")


def _about(animator: Animator, options: Options, meshes: Sequence[Mesh], digest: str) -> dict[str, Any]:
    return {
        "expclip": __version__,
        "checkpoint": animator.digest,
        "evaluator": digest,
        "rig": animator.rig.name,
        "fps": held.FPS,
        "split": options.split,
        "limit": options.limit,
        "texts": options.texts,
        "seed": options.seed,
        "interval": f"95 %, bootstrap over clips or prompts, {figures.DRAWS} draws ({figures.DRAWS // 5} for F1)",
        "meshes": {
            each.name: {"face vertices": len(each.face), "lip mask": len(each.lips), "upper mask": len(each.upper)}
            for each in meshes
        },
        "note": _NOTE,
    }


def of_corpus(actor: Actor, corpus: Corpus, meshes: Sequence[Mesh], options: Options) -> dict[str, Any]:
    """Return the figures of one folder: against the truth, under each emotion, with growing intensity."""
    few, seed = corpus.clips[: max(1, options.limit // 10)], options.seed
    prompts = {"neutral": NEUTRAL, **STRONG}
    styles = [actor.style(prompt) for prompt in prompts.values()]
    known = [clip for clip in corpus.clips if clip.truth_TC is not None]
    columns = sorted({column for clip in known for column in clip.measured})
    return {
        "clips": len(corpus.clips),
        "speakers": len({clip.speaker for clip in corpus.clips}),
        "seconds": round(corpus.seconds, 1),
        "with a measured face": len(known),
        "not readable": list(corpus.failed),
        "faces longer or shorter than their sound by 0.1 s": corpus.unequal,
        "measured channels": [actor.animator.rig.channels[column] for column in columns],
        "truth": evaluate_motion.against_truth(actor, corpus, meshes, seed),
        "emotions": evaluate_motion.under_prompts(actor, corpus, meshes[0], prompts, seed),
        "style_diversity": evaluate_motion.between_styles(actor, few, meshes[0], styles, seed),
        "intensity": evaluate_motion.by_intensity(actor, few, meshes[0], STRONG, seed),
        "curves": evaluate_motion.curves(actor, corpus.clips[0], meshes[0], STRONG["happiness"]),
    }


def spoken(corpora: Sequence[Corpus]) -> list[Held]:
    """Return the few clips that prompts are spoken on: the first of each folder, then the second, cut to 4 s."""
    rows = max(len(corpus.clips) for corpus in corpora)
    ordered = [corpus.clips[k] for k in range(rows) for corpus in corpora if k < len(corpus.clips)]
    return [held.cut(clip, 4.0) for clip in ordered[:_PROMPT_CLIPS]]


def _faces(actor: Actor) -> list[dict[str, Any]]:
    """Return the held poses of category words and strong prompts, for the page."""
    texts = [*evaluator.EMOTIONS, *STRONG.values(), *(texts[0] for texts in asks.listed("open_vocabulary").values())]
    poses = [evaluate_texts.pose(actor, actor.style(text)) for text in texts]
    return [{"prompt": text, "weights": pose_C.tolist()} for text, pose_C in zip(texts, poses, strict=True)]


def rows(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return all figures of a report with their full names, in its order."""
    found: list[tuple[str, Mapping[str, Any]]] = []

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value.keys() >= {"value", "low", "high"}:
            found.append((prefix, value))
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                if name != "by_unit":
                    add(f"{prefix} / {name}" if prefix else name, inner)

    for name in ("corpora", "prompts", "robustness"):
        add(name, report[name])
    alone = {"low": None, "high": None, "clips": None}
    found += [(f"retrieval / {name}", {"value": value} | alone) for name, value in report["retrieval"].items()]
    return found


def table(report: Mapping[str, Any]) -> str:
    """Return the figures as lines: name, value, interval, clips or prompts behind it."""
    return "\n".join(f"{name:<64} {told(figure)}" for name, figure in rows(report))


def told(figure: Mapping[str, Any]) -> str:
    """Return a figure in words: `0.914 [0.902, 0.925] (100)`."""
    if figure["value"] is None:
        return "-"
    interval = "" if figure["low"] is None else f" [{figure['low']:.3g}, {figure['high']:.3g}]"
    return f"{figure['value']:.4g}{interval}" + (f" ({figure['clips']})" if figure.get("clips") else "")


def check_path(path: str) -> None:
    """Raise BadRequestError unless a report can be written under this name."""
    if not path.lower().endswith(SUFFIXES):
        raise BadRequestError(f"{path}: unknown suffix of a report; valid: {', '.join(SUFFIXES)}")


def write_report(path: str, report: Mapping[str, Any]) -> None:
    """Write a report as JSON or, by suffix, as a page."""
    check_path(path)
    if path.lower().endswith(".html"):
        from expclip import evaluate_page

        storage.write_bytes(path, evaluate_page.page(report).encode())
    else:
        storage.write_bytes(path, json.dumps(report, indent=1).encode() + b"\n")
