"""Gradients of all rasterizers, as vectors, against finite differences and against the twin."""

import numpy as np
import pytest
import torch
from rasterizers import SIMULATED, compare, every_backend, head, soup

from likeness.render import rasterize_torch
from likeness.render.interpolate import interpolate
from likeness.render.rasterize import Fragments
from likeness.render.rasterize_numba import NEAR

SCENES = {
    "in front": (dict(near=10.0), True),
    "cut by the near plane": (dict(near=-40.0), True),
    "weak": (dict(near=-40.0), False),
}
every_scene = pytest.mark.parametrize("scene", SCENES)


def scene_of(name, side):
    options, perspective = SCENES[name]
    points, triangles = soup(37, 5, side, **options)
    return points, triangles, perspective


def losses(fragments, triangles, counted):
    """Three numbers a picture (..., 3): of weights, of depth, and of attributes that were interpolated."""
    seen = counted & (fragments.triangle >= 0)
    size = seen.shape[-2:]
    wave = torch.sin(torch.arange(size[0] * size[1] * 3, dtype=torch.float64)).reshape(*size, 3)
    barycentric = (fragments.barycentric * wave * seen[..., None]).sum((-3, -2, -1))
    depth = (torch.where(seen, fragments.depth, 0) * wave[..., 0]).sum((-2, -1))
    attributes = torch.cos(torch.arange(3.0 * 3 * len(triangles), dtype=torch.float64)).reshape(-1, 3)
    image = interpolate(attributes.to(fragments.depth.dtype), triangles, fragments)
    error = ((image - wave) ** 2).sum(-1) + 1e-3 * torch.where(seen, fragments.depth, 1) ** 2
    return torch.stack([barycentric, depth, (error * seen).sum((-2, -1))], -1)


def gradients(function, points):
    """The gradients (3, V, 3) of `function`'s three numbers."""
    free = points.clone().requires_grad_()
    value = function(free)
    return torch.stack([torch.autograd.grad(value[i], free, retain_graph=True)[0] for i in range(3)])


def moved(points, step=1e-5):
    """Each of the n coordinates a step ahead and a step back: (2, n, V, 3)."""
    moves = torch.eye(points.numel(), dtype=torch.float64).reshape(-1, *points.shape) * step
    return torch.stack([points + moves, points - moves])


def differences(values, points, step=1e-5):
    """Central differences (3, V, 3) of three numbers (2, n, 3) at `moved` points."""
    return ((values[0] - values[1]) / (2 * step)).T.reshape(3, *points.shape)


@every_backend
@every_scene
def test_gradients_are_those_of_the_picture_away_from_silhouettes(draw, scene):
    """Differences of whole pictures drawn anew; pixels count where no step changes the triangle."""
    points, triangles, perspective = scene_of(scene, draw.side)

    def picture(points):
        return draw(points, triangles, (draw.side, draw.side), cull=False, perspective=perspective)

    base, near = picture(points), picture(moved(points))
    counted = (near.triangle == base.triangle).flatten(0, 1).all(0)
    seen = base.triangle[counted & (base.triangle >= 0)]
    assert len(seen) > 0.15 * counted.numel()
    if scene == "cut by the near plane":
        assert (points.reshape(-1, 3, 3)[..., 2] < NEAR).any(1)[seen].sum() > 3
    expected = differences(losses(near, triangles, counted), points)
    found = gradients(lambda free: losses(picture(free), triangles, counted), points)
    for value, truth in zip(found, expected, strict=True):
        distance, cosine, bias = compare(value, truth)
        assert distance < 1e-6 and cosine > 1 - 1e-10 and abs(bias) < 1e-7


@every_backend
@every_scene
def test_gradients_keep_triangle_ids_constant(draw, scene):
    """At silhouettes too, each pixel's triangle counts as an endless plane (Genova et al. 2018, sec. 3.2.1)."""
    points, triangles, perspective = scene_of(scene, draw.side)
    fragments = draw(points, triangles, (draw.side, draw.side), cull=False, perspective=perspective)
    everywhere = torch.ones_like(fragments.triangle, dtype=torch.bool)

    def anew(free):
        drawn = draw(free, triangles, (draw.side, draw.side), cull=False, perspective=perspective)
        return losses(drawn, triangles, everywhere)

    near = moved(points)
    ids = fragments.triangle.expand(*near.shape[:-2], -1, -1)
    held = Fragments(ids, *rasterize_torch.locate(near, triangles, ids, perspective))
    expected, found = differences(losses(held, triangles, everywhere), points), gradients(anew, points)
    for value, truth in zip(found, expected, strict=True):
        distance, cosine, bias = compare(value, truth)
        assert distance < 1e-5 and cosine > 1 - 1e-9 and abs(bias) < 1e-6


@every_backend
@pytest.mark.parametrize("perspective", [True, False], ids=["perspective", "weak"])
def test_float32_gradients_are_the_twins_in_float64(draw, perspective):
    """On a head: by weights alone, by depth alone, and by both."""
    side = draw.side if SIMULATED else 64
    points, triangles = head(side, perspective)
    points = points.float()
    rng = np.random.default_rng(0)
    by_weight = torch.tensor(rng.normal(size=(side, side, 3)))
    by_depth = torch.tensor(rng.normal(size=(side, side)))
    found, expected = [], []
    for result, dtype, rasterizer in [(found, torch.float32, draw), (expected, torch.float64, None)]:
        free = points.to(dtype).requires_grad_()
        if rasterizer is None:
            seen, weights, depth = rasterize_torch.rasterize(free, triangles, (side, side), True, perspective)
        else:
            seen, weights, depth = rasterizer(free, triangles, (side, side), perspective=perspective)
        first = (weights * by_weight.to(dtype)).sum()
        second = (depth * by_depth.to(dtype))[seen >= 0].sum()
        for value in (first, second, first + second):
            result.append(torch.autograd.grad(value, free, retain_graph=True)[0])
    for value, truth in zip(found, expected, strict=True):
        assert value.dtype == torch.float32
        distance, cosine, bias = compare(value, truth)
        assert distance < 1e-4 and cosine > 1 - 1e-8 and abs(bias) < 1e-5


@every_backend
def test_a_batch_has_the_gradients_of_its_pictures(draw):
    points, triangles, _ = scene_of("cut by the near plane", draw.side)
    batch = torch.stack([points, points + torch.tensor([0.3, -0.2, 1.0])]).requires_grad_()
    size = (draw.side, draw.side)
    weight = torch.linspace(-1, 1, size[0] * size[1] * 3, dtype=torch.float64).reshape(*size, 3)
    (draw(batch, triangles, size, cull=False).barycentric * weight).sum().backward()
    for row in range(2):
        single = batch.detach()[row].requires_grad_()
        (draw(single, triangles, size, cull=False).barycentric * weight).sum().backward()
        largest = single.grad.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(batch.grad[row], single.grad, rtol=1e-10, atol=1e-10 * largest)
