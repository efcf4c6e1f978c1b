"""A page about tables, for people: figures, problems, histograms, faces with their words. One file, nothing to load.

In: findings (`findings.py`). Out: HTML with its style, charts as SVG and pictures of our head as PNG within it.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from expclip import __version__
from expclip.findings import Finding, Histogram, Sample

if TYPE_CHECKING:
    from expclip.render import Renderer

SHOWN = 200
"""Problems and notes that a page lists."""
_PICTURE = 224
_WIDTH, _HEIGHT = 360, 120

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfbf9; --line: #d8d8d2; --bar: #4a7a96; --bad: #a3352b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --paper: #16191d; --line: #343a42; --bar: #7fb0cc; --bad: #ef8f84; }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 76rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
code { overflow-wrap: anywhere; }
table { border-collapse: collapse; } td { padding: .15rem 1rem .15rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; opacity: .75; }
.bad { color: var(--bad); } .charts, .faces { display: flex; flex-wrap: wrap; gap: 1.2rem; }
.charts figure { margin: 0; } figcaption { font-size: .85rem; } svg rect { fill: var(--bar); }
svg text { fill: var(--ink); font-size: 11px; } svg line { stroke: var(--line); }
.faces figure { margin: 0; width: 14rem; } .faces img { width: 14rem; height: 14rem; border-radius: 6px; }
.faces p { margin: .2rem 0; font-size: .82rem; overflow-wrap: anywhere; } .faces strong { font-size: .85rem; }
ul { padding-left: 1.2rem; }
"""


def page(findings: Sequence[Finding], title: str) -> str:
    """Return the page about the tables found."""
    wrong = sum(finding.count for finding in findings)
    verdict = f'<p class="bad">{wrong} problems</p>' if wrong else "<p>No problem found.</p>"
    body = "".join(_section(finding) for finding in findings)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>{verdict}{body}<p><small>expclip check, version {__version__}</small></p>"
        "</body></html>\n"
    )


def _section(finding: Finding) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in finding.figures.items()
    )
    parts = [
        f"<h2>{finding.kind}: {finding.rows} rows</h2><p><code>{escape(finding.path)}</code></p>",
        f"<table>{rows}</table>" if rows else "",
        _entries("problem", finding.problems, finding.count, "bad"),
        _entries("note", finding.notes, len(finding.notes), ""),
        f'<h3>Histograms</h3><div class="charts">{"".join(map(_chart, finding.histograms))}</div>'
        if finding.histograms
        else "",
        faces(finding.samples),
    ]
    return "".join(parts)


def _entries(what: str, entries: Sequence[str], count: int, style: str) -> str:
    if not count:
        return ""
    shown = "".join(f"<li>{escape(entry)}</li>" for entry in entries[:SHOWN])
    more = f"<li>... and {count - SHOWN} more</li>" if count > SHOWN else ""
    return f'<h3 class="{style}">{count} {what}{"s" * (count != 1)}</h3><ul>{shown}{more}</ul>'


def _chart(chart: Histogram) -> str:
    """Return a histogram as SVG; each bar tells its label and count when pointed at."""
    most, width = max(max(chart.counts, default=0), 1), _WIDTH / max(1, len(chart.counts))
    shapes = []
    for k, (label, count) in enumerate(zip(chart.labels, chart.counts, strict=True)):
        height = _HEIGHT * count / most
        shapes.append(
            f'<rect x="{k * width:.1f}" y="{_HEIGHT - height:.1f}" width="{max(1.0, width - 1):.1f}" '
            f'height="{height:.1f}"><title>{escape(label)}: {count}</title></rect>'
        )
    ends = f'<text x="0" y="{_HEIGHT + 14}">{escape(chart.labels[0])}</text>' if chart.labels else ""
    if len(chart.labels) > 1:
        ends += f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{escape(chart.labels[-1])}</text>'
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT + 20}" role="img" aria-label="{escape(chart.title, True)}">'
        f'<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/>{"".join(shapes)}{ends}</svg>'
        f"<figcaption>{escape(chart.title)} (most: {most})</figcaption></figure>"
    )


def faces(samples: Iterable[Sample]) -> str:
    """Return samples as pictures with their words."""
    figures = [
        f"<figure>{_picture(sample)}<figcaption><strong>{escape(sample.title)}</strong>"
        + "".join(f"<p>{escape(line)}</p>" for line in sample.lines)
        + "</figcaption></figure>"
        for sample in samples
    ]
    return f'<h3>Samples</h3><div class="faces">{"".join(figures)}</div>' if figures else ""


@cache
def _renderer() -> "Renderer":
    from expclip.render import Renderer

    return Renderer(size=_PICTURE)


def _picture(sample: Sample) -> str:
    """Return our head showing a face, as an image within the page."""
    if sample.weights_C is None:
        return ""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(_renderer().draw(sample.weights_C)).save(content, format="PNG", optimize=True)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}">'
