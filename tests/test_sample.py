"""A photo read at the vertices: the place of pixel centres, what is visible, gradients."""

import numpy as np
import pytest
import torch

from likeness.geometry import cameras, rotation
from likeness.render.sample import bilinear, sample
from likeness.types import View, WeakView

BATCHES = [(), (2,), (2, 3)]
SIZE = 40, 56


def random(seed, *shape):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def ramp(batch=()):
    """A picture whose two channels are the x and y of its pixels' centres."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double().expand(*batch, *SIZE, 2)


def view(batch=()):
    turn = rotation.from_euler(*(0.1 * random(i, *batch) for i in range(3)))
    translation = torch.tensor([3.0, -2.0, -400.0]).double().expand(*batch, 3)
    focal, principal = torch.full(batch, 60.0).double(), torch.tensor([28.0, 20.0]).double().expand(*batch, 2)
    return View(turn, translation, focal, principal, SIZE)


def sphere(count=600, radius=80.0):
    directions = torch.nn.functional.normalize(random(9, count, 3), dim=-1)
    return radius * directions, directions


@pytest.mark.parametrize("batch", BATCHES)
def test_a_ramp_is_read_exactly(batch):
    """Bilinear reading of a linear picture gives the place itself, between centres; beyond them the border's value."""
    pixels = torch.rand(*batch, 50, 2, dtype=torch.float64) * torch.tensor([SIZE[1] - 1, SIZE[0] - 1]) + 0.5
    np.testing.assert_allclose(bilinear(ramp(batch), pixels), pixels, atol=1e-12)
    np.testing.assert_allclose(bilinear(ramp(), pixels), pixels, atol=1e-12)
    corners = torch.tensor([[0.0, 0.0], [-7, 5.5], [1000, 1000]]).double()
    np.testing.assert_allclose(bilinear(ramp(), corners), [[0.5, 0.5], [0.5, 5.5], [SIZE[1] - 0.5, SIZE[0] - 0.5]])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("weak", [False, True])
def test_vertices_read_the_photo_where_they_project(batch, weak):
    vertices, normals = sphere()
    vertices = vertices.expand(*batch, *vertices.shape)
    camera = view(batch)
    if weak:
        camera = cameras.weak_from(camera, torch.full(batch, 400.0))
    project = cameras.project_weak_with_depth if weak else cameras.project_with_depth
    colors, visible = sample(ramp(batch), vertices, normals, camera)
    expected = project(vertices, camera)[..., :2]
    assert colors.shape == (*batch, 600, 2) and visible.shape == (*batch, 600) and visible.dtype == torch.bool
    np.testing.assert_allclose(colors[visible], expected[visible], atol=1e-9)
    assert 0.3 < visible.double().mean() < 0.6


def test_what_is_visible_of_a_sphere_is_the_cap_that_perspective_shows():
    """A viewer at distance d sees the directions whose cosine to him exceeds radius / d: less than half of the sphere."""
    vertices, normals = sphere(5000)
    camera = View(
        rotation.from_sixd(random(4, 6)), torch.tensor([0.0, 0, -160]).double(), torch.tensor(20.0).double(),
        torch.tensor([28.0, 20.0]).double(), SIZE,
    )  # fmt: skip
    visible = sample(ramp(), vertices, normals, camera).visible
    cosine = (normals @ camera.rotation.T)[:, 2]
    np.testing.assert_array_equal(visible, cosine > 80 / 160)
    flat = cameras.weak_from(camera, torch.tensor(160.0).double())
    np.testing.assert_array_equal(sample(ramp(), vertices, normals, flat).visible, cosine > 0)


def test_nothing_is_visible_behind_the_camera_or_beside_the_picture():
    camera = view()
    points = torch.tensor([[0.0, 0, 0], [0, 0, 900], [3000, 0, 0], [0, 3000, 0], [-3000, 0, 0], [0, -3000, 0]]).double()
    towards = camera.rotation.T @ torch.tensor([0.0, 0, 1]).double()
    normals = torch.stack([towards, -towards, towards, towards, towards, towards])
    np.testing.assert_array_equal(sample(ramp(), points, normals, camera).visible, [True] + 5 * [False])


def test_gradients_reach_photo_vertices_and_camera():
    """No point lies on a line between pixel centres, where a bilinear picture has a kink."""
    camera, (vertices, normals) = view(), sphere(5)
    photo = random(3, *SIZE, 2)

    def colors(photo, vertices, turn, translation, focal, principal):
        return sample(photo, vertices, normals, View(turn, translation, focal, principal, SIZE)).colors

    def weak(photo, vertices, turn, shift, scale):
        return sample(photo, vertices, normals, WeakView(turn, shift, scale, SIZE)).colors

    fields = camera.rotation, camera.translation, camera.focal, camera.principal
    free = [tensor.clone().requires_grad_() for tensor in (photo, vertices, *fields)]
    assert torch.autograd.gradcheck(colors, free, eps=1e-7, atol=1e-4)
    flat = cameras.weak_from(camera, torch.tensor(400.0).double())
    free = [tensor.clone().requires_grad_() for tensor in (photo, vertices, flat.rotation, flat.shift, flat.scale)]
    assert torch.autograd.gradcheck(weak, free, eps=1e-7, atol=1e-4)


def test_a_camera_is_found_by_comparing_samples():
    """Tewari's use: move a sphere until the photo's colours at its vertices are those it should have."""
    vertices, normals = sphere(2000)
    truth = view()
    y, x = ramp()[..., 1], ramp()[..., 0]
    photo = torch.stack([torch.sin(x / 9), torch.cos(y / 7), torch.sin((x + y) / 11)], -1)
    wanted = sample(photo, vertices, normals, truth).colors
    shift = torch.tensor([8.0, -9.0, 0.0]).double().requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=0.5)
    for _ in range(150):
        moved = View(truth.rotation, truth.translation + shift, truth.focal, truth.principal, SIZE)
        seen = sample(photo, vertices, normals, moved)
        loss = ((seen.colors - wanted) * seen.visible[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert shift.detach()[:2].norm() < 0.2
