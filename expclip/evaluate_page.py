"""The page of an evaluation: tables with intervals, charts and faces. One file, nothing to load.

In: a report of `evaluate`, as read from its JSON. Out: HTML with its style, charts as SVG and pictures of our head.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from expclip import charts, definitions, report
from expclip.findings import Sample

_GLANCE = (
    ("r.jawOpen", ("truth", "neutral", "model")),
    ("LVE", ("truth", "neutral", "model")),
    ("closure_recall", ("emotions", "neutral")),
    ("closure_precision", ("emotions", "neutral")),
    ("closure_timing_ms", ("emotions", "neutral")),
    ("offset_ms", ("emotions", "neutral")),
)


def page(found: Mapping[str, Any]) -> str:
    """Return the page of a report."""
    title = f"Evaluation on the {found['about']['split']} split"
    parts = [
        f"<h1>{title}</h1>",
        _about(found["about"]),
        f"<h2>At a glance</h2><h3>Motion</h3>{_glance(found['corpora'])}",
        f"<h3>Prompts</h3>{_groups_at_a_glance(found['prompts'])}",
        *(_corpus(name, corpus) for name, corpus in found["corpora"].items()),
        *(_group(name, group) for name, group in found["prompts"].items()),
        _robustness(found["robustness"]),
        "<h2>Style space: retrieval and action units as `expclip style` prints them</h2>"
        + _retrieval(found["retrieval"]),
        "<h2>Held faces of prompts</h2>" + report.faces(_samples(found["faces"])),
        "<h2>What the names mean</h2>" + _definitions(),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{report.STYLE}{charts.STYLE}</style></head><body>'
        f"{''.join(parts)}<p><small>expclip evaluate, version {escape(found['about']['expclip'])}</small></p>"
        "</body></html>\n"
    )


def _about(about: Mapping[str, Any]) -> str:
    rows = [(name, value) for name, value in about.items() if name not in ("note", "meshes")]
    rows += [(name, ", ".join(f"{n} {what}" for what, n in counts.items())) for name, counts in about["meshes"].items()]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table><p>{escape(about['note'])}</p>"


def cell(figure: Mapping[str, Any] | None) -> str:
    """Return a figure as a cell's words: value, its interval dimmed, the number of clips when pointed at."""
    if not figure or figure.get("value") is None:
        return "-"
    low, high, clips = figure.get("low"), figure.get("high"), figure.get("clips")
    interval = "" if low is None or high is None else f' <span class="dim">{_plain(low)}..{_plain(high)}</span>'
    return f'<span title="{clips} clips or prompts">{_plain(figure["value"])}</span>{interval}'


def grid(rows: Iterable[tuple[str, Sequence[str]]], heads: Sequence[str]) -> str:
    """Return a table of named rows of cells."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *heads))
    body = "".join(
        f"<tr><td{_meaning(name)}>{escape(name)}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return f'<div class="wide"><table class="grid"><tr>{head}</tr>{body}</table></div>'


def _meaning(name: str) -> str:
    known = definitions.of(name)
    return f' title="{escape(f"{known.unit}: {known.text}", True)}"' if known else ""


def _columns(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Return figures by column (rival, emotion, source) as a table with a row for each figure."""
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [(_named(name), [cell(column.get(name)) for column in columns.values()]) for name in names]
    return grid(rows, list(columns))


def _named(name: str) -> str:
    known = definitions.of(name)
    return f"{name} [{known.unit}]" if known and known.unit != "-" else name


def _at(tree: Mapping[str, Any], path: Sequence[str]) -> Any:
    for step in path:
        tree = tree.get(step) or {}
    return tree


def _glance(corpora: Mapping[str, Any]) -> str:
    rows = [
        (_named(name), [cell(_at(corpus, path).get(name)) for corpus in corpora.values()]) for name, path in _GLANCE
    ]
    worst = []
    for corpus in corpora.values():
        felt = [
            f["closure_recall"] for name, f in corpus["emotions"].items() if "closure_recall" in f and name != "neutral"
        ]
        worst.append(cell(min(felt, key=lambda figure: figure["value"])) if felt else "-")
    rows.append(("closure_recall, worst emotion", worst))
    rows.append(("spearman_worst", [cell(corpus["intensity"]["spearman_worst"]) for corpus in corpora.values()]))
    return grid(rows, list(corpora))


def _groups_at_a_glance(groups: Mapping[str, Any]) -> str:
    names = ("R@1", "emotion_f1")
    rows = []
    for source in ("truth", "model", "label", "faceformer", "audio_only", "shuffled"):
        for name in names:
            cells = [cell(_at(group, ("sources", source)).get(name)) for group in groups.values()]
            rows.append((f"{source} / {name}", cells))
    rows.append(("model / au_f1", [cell(_at(group, ("units", "model")).get("au_f1")) for group in groups.values()]))
    return grid(rows, list(groups))


