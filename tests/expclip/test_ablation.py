"""Ablation: a report's headline, the table's means, spreads and differences, and the picture."""

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from expclip import ablation


def figure(value: float | None) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "clips": 3}


def report() -> dict[str, Any]:
    model = {"sources": {"model": {"emotion_accuracy": figure(0.6), "R@3": figure(0.3)}}}
    styled = {"closure_recall": figure(0.9), "closure_precision": figure(0.8), "closure_timing_ms": figure(-10.0)}
    made = {
        "truth": {"neutral": {"model": {"r.jawOpen": figure(0.8), "LVE@own head": figure(2.0)}}},
        "emotions": {"neutral": {**styled, "closure_recall": figure(1.0)}, "anger": styled, "fear": styled},
    }
    silent = {"truth": {}, "emotions": {"neutral": {"closure_timing_ms": figure(None)}, "anger": {}}}
    return {"prompts": {"tead prompt": model, "open vocabulary": model}, "corpora": {"made": made, "mute": silent}}


def test_the_headline_is_the_mean_of_what_was_measured() -> None:
    found = ablation.headline(report())
    assert set(found) == {column.name for column in ablation.COLUMNS}
    assert found["closure recall, neutral"] == 1.0
    assert found["closure recall, worst emotion"] == 0.9
    assert found["timing at p, b, m"] == 10.0
    assert found["jawOpen r"] == 0.8
    bare = report()
    bare["corpora"] = {"mute": bare["corpora"]["mute"]}
    assert math.isnan(ablation.headline(bare)["jawOpen r"])


def table(**accuracy: list[float]) -> dict[str, list[dict[str, float]]]:
    name = "emotion accuracy, unseen prompts"
    return {variant.replace("_", " "): [{name: value} for value in values] for variant, values in accuracy.items()}


def test_the_table_has_means_spreads_and_differences() -> None:
    lines = ablation.markdown(table(full=[0.5, 0.6, 0.7], no_EPA=[0.2, 0.3, 0.4], odd=[math.nan])).splitlines()
    assert lines[0] == "| variant | seeds | emotion accuracy, unseen prompts |"
    assert lines[2:] == ["| full | 3 | 60.0 ± 10.0 % |", "| no EPA | 3 | 30.0 ± 10.0 (-30.0) |", "| odd | 1 | - |"]
    assert "| full | 1 | 50.0 ± 0.0 % |" in ablation.markdown(table(full=[0.5]))


def test_the_picture_has_a_bar_for_each_variant_and_a_dot_for_each_seed() -> None:
    picture = ElementTree.fromstring(ablation.chart(table(full=[0.5, 0.7], no_EPA=[0.3]), ablation.COLUMNS[0]))
    kinds = [element.tag.rpartition("}")[2] for element in picture]
    assert (kinds.count("rect"), kinds.count("circle")) == (1 + 2, 3)
    widths = [float(element.attrib["width"]) for element in picture if element.attrib.get("height") == "14"]
    assert widths[1] / widths[0] == pytest.approx(0.3 / 0.6, rel=1e-2)


def test_every_variant_but_full_changes_something() -> None:
    assert [name for name, changes in ablation.VARIANTS.items() if not changes] == [ablation.FULL]
