"""The smoother in time: the same answer as a dense solver, no lag, how much trembling goes, what of a blink stays, gaps, bounds."""

import numpy as np
import pytest

from likeness.evaluate.steadiness import lag
from likeness.fit.clips import temporal
from likeness.fit.clips.temporal import Calm

RATE = 30


def smooth(signal, times=None, seen=None, noise=0.1, spread=0.05, freedom=3.0, rounds=8, bounds=None):
    """Signals (F, n) measured with a spread `noise`, as one group whose unit is 1 mm."""
    frames, count = signal.shape
    times = np.arange(frames) / RATE if times is None else times
    seen = np.ones(frames, bool) if seen is None else seen
    stencil, calm = temporal.curvature(times), Calm(np.arange(count), np.ones(count), spread, freedom)
    state = np.where(seen[:, None], signal, 0.0)
    hessian = seen[:, None, None] * np.eye(count) / noise**2
    for round_ in range(rounds):
        bend = np.zeros_like(state)
        bend[1:-1] = np.einsum("fk,fkn->fn", stencil[1:-1], np.stack([state[:-2], state[1:-1], state[2:]], 1))
        precision = temporal.looseness(bend if round_ else 0 * bend, [calm])
        gradient = seen[:, None] * (state - np.where(seen[:, None], signal, 0)) / noise**2
        low, high = (
            (np.full_like(state, b) for b in (-np.inf, np.inf)) if bounds is None else (b - state for b in bounds)
        )
        state = state + temporal.step(hessian, gradient, bend, precision, stencil, low, high)
    return state


def test_the_step_is_that_of_a_dense_solver():
    rng = np.random.default_rng(0)
    frames, count = 9, 4
    root = rng.normal(size=(frames, count, count + 2))
    hessian, gradient = root @ root.swapaxes(1, 2), rng.normal(size=(frames, count))
    bend, precision = rng.normal(size=(frames, count)), rng.uniform(0.5, 4, (frames, count))
    stencil = temporal.curvature(np.cumsum(rng.uniform(0.02, 0.05, frames)))
    free = np.full((frames, count), np.inf)
    found = temporal.step(hessian, gradient, bend, precision, stencil, -free, free)
    differences = np.zeros((frames * count, frames * count))
    for t in range(1, frames - 1):
        for place in range(3):
            for i in range(count):
                differences[t * count + i, (t + place - 1) * count + i] = stencil[t, place]
    whole = differences.T @ (precision.ravel()[:, None] * differences)
    for t in range(frames):
        whole[t * count : (t + 1) * count, t * count : (t + 1) * count] += hessian[t]
    slope = gradient.ravel() + differences.T @ (precision * bend).ravel()
    np.testing.assert_allclose(found.ravel(), -np.linalg.solve(whole, slope), rtol=1e-6, atol=1e-9)


def test_bounds_hold_and_the_rest_is_still_the_best():
    """At the answer the slope is zero where nothing holds, and points outwards where a bound does."""
    rng = np.random.default_rng(1)
    signal = np.sin(np.arange(40) / 3)[:, None] + 0.2 * rng.normal(size=(40, 2))
    found = smooth(signal, bounds=(0.0, 0.8), freedom=1e9, rounds=3)
    assert found.min() >= 0 and found.max() <= 0.8 and (found == 0).sum() > 10 and (found == 0.8).sum() > 5
    stencil = temporal.curvature(np.arange(40) / RATE)
    bend = np.zeros_like(found)
    bend[1:-1] = found[2:] - 2 * found[1:-1] + found[:-2]
    weighted = temporal.looseness(0 * bend, [Calm(np.arange(2), np.ones(2), 0.05, 1e9)]) * bend
    slope = (found - signal) / 0.1**2
    slope[1:-1] -= 2 * weighted[1:-1]
    slope[:-2] += weighted[1:-1]
    slope[2:] += weighted[1:-1]
    inside = (found > 0) & (found < 0.8)
    assert stencil.shape == (40, 3) and np.abs(slope[inside]).max() < 1e-3 * np.abs(slope).max()
    assert (slope[found == 0] > 0).all() and (slope[found == 0.8] < 0).all()


