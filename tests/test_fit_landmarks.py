"""Fitting the face model to dense landmarks: what goes in comes back, and what must not happen does not."""

import numpy as np
import pytest
import torch

from likeness.assets import builtin, correspondence
from likeness.assets.arkit import EXPRESSIONS
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.bounded import bounded_step
from likeness.fit.landmarks.solver import FitConfig, face_box, fit
from likeness.fit.landmarks.terms import Problem
from likeness.geometry import cameras
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.photos.detect import face_frame
from likeness.types import View

SHARP = FitConfig(steps=15, trust=1.0, expression_cost=0.05, opposed_cost=0.0, distance_spread=0.2)


@pytest.fixture(scope="module")
def bases():
    model = builtin.load()
    topology = model.topology("base")
    dense = topology.landmarks["dense"]
    normals = dense.points(vertex_normals(model.mean, topology.triangles))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    places = (dense.points(shape) for shape in (model.mean, model.identity, model.expression))
    return LandmarkBases(*places, normals, np.full(478, 0.5, np.float32))


def photographed(bases, count, seed=0, yaw=0.3):
    """Landmarks (count, 478, 3) px of random faces, and the truth."""
    random = np.random.default_rng(seed)
    identity = random.standard_normal((count, 100))
    expression = np.zeros((count, 51))
    for i in range(count):
        expression[i, random.choice(51, 4, replace=False)] = random.uniform(0.2, 0.9, 4)
    expression[:, EXPRESSIONS.index("mouthClose")] = 0
    angles = [random.uniform(-limit, limit, count) for limit in (yaw, 0.2, 0.3)]
    rotation, focal = from_euler(*angles), np.full(count, 600.0)
    shape = bases.mean + np.tensordot(identity, bases.identity, 1) + np.tensordot(expression, bases.expression, 1)
    translation = np.array([0, 0, -900.0]) - rotation @ bases.mean.mean(0)
    view = View(rotation, translation, focal, np.full((count, 2), 128.0), (256, 256))
    pixels = cameras.project(shape, view)
    depth = -(cameras.to_camera(shape, view)[..., 2:] + 900) * 600 / 900
    return torch.as_tensor(np.concatenate([pixels, depth], -1)), identity, expression, rotation


def frontal(bases, expression):
    """Landmarks (1, 478, 3) px of the mean face with an expression, seen from the front."""
    shape = bases.mean + np.tensordot(expression, bases.expression, 1)
    view = View(np.eye(3), np.array([0.0, 0, -900]), np.array(700.0), np.array([128.0, 128.0]), (256, 256))
    return torch.as_tensor(np.concatenate([cameras.project(shape, view), -shape[:, 2:] * 700 / 900], -1)[None])


