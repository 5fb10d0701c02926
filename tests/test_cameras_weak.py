"""Weak perspective, and depths at which perspective would divide by zero."""

import numpy as np
import pytest
import torch

from likeness.geometry import cameras, rotation
from likeness.types import View, WeakView

KINDS = [np.asarray, torch.as_tensor]
BATCHES = [(), (2,), (2, 3)]


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def weak(batch, kind=np.asarray):
    fields = rotation.from_sixd(random(0, *batch, 6)), 50 + random(1, *batch, 2), 2 + np.abs(random(2, *batch))
    return WeakView(*(kind(field) for field in fields), (90, 100))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_weak_perspective_is_a_scaled_and_shifted_drop_of_one_axis(kind, batch):
    points, view = 60 * random(3, *batch, 7, 3), weak(batch)
    seen = np.asarray(cameras.project_weak_with_depth(kind(points), weak(batch, kind)))
    for index in np.ndindex(*batch):
        turned = points[index] @ view.rotation[index].T
        expected = view.shift[index] + view.scale[index] * turned[:, :2] * [1, -1]
        np.testing.assert_allclose(seen[index], np.column_stack([expected, -turned[:, 2]]), atol=1e-9)


@pytest.mark.parametrize("batch", BATCHES)
def test_both_cameras_agree_in_the_plane_they_share_and_far_away_everywhere(batch):
    turned = rotation.from_sixd(random(4, *batch, 6))
    for distance, tolerance in ((500.0, None), (5e6, 1e-2)):
        translation = np.broadcast_to([7.0, -9.0, -distance], (*batch, 3))
        view = View(
            turned, translation, np.full(batch, 2 * distance), np.broadcast_to([64.0, 60.0], (*batch, 2)), (128, 120)
        )
        flat = 60 * random(5, *batch, 7, 3)
        flat[..., 2] = 0  # the plane through the model's origin, at right angles to the view
        inside = flat @ turned  # camera = model @ turned.T
        shared = inside if tolerance is None else inside + 30 * random(6, *batch, 7, 3)
        from_weak = cameras.project_weak_with_depth(shared, cameras.weak_from(view, np.full(batch, distance)))
        np.testing.assert_allclose(from_weak[..., :2], cameras.project(shared, view), atol=tolerance or 1e-9)
        depth = cameras.project_with_depth(shared, view)[..., 2]
        np.testing.assert_allclose(from_weak[..., 2], depth - distance, atol=1e-6)


def test_weak_perspective_has_the_right_gradient():
    view, points = weak((2,), torch.as_tensor), torch.as_tensor(random(7, 2, 4, 3))
    inputs = [tensor.clone().requires_grad_() for tensor in (points, view.rotation, view.shift, view.scale)]
    function = lambda points, *fields: cameras.project_weak_with_depth(points, WeakView(*fields, view.size))
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_depth_gives_infinite_pixels(kind, dtype):
    """In, before and behind the camera's own plane; the homogeneous position stays what it is."""
    fields = np.eye(3), np.zeros(3), np.array(800.0), np.array([50.0, 40.0])
    view = View(*(kind(field.astype(dtype)) for field in fields), (80, 100))
    z = np.array([0, -0.0, 1e-9, -1e-9, 1e-30, -5, 5])
    points = np.column_stack([np.full(7, 3), np.full(7, -2), z]).astype(dtype)
    seen = np.asarray(cameras.project_with_depth(kind(points), view))
    assert np.isfinite(seen).all() and (seen[:5, 2] == dtype(cameras.NEAREST)).all()
    np.testing.assert_array_equal(seen[5:, 2], [5, -5])
    homogeneous = seen[:, :2].astype(np.float64) * seen[:, 2:]
    depth = -z[:, None] * (np.abs(z) >= cameras.NEAREST)[:, None]
    np.testing.assert_allclose(homogeneous, np.array([50, 40]) * depth + [2400, 1600], atol=1e-3)


def test_depth_zero_has_finite_gradients():
    points = torch.tensor([[3.0, -2.0, 0.0]], requires_grad=True)
    view = View(torch.eye(3), torch.zeros(3), torch.tensor(800.0), torch.tensor([50.0, 40.0]), (80, 100))
    cameras.project_with_depth(points, view).sum().backward()
    assert torch.isfinite(points.grad).all()
