"""Charts: what is drawn stands where its number says, words are escaped, nothing to draw is nothing."""

import re

from expclip import charts


def test_bars_grow_from_zero_and_have_whiskers() -> None:
    values: dict[str, dict[str, float | None]] = {
        "a<b": {"value": 2.0, "low": 1.0, "high": 4.0},
        "c": {"value": -1.0, "low": None, "high": None},
        "unknown": {"value": None, "low": None, "high": None},
    }
    drawn = charts.bars("t & t", values)
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', drawn)]
    assert len(heights) == 2
    assert abs(heights[0] / heights[1] - 2) < 0.02
    assert drawn.count("whisker") == 1
    assert "a&lt;b: 2" in drawn
    assert "t &amp; t" in drawn
    assert charts.bars("t", {"unknown": values["unknown"]}) == ""


def test_lines_span_the_chart_and_mark_stretches() -> None:
    drawn = charts.lines(
        "gap", {"x": [0.0, 1.0, 2.0], "y": [2.0, 2.0, 2.0]}, (0.0, 4.0), shades=[(1.0, 2.0)], unit=" s"
    )
    first = re.search(r'd="M([^"]+)"', drawn)
    assert first
    points = [tuple(map(float, point.split())) for point in first[1].split(" L")]
    assert points[0] == (charts.LEFT, charts.HEIGHT)
    assert points[-1] == (charts.WIDTH, 0)
    shade = re.search(r'class="shade"[^>]*x="([\d.]+)"[^>]*width="([\d.]+)"', drawn)
    assert shade
    assert abs(float(shade[2]) - (charts.WIDTH - charts.LEFT) / 4) < 0.1
    assert charts.lines("t", {"x": []}, (0, 1)) == ""


def test_counts_are_shaded_by_their_share_of_the_row() -> None:
    drawn = charts.counts("c", ["one", "two"], [[3, 1], [0, 0]])
    opacities = [float(o) for o in re.findall(r'class="cell" opacity="([\d.]+)"', drawn)]
    assert opacities[0] > opacities[1] > opacities[2] == opacities[3]
    assert "one seen as two: 1" in drawn