def test_landmarks_without_noise_are_met_and_the_pose_comes_back(bases):
    points, _, _, rotation = photographed(bases, 6)
    fits = fit(bases, points, SHARP)
    assert (fits.points - points[..., :2]).norm(dim=-1).mean() < 0.25
    turn = torch.as_tensor(rotation).transpose(1, 2) @ fits.rotation
    angle = torch.arccos(((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(max=1))
    assert angle.max() < np.radians(4)


def test_projection_through_the_camera_gives_the_fitted_points(bases):
    points, *_ = photographed(bases, 3)
    fits = fit(bases, points)
    places = (
        bases.mean + np.tensordot(fits.identity, bases.identity, 1) + np.tensordot(fits.expression, bases.expression, 1)
    )
    view = View(*(getattr(fits, k).numpy() for k in ("rotation", "translation", "focal", "principal")), (256, 256))
    np.testing.assert_allclose(cameras.project(places, view), fits.points.numpy(), atol=1e-6)


def test_identity_comes_back_where_landmarks_show_it_and_shrinks_elsewhere(bases):
    points, identity, *_ = photographed(bases, 24, yaw=0.5)
    found = fit(bases, points, SHARP).identity.numpy()
    share = (found * identity).sum(0) / (identity**2).sum(0)
    assert share[1:8].mean() > 0.6, "modes that move the landmarks"
    assert (found**2).mean() < 1.0


def test_expressions_stay_in_their_range_and_mouth_close_below_jaw_open(bases):
    points, *_ = photographed(bases, 8, seed=3)
    weights = fit(bases, points).expression
    assert weights.min() >= 0 and weights.max() <= 1
    impossible = np.zeros(51)
    impossible[EXPRESSIONS.index("mouthClose")], impossible[EXPRESSIONS.index("jawOpen")] = 0.6, 0.2
    weights = fit(bases, frontal(bases, impossible), SHARP).expression[0]
    assert weights[EXPRESSIONS.index("mouthClose")] <= weights[EXPRESSIONS.index("jawOpen")]


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp"])
def test_a_single_expression_is_found(bases, name):
    expression = np.zeros(51)
    expression[EXPRESSIONS.index(name)] = 0.9
    found = fit(bases, frontal(bases, expression), SHARP).expression[0]
    assert found[EXPRESSIONS.index(name)] > 0.55
    assert found.argmax() == EXPRESSIONS.index(name)


def test_a_wild_landmark_does_not_pull_the_face(bases):
    points, *_ = photographed(bases, 2)
    wild = points.clone()
    wild[:, 61, :2] += 60
    config = FitConfig(trust=1.0)
    calm, pulled = fit(bases, points, config), fit(bases, wild, config)
    assert (calm.points - pulled.points).norm(dim=-1).mean() < 0.6
    assert (pulled.trusts[:, 61] < 0.1).all()


def test_jacobian_is_the_derivative(bases):
    points, *_ = photographed(bases, 2)
    problem = Problem(bases, points, FitConfig())
    random = torch.Generator().manual_seed(0)
    codes = 0.3 * torch.rand(2, 151, generator=random, dtype=torch.float64)
    residual, turned, depth = problem.project(codes, problem.rotation, problem.pose)
    derivative = problem.jacobian(problem.rotation, problem.pose, turned, depth)
    from likeness.geometry.rotation import from_axis_angle

    step = 1e-4 * torch.randn(2, 158, generator=random, dtype=torch.float64)
    moved, _, _ = problem.project(
        codes + step[:, :151], from_axis_angle(step[:, 151:154]) @ problem.rotation, problem.pose + step[:, 154:]
    )
    predicted = (derivative @ step[:, None, :, None])[..., 0]
    assert (moved - residual - predicted).norm() < 1e-2 * predicted.norm()


def arrows(people, photos, seed=1):
    """Random positive definite Hessians (B, 158, 158) and gradients of photos, and priors of people."""
    random = torch.Generator().manual_seed(seed)
    root = torch.randn(photos, 158, 158, generator=random, dtype=torch.float64)
    hessian = root @ root.transpose(1, 2) + 20 * torch.eye(158, dtype=torch.float64)
    gradient = 10 * torch.randn(photos, 158, generator=random, dtype=torch.float64)
    prior = torch.eye(100, dtype=torch.float64).repeat(people, 1, 1), torch.ones(people, 100, dtype=torch.float64)
    low = -torch.rand(photos, 51, generator=random, dtype=torch.float64) * 0.1
    return hessian, gradient, prior, low, random


def test_bounded_step_is_the_best_one_within_bounds():
    hessian, gradient, prior, low, random = arrows(2, 3)
    person = torch.tensor([0, 1, 0])
    move, step = bounded_step(hessian, gradient, prior, person, low, low + 0.1)
    inner = step[:, :51]
    assert (inner >= low - 1e-9).all() and (inner <= low + 0.1 + 1e-9).all()

    def value(m, s):
        x = torch.cat([m[person], s], 1)
        own = (gradient * x).sum() + 0.5 * (x[:, None] @ hessian @ x[..., None]).sum()
        return own + (prior[1] * m).sum() + 0.5 * (m[:, None] @ prior[0] @ m[..., None]).sum()

    best = value(move, step)
    for _ in range(20):
        other = step + 0.01 * torch.randn(3, 58, generator=random, dtype=torch.float64)
        other[:, :51] = other[:, :51].clamp(low, low + 0.1)
        assert value(
            move + 0.01 * torch.randn(2, 100, generator=random, dtype=torch.float64), other
        ) >= best - 0.02 * abs(best)


def test_a_shared_step_solves_the_stacked_normal_equations():
    hessian, gradient, prior, low, _ = arrows(2, 5)
    person = torch.tensor([1, 0, 1, 1, 0])
    wide = torch.full_like(low, 1e6)
    move, step = bounded_step(hessian, gradient, prior, person, -wide, wide)
    size = 2 * 100 + 5 * 58
    matrix, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    for p in range(2):
        rows = torch.arange(100 * p, 100 * p + 100)
        matrix[rows[:, None], rows] += prior[0][p]
        right[rows] += prior[1][p]
    for f in range(5):
        rows = torch.cat([torch.arange(100) + 100 * person[f], torch.arange(58) + 200 + 58 * f])
        matrix[rows[:, None], rows] += hessian[f]
        right[rows] += gradient[f]
    expected = -torch.linalg.solve(matrix, right)
    torch.testing.assert_close(move, expected[:200].reshape(2, 100))
    torch.testing.assert_close(step, expected[200:].reshape(5, 58))


def test_face_box_agrees_with_the_finders_definition(bases):
    points, *_ = photographed(bases, 4)
    center, side, roll = face_box(points)
    for i in range(4):
        expected = face_frame(points[i].numpy())
        np.testing.assert_allclose(center[i], expected[0], atol=1e-4)
        np.testing.assert_allclose([side[i], roll[i]], expected[1:], atol=1e-4)


def test_the_shipped_correspondence_lies_on_the_surface_and_is_symmetric_in_trust():
    found = correspondence.read()
    assert found.embedding.vertices.shape == (478, 3) and found.offset.shape == (478, 3)
    np.testing.assert_allclose(found.embedding.weights.sum(1), 1, atol=1e-5)
    assert found.embedding.weights.min() >= 0 and found.sigma.min() > 0
    assert found.sigma[33] == pytest.approx(found.sigma[263], rel=1e-4)
    assert "ICT" in found.metadata["licence"]