def _corpus(name: str, corpus: Mapping[str, Any]) -> str:
    facts = [(key, corpus[key]) for key in corpus if not isinstance(corpus[key], dict)]
    told = "; ".join(f"{key}: {_listed(value)}" for key, value in facts)
    parts = [f"<h2>{escape(name)}</h2><p>{escape(told)}</p>"]
    for kind, rivals in corpus["truth"].items():
        parts.append(f"<h3>Against the speaker's own face: {kind} clips</h3>{_columns(rivals)}")
        shown = {"LVE [mm]": "LVE", "r of jawOpen": "r.jawOpen"}
        drawn = [charts.bars(f"{title}, {kind}", _row(rivals, figure)) for title, figure in shown.items()]
        parts.append(_charts(drawn))
    parts.append(f"<h3>Under every emotion, on the same clips</h3>{_columns(corpus['emotions'])}")
    parts.append(_charts(_emotion_charts(corpus)))
    intensity = corpus["intensity"]
    scores = {key: [cell(intensity[key])] for key in ("spearman_worst", "difference_at_0", "timing_shift_ms")}
    scores["style_diversity"] = [cell(corpus["style_diversity"])]
    parts.append(f"<h3>Intensity</h3>{grid([(_named(key), cells) for key, cells in scores.items()], ['value'])}")
    return "".join(parts)


def _charts(drawn: Iterable[str]) -> str:
    return f'<div class="charts">{"".join(drawn)}</div>'


def _listed(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _row(columns: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {column: figures[name] for column, figures in columns.items() if name in figures}


def _emotion_charts(corpus: Mapping[str, Any]) -> list[str]:
    curves, intensity = corpus["curves"], corpus["intensity"]
    gaps = {
        {"neutral": "zero style", "emotion": curves["prompt"], "truth": "own face"}[key]: gap[:240]
        for key, gap in curves["gaps_mm"].items()
    }
    frames = max(map(len, gaps.values()))
    seconds = frames / curves["fps"]
    gaps = {key: [*gap, *[gap[-1]] * (frames - len(gap))] for key, gap in gaps.items()}
    shut = [pair for pair in curves["bilabials"] if pair[1] < seconds]
    levels = intensity["intensities"]
    return [
        charts.bars("closure recall", _row(corpus["emotions"], "closure_recall")),
        charts.bars("MOD from neutral, mm", _row(corpus["emotions"], "MOD_from_neutral")),
        charts.bars("jitter of the mouth", _row(corpus["emotions"], "jitter")),
        charts.lines(f"lip gap of {curves['clip']}, mm; p, b, m shaded", gaps, (0.0, seconds), shades=shut, unit=" s"),
        charts.lines("m(s), move of the upper face", _evenly(intensity["m"], levels), (levels[0], levels[-1])),
    ]


def _evenly(curves: Mapping[str, Sequence[float]], levels: Sequence[float]) -> dict[str, list[float]]:
    """Return curves known at uneven levels on even ones, as a chart needs them."""
    even = np.linspace(levels[0], levels[-1], 31)
    return {name: np.interp(even, levels, curve).tolist() for name, curve in curves.items()}


def _group(name: str, group: Mapping[str, Any]) -> str:
    table = _columns(group["sources"])
    drawn = [charts.bars(title, _row(group["sources"], title)) for title in ("R@1", "MM-Dist", "emotion_f1")]
    confusion = group["confusion"]
    drawn.append(
        charts.counts("emotion of the prompt (rows), seen (columns)", confusion["emotions"], confusion["counts"])
    )
    parts = [f'<h2>Prompts: {escape(name)}, {group["prompts"]}</h2>{table}<div class="charts">{"".join(drawn)}</div>']
    if "units" in group:
        parts.append(f"<h3>Action units of the held pose</h3>{_columns(group['units'])}")
        rows = [
            (unit, [_plain(scores[key]) for key in ("named", "precision", "recall", "f1")])
            for unit, scores in group["by_unit"].items()
        ]
        parts.append(
            f"<details><summary>unit by unit</summary>{grid(rows, ['named', 'precision', 'recall', 'f1'])}</details>"
        )
    return "".join(parts)


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{0.0 if abs(value) < 1e-5 else value:.3g}"


def _robustness(found: Mapping[str, Any]) -> str:
    columns = {key: found[key] for key in ("cosine", "pose_std", "strength_std")}
    rows = [(emotion, [cell(column[emotion]) for column in columns.values()]) for emotion in found["cosine"]]
    mean = f"<p>Mean cosine {cell(found['cosine_mean'])}, worst {cell(found['cosine_worst'])}</p>"
    return f"<h2>Twenty paraphrases of each emotion</h2>{mean}{grid(rows, list(columns))}"


def _retrieval(found: Mapping[str, float]) -> str:
    kinds = dict.fromkeys(name.partition("_")[0] for name in found)
    names = dict.fromkeys(name.partition("_")[2] for name in found)
    return grid([(kind, [_plain(found.get(f"{kind}_{name}")) for name in names]) for kind in kinds], list(names))


def _samples(faces: Sequence[Mapping[str, Any]]) -> Iterable[Sample]:
    return (Sample(face["prompt"], weights_C=np.asarray(face["weights"], np.float32)) for face in faces)


def _definitions() -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(known.unit)}</td><td>{escape(known.better)}</td>"
        f"<td>{escape(known.text)}</td></tr>"
        for name, known in definitions.load().items()
    )
    return f"<table><tr><th>name</th><th>unit</th><th>better</th><th>definition</th></tr>{rows}</table>"
