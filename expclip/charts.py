"""Charts as SVG, to stand within a page: bars with intervals, lines over time, counts as shades. Plain strings.

Colours come from the page's style (`report.STYLE` and `STYLE` here), so that charts follow dark mode.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT = 420, 150, 44
_CLASSES = ("one", "two", "three", "four", "five", "six", "seven", "eight")

STYLE = """
svg .one { stroke: #4a7a96; } svg .two { stroke: #c2643c; } svg .three { stroke: #5d8a4a; }
svg .four { stroke: #8a5aa0; } svg .five { stroke: #b08a2e; } svg .six { stroke: #3f8f8a; }
svg .seven { stroke: #b0507a; } svg .eight { stroke: #777; }
svg path { fill: none; stroke-width: 1.6; } svg line.whisker { stroke: var(--ink); } svg rect.shade { fill: #c9a227; }
svg rect.cell { fill: #4a7a96; } figure.chart { margin: .8rem 0 0; }
.key { font-size: .8rem; } .key svg { vertical-align: middle; }
table.grid td, table.grid th { padding: .1rem .6rem; text-align: right; font-size: .82rem; white-space: nowrap; }
table.grid td:first-child, table.grid th:first-child { text-align: left; opacity: 1; }
table.grid th { font-weight: 600; border-bottom: 1px solid var(--line); } .wide { overflow-x: auto; }
.dim { opacity: .6; }
"""


def bars(title: str, values: Mapping[str, Mapping[str, float | None]], unit: str = "") -> str:
    """Return bars of figures (`value`, `low`, `high`) by name, with whiskers; bars grow from 0 up or down."""
    known = {name: f for name, f in values.items() if f["value"] is not None}
    if not known:
        return ""
    numbers = [n for f in known.values() for n in (f["value"], f["low"], f["high"]) if n is not None]
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    high = high if high > low else low + 1
    step = (WIDTH - LEFT) / len(known)
    shapes = []
    for k, (name, figure) in enumerate(known.items()):
        value, x = float(figure["value"] or 0), LEFT + k * step
        top, bottom = sorted((_place(value, low, high), _place(0, low, high)))
        tip = escape(f"{name}: {value:.4g}{unit}")
        shapes.append(
            f'<rect x="{x + 2:.1f}" y="{top:.1f}" width="{max(2.0, step - 6):.1f}" '
            f'height="{max(bottom - top, 0.5):.1f}">'
            f"<title>{tip}</title></rect>"
        )
        if figure["low"] is not None and figure["high"] is not None:
            ends = (_place(figure["low"], low, high), _place(figure["high"], low, high))
            middle = x + step / 2 - 1
            shapes.append(
                f'<line class="whisker" x1="{middle:.1f}" x2="{middle:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
            )
        shapes.append(_label(name, x + step / 2 - 1, HEIGHT + 12, step))
    return _chart(title, "".join(shapes) + _scale(low, high), HEIGHT + 20)


def lines(
    title: str, curves: Mapping[str, Sequence[float]], across: tuple[float, float], *,
    shades: Sequence[Sequence[float]] = (), unit: str = "",
) -> str:  # fmt: skip
    """Return curves by name over a span of x, all from start to end; `shades` are stretches of x marked behind."""
    numbers = [n for curve in curves.values() for n in curve if n is not None and math.isfinite(n)]
    if not numbers:
        return ""
    low, high = min(0.0, *numbers), max(*numbers, 1e-6)
    first, last = across
    room = (WIDTH - LEFT) / max(last - first, 1e-6)
    shapes = [
        f'<rect class="shade" opacity=".35" x="{LEFT + (start - first) * room:.1f}" y="0" '
        f'width="{max(1.0, (end - start) * room):.1f}" height="{HEIGHT}"/>'
        for start, end in shades
    ]
    for kind, curve in zip(_CLASSES, curves.values(), strict=False):
        dots = [
            f"{LEFT + k * (WIDTH - LEFT) / max(len(curve) - 1, 1):.1f} {_place(value, low, high):.1f}"
            for k, value in enumerate(curve)
        ]
        shapes.append(f'<path class="{kind}" d="M{" L".join(dots)}"/>')
    ends = f'<text x="{LEFT}" y="{HEIGHT + 13}">{first:g}{escape(unit)}</text>'
    ends += f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">{last:.3g}{escape(unit)}</text>'
    key = " ".join(
        f'<span class="key"><svg width="18" height="8"><path class="{kind}" d="M0 4 L18 4"/></svg> '
        f"{escape(name)}</span>"
        for kind, name in zip(_CLASSES, curves, strict=False)
    )
    return _chart(title, "".join(shapes) + ends + _scale(low, high), HEIGHT + 20, key)


def counts(title: str, names: Sequence[str], table: Sequence[Sequence[int]]) -> str:
    """Return a table of counts as shades of each row's share: rows are true, columns are seen."""
    side, left, top = 30, 76, 16
    shapes = []
    for r, row in enumerate(table):
        shapes.append(_label(names[r], left - 4, top + r * side + 19, left, anchor="end"))
        shapes.append(_label(names[r][:4], left + r * side + side / 2, 11, side))
        for c, count in enumerate(row):
            share = count / max(1, sum(row))
            x, y = left + c * side, top + r * side
            tip = escape(f"{names[r]} seen as {names[c]}: {count}")
            shapes.append(
                f'<rect class="cell" opacity="{0.04 + 0.9 * share:.2f}" x="{x}" y="{y}" width="{side - 1}" '
                f'height="{side - 1}"><title>{tip}</title></rect>'
            )
            if count:
                shapes.append(f'<text x="{x + side / 2}" y="{y + 19}" text-anchor="middle">{count}</text>')
    return _chart(title, "".join(shapes), top + side * len(names) + 4, width=left + side * len(names))


def _place(value: float, low: float, high: float) -> float:
    return HEIGHT - HEIGHT * (value - low) / (high - low)


def _label(text: str, x: float, y: float, room: float, anchor: str = "middle") -> str:
    short = text if len(text) * 5.6 <= room else text[: max(3, int(room / 5.6))]
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(short)}</text>'


def _scale(low: float, high: float) -> str:
    zero = _place(0, low, high)
    ticks = [f'<text x="{LEFT - 4}" y="10" text-anchor="end">{high:.3g}</text>']
    if low < 0:
        ticks.append(f'<text x="{LEFT - 4}" y="{HEIGHT}" text-anchor="end">{low:.3g}</text>')
    ticks.append(f'<text x="{LEFT - 4}" y="{min(zero, HEIGHT) - 2:.1f}" text-anchor="end">0</text>')
    return f'<line x1="{LEFT}" y1="{zero:.1f}" x2="{WIDTH}" y2="{zero:.1f}"/>' + "".join(ticks)


def _chart(title: str, shapes: str, height: float, key: str = "", *, width: float = WIDTH) -> str:
    return (
        f'<figure class="chart"><svg width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(title, True)}">{shapes}</svg><figcaption>{escape(title)} {key}</figcaption></figure>'
    )
