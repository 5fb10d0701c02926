"""The sliding contour, checked on a cylinder and an ellipsoid, whose outlines are known."""

import numpy as np
import pytest
import torch

from likeness.geometry.rotation import from_euler
from likeness.losses.contour import outline, outline_choice

HEIGHTS = np.linspace(-60, 60, 7)


def cheek(side, yaw):
    """Rows of candidates on an elliptic cylinder, from 30 to 100 degrees off the front; positions and normals, camera frame."""
    angle = side * np.radians(np.linspace(30, 100, 29))
    normal = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    points = normal * (70, 1, 90) + HEIGHTS[:, None, None] * (0, 1, 0)
    normal = normal / (70, 1, 90)
    rotation = from_euler(*(np.float64(a) for a in (yaw, 0, 0)))
    return points @ rotation.T + (0, 0, -800), np.broadcast_to(normal @ rotation.T, points.shape), angle


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("yaw", [-0.6, -0.3, 0.3, 0.6])
def test_the_chosen_vertex_is_the_outermost_in_the_image(side, yaw):
    points, normals, _ = cheek(side, yaw)
    choice = outline_choice(points, normals)
    x = side * points[..., 0] / -points[..., 2]
    gap = x.max(1) - np.take_along_axis(x, choice[:, None], 1)[:, 0]
    assert gap.max() < 0.01 * 70 / 800  # a hundredth of the face's half width: the rows are sampled every 2.5 degrees


@pytest.mark.parametrize("side", [1, -1])
def test_the_outline_slides_to_the_front_on_the_far_side_only(side):
    far = outline_choice(*cheek(side, side * 0.6)[:2])
    straight = outline_choice(*cheek(side, 0.0)[:2])
    near = outline_choice(*cheek(side, -side * 0.6)[:2])
    assert (far < straight).all() and (near == 28).all()


def test_torch_and_numpy_agree_and_gradients_reach_the_chosen_points():
    points, normals, _ = cheek(1, 0.4)
    batch = np.stack([points, points * (1, 1.1, 1)])
    choice = outline_choice(batch, np.stack([normals] * 2))
    moving = torch.tensor(batch, requires_grad=True)
    same = outline_choice(moving, torch.tensor(np.stack([normals] * 2)))
    np.testing.assert_array_equal(choice, same.numpy())
    chosen = outline(moving, same)
    np.testing.assert_allclose(outline(batch, choice), chosen.detach().numpy())
    chosen.sum().backward()
    assert moving.grad.sum() == chosen.numel()
