"""Scores of meshes whose vertices correspond."""

import numpy as np
import pytest

from likeness.evaluate.neutral import expression_deformation
from likeness.evaluate.registered import interocular_error, registered_error, vertex_errors
from likeness.geometry.alignment import Similarity
from likeness.geometry.rotation import from_axis_angle

SHAPE = np.random.default_rng(0).normal(0, 40, (500, 3))


def moved(points, scale=1.3):
    motion = Similarity(from_axis_angle(np.array([0.5, -1, 0.2])), np.array([30.0, -8, 500]), np.float64(scale))
    return motion.apply(points)


def test_place_and_size_do_not_count_and_the_order_of_vertices_neither():
    assert registered_error(moved(SHAPE), SHAPE)["largest"] == pytest.approx(0, abs=1e-9)
    assert registered_error(moved(SHAPE, 1), SHAPE, scale=False)["largest"] == pytest.approx(0, abs=1e-9)
    assert registered_error(moved(SHAPE), SHAPE, scale=False)["mean"] > 5
    off = SHAPE + np.random.default_rng(1).normal(0, 1, SHAPE.shape)
    order = np.random.default_rng(2).permutation(500)
    assert registered_error(off[order], SHAPE[order]) == pytest.approx(registered_error(off, SHAPE))
    assert registered_error(moved(off), SHAPE) == pytest.approx(registered_error(off, SHAPE))


def test_known_displacements_give_known_millimetres():
    # Pairs of vertices pushed apart evenly: no motion can take it back.
    truth = np.concatenate([SHAPE, SHAPE])
    push = np.random.default_rng(3).normal(size=SHAPE.shape)
    push *= 2 / np.linalg.norm(push, axis=1, keepdims=True)
    found = registered_error(np.concatenate([SHAPE + push, SHAPE - push]), truth, scale=False)
    assert found == pytest.approx({"rmse": 2, "mean": 2, "largest": 2}, rel=2e-3)
    half = np.concatenate([push[:250], 0 * push[:250]])
    found = registered_error(np.concatenate([SHAPE + half, SHAPE - half]), truth, scale=False)
    assert found["rmse"] == pytest.approx(2**0.5, rel=2e-2) and found["mean"] == pytest.approx(1, rel=5e-2)


def test_errors_grow_with_noise():
    noise = np.random.default_rng(4).normal(size=SHAPE.shape)
    errors = [registered_error(SHAPE + step * noise, SHAPE)["rmse"] for step in (0, 0.1, 1, 5)]
    assert errors[0] < 1e-9 and (np.diff(errors) > 0).all()
    assert vertex_errors(SHAPE + noise, SHAPE).shape == (500,)


def test_expression_in_a_neutral_photo():
    expressed = SHAPE.copy()
    expressed[:100] += [0, 3.0, 4.0]
    found = expression_deformation(expressed, SHAPE)
    assert found == pytest.approx({"mean": 1, "largest": 5})
    assert expression_deformation(SHAPE, SHAPE)["mean"] == 0
    weights = np.zeros(500)
    weights[:200] = 1
    assert expression_deformation(expressed, SHAPE, weights)["mean"] == pytest.approx(2.5)
    assert expression_deformation(SHAPE + 2 * (expressed - SHAPE), SHAPE)["mean"] == pytest.approx(2)


def test_a_share_of_the_eyes_distance():
    """Pairs pushed 2 mm apart, eyes 80 mm apart: 2.5 %, whatever the prediction's size and place."""
    truth = np.concatenate([SHAPE, SHAPE])
    push = np.random.default_rng(3).normal(size=SHAPE.shape)
    push *= 2 / np.linalg.norm(push, axis=1, keepdims=True)
    eyes = np.array([[-40.0, 3, 1], [40, 3, 1]])
    pushed = np.concatenate([SHAPE + push, SHAPE - push])
    assert interocular_error(moved(pushed), truth, eyes) == pytest.approx(2.5, rel=2e-3)
    assert interocular_error(pushed, truth, 2 * eyes) == pytest.approx(1.25, rel=2e-3)
    assert interocular_error(moved(truth), truth, eyes) == pytest.approx(0, abs=1e-9)
    assert interocular_error(moved(truth), truth, eyes, scale=False) > 5
