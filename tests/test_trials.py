"""Variants compared over seeds: means, spreads, and what pairing is worth."""

import math

import numpy as np
import pytest

from likeness.evaluate.trials import Trial, difference, quantile, spread, values


def trials(**variants):
    return [Trial(name, seed, {"x": x}) for name, xs in variants.items() for seed, x in enumerate(xs)]


def test_mean_and_spread_of_the_seeds():
    found = spread(trials(a=[1.0, 2.0, 6.0], b=[0.0]), "a", "x")
    assert (found.count, found.mean) == (3, 3.0) and found.std == pytest.approx(math.sqrt(7))
    alone = spread(trials(b=[5.0]), "b", "x")
    assert alone.mean == 5 and math.isnan(alone.std)
    assert spread([], "b", "x").count == 0 and math.isnan(spread([], "b", "x").mean)


def test_a_trial_without_the_number_does_not_count():
    some = [Trial("a", 0, {"x": 1.0}), Trial("a", 1, {"x": math.nan}), Trial("a", 2, {}), Trial("b", 2, {"x": 9.0})]
    assert values(some, "a", "x") == {0: 1.0}
    assert spread(some, "a", "x").count == 1
    assert difference(some, "a", "b", "x").count == 0


def test_seeds_are_paired_by_name_not_by_order():
    some = trials(a=[1.0, 2.0, 3.0]) + [Trial("b", seed, {"x": x}) for seed, x in ((2, 2.5), (0, 0.5), (1, 1.5))]
    found = difference(some, "a", "b", "x")
    assert found.mean == 0.5 and found.above == 3
    assert found.high - found.low == pytest.approx(0, abs=1e-12)


def test_the_quantiles_of_student():
    assert quantile(1) == pytest.approx(math.tan(0.95 * math.pi / 2))  # one degree of freedom is Cauchy's law
    assert quantile(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)))
    assert quantile(10**6) == pytest.approx(1.959964, abs=1e-5)


def test_an_interval_holds_the_true_difference_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(800):
        seed = random.normal(0, 5, 3)  # what a seed does to both
        some = trials(a=seed + 1 + random.normal(0, 1, 3), b=seed + random.normal(0, 1, 3))
        found = difference(some, "a", "b", "x")
        inside += found.low <= 1 <= found.high
    assert 0.93 < inside / 800 < 0.97


def test_the_interval_of_three_differences():
    found = difference(trials(a=[1.0, 2.0, 6.0], b=[0.0, 0.0, 0.0]), "a", "b", "x")
    half = quantile(2) * math.sqrt(7 / 3)
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))


def test_one_seed_has_a_difference_and_no_interval():
    found = difference(trials(a=[1.0], b=[3.0]), "a", "b", "x")
    assert (found.count, found.mean, found.above) == (1, -2.0, 0) and math.isnan(found.low)
