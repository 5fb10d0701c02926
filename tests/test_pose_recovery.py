"""A head's pose found again from its picture alone, by gradient descent through the renderer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.geometry import cameras, harmonics
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_axis_angle
from likeness.render.interpolate import interpolate
from likeness.render.rasterize import rasterize
from likeness.types import View

SIDE, STARTS, STEPS = 48, 20, 150


@pytest.fixture(scope="module")
def scene():
    """The toy head with smooth colours, under light from one side, and the picture of one pose."""
    face = toy.head()
    triangles = torch.tensor(face.topology("base").triangles)
    vertices = torch.tensor(face.mean) - torch.tensor([0, 0, 60.0])  # turned about its middle
    albedo = 0.5 + 0.4 * torch.sin(vertices / torch.tensor([25.0, 30, 20]) + torch.tensor([0.0, 1, 2]))
    light = torch.zeros(9, 3)
    light[0], light[1], light[2], light[3] = 2.5, 0.5, 0.8, torch.tensor([0.9, 0.3, -0.6])
    normals = vertex_normals(vertices, triangles)

    def picture(rotation, translation):
        ones = torch.ones(translation.shape[:-1])
        middle = torch.full((*ones.shape, 2), SIDE / 2)
        view = View(rotation, translation, 2.0 * SIDE * ones, middle, (SIDE, SIDE))
        fragments = rasterize(cameras.project_with_depth(vertices, view), triangles, view.size)
        colours = albedo * harmonics.shade(normals @ rotation.mT, light)
        return interpolate(colours, triangles, fragments), fragments.triangle >= 0

    rotation, translation = from_axis_angle(torch.tensor([0.1, 0.2, -0.05])), torch.tensor([4.0, -3, -520])
    target, inside = picture(rotation, translation)
    return SimpleNamespace(picture=picture, rotation=rotation, translation=translation, target=target, inside=inside)


def descend(scene, turn, move):
    """Poses after `STEPS` of Adam from turns (n, 3) rad and moves (n, 3) mm away from the truth, all at once.

    The loss compares colours where both pictures show the head; the outline takes no part in it.
    """
    turn, share = turn.clone().requires_grad_(), (move / 100).clone().requires_grad_()
    optimiser = torch.optim.Adam([turn, share])
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.03 * (1 - step / STEPS)
        image, seen = scene.picture(from_axis_angle(turn) @ scene.rotation, scene.translation + 100 * share)
        both = (seen & scene.inside)[..., None]
        loss = ((((image - scene.target) * both) ** 2).sum((1, 2, 3)) / both.sum((1, 2, 3))).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return turn.detach(), 100 * share.detach()


def test_the_pose_comes_back_from_twenty_random_starts(scene):
    """Turned by 10 to 35 degrees about any axis and moved by up to 25, 25 and 100 mm: all come back."""
    rng = np.random.default_rng(0)
    axis = rng.normal(size=(STARTS, 3))
    angle = np.radians(rng.uniform(10, 35, (STARTS, 1)))
    turn = torch.tensor(axis / np.linalg.norm(axis, axis=1, keepdims=True) * angle).float()
    move = torch.tensor(rng.uniform(-1, 1, (STARTS, 3)) * [25, 25, 100]).float()
    turn, move = descend(scene, turn, move)
    assert torch.rad2deg(turn.norm(dim=1)).max() < 0.3
    assert move.norm(dim=1).max() < 0.3
