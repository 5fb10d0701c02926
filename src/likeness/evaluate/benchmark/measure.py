"""From a truth and an answer to numbers, by the kit's own protocols; and from numbers to rows with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from likeness.errors import LikenessError
from likeness.evaluate.benchmark.items import METRICS, SIDES, SLICES, TONES, YAWS, Answer, Item, ItemSet, Method, Shape
from likeness.evaluate.nme import INNER_MOUTH_68, nme
from likeness.evaluate.pose import angle_between
from likeness.evaluate.scans import Scan, ScanErrors, scan_distinctiveness, scan_errors
from likeness.evaluate.scores import Scores, bootstrap_interval
from likeness.geometry.alignment import similarity
from likeness.geometry.rotation import from_axis_angle
from likeness.types import View

INNER_68 = slice(17, 68)
"""Rows of the 68 points without the outline, whose definition differs from system to system."""
ROUNDS = 500
"""Draws of the bootstrap."""
BASE = "mean face"
"""Name of the row that others are ratios to."""


def sight(view: View) -> np.ndarray:
    """(3, 3) turn of the head as seen along the line of sight: what stays of the camera's rotation when the camera is
    turned towards the model's origin by the shortest way. The same head pose in any corner of a picture gives the same."""
    direction = np.asarray(view.translation, np.float64) / np.linalg.norm(view.translation)
    axis = np.cross(direction, [0.0, 0.0, -1.0])
    sine, cosine = np.linalg.norm(axis), -direction[2]
    turn = axis / max(sine, 1e-12) * math.atan2(sine, cosine)
    return from_axis_angle(turn) @ np.asarray(view.rotation, np.float64)


