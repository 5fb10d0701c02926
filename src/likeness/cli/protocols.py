"""What the commands `likeness evaluate PROTOCOL` share: two folders in, a table and two files out, an exit code."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from likeness.cli.main import complain, show
from likeness.errors import PARTIAL, AssetError, OutputError
from likeness.evaluate.scores import Scores, table, write


@dataclass(frozen=True)
class Folders:
    """Score predictions of any method; docs/evaluation.md says how files lie. Ends with 7 where some have no score."""

    predictions: Path
    """Folder of what a method predicted."""
    truth: Path
    """Folder of the truth."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder for scores.csv and report.json; is made where it is missing."""


def finish(scores: Scores, output: Path, strays: Iterable[str] = ()) -> int:
    """Print and write scores; say every failure and remark in one line.

    Args:
        strays: Predictions that have no truth.

    Returns:
        The exit code: PARTIAL where anything could not be scored.
    """
    lost = {name: f"{name}: no truth for this prediction" for name in strays}
    scores = replace(scores, failures={**scores.failures, **lost})
    for name, remark in scores.remarks.items():
        complain(f"{name}: {remark}")
    for name, reason in scores.failures.items():
        complain(reason if name in reason else f"{name}: {reason}")
    show(text(scores))
    try:
        write(scores, output)
    except OSError as error:
        raise OutputError(f"{output}: cannot write the report: {error.strerror or error}") from None
    show(f"{output / 'scores.csv'}, {output / 'report.json'}")
    return PARTIAL if scores.failures else 0


def text(scores: Scores) -> str:
    """The table as lines: a row a metric, then the numbers of the whole set."""
    rows = [["", "mean", "95 % interval", "median", "std", "count"]]
    for metric, row in table(scores).items():
        between = f"{number(row['low'])} to {number(row['high'])}" if math.isfinite(row["low"]) else "-"
        rest = [number(row[key]) for key in ("median", "std")]
        rows.append([metric, number(row["mean"]), between, *rest, str(row["count"])])
    rows += [[name, number(value)] for name, value in scores.whole.items()]
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(len(rows[0]))]
    lines = [row[0].ljust(widths[0]) + "".join(f"  {w:>{n}}" for w, n in zip(row[1:], widths[1:])) for row in rows]
    head = f"{scores.protocol}, {scores.unit}: {len(scores.names)} scored, {len(scores.failures)} not"
    return "\n".join([head, *(line.rstrip() for line in lines)])


def number(value: float) -> str:
    """Three or more digits that say something; a dash where there is none."""
    return f"{value:.4g}" if math.isfinite(value) else "-"


def need(condition: bool, message: str) -> None:
    """Refuse a file.

    Raises:
        AssetError: With the message, where the condition does not hold.
    """
    if not condition:
        raise AssetError(message)
