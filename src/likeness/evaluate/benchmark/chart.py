"""Dots with whiskers as SVG: a number and its interval for every method, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from likeness.evaluate.benchmark.items import METRICS
from likeness.evaluate.benchmark.measure import Row

COLOURS = ("#2f6fde", "#7aa5f0", "#8a8f98", "#3a9a5b", "#d07b1f", "#a14fc0", "#c03f55", "#1f9aa8")
"""One a method, in the order of the methods; the same on the whole page."""
LINE, GAP, LABEL, WIDTH = 13, 12, 168, 560
"""Pixels: height of a dot's line, room between slices, width of the slices' names, width of the picture."""


def dots(rows: Sequence[Row], metric: str, methods: Sequence[str], kind: str) -> str:
    """An SVG of one metric over the slices of a kind; empty text where no row has the metric.

    Args:
        rows: Of one set.
        metric: A key of `METRICS`.
        methods: All names of methods, which fixes their colours.
        kind: A key of `SLICES`.
    """
    chosen = [row for row in rows if row.kind == kind and metric in row.numbers]
    if not chosen:
        return ""
    names = list(dict.fromkeys(row.slice for row in chosen))
    numbers = [row.numbers[metric] for row in chosen]
    ends = [edge for number in numbers for edge in (number.value, number.low, number.high)]
    top = nice(max(edge for edge in ends if math.isfinite(edge)))
    left, right = LABEL, WIDTH - 16

    def x(value: float) -> float:
        return left + (right - left) * min(max(value, 0), top) / top

    parts, y = [], 18.0
    for name in names:
        here = [row for row in chosen if row.slice == name]
        count = max(row.items for row in here)
        middle = y + len(here) * LINE / 2
        parts.append(f'<text x="{LABEL - 12}" y="{middle + 1:.1f}" text-anchor="end" class="s">{escape(name)}</text>')
        parts.append(
            f'<text x="{LABEL - 12}" y="{middle + 12:.1f}" text-anchor="end" class="n">{count} pictures</text>'
        )
        for k, row in enumerate(here):
            colour = COLOURS[list(methods).index(row.method) % len(COLOURS)]
            parts.append(_dot(row, metric, x, y + (k + 0.5) * LINE, colour))
        y += max(len(here) * LINE, 26) + GAP
    grid = []
    leading = round(top / 10 ** math.floor(math.log10(top)), 1)
    steps = 3 if leading in (1.5, 3, 6) else 5 if leading in (1, 5) else 4
    for step in range(steps + 1):
        value = top * step / steps
        grid.append(f'<line x1="{x(value):.1f}" y1="12" x2="{x(value):.1f}" y2="{y - GAP:.1f}" class="g"/>')
        grid.append(f'<text x="{x(value):.1f}" y="9" text-anchor="middle" class="n">{value:.3g}</text>')
    about = METRICS[metric]
    better = "right is better" if about.up else "left is better"
    title = f"{about.title}{', ' + about.unit if about.unit else ''} by {kind}"
    body = "".join(grid + parts)
    svg = f'<svg viewBox="0 0 {WIDTH} {y:.0f}" role="img" aria-label="{escape(title)}">{body}</svg>'
    return f"<figure><figcaption>{escape(title)} <small>{better}</small></figcaption>{svg}</figure>"


def _dot(row: Row, metric: str, x, y: float, colour: str) -> str:
    number = row.numbers[metric]
    hint = f"<title>{escape(row.method)}: {number.value:.3g} [{number.low:.3g}, {number.high:.3g}]</title>"
    whisker = ""
    if math.isfinite(number.low):
        ends = f'x1="{x(number.low):.1f}" x2="{x(number.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        whisker = f'<line {ends} stroke="{colour}" stroke-width="2"/>'
    return f'<g>{hint}{whisker}<circle cx="{x(number.value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/></g>'


def nice(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))
