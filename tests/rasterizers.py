"""What the tests of the rasterizers share: the backends, scenes, and a second way to see a triangle."""

import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.geometry import cameras
from likeness.geometry.rotation import from_euler
from likeness.render import rasterize as public
from likeness.render.rasterize import Fragments, rasterize
from likeness.types import View

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
"""Whether GPU kernels run in numba's simulator, thread by thread in Python; only the process that tests them does."""


OPERATIONS = torch.library.Library("likeness", "IMPL")
"""Kernels that tests put in the place of others; a library's kernels go when it does."""


@dataclass(frozen=True)
class Rasterizer:
    """One backend, called with tensors of the CPU wherever it runs.

    Attributes:
        side: Pixels along a side of the pictures that it can draw in reasonable time.
    """

    backend: str | None
    device: str
    side: int

    def __call__(self, points, triangles, size, **options):
        drawn = rasterize(points.to(self.device), torch.as_tensor(triangles), size, backend=self.backend, **options)
        return Fragments(*(value.cpu() for value in drawn))


def _simulated():
    """The public function with the GPU's kernels in the place of the CPU's."""
    from likeness.render import rasterize_cuda

    rasterize_cuda.BLOCK = rasterize_cuda.LARGE = 8
    rasterize_cuda.SMALL = 12
    for name, kernel in (("rasterize", public._forward_on_gpu), ("rasterize_backward", public._backward_on_gpu)):
        OPERATIONS.impl(name, kernel, "CPU", allow_override=True)
    return Rasterizer(None, "cpu", 6)


def _parameters():
    if SIMULATED:
        return [pytest.param(_simulated(), id="simulator")]
    gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that PyTorch can use")
    return [
        pytest.param(Rasterizer("torch", "cpu", 14), id="torch"),
        pytest.param(Rasterizer("numba", "cpu", 24), id="numba"),
        pytest.param(Rasterizer("cuda", "cuda", 24), id="cuda", marks=gpu),
    ]


every_backend = pytest.mark.parametrize("draw", _parameters())


def soup(seed, count, side, near=-30.0, far=90.0):
    """`count` loose triangles (3 * count, 3) over a picture and beyond it, float64; `near` < 0 puts corners behind."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, side, (count, 1, 2))
    corners = np.concatenate([centre + rng.uniform(-side, side, (count, 3, 2)) * 0.6, np.empty((count, 3, 1))], -1)
    corners[..., 2] = rng.uniform(near, far, (count, 3))
    return torch.tensor(corners.reshape(-1, 3)), torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)


def turned(points, triangles):
    """The triangles with their corners in the order that shows each one's front."""
    x, y, d = points[triangles.long()].unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    return torch.where((area * d.sign().prod(-1) > 0)[:, None], triangles[:, [0, 2, 1]], triangles)


def sheet(seed, cells, side, snap=None):
    """A jittered grid of 2 * cells^2 front faces that covers a picture and 2 px around it, (V, 2) and (T, 3).

    Args:
        snap: Corners are moved to multiples of this many pixels, which puts centres on edges. Cells of five times as
            much stay convex.
    """
    rng = np.random.default_rng(seed)
    line = np.linspace(-2, side + 2, cells + 1)
    points = np.stack(np.meshgrid(line, line), -1)
    points[1:-1, 1:-1] += rng.uniform(-0.15, 0.15, (cells - 1, cells - 1, 2)) * (side + 4) / cells
    if snap:
        points = np.round(points / snap) * snap
    ids = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = (ids[i : cells + i, j : cells + j].ravel() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    cut = rng.random(len(a)) < 0.5
    first = np.where(cut[:, None], np.stack([a, d, b], -1), np.stack([a, c, b], -1))
    second = np.where(cut[:, None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return points.reshape(-1, 2), np.concatenate([first, second]).astype(np.int32)


def head(side, perspective):
    """The toy head, turned, filling most of a picture: screen points (V, 3) float64 and triangles (T, 3).

    In the simulator, which takes a millisecond a thread, only the part around the nose.
    """
    face = toy.head()
    rotation = from_euler(np.float64(0.4), np.float64(-0.2), np.float64(0.1))
    middle = np.array([side / 2, side / 2])
    view = View(rotation, np.array([-20.0, 0, -500]), np.float64(side * 2), middle, (side, side))
    vertices = face.mean.astype(np.float64)
    if perspective:
        points = cameras.project_with_depth(vertices, view)
    else:
        points = cameras.project_weak_with_depth(vertices, cameras.weak_from(view, np.float64(450)))
    triangles = face.topology("base").triangles
    if SIMULATED:
        near = (abs(vertices[triangles] - [0, 0, 120]) < [35, 35, 60]).all((1, 2))
        kept, triangles = np.unique(triangles[near], return_inverse=True)
        points, triangles = points[kept], triangles.reshape(-1, 3).astype(np.int32)
    return torch.tensor(points), torch.tensor(triangles)


def clipped(corners, near):
    """The part (n, 3) of a triangle (3, 3) with depth of at least `near`, as a polygon (Sutherland and Hodgman)."""
    space = np.concatenate([corners[:, :2] * corners[:, 2:], corners[:, 2:]], 1)  # x d, y d, d
    polygon = []
    for p, q in zip(space, np.roll(space, -1, 0), strict=True):
        if p[2] >= near:
            polygon.append(p)
        if (p[2] >= near) != (q[2] >= near):
            polygon.append(p + (near - p[2]) / (q[2] - p[2]) * (q - p))
    polygon = np.array(polygon).reshape(-1, 3)
    return np.concatenate([polygon[:, :2] / polygon[:, 2:], polygon[:, 2:]], 1)


def distance_inside(polygon, size):
    """How far (H, W) each centre lies inside a convex polygon (n, 2 or 3) on the screen, px; negative outside."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    if len(polygon) < 3:
        return np.full(size, -np.inf)
    p, q = polygon[:, :2], np.roll(polygon[:, :2], -1, 0)
    edge, length = q - p, np.linalg.norm(q - p, axis=1)
    keep = length > 1e-12
    p, edge, length = p[keep], edge[keep], length[keep]
    cross = edge[:, 0, None, None] * (y - p[:, 1, None, None]) - edge[:, 1, None, None] * (x - p[:, 0, None, None])
    area = (polygon[:, 0] * np.roll(polygon[:, 1], -1) - polygon[:, 1] * np.roll(polygon[:, 0], -1)).sum()
    return (np.sign(area) * cross / length[:, None, None]).min(0)


def solved(corners, size, perspective):
    """Weights (H, W, 3) and depth (H, W) of all centres in the plane of a triangle (3, 3), by solving equations."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    homogeneous = np.concatenate([corners[:, :2], np.ones((3, 1))], 1) * (corners[:, 2:] if perspective else 1)
    beta = np.linalg.solve(homogeneous.T, np.stack([x, y, np.ones_like(x)], -1)[..., None])[..., 0]
    beta = beta / beta.sum(-1, keepdims=True)
    return beta, beta @ corners[:, 2]


def compare(value, truth):
    """Relative l2 distance, cosine and signed bias of a gradient, both taken as one vector."""
    value, truth = value.double().ravel(), truth.double().ravel()
    distance = (value - truth).norm() / truth.norm()
    cosine = value @ truth / (value.norm() * truth.norm())
    bias = (value - truth).sum() / truth.abs().sum()
    return distance.item(), cosine.item(), bias.item()
