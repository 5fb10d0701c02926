"""From a truth and an answer to numbers, by the kit's own protocols; and from numbers to rows with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from likeness.arrays import even
from likeness.errors import LikenessError
from likeness.evaluate.benchmark import together
from likeness.evaluate.benchmark.appearance import photo_numbers, texture_numbers
from likeness.evaluate.benchmark.items import METRICS, SIDES, SLICES, TONES, YAWS, Answer, Item, ItemSet, Method, Shape
from likeness.evaluate.nme import INNER_MOUTH_68, nme
from likeness.evaluate.pose import angle_between
from likeness.evaluate.scans import Scan, ScanErrors, scan_distinctiveness, scan_errors
from likeness.evaluate.scores import Scores, bootstrap_interval
from likeness.geometry.rotation import from_axis_angle
from likeness.types import View

INNER_68 = slice(17, 68)
"""Rows of the 68 points without the outline, whose definition differs from system to system."""
ROUNDS = 500
"""Draws of the bootstrap."""
COVER = 85.0
"""Percent of the true surface that a mesh must reach for its shape to be compared. Ours: the mean face reaches 99."""
ASKED = "asked"
"""Kind of the slices that hold what a slow method was asked about."""
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
        self.known: dict[tuple[int, int, bool], ScanErrors] = {}
        self.kept: list[object] = []  # an object that is gone could lend its number to another

    def errors(self, scan: Scan, shape: Shape, scale: bool = True) -> ScanErrors:
        """The answer aligned to the truth and measured; see `scans.scan_errors`."""
        key = id(scan), id(shape), scale
        if key not in self.known:
            self.known[key] = scan_errors(shape.vertices, shape.triangles, shape.landmarks, scan, scale=scale)
            self.kept += [scan, shape]
        return self.known[key]

    def numbers(self, item: Item, answer: Answer, base: Shape | None) -> dict[str, float]:
        """Numbers by name: "shape" in mm, "cover" in %, "distinct" where the mean face is known, "metrical" where the size is meant."""
        scan = item.truth.neutral
        if scan is None or answer.neutral is None:
            return {}
        errors = self.errors(scan, answer.neutral)
        found = {"shape": errors.mean, "cover": 100 * errors.coverage}
        if answer.neutral.in_mm:
            found["metrical"] = self.errors(scan, answer.neutral, False).mean
        if base is not None:
            found["distinct"] = scan_distinctiveness(errors, self.errors(scan, base))
        return found


def head_measure(
    surfaces: Surfaces, base: Shape, skin: np.ndarray | None = None
) -> Callable[[Item, Answer], Mapping[str, float]]:
    """Everything that a head with an exact truth allows to be measured.

    Args:
        surfaces: Where distances are kept.
        base: The mean face.
        skin: (S, S) bool, the skin in the chart, for textures.
    """

    def measure(item: Item, answer: Answer) -> Mapping[str, float]:
        truth, found = item.truth, surfaces.numbers(item, answer, base)
        found |= photo_numbers(answer, item) | ({} if skin is None else texture_numbers(answer, item, skin))
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


@dataclass(frozen=True)
class Recogniser:
    """Embeddings that somebody's recogniser made of the benchmark's pictures and of drawings.

    Attributes:
        photos: Item -> vector.
        drawings: Method -> item -> vector.
    """

    photos: Mapping[str, np.ndarray]
    drawings: Mapping[str, Mapping[str, np.ndarray]]


def run(
    sets: Sequence[ItemSet], methods: Sequence[Method], workers: int = 1, tell: Callable[[str], None] = lambda line: None,
    recogniser: Recogniser | None = None,
) -> Run:  # fmt: skip
    """Ask every method about every picture, and measure.

    Args:
        sets: Pictures with truth.
        methods: Rows; one of them may be the mean face, to which ratios are taken.
        workers: Threads; numbers do not depend on it.
        tell: Is given a line when a set is done by a method.
        recogniser: Embeddings, where somebody brings some.
    """
    result = Run(sets, methods)
    for chosen in sets:
        for method in methods:
            if method.sets is None or chosen.name in method.sets:
                result.scores[chosen.name, method.name] = ask(chosen, method, workers, recogniser)
                tell(f"{chosen.name}: {method.name}")
    result.rows = rows(result)
    return result


def ask(chosen: ItemSet, method: Method, workers: int = 1, recogniser: Recogniser | None = None) -> Scores:
    """One method on one set: numbers by picture, and a reason for every picture without an answer."""
    items = [chosen.items[i] for i in even(len(chosen.items), method.most or len(chosen.items))]

    def one(item: Item) -> tuple[dict[str, float], Answer] | str:
        try:
            answer = method.answer(item)
            numbers = dict(chosen.measure(item, answer))
        except LikenessError as error:
            return str(error)
        return numbers, replace(answer, texture=None, drawing=None, dense=None)  # what is large has been measured

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(one, items))
    else:
        found = [one(item) for item in items]
    good = [i for i, entry in enumerate(found) if not isinstance(entry, str)]
    answers = [None if isinstance(entry, str) else entry[1] for entry in found]
    extra: list[Sequence[Mapping[str, float]]] = []
    if chosen.people:
        rows = together.shape_numbers([answers[i].neutral for i in good], [items[i].person for i in good])
        extra += [dict(zip(good, rows)), dict(enumerate(together.code_numbers(items, answers)))]
    if chosen.rate is not None:
        extra.append(dict(enumerate(together.clip_numbers(items, answers, chosen.rate))))
    if recogniser is not None and method.name in recogniser.drawings:
        rows = together.recognised(items, recogniser.photos, recogniser.drawings[method.name])
        extra.append(dict(enumerate(rows)))
    for i in good:
        for numbers in extra:
            found[i][0].update(numbers[i])
    metrics = [metric for metric in chosen.metrics if metric != "ratio"]
    values = {metric: np.array([found[i][0].get(metric, math.nan) for i in good], float) for metric in metrics}
    failures = {items[i].name: entry for i, entry in enumerate(found) if isinstance(entry, str)}
    names, groups = ([getattr(items[i], key) for i in good] for key in ("name", "person"))
    return Scores(chosen.name, "mixed", tuple(names), values, failures, tuple(groups))


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
        for (kind, name), members in (slices_of(chosen.items) | asked_alone(result, chosen)).items():
            wanted = set(members)
            for method in result.methods:
                scores = result.scores.get((chosen.name, method.name))
                if scores is None:
                    continue
                asked = [item for item in members if item in scores.failures or item in scores.names]
                failed = sum(item in scores.failures for item in asked)
                numbers = {metric: estimate(metric, scores, base, wanted) for metric in chosen.metrics}
                numbers = {metric: number for metric, number in numbers.items() if math.isfinite(number.value)}
                if not asked:
                    continue
                found.append(Row(chosen.name, kind, name, method.name, len(asked), failed, numbers))
    return found


def asked_alone(result: Run, chosen: ItemSet) -> dict[tuple[str, str], list[str]]:
    """("asked", method) -> the pictures that a method was asked about, where these are some of the set: only on them can it
    be compared with the others."""
    found = {}
    for method in result.methods:
        scores = result.scores.get((chosen.name, method.name))
        if scores is not None and len(scores.names) + len(scores.failures) < len(chosen.items):
            found[ASKED, method.name] = [
                item.name for item in chosen.items if item.name in {*scores.names, *scores.failures}
            ]
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
