"""Variants of a training compared over seeds: means and spreads, and differences seed by seed. Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from likeness.evaluate.scores import CONFIDENCE


@dataclass(frozen=True)
class Trial:
    """One training of one variant, measured.

    Attributes:
        variant: Which of the compared trainings.
        seed: Of everything random in it; trials of different variants with one seed saw the same data in the same order.
        numbers: What was measured, by name; NaN or left out where there is none.
    """

    variant: str
    seed: int
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """A number over the seeds of a variant.

    Attributes:
        count: Number of seeds that have it.
        mean: Over them; NaN where there is none.
        std: Of one seed about the mean, dividing by count - 1; NaN with fewer than two.
    """

    count: int
    mean: float
    std: float


@dataclass(frozen=True)
class Difference:
    """One variant less another, seed by seed.

    Attributes:
        count: Number of seeds that both have.
        mean: Of the differences.
        low, high: The 95 % interval of that mean by Student's t with count - 1 degrees of freedom; NaN with fewer than two.
        above: Number of seeds with which the first is larger.
    """

    count: int
    mean: float
    low: float
    high: float
    above: int


def values(trials: Sequence[Trial], variant: str, number: str) -> dict[int, float]:
    """A number of a variant by seed, where it is finite."""
    found = {t.seed: float(t.numbers.get(number, math.nan)) for t in trials if t.variant == variant}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def spread(trials: Sequence[Trial], variant: str, number: str) -> Spread:
    """Mean and spread of a number over the seeds of a variant."""
    found = np.array(list(values(trials, variant, number).values()))
    mean = float(found.mean()) if len(found) else math.nan
    return Spread(len(found), mean, float(found.std(ddof=1)) if len(found) > 1 else math.nan)


def difference(trials: Sequence[Trial], first: str, second: str, number: str) -> Difference:
    """Paired comparison of two variants: what data and their order do to a number is alike in both and falls away.

    Student 1908, "The probable error of a mean". With three seeds the interval is 2.5 standard deviations wide to each
    side: one that holds no zero says much, one that holds it says little.
    """
    one, other = values(trials, first, number), values(trials, second, number)
    both = np.array([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())])
    if not len(both):
        return Difference(0, math.nan, math.nan, math.nan, 0)
    mean, above = float(both.mean()), int((both > 0).sum())
    if len(both) < 2:
        return Difference(1, mean, math.nan, math.nan, above)
    half = quantile(len(both) - 1) * float(both.std(ddof=1)) / math.sqrt(len(both))
    return Difference(len(both), mean, mean - half, mean + half, above)


def quantile(freedom: int) -> float:
    """How many standard errors to each side hold 95 % of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
