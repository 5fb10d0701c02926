"""A training run's log made small, and drawn: a panel a term, SVG. Pure text and numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

Row = Mapping[str, str]
POINTS = 120
"""Rows that a reduced log has at most, about."""
WIDTH, HEIGHT, ACROSS = 250, 150, 3
"""Pixels of a panel, and panels side by side."""
LEFT, TOP, BOTTOM = 46, 22, 16
"""Pixels of a panel that belong to its numbers and its name."""
OTHERS = ("step", "stage", "rate", "samples_per_second")
"""Columns of a log that are no loss."""
DECADES = 1.0
"""Orders of magnitude from which on a positive term is drawn on a logarithmic scale."""


def read(path: Path) -> list[Row]:
    """Rows of a log (`train.log`) or of a reduced one."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def joined(logs: Sequence[Sequence[Row]]) -> list[Row]:
    """Logs of runs of which each began with the weights of the one before, as one: steps go on, terms are all of them."""
    result, before = [], 0
    names = list(dict.fromkeys(name for rows in logs for name in rows[0]))
    for rows in logs:
        result += [
            {name: row.get(name, "") for name in names} | {"step": str(before + int(row["step"]))} for row in rows
        ]
        before = int(result[-1]["step"])
    return result


def reduced(rows: Sequence[Row], most: int = POINTS) -> list[Row]:
    """At most about so many rows: means over neighbouring rows of one stage, at the step of the last of them."""
    size, parts = max(1, -(-len(rows) // most)), []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        parts += [mine[start : start + size] for start in range(0, len(mine), size)]
    return [_mean(part) for part in parts]


def _mean(rows: Sequence[Row]) -> Row:
    result = {"step": rows[-1]["step"], "stage": rows[-1]["stage"]}
    for name in rows[0]:
        if name not in result:
            known = [float(row[name]) for row in rows if row[name]]
            result[name] = f"{np.mean(known):.5g}" if known else ""
    return result


def write(rows: Sequence[Row], path: Path) -> None:
    """A reduced log as a file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def minutes(rows: Sequence[Row], batch: int) -> float:
    """How long the steps of a log took."""
    steps = np.diff([0, *(int(row["step"]) for row in rows)])
    speeds = np.array([float(row["samples_per_second"]) for row in rows])
    return float((steps * batch / speeds).sum() / 60)


def svg(rows: Sequence[Row]) -> str:
    """The curves: a panel a term over the steps, dotted lines where a stage begins; the sum of each stage's is left out,
    because stages sum up other terms."""
    terms = [name for name in rows[0] if name not in OTHERS and name != "loss"]
    steps = np.array([int(row["step"]) for row in rows])
    begins = [steps[i - 1] for i in range(1, len(rows)) if rows[i]["stage"] != rows[i - 1]["stage"]]
    lines = -(-len(terms) // ACROSS)
    width, height = ACROSS * WIDTH + 10, lines * HEIGHT + 8
    about = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="10"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {about}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, term in enumerate(terms):
        values = np.array([float(row[term]) if row[term] else math.nan for row in rows])
        shift = f"translate({place % ACROSS * WIDTH},{place // ACROSS * HEIGHT})"
        parts.append(f'<g transform="{shift}">{_panel(term, steps, values, begins)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(term: str, steps: np.ndarray, values: np.ndarray, begins: Sequence[int]) -> str:
    """One term."""
    known = np.isfinite(values)
    if not known.any():
        return ""
    low, high = float(values[known].min()), float(values[known].max())
    log = low > 0 and math.log10(high / low) > DECADES
    if log:
        values, low, high = np.log10(np.where(known, values, 1)), math.log10(low), math.log10(high)
    elif low >= 0:
        low = 0.0
    high = max(high, low + 1e-9)
    right, floor = WIDTH - 8, HEIGHT - BOTTOM

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / steps[-1]

    def y(value: float) -> float:
        return floor - (floor - TOP) * (value - low) / (high - low)

    points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v, there in zip(steps, values, known) if there)
    parts = [f'<text x="{LEFT}" y="{TOP - 9}" font-weight="bold">{escape(term)}{" (log)" if log else ""}</text>']
    for value in (low, high):
        shown = 10**value if log else value
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y(value) + 3:.1f}" text-anchor="end" fill="#555">{shown:.3g}</text>')
    for step in begins:
        parts.append(
            f'<line x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP}" y2="{floor}" stroke="#999" stroke-dasharray="2 3"/>'
        )
    parts.append(f'<text x="{right}" y="{HEIGHT - 4}" text-anchor="end" fill="#555">step {steps[-1]}</text>')
    parts.append(f'<polyline points="{points}" fill="none" stroke="#2f6fde" stroke-width="1.5"/>')
    return "".join(parts)
