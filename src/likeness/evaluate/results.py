"""Pages on trained recipes, written from files of numbers and from nothing else. Pure text."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likeness.evaluate.benchmark.items import METRICS
from likeness.evaluate.trials import Difference, Trial, difference, spread

Document = Mapping[str, Any]
MISSING = "-"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that say something; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 6)}f}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def trials_of(found: Document) -> list[Trial]:
    """The trials of an ablation's file."""
    return [
        Trial(row["variant"], row["seed"], {name: math.nan if v is None else v for name, v in row["numbers"].items()})
        for row in found["trials"]
    ]  # fmt: skip


def ablation_tables(found: Document) -> str:
    """Means and spreads of all variants; below, the first less each of the others, seed by seed."""
    trials, names, numbers = trials_of(found), list(found["variants"]), found["numbers"]
    head = [f"{name}{ {True: ' ↑', False: ' ↓', None: ''}[up] }" for name, up in numbers.items()]
    rows = [["variant", "seeds", "cpu minutes", *head]]
    for name in names:
        mine = [row for row in found["trials"] if row["variant"] == name]
        cost = sum(row["cpu minutes"] for row in mine) / len(mine) if mine else math.nan
        rows.append([name, str(len(mine)), number(cost), *(_spread(trials, name, one) for one in numbers)])
    judged = {name: up for name, up in numbers.items() if up is not None}
    pairs = [[f"{names[0]} less ...", *(head[list(numbers).index(name)] for name in judged)]]
    for other in names[1:]:
        cells = [_difference(difference(trials, names[0], other, name)) for name in judged]
        pairs.append([other, *cells])
    return f"{markdown(rows)}\n\n{markdown(pairs)}"


def verdicts(found: Document) -> list[str]:
    """A sentence for each variant and each number that has a better side: whether the first variant gains."""
    trials, names = trials_of(found), list(found["variants"])
    said = []
    for other in names[1:]:
        words = {
            name: verdict(difference(trials, names[0], other, name), up)
            for name, up in found["numbers"].items()
            if up is not None
        }
        groups: dict[str, list[str]] = {}
        for name, word in words.items():
            groups.setdefault(word, []).append(name)
        said.append(
            f"*{names[0]}* against *{other}*: "
            + "; ".join(f"{word} in {', '.join(g)}" for word, g in groups.items())
            + "."
        )
    return said


def verdict(found: Difference, up: bool) -> str:
    """What a paired difference says: better or worse where the 95 % interval holds no zero, else how the seeds fell."""
    if found.count == 0:
        return "not measured"
    if found.mean == 0 and not (found.low < 0 < found.high):
        return "equal"
    good = found.above if up else found.count - found.above
    if found.count > 1 and (found.low > 0 or found.high < 0):
        return "better" if (found.mean > 0) == up else "worse"
    return f"undecided ({good} of {found.count} seeds better)"


def _spread(trials: Sequence[Trial], variant: str, name: str) -> str:
    found = spread(trials, variant, name)
    return number(found.mean) + (f" ± {number(found.std, 2)}" if math.isfinite(found.std) else "")


def _difference(found: Difference) -> str:
    if not math.isfinite(found.low):
        return number(found.mean)
    return f"{number(found.mean)} ({number(found.low, 2)} to {number(found.high, 2)})"


def report_table(report: Document) -> str:
    """Means with their intervals, then the numbers of the whole set, of a `report.json`."""
    rows = [["", "mean", "95 % interval", "median", "std"]]
    for name, one in report["metrics"].items():
        if one["count"]:
            between = f"{number(one['low'])} to {number(one['high'])}" if one["low"] is not None else MISSING
            rows.append([name, number(one["mean"]), between, number(one["median"]), number(one["std"])])
    for name, value in report["whole"].items():
        if value is not None and f"{name} %" not in report["metrics"]:  # which says the same with an interval
            rows.append([name, number(value), "", "", ""])
    return markdown(rows)


def in_short(report: Document) -> str:
    """The one thing of a report that the first page tells."""
    metrics, whole = report["metrics"], report["whole"]
    if report["protocol"] == "levels":
        base, final = (number(metrics[f"{level}, vertices"]["mean"]) for level in ("base", "final"))
        fall = whole["fall %, vertices"]
        return f"{base} to {final}, {number(fall)} % less" if fall else f"{base}, base level alone"
    there = [number(whole.get(f"top {top} in other videos")) for top in (1, 5)]
    fair = f", in other videos {there[0]} and {there[1]} %" if MISSING not in there else ""
    return f"top 1 {number(whole['top 1'])} %, top 5 {number(whole['top 5'])} % of {report['scored']}{fair}"


def rows_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A table of rows by name that have the same columns."""
    columns = list(next(iter(rows.values())))
    return markdown(
        [["", *columns], *([name, *(number(row[column]) for column in columns)] for name, row in rows.items())]
    )


def scoreboard_counts(path: Path, whole: Path) -> str:
    """How many pictures of each set the rows of a benchmark's `scores.csv` were measured on; and how many another's were that
    took more of them."""
    mine, more = (
        {row["set"]: int(row["pictures"]) for row in _scores(one) if row["kind"] == "all"} if one.exists() else {}
        for one in (path, whole)
    )
    return ", ".join(
        f"{name} {count}" + (f" (scoreboard: {more[name]})" if more.get(name, 0) > count else "")
        for name, count in mine.items()
    )


def _scores(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scoreboard_table(path: Path) -> str:
    """Rows of a benchmark's `scores.csv` that were kept, a block a set, metrics that are there."""
    rows = _scores(path)
    blocks = []
    for name in dict.fromkeys(row["set"] for row in rows):
        mine = [row for row in rows if row["set"] == name]
        metrics = [key for key in rows[0] if f"{key}_low" in rows[0] and any(row[key] for row in mine)]
        titles = [f"{METRICS[metric].title} {METRICS[metric].unit}".strip() for metric in metrics]
        table = [[name, *titles, "no answer"]]
        for row in mine:
            table.append(
                [row["method"], *(_cell(row, metric) for metric in metrics), f"{row['failed']} of {row['pictures']}"]
            )
        blocks.append(markdown(table))
    return "\n\n".join(blocks)


def _cell(row: Mapping[str, str], metric: str) -> str:
    value, low, high = (float(row[metric + end] or "nan") for end in ("", "_low", "_high"))
    between = f" ({number(low)} to {number(high)})" if math.isfinite(low) and high > low else ""
    return number(value) + between


def run_table(run: Document) -> str:
    """What a run was: stages with their steps, terms and rates."""
    rows = [["stage", "steps", "terms", "rates"]]
    for name, steps, terms, rates, *_ in run["stages"]:
        rows.append([name, str(steps), *(", ".join(f"{k} {v:.3g}" for k, v in one.items()) for one in (terms, rates))])
    return markdown(rows)
