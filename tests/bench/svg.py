"""SVG by hand: bars and curves on a card of their own, readable on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

WIDTH = 860
_HEAD = 66
"""Height of the title and the line below it."""
_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d8dee4 }
  .ours { fill: #0969da } .ours-line { stroke: #0969da } .bare { fill: #80bdff }
  .peer { fill: #9aa4af } .peer-line { stroke: #818b98 }
  .limit { fill: none; stroke: #818b98; stroke-dasharray: 3 2 } .limit-line { stroke: #818b98; stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #2a313c }
    .ours { fill: #4493f8 } .ours-line { stroke: #4493f8 } .bare { fill: #1f5fae } .peer { fill: #656c76 }
  }
  text { font: 13px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
  .title { font-size: 17px; font-weight: 600 }
  .strong { font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
  polyline, .span { fill: none; stroke-width: 2.5 }
"""


class Bar(NamedTuple):
    """One bar: its name, its value, and the style that says whose it is."""

    name: str
    value: float
    style: str


class Curve(NamedTuple):
    """One line: its name, its style, and its points in the order of x."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


def text(x: float, y: float, words: str, style: str = "text") -> str:
    """Words that start, end or stand in the middle at (x, y), as the style says."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def card(title: str, what: str, height: float, body: Sequence[str]) -> str:
    """The whole picture: a title, one line on what is shown, and the body below."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>',
        text(20, 30, title, "text title"),
        text(20, 50, what, "soft"),
        *body,
        "</svg>\n",
    ])  # fmt: skip


def thousands(value: float) -> str:
    """The value in thousands."""
    return f"{value / 1000:,.0f}"


def bars(title: str, what: str, panels: Mapping[str, Sequence[Bar]], shown: Callable[[float], str] = thousands) -> str:
    """One panel of bars per entry, two beside each other, all on one scale; `shown` writes a value."""
    most = max(bar.value for of in panels.values() for bar in of)
    wide, body, top = WIDTH / 2 - 20, [], float(_HEAD)
    entries = list(panels.items())
    for pair in (entries[at : at + 2] for at in range(0, len(entries), 2)):
        for column, (name, of) in enumerate(pair):
            left = 20 + column * (wide + 10)
            body.append(text(left, top + 20, name, "text strong"))
            for row, bar in enumerate(of):
                y = top + 32 + row * 22
                width = max(bar.value / most * (wide - 200), 1)
                body += [
                    text(left + 142, y + 12, bar.name, "soft end" if bar.style != "ours" else "text end strong"),
                    f'<rect class="{bar.style}" x="{left + 150:.1f}" y="{y:.1f}" width="{width:.1f}" height="15"/>',
                    text(left + 156 + width, y + 12, shown(bar.value), "text"),
                ]
        top += 48 + 22 * max(len(of) for _, of in pair)
    return card(title, what, top + 6, body)


def curves(title: str, what: str, x_name: str, of: Sequence[Curve]) -> str:
    """Lines over a logarithmic x; y begins at zero and is in thousands."""
    left, right, top, bottom = 74, WIDTH - 170, _HEAD + 14, _HEAD + 264
    xs = sorted({x for curve in of for x, _ in curve.points})
    step = _step(max(y for curve in of for _, y in curve.points) / 5)
    ceiling = step * math.ceil(max(y for curve in of for _, y in curve.points) / step)

    def place(x: float, y: float) -> tuple[float, float]:
        along = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        return left + along * (right - left), bottom - y / ceiling * (bottom - top)

    body = []
    for mark in range(round(ceiling / step) + 1):
        _, y = place(xs[0], mark * step)
        body.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(text(left - 10, y + 4, f"{mark * step / 1000:,g}", "soft end"))
    body += [text(place(x, 0)[0], bottom + 20, f"{x:,.0f}", "soft middle") for x in xs]
    body.append(text((left + right) / 2, bottom + 40, x_name, "soft middle"))
    ends = _apart([place(*curve.points[-1])[1] for curve in of], 18)
    for curve, end in zip(of, ends, strict=True):
        places = [place(x, y) for x, y in curve.points]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline class="{curve.style}-line" points="{points}"/>')
        body += [_dot(x, y, curve.style) for x, y in places]
        body.append(text(right + 14, end + 4, curve.name, "text strong" if curve.style == "ours" else "soft"))
    return card(title, what, bottom + 58, body)


def spans(title: str, what: str, of: Mapping[str, tuple[float, float]], style: Mapping[str, str]) -> str:
    """From a first to a second value per name, in milliseconds, on one scale that begins at zero."""
    left, right, top = 160, WIDTH - 60, _HEAD + 14
    step = _step(max(last for _, last in of.values()) / 5)
    ceiling = step * math.ceil(max(last for _, last in of.values()) / step)
    bottom, scale = top + 48 * len(of), (right - left) / ceiling
    body = []
    for mark in range(round(ceiling / step) + 1):
        x = left + mark * step * scale
        body.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        body.append(text(x, bottom + 20, f"{mark * step:,.0f} ms", "soft middle"))
    for row, (name, (first, last)) in enumerate(of.items()):
        y, kind = top + 30 + 48 * row, style[name]
        body.append(text(left - 14, y + 4, name, "text end strong" if kind == "ours" else "soft end"))
        x1, x2 = left + first * scale, left + last * scale
        body.append(f'<line class="span {kind}-line" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y}" y2="{y}"/>')
        for x, words in ((x1, f"p50: {first:.0f} ms"), (x2, f"p99: {last:.0f} ms")):
            body += [_dot(x, y, kind), text(x, y - 12, words, "text middle")]
    return card(title, what, bottom + 38, body)


def _dot(x: float, y: float, style: str) -> str:
    return f'<circle class="{"peer" if style == "limit" else style}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _step(least: float) -> float:
    """The next of 1, 2, 5, 10 … that is not smaller."""
    power = 10 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """The same heights, moved down where two labels would overlap."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + least)
    return moved
