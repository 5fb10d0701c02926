"""What every protocol answers: one number per item and metric, the items that could not be scored, and why."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from likeness.errors import LikenessError

CONFIDENCE = 0.95
"""Share of the resampled statistics that an interval holds."""


@dataclass(frozen=True)
class Scores:
    """Scores of n items (meshes, photos, clips) under one protocol.

    Attributes:
        protocol: Name of the protocol, as on the command line.
        unit: Unit of `values`: "mm", "%", "degrees", "1". A metric of another unit says so in its name.
        names: (n,) items, in order.
        values: Metric -> (n,) one number an item, NaN where an item has none.
        failures: Item -> one line why it could not be scored. No failed item is among `names`.
        groups: (n,) who each item belongs to (the person); items of a group are not independent. Empty: each its own.
        whole: Metric -> one number of the whole set that is no mean over items (a recall, a median over all points).
        curves: Name -> (2, k): abscissa and ordinate, such as a cumulative error curve.
        remarks: Item -> one line on a fault that did not forbid its score.
    """

    protocol: str
    unit: str
    names: tuple[str, ...]
    values: Mapping[str, np.ndarray]
    failures: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    whole: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.names)
        wrong = [metric for metric, values in self.values.items() if np.shape(values) != (count,)]
        if wrong or (self.groups and len(self.groups) != count):
            raise ValueError(f"{self.protocol}: {wrong or 'groups'} must have one entry for each of {count} items")
        both = set(self.names) & set(self.failures)
        if both:
            raise ValueError(f"{self.protocol}: {min(both)!r} is both scored and failed")


class Measured(NamedTuple):
    """What a protocol says of one item.

    Attributes:
        values: Metric -> number; every item of a protocol has the same metrics.
        points: (k,) errors of the item's points, where the protocol also sums up over the points of all items.
        remark: One line on a fault that does not forbid the score, or "".
    """

    values: Mapping[str, float]
    points: np.ndarray | None = None
    remark: str = ""


def collect(
    protocol: str,
    unit: str,
    names: Sequence[str],
    measure: Callable[[str], Measured],
    groups: Mapping[str, str] | None = None,
) -> tuple[Scores, list[np.ndarray]]:
    """Measure every item; one that cannot be scored becomes a failure and does not stop the others.

    Args:
        names: Items, each once.
        measure: Item -> its numbers; raises one of our errors where it cannot.
        groups: Item -> the person it belongs to.

    Returns:
        The scores, and the points of the items that have some, in the order of the scored names.
    """
    rows, failures, remarks, points = {}, {}, {}, []
    for name in names:
        try:
            row = measure(name)
        except LikenessError as error:
            failures[name] = str(error)
            continue
        rows[name] = row.values
        if row.remark:
            remarks[name] = row.remark
        if row.points is not None:
            points.append(row.points)
    metrics = next(iter(rows.values()), {})
    values = {metric: np.array([row[metric] for row in rows.values()], float) for metric in metrics}
    people = tuple(groups[name] for name in rows) if groups else ()
    return Scores(protocol, unit, tuple(rows), values, failures, people, remarks=remarks), points


@dataclass(frozen=True)
class Summary:
    """A metric over a set.

    Attributes:
        count: Number of finite values.
        mean, median, std: Of those, in the metric's unit; NaN where there is none. std divides by the count.
    """

    count: int
    mean: float
    median: float
    std: float


def summary(values: Sequence[float] | np.ndarray) -> Summary:
    """Count, mean, median and standard deviation of the values that are finite."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return Summary(0, math.nan, math.nan, math.nan)
    return Summary(len(finite), float(finite.mean()), float(np.median(finite)), float(finite.std()))


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
    rounds: int = 2000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic, drawing items, or whole groups of them, with replacement.

    Efron 1979, "Bootstrap methods: another look at the jackknife". Photos of one person are not independent: with
    groups, people are drawn and all their photos come along, so that the interval is not too narrow.

    Args:
        values: (n,) one number an item; those that are not finite are left out.
        statistic: (m,) -> number, for the m values of a draw.
        rounds: Number of draws.
        groups: (n,) group of each item; None: each its own.

    Returns:
        (low, high) in the unit of the statistic; NaN twice where no value is finite, or only one group is there to
        draw from.
    """
    values = np.asarray(values, float)
    labels = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    if len(labels) != len(values):
        raise ValueError(f"{len(values)} values, but {len(labels)} groups")
    known = np.isfinite(values)
    values, labels = values[known], labels[known]
    members = [values[labels == label] for label in np.unique(labels)]
    if len(members) < 2:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    draws = random.integers(len(members), size=(rounds, len(members)))
    if groups is None:
        flat = np.concatenate(members)
        found = [statistic(flat[draw]) for draw in draws]
    else:
        found = [statistic(np.concatenate([members[i] for i in draw])) for draw in draws]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.asarray(found, float), [tail, 1 - tail])
    return float(low), float(high)


def cumulative(errors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Cumulative error curve (2, k): limits, and the share of the errors that is no larger."""
    ordered = np.sort(np.asarray(errors, float))
    return np.stack([np.asarray(limits, float), np.searchsorted(ordered, limits, side="right") / max(len(ordered), 1)])


def table(scores: Scores, rounds: int = 2000) -> dict[str, dict[str, float]]:
    """Metric -> count, mean, median, std, low, high: what a page or a terminal shows. low and high bound the mean."""
    rows = {}
    for metric, values in scores.values.items():
        low, high = bootstrap_interval(values, rounds=rounds, groups=scores.groups or None)
        rows[metric] = vars(summary(values)) | {"low": low, "high": high}
    return rows


def write(scores: Scores, folder: Path) -> None:
    """Write `scores.csv` (a row an item, failures with an empty row and the reason) and `report.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = scores.groups or ("",) * len(scores.names)
    with open(folder / "scores.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["item", "group", *scores.values, "failure"])
        for i, (name, group) in enumerate(zip(scores.names, groups)):
            rows.writerow([name, group, *(_number(values[i]) for values in scores.values.values()), ""])
        for name, reason in scores.failures.items():
            rows.writerow([name, "", *("" for _ in scores.values), reason])
    report = {
        "protocol": scores.protocol,
        "unit": scores.unit,
        "scored": len(scores.names),
        "failed": len(scores.failures),
        "metrics": table(scores),
        "whole": dict(scores.whole),
        "curves": {name: np.asarray(curve).tolist() for name, curve in scores.curves.items()},
        "failures": dict(scores.failures),
        "remarks": dict(scores.remarks),
    }
    text = json.dumps(_plain(report), indent=2, ensure_ascii=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _plain(value: object) -> object:
    """The same without NaN and infinity, which JSON does not have: they become null."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
