"""Landmark errors: units, the outline's freedom, and the map between definitions."""

import numpy as np
import pytest

from likeness.assets.canonical import DENSE_OF_68
from likeness.assets.correspondence import OUTLINE
from likeness.evaluate import landmarks as measure


@pytest.fixture
def faces():
    """Dense points (40, 478, 3): a ring for the outline, noise inside, each face with its size, turn and place."""
    random = np.random.default_rng(0)
    points = random.uniform(-40, 40, (40, 478, 3))
    angle = 2 * np.pi * np.arange(len(OUTLINE)) / len(OUTLINE)
    points[:, list(OUTLINE)] = 90 * np.stack([np.sin(angle), -np.cos(angle), 0 * angle], -1)
    points[:, 33], points[:, 263] = (-40, 0, 0), (40, 0, 0)
    turn, size = random.uniform(-1, 1, 40), random.uniform(0.5, 2, 40)
    c, s, zero = size * np.cos(turn), size * np.sin(turn), 0 * size
    matrix = np.stack([c, -s, zero, s, c, zero, zero, zero, size], -1).reshape(-1, 3, 3)
    return points @ matrix.transpose(0, 2, 1) + [*random.uniform(50, 200, 2), 0]


def test_a_shift_costs_its_length_in_eye_distances(faces):
    unit = measure.eye_distance(faces)
    moved = faces[..., :2].copy()
    inner = np.setdiff1d(np.arange(468), OUTLINE)
    moved[:, inner] += 0.05 * unit[:, None, None] * np.array([0.6, 0.8])
    assert measure.dense(moved, faces).faces == pytest.approx(np.full(40, 0.05 * len(inner) / 468))


def test_sliding_along_the_outline_is_free_and_leaving_it_is_not(faces):
    ring = faces[:, list(OUTLINE), :2]
    slid = faces[..., :2].copy()
    slid[:, list(OUTLINE)] = (ring + np.roll(ring, 1, 1)) / 2
    assert measure.dense(slid, faces).faces.max() < 1e-6
    slid[:, list(OUTLINE)] = ring.mean(1, keepdims=True) + 1.2 * (ring - ring.mean(1, keepdims=True))
    assert measure.dense(slid, faces).faces.min() > 0.01


def test_the_unit_of_dense_errors_does_not_shrink_when_the_head_turns(faces):
    yaw = np.radians(75)
    turned = faces @ np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]).T
    np.testing.assert_allclose(measure.eye_distance(turned), measure.eye_distance(faces))
    shift = 0.02 * measure.eye_distance(faces)[:, None, None] * np.array([0, 1.0])
    errors = [measure.dense(points[..., :2] + shift, points).faces for points in (faces, turned)]
    assert errors[0].max() < 0.0201 and errors[1].max() < 0.0201 and errors[1].min() > 0.018


def test_the_map_learns_another_definition_and_turns_with_the_face(faces):
    fold = np.arange(40) % 2
    truth = measure.by_index(faces).copy()
    truth[:, 8] = 0.5 * faces[:, 152, :2] + 0.5 * faces[:, 17, :2]
    truth[:, 0] = faces[:, 234, :2] + 0.2 * (faces[:, 263, :2] - faces[:, 33, :2])
    mapping = measure.fit_map(faces, truth, fold)
    before = measure.sparse(measure.by_index(faces), truth, [0, 8]).faces.mean()
    after = measure.sparse(mapping.apply(faces, fold), truth, [0, 8]).faces.mean()
    assert after < 0.35 * before  # 20 faces of pure noise for 468 weights
    upright = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(
        mapping.apply(faces @ upright.T, fold), mapping.apply(faces, fold) @ upright[:2, :2].T, atol=1e-9
    )


def test_no_photo_is_mapped_by_weights_that_saw_it(faces):
    fold = np.arange(40) % 2
    truth = measure.by_index(faces)
    spoiled = truth.copy()
    spoiled[0] += 500
    clean, other = measure.fit_map(faces, truth, fold), measure.fit_map(faces, spoiled, fold)
    np.testing.assert_array_equal(clean.apply(faces, fold)[0], other.apply(faces, fold)[0])
    assert not np.allclose(clean.weights[1], other.weights[1])


def test_a_row_counts_failures():
    row = measure.Errors(np.array([0.01, 0.02, 0.3, 0.07])).row()
    assert row == pytest.approx({"mean": 10.0, "median": 4.5, "above_10": 25.0})
    assert len(DENSE_OF_68) == 68


def test_true_spreads_hold_two_thirds_of_normal_errors_and_others_are_told_their_factor():
    random = np.random.default_rng(1)
    sigma = random.uniform(0.5, 4, (50, 200))
    errors = sigma[..., None] * random.standard_normal((50, 200, 2))
    honest, timid = measure.within(errors, sigma), measure.within(errors, 2 * sigma)
    assert honest == pytest.approx({"within_1": 68.3, "within_2": 95.4, "factor": 1.0}, rel=0.02)
    assert timid["within_1"] == pytest.approx(95.4, rel=0.02) and timid["factor"] == pytest.approx(0.5, rel=0.02)