class Surfaces:
    """Distances of true surfaces to answers, each pair once: a person's pictures share a truth, a baseline's a shape."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], ScanErrors] = {}
        self.kept: list[object] = []  # an object that is gone could lend its number to another

    def errors(self, scan: Scan, shape: Shape) -> ScanErrors:
        """The answer aligned to the truth and measured; see `scans.scan_errors`."""
        key = id(scan), id(shape)
        if key not in self.known:
            self.known[key] = scan_errors(shape.vertices, shape.triangles, shape.landmarks, scan)
            self.kept += [scan, shape]
        return self.known[key]

    def numbers(self, item: Item, answer: Answer, base: Shape | None) -> dict[str, float]:
        """"shape" in mm, and "distinct" where the mean face is known."""
        scan = item.truth.neutral
        if scan is None or answer.neutral is None:
            return {}
        errors = self.errors(scan, answer.neutral)
        found = {"shape": errors.mean}
        if base is not None:
            found["distinct"] = scan_distinctiveness(errors, self.errors(scan, base))
        return found


def head_measure(surfaces: Surfaces, base: Shape) -> Callable[[Item, Answer], Mapping[str, float]]:
    """Everything that a head with an exact truth allows to be measured."""

    def measure(item: Item, answer: Answer) -> Mapping[str, float]:
        truth, found = item.truth, surfaces.numbers(item, answer, base)
        if answer.points is not None and truth.points is not None:
            found["points"] = 100 * float(nme(answer.points[INNER_68], truth.points[INNER_68], truth.unit))
            found["mouth"] = 100 * float(nme(answer.points[INNER_MOUTH_68], truth.points[INNER_MOUTH_68], truth.unit))
        if answer.view is not None and truth.view is not None:
            found["pose"] = float(angle_between(sight(answer.view), sight(truth.view)))
        return found

    return measure


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Row:
    """One method on one slice of a set.

    Attributes:
        set, kind, slice, method: "heads", "yaw", "0-30°", "mean face"; the whole set has kind and slice "all".
        items: Pictures in the slice; `failed` of them have no answer.
        numbers: Metric -> estimate over the pictures that have one.
    """

    set: str
    kind: str
    slice: str
    method: str
    items: int
    failed: int
    numbers: Mapping[str, Estimate]


@dataclass
class Run:
    """Everything that was measured.

    Attributes:
        sets, methods: What was run.
        scores: (set, method) -> numbers by picture.
        rows: For the table.
        missing: Lines on what was not measured, and why.
    """

    sets: Sequence[ItemSet]
    methods: Sequence[Method]
    scores: dict[tuple[str, str], Scores] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def run(
    sets: Sequence[ItemSet], methods: Sequence[Method], workers: int = 1, tell: Callable[[str], None] = lambda line: None
) -> Run:
    """Ask every method about every picture, and measure.

    Args:
        sets: Pictures with truth.
        methods: Rows; one of them may be the mean face, to which ratios are taken.
        workers: Threads; numbers do not depend on it.
        tell: Is given a line when a set is done by a method.
    """
    result = Run(sets, methods)
    for chosen in sets:
        for method in methods:
            if method.sets is None or chosen.name in method.sets:
                result.scores[chosen.name, method.name] = ask(chosen, method, workers)
                tell(f"{chosen.name}: {method.name}")
    result.rows = rows(result)
    return result


def ask(chosen: ItemSet, method: Method, workers: int = 1) -> Scores:
    """One method on one set: numbers by picture, and a reason for every picture without an answer."""

    def one(item: Item) -> tuple[dict[str, float], Shape | None] | str:
        try:
            answer = method.answer(item)
            return dict(chosen.measure(item, answer)), answer.neutral
        except LikenessError as error:
            return str(error)

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(one, chosen.items))
    else:
        found = [one(item) for item in chosen.items]
    good = [i for i, entry in enumerate(found) if not isinstance(entry, str)]
    if chosen.people:
        shapes = [found[i][1] for i in good]
        extra = steadiness(shapes, [chosen.items[i].person for i in good])
        for i, numbers in zip(good, extra):
            found[i][0].update(numbers)
    metrics = [metric for metric in chosen.metrics if metric != "ratio"]
    values = {metric: np.array([found[i][0].get(metric, math.nan) for i in good], float) for metric in metrics}
    failures = {chosen.items[i].name: entry for i, entry in enumerate(found) if isinstance(entry, str)}
    names, groups = ([getattr(chosen.items[i], key) for i in good] for key in ("name", "person"))
    return Scores(chosen.name, "mixed", tuple(names), values, failures, tuple(groups))


def steadiness(shapes: Sequence[Shape | None], people: Sequence[str], most: int = 400) -> list[dict[str, float]]:
    """How alike the neutral shapes of each person's pictures are, and how unlike those of others.

    Shapes are brought to the first one by similarity. "spread" of a picture is its root mean square vertex distance from
    the mean of its person, times sqrt(n / (n - 1)) for the n pictures that made the mean; "apart" is the chance that a
    picture of the same person is nearer to it than one of somebody else (the area under the ROC curve; ties count half).

    Args:
        shapes: One a picture, all of one topology; with a None among them nothing is said.
        people: One name a picture.
        most: Vertices that are compared, evenly chosen.

    Returns:
        Numbers by picture, without those that it has no partner for.
    """
    if not shapes or any(shape is None for shape in shapes) or len({len(shape.vertices) for shape in shapes}) != 1:
        return [{} for _ in shapes]
    used = np.unique(shapes[0].triangles)
    used = used[:: max(1, len(used) // most)]
    points = np.stack([np.asarray(shape.vertices, np.float64)[used] for shape in shapes])
    moved = np.stack([similarity(one, points[0]).apply(one) for one in points])
    flat = (moved - moved.mean(0)).reshape(len(moved), -1)  # centred, so that equal shapes are at distance 0 exactly
    square = (flat**2).sum(1)
    distance = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * flat @ flat.T, 0) / len(used))
    labels, result = np.array(people), []
    for i, person in enumerate(people):
        same = labels == person
        count, numbers = int(same.sum()), {}
        if count > 1:
            offset = moved[i] - moved[same].mean(0)
            numbers["spread"] = float(np.sqrt((offset**2).sum(-1).mean() * count / (count - 1)))
            mine, others = distance[i][same & (np.arange(len(labels)) != i)], distance[i][~same]
            if len(others):
                wins = (mine[:, None] < others).mean() + 0.5 * (mine[:, None] == others).mean()
                numbers["apart"] = float(wins)
        result.append(numbers)
    return result


def slices_of(items: Iterable[Item]) -> dict[tuple[str, str], list[str]]:
    """(kind, slice) -> names of the items in it, the whole set first; every kind that any item knows partitions those items."""
    items = list(items)
    order = {name: k for k, (_, name) in enumerate((*YAWS, *TONES, *SIDES))}
    order |= {"none": -1, "neutral": -1}
    found: dict[tuple[str, str], list[str]] = {("all", "all"): [item.name for item in items]}
    for kind in SLICES:
        named = {item.slices[kind] for item in items if kind in item.slices}
        named = sorted(named, key=lambda name: (order.get(name, len(order)), name))
        for name in named:
            found[kind, name] = [item.name for item in items if item.slices.get(kind) == name]
    return found


def rows(result: Run) -> list[Row]:
    """Every method on every slice of every set."""
    found = []
    for chosen in result.sets:
        base = result.scores.get((chosen.name, BASE))
        for (kind, name), members in slices_of(chosen.items).items():
            wanted = set(members)
            for method in result.methods:
                scores = result.scores.get((chosen.name, method.name))
                if scores is None:
                    continue
                failed = sum(item in scores.failures for item in members)
                numbers = {metric: estimate(metric, scores, base, wanted) for metric in chosen.metrics}
                numbers = {metric: number for metric, number in numbers.items() if math.isfinite(number.value)}
                found.append(Row(chosen.name, kind, name, method.name, len(members), failed, numbers))
    return found


def estimate(metric: str, scores: Scores, base: Scores | None, wanted: set[str]) -> Estimate:
    """A metric over some pictures, with the bootstrap's interval; people are drawn, not pictures."""
    here = np.array([name in wanted for name in scores.names], bool)
    groups = [group for group, inside in zip(scores.groups, here) if inside]
    if metric != "ratio":
        values = scores.values[metric][here]
        if not np.isfinite(values).any():
            return Estimate(math.nan)
        return Estimate(float(np.nanmean(values)), *bootstrap_interval(values, np.mean, ROUNDS, groups=groups))
    if base is None or "shape" not in scores.values or not here.any():
        return Estimate(math.nan)
    place = {name: i for i, name in enumerate(base.names)}
    ours = scores.values["shape"][here]
    theirs = [place.get(name, -1) for name, inside in zip(scores.names, here) if inside]
    theirs = np.array([base.values["shape"][i] if i >= 0 else math.nan for i in theirs])
    paired = np.isfinite(ours) & np.isfinite(theirs)
    if not paired.any():
        return Estimate(math.nan)
    ours, theirs, groups = ours[paired], theirs[paired], [g for g, pair in zip(groups, paired) if pair]

    def ratio(drawn: np.ndarray) -> float:
        chosen = drawn.astype(int)
        return float(ours[chosen].sum() / theirs[chosen].sum())

    everyone = np.arange(len(ours))
    return Estimate(ratio(everyone), *bootstrap_interval(everyone, ratio, ROUNDS, groups=groups))


def worst(chosen: ItemSet, scores: Scores, base: Scores | None, count: int) -> list[tuple[str, str]]:
    """Pictures to look at first, with a word why: those without an answer, then those with the largest first metric.

    For shapes the size is taken as a ratio to the mean face's error, so that unusual people are not listed for being so.
    """
    found = [(name, reason) for name, reason in scores.failures.items()]
    metric = chosen.metrics[0]
    values = scores.values.get(metric, np.zeros(0))
    if not len(values) or not np.isfinite(values).any():
        return found[:count]
    ranked, word = values, f"{METRICS[metric].title} {{0:.{METRICS[metric].digits}f}} {METRICS[metric].unit}".rstrip()
    if metric == "shape" and base is not None:
        place = dict(zip(base.names, base.values["shape"]))
        ranked = values / np.array([place.get(name, math.nan) for name in scores.names])
        word += ", {1:.2f} of the mean face's"
    sign = -1 if METRICS[metric].up else 1
    order = np.argsort(-sign * np.where(np.isfinite(ranked), ranked, -sign * np.inf))
    found += [(scores.names[i], word.format(values[i], ranked[i])) for i in order if np.isfinite(ranked[i])]
    return found[:count]
