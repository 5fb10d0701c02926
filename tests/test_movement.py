"""Measures of movement on signals whose answer is known, and the performance that they are measured on."""

import cv2
import numpy as np
import pytest

from likeness.assets.arkit import EXPRESSIONS
from likeness.data.performance import CLOSING, OPENING, perform
from likeness.evaluate import movement
from likeness.geometry.rotation import from_euler


def test_bend_of_noise_and_of_even_movement():
    rng = np.random.default_rng(0)
    even = np.arange(50)[:, None, None] * rng.normal(size=(1, 30, 3))
    assert movement.bend(even) < 1e-12
    noise = rng.normal(0, 0.1, (500, 40, 3))
    expected = 0.1 * np.sqrt(6) * np.sqrt(8 / np.pi)  # mean length of a normal vector of three
    assert abs(movement.bend(noise) / expected - 1) < 0.02
    half = np.arange(500) < 250
    noise[250:] *= 5
    assert abs(movement.bend(noise, half) / expected - 1) < 0.03
    assert np.isnan(movement.bend(noise, np.arange(500) == 3))


def face(opening, lips, shift=0.0):
    """Dense landmarks (F, 478, 2) with lids and lips so far open."""
    points = np.random.default_rng(1).normal(0, 50, (1, 478, 2)).repeat(len(opening), 0)
    points += np.array([1.0, 0]) * np.reshape(shift, (-1, 1, 1))
    for pairs, gap in ((movement.LIDS[0] + movement.LIDS[1], opening), (movement.LIPS, lips)):
        for upper, lower in pairs:
            points[:, lower] = points[:, upper] + np.stack([0 * gap, gap], -1)
    return points


def test_gaps_and_blinks():
    opening, lips = np.full(60, 10.0), np.linspace(0, 5, 60)
    opening[[19, 20, 21]] = (6, 2, 5)
    opening[40] = 8  # a twitch, no blink
    points = face(opening, lips)
    np.testing.assert_allclose(movement.gaps(points, movement.LIPS), lips, atol=1e-9)
    assert movement.blinks(points).tolist() == [20]
    assert movement.kept_height(opening, opening, np.array([20])) == 1
    assert movement.kept_height(10 - 0.4 * (10 - opening), opening, np.array([20])) == pytest.approx(0.4)
    assert movement.kept_height(np.roll(opening, 5), opening, np.array([20])) == 0  # another time is another blink
    assert np.isnan(movement.kept_height(opening, opening, np.array([], int)))


def test_calm_is_where_little_moves_though_all_trembles():
    rng = np.random.default_rng(2)
    shift = np.concatenate([np.zeros(40), np.cumsum(rng.normal(0, 3, 60)), np.zeros(0)])
    points = face(np.full(100, 10.0), np.full(100, 3.0), shift) + rng.normal(0, 0.5, (100, 478, 2))
    calm = movement.calm(points)
    assert 25 <= calm.sum() <= 35 and calm[:38].mean() > 0.7 and calm[45:].mean() < 0.1


def test_a_fit_that_is_the_truth_scores_as_such_and_faults_show():
    random = np.random.default_rng(3)
    played = perform(90, 30, random)
    true = np.concatenate([face(10 - 8 * played.expression[:, 0], 20 * played.expression[:, EXPRESSIONS.index("jawOpen")]),
                           np.zeros((90, 478, 1))], -1)  # fmt: skip
    rest = (played.rotation, played.rest, played.blinks, played.closures)
    same = movement.against_truth(true, true, played.rotation, *rest)
    assert same["expression mm"] == same["lip gap error mm"] == 0 and same["blinks kept"] == 1
    assert abs(same["lag frames"]) < 0.01 and same["rotation deg"] < 1e-4
    late = movement.against_truth(np.roll(true, 2, 0), true, np.roll(played.rotation, 2, 0), *rest)
    assert abs(late["lag frames"] - 2) < 0.1 and late["lip gap error mm"] > 0.2
    turned = movement.against_truth(
        true, true, played.rotation @ from_euler(np.float64(0.1), np.float64(0), np.float64(0)), *rest
    )
    assert abs(turned["rotation deg"] - np.degrees(0.1)) < 0.01 and turned["turning deg"] < 0.01
    loose = movement.against_truth(
        true + np.random.default_rng(4).normal(0, 0.3, true.shape), true, played.rotation, *rest
    )
    assert loose["bend at rest mm"] > 1 > 10 * same["bend at rest mm"]


def test_slip_is_what_the_skin_does_not_do():
    rng = np.random.default_rng(5)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (120, 160)).astype(np.float32), (0, 0), 2)
    before = np.clip(4 * (ground - ground.mean()) + 128, 0, 255).astype(np.uint8)
    now = cv2.warpAffine(before, np.array([[1, 0, 2.0], [0, 1, -1.0]]), (160, 120))
    start = rng.uniform(30, 90, (20, 2))
    still = movement.slip(before, now, start, start + [2.0, -1.0])
    assert np.nanmax(np.abs(still)) < 0.1 and np.isfinite(still).mean() > 0.9
    np.testing.assert_allclose(np.nanmean(movement.slip(before, now, start, start), 0), [-2, 1], atol=0.1)
    flat = np.full_like(before, 9)
    assert np.isnan(movement.slip(flat, before, start, start)).mean() > 0.5


def test_a_performance_rests_blinks_and_closes_its_lips():
    played = perform(150, 30, np.random.default_rng(6))
    assert played.expression.shape == (150, 51) and played.expression.min() >= 0 and played.expression.max() <= 1
    assert played.rest[:28].all() and played.rest[-28:].all() and not played.rest[60:90].any()
    assert np.abs(np.diff(played.expression[played.rest & np.roll(played.rest, 1)], axis=0)[:25]).max() < 1e-12
    lids = played.expression[:, EXPRESSIONS.index("eyeBlinkLeft")]
    assert len(played.blinks) >= 2 and (lids[played.blinks] > 0.85).all()
    longest = max(len(run) for run in np.split(lids, np.flatnonzero(np.diff(lids > 0) != 0) + 1) if run.max() > 0)
    assert longest <= (CLOSING + OPENING) * 30 + 1
    jaw = played.expression[:, EXPRESSIONS.index("jawOpen")]
    assert jaw.max() > 0.4
    again = perform(150, 30, np.random.default_rng(6))
    np.testing.assert_array_equal(again.expression, played.expression)