def test_there_is_no_lag():
    """Turned round in time, the answer is turned round; and a known movement comes at its time."""
    rng = np.random.default_rng(2)
    clean = np.sin(2 * np.pi * 1.5 * np.arange(120) / RATE)[:, None] * 3
    noisy = clean + rng.normal(0, 0.1, clean.shape)
    found = smooth(noisy, rounds=20)
    np.testing.assert_allclose(smooth(noisy[::-1], rounds=20)[::-1], found, atol=1e-6)
    assert abs(lag(found[:, None], clean[:, None])) < 0.02
    shifts = range(-5, 6)
    scores = [np.corrcoef(found[10 + s : 110 + s, 0], clean[10:110, 0])[0, 1] for s in shifts]
    assert shifts[int(np.argmax(scores))] == 0


def test_trembling_falls_by_what_theory_says():
    """White noise through the smoother of second differences: the spectrum is that of 1 / (1 + ratio (2 - 2 cos w)^2)."""
    rng = np.random.default_rng(3)
    noise, spread = 0.1, 0.02
    found = smooth(rng.normal(0, noise, (3000, 1)), noise=noise, spread=spread, freedom=1e9, rounds=1)
    ratio = (noise / spread) ** 2  # a free-dom of infinity is the normal distribution
    w = np.linspace(0, np.pi, 20001)
    gain = 1 / (1 + ratio * (2 - 2 * np.cos(w)) ** 2)
    expected = noise * np.sqrt(np.trapezoid(gain**2 * (2 - 2 * np.cos(w)) ** 2, w) / np.pi)
    bend = (found[2:] - 2 * found[1:-1] + found[:-2])[100:-100]
    assert abs(np.sqrt((bend**2).mean()) / expected - 1) < 0.1
    assert expected < 0.02 * noise * np.sqrt(6)


def blink(frames=60, middle=30):
    """Lids of 8 mm that close within two frames and open within four."""
    times = np.arange(frames) - middle
    return np.interp(times, [-3, -1, 0, 4], [0, 7, 8, 0])[:, None]


def test_a_blink_survives_where_one_strength_for_all_would_lose_it():
    rng = np.random.default_rng(4)
    noisy = blink() + rng.normal(0, 0.2, (60, 1))
    kept = [smooth(noisy, noise=0.2, spread=0.02, freedom=f, rounds=15).max() / 8 for f in (3.0, 1e9)]
    assert kept[0] > 0.9 > 0.65 > kept[1]
    found = smooth(noisy, noise=0.2, spread=0.02, rounds=15)
    assert np.abs(found[:20] - found[:20].mean()).max() < 0.15 < np.abs(noisy[:20] - noisy[:20].mean()).max()


def test_one_group_lets_go_and_the_other_does_not():
    """A jump in the first coordinate loosens its own group only."""
    bend = np.zeros((5, 2))
    bend[2, 0] = 3.0
    two = [Calm(np.array([0]), np.ones(1), 0.1), Calm(np.array([1]), np.ones(1), 0.1)]
    precision = temporal.looseness(bend, two)
    assert precision[2, 0] < 0.01 * precision[1, 0] and precision[2, 1] == precision[1, 1]
    one = temporal.looseness(bend, [Calm(np.arange(2), np.ones(2), 0.1)])
    assert one[2, 1] == one[2, 0] < 0.01 * one[1, 1]


def test_short_gaps_are_bridged_and_uneven_times_are_even_movement():
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.uniform(0.01, 0.08, 50))
    line = (2 * times)[:, None]
    seen = np.ones(50, bool)
    seen[20:26] = False
    np.testing.assert_allclose(smooth(line, times, seen), line, atol=1e-4)
    assert np.abs(temporal.curvature(times)[1:-1] @ [1, 1, 1]).max() < 1e-9


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_few_frames(frames):
    signal = np.arange(frames, dtype=float)[:, None] + np.arange(4)
    np.testing.assert_allclose(smooth(signal), signal, atol=1e-6)
