"""Ablation: what each part of a training is worth: variants of one configuration, each from several seeds, in a table.

In: reports of `evaluate` by variant and seed. Out: means and spreads over seeds, as Markdown and as a picture (SVG).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np

FULL = "full"
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        FULL: {},
        "no EPA": {"epa.share": 0.0},
        "no interpolation": {"epa.interpolated": 0.0},
        "no intensities": {"epa.least": 1.0, "epa.most": 1.0},
        "no region masks": {"epa.masked": 0.0},
        "no turning styles": {"epa.timed": 0.0},
        "no sync critic": {"losses.sync": 0.0},
        "no style consistency": {"losses.style": 0.0},
        "no closure loss": {"losses.closure": 0.0, "closure_recall": 0.0},
        "no velocity loss": {"losses.velocity": 0.0},
        "tags alone": {"kinds": ("tag",)},
        "descriptions alone": {"kinds": ("description",)},
        "look-ahead 0 ms": {"model.lookahead": 0},
        "look-ahead 60 ms": {"model.lookahead": 3},
        "half as wide": {"model.width": 32},
    }
)
"""Name -> settings of `train-generator` that differ from those of `full`."""


@dataclass(frozen=True)
class Column:
    """A figure of the table."""

    name: str
    unit: str  # "%" is shown as a hundred times the value
    higher: bool  # whether more is better


COLUMNS = (
    Column("emotion accuracy, unseen prompts", "%", True),
    Column("emotion accuracy, open vocabulary", "%", True),
    Column("R@3, unseen prompts", "%", True),
    Column("closure recall, neutral", "%", True),
    Column("closure recall, worst emotion", "%", True),
    Column("closure precision, neutral", "%", True),
    Column("jawOpen r", "", True),
    Column("lip vertex error", "mm", False),
    Column("timing at p, b, m", "ms", False),
)


def headline(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the table's figures of one report: of prompts, and the mean over its folders where they were measured."""
    prompts, corpora = report["prompts"], list(report["corpora"].values())
    emotions = [corpus["emotions"] for corpus in corpora]
    neutral = [found["neutral"] for found in emotions]
    styled = [[figures for name, figures in found.items() if name != "neutral"] for found in emotions]
    truth = [corpus["truth"].get("neutral", {}).get("model", {}) for corpus in corpora]
    found = {
        "emotion accuracy, unseen prompts": [_value(_model(prompts["tead prompt"]), "emotion_accuracy")],
        "emotion accuracy, open vocabulary": [_value(_model(prompts["open vocabulary"]), "emotion_accuracy")],
        "R@3, unseen prompts": [_value(_model(prompts["tead prompt"]), "R@3")],
        "closure recall, neutral": [_value(figures, "closure_recall") for figures in neutral],
        "closure recall, worst emotion": [
            min((_value(figures, "closure_recall") for figures in each), default=np.nan) for each in styled
        ],
        "closure precision, neutral": [_value(figures, "closure_precision") for figures in neutral],
        "jawOpen r": [_value(figures, "r.jawOpen") for figures in truth],
        "lip vertex error": [_value(figures, "LVE@own head") for figures in truth],
        "timing at p, b, m": [abs(_value(figures, "closure_timing_ms")) for figures in neutral],
    }
    return {name: _mean(values) for name, values in found.items()}


def _model(group: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = group["sources"]["model"]
    return found


def _value(figures: Mapping[str, Any], name: str) -> float:
    value = figures.get(name, {}).get("value")
    return float("nan") if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


Table = Mapping[str, Sequence[Mapping[str, float]]]
"""Variant -> the headline of each seed."""


def markdown(found: Table) -> str:
    """Return the table: mean and standard deviation over seeds, and the difference of means from `full`."""
    columns = [column for column in COLUMNS if any(np.isfinite(_of(rows, column)).any() for rows in found.values())]
    lines = [
        "| variant | seeds | " + " | ".join(column.name for column in columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for variant, rows in found.items():
        cells = [_cell(_of(rows, column), _of(found.get(FULL, ()), column), column, variant) for column in columns]
        lines.append(f"| {variant} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _of(rows: Sequence[Mapping[str, float]], column: Column) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([row.get(column.name, np.nan) for row in rows], np.float64)


def _cell(values: Any, full: Any, column: Column, variant: str) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    scale = 100.0 if column.unit == "%" else 1.0
    digits = 2 if column.unit in ("", "mm") else 1
    told = f"{scale * known.mean():.{digits}f} ± {scale * known.std(ddof=1 if len(known) > 1 else 0):.{digits}f}"
    if variant == FULL or not np.isfinite(full).any():
        return f"{told} {column.unit}".strip()
    return f"{told} ({scale * (known.mean() - np.nanmean(full)):+.{digits}f})"


_ROW, _LEFT, _WIDTH = 22, 190, 360


def chart(found: Table, column: Column) -> str:
    """Return one figure as a picture: a bar for each variant's mean, a dot for each seed."""
    rows = {variant: _of(values, column) for variant, values in found.items()}
    rows = {variant: values[np.isfinite(values)] for variant, values in rows.items()}
    known = np.concatenate([np.zeros(1), *rows.values()])
    most = float(np.abs(known).max()) or 1.0
    scale = 100.0 if column.unit == "%" else 1.0
    shapes = []
    for k, (variant, values) in enumerate(rows.items()):
        y = _ROW * k + 30
        shapes.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(variant)}</text>')
        if len(values):
            mean = float(values.mean())
            shapes.append(
                f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH * abs(mean) / most:.1f}" height="14" fill="#7fb0cc"/>'
            )
            shapes += [
                f'<circle cx="{_LEFT + _WIDTH * abs(v) / most:.1f}" cy="{y + 7}" r="3" fill="#1d2733"/>' for v in values
            ]
            shapes.append(f'<text x="{_LEFT + _WIDTH + 12}" y="{y + 11}">{scale * mean:.3g} {column.unit}</text>')
    height = _ROW * len(rows) + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 90}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="8" y="18" font-size="14">{escape(column.name)}</text>{"".join(shapes)}</svg>\n'
    )
