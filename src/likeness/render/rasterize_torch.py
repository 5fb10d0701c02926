"""The readable twin of the fast rasterizers, in plain torch operations: the truth that they are tested against.

Any device that has float64. Written for clarity and small scenes: it looks at a row of pixels at a time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likeness.render.rasterize_numba import NEAR

_OPPOSITE = ((1, 2), (2, 0), (0, 1))
"""The two corners of the edge that lies opposite each corner."""


def rasterize(
    points: Tensor, triangles: Tensor, size: tuple[int, int], cull: bool = True, perspective: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """What each pixel's centre sees. Differentiable with respect to the points by autograd itself.

    Args:
        points: (..., V, 3) x px, y px, depth mm in front of the camera.
        triangles: (T, 3) int, counter-clockwise seen from outside.
        size: (height, width).
        cull: Whether triangles seen from behind are left out.
        perspective: Whether weights are perspective-correct and triangles end at `NEAR`; affine otherwise.

    Returns:
        As `visible` and `locate`: triangle (..., H, W), barycentric (..., H, W, 3), depth (..., H, W).
    """
    triangle = visible(points, triangles, size, cull, perspective)
    return triangle, *locate(points, triangles, triangle, perspective)


@torch.no_grad()
def visible(points: Tensor, triangles: Tensor, size: tuple[int, int], cull: bool, perspective: bool) -> Tensor:
    """The nearest triangle at each pixel's centre (..., H, W) int32, -1 where there is none. Without gradient.

    Decided in float64; depths are compared in the points' dtype, and of two that are equal the lower id is seen.
    Triangles with a corner that is not finite, and those without area, are ignored.
    """
    height, width = size
    pictures = math.prod(points.shape[:-2])
    result = torch.full((pictures, height, width), -1, dtype=torch.int32, device=points.device)
    x = torch.arange(width, dtype=torch.float64, device=points.device) + 0.5
    for picture, scene in zip(result, points.reshape(pictures, *points.shape[-2:]), strict=True):
        corners = scene[triangles.long()].double()  # (T, 3, 3)
        ids, facing = _drawable(corners, cull, perspective)
        corners = corners[ids]
        whole = (corners[..., 2] >= NEAR).all(-1) | (not perspective)
        top = torch.where(whole, corners[..., 1].amin(-1), -torch.inf)
        bottom = torch.where(whole, corners[..., 1].amax(-1), torch.inf)
        for row in range(height):
            near = torch.nonzero((top <= row + 0.5) & (row + 0.5 <= bottom))[:, 0]
            if len(near) and width:
                depth = _depths(corners[near], facing[near], x, row + 0.5, perspective).to(points.dtype)
                nearest, place = depth.min(0)  # the first of equals
                picture[row] = torch.where(nearest < torch.inf, ids[near][place].int(), -1)
    return result.reshape(*points.shape[:-2], height, width)


def _drawable(corners: Tensor, cull: bool, perspective: bool) -> tuple[Tensor, Tensor]:
    """Ids (K,) of the triangles (T, 3, 3) that can be seen, in order, and signs (K,) that make their insides positive."""
    a, b, c = corners.unbind(1)
    facing = torch.sign((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    seen = corners.isfinite().all(-1).all(-1)
    if perspective:  # a corner behind the camera appears at the opposite pixel, which turns the triangle over
        facing = facing * torch.sign(corners[..., 2]).prod(-1)
        seen = seen & (corners[..., 2] >= NEAR).any(-1)
    # counter-clockwise from outside in a y-up frame is clockwise in pixels: front faces are negative
    seen = seen & ((facing < 0) | ((facing > 0) & (not cull)))
    ids = torch.nonzero(seen)[:, 0]
    return ids, facing[ids]


def _depths(corners: Tensor, facing: Tensor, x: Tensor, y: float, perspective: bool) -> Tensor:
    """Depth (K, W) of triangles (K, 3, 3) at one row of pixel centres, infinite where a triangle is not.

    A corner's weight is the cross product of the two others as seen from the pixel. Two triangles at an edge get one
    number with two signs, to the last bit, so that a centre is in one of them; at a zero, it belongs to the triangle
    for which the edge is a left or a top one (the top-left rule).
    """
    inside = torch.ones(len(corners), len(x), dtype=torch.bool, device=corners.device)
    weights = []
    for i, j in _OPPOSITE:
        (px, py, pd), (qx, qy, qd) = corners[:, i].unbind(-1), corners[:, j].unbind(-1)
        scale = facing * pd * qd if perspective else facing
        cross = (px[:, None] - x) * (qy[:, None] - y) - (py[:, None] - y) * (qx[:, None] - x)
        weight = scale[:, None] * cross
        right, down = scale * (py - qy), scale * (qx - px)  # how the weight grows
        owner = (right > 0) | ((right == 0) & (down > 0))
        inside &= (weight > 0) | ((weight == 0) & owner[:, None])
        weights.append(weight)
    depth = sum(w * corners[:, i, 2:] for i, w in enumerate(weights)) / sum(weights)
    whole = (corners[..., 2] >= NEAR).all(-1, keepdim=True) | (not perspective)
    return torch.where(inside & depth.isfinite() & (whole | (depth >= NEAR)), depth, torch.inf)


def locate(points: Tensor, triangles: Tensor, triangle: Tensor, perspective: bool) -> tuple[Tensor, Tensor]:
    """Where in its triangle each pixel's centre lies, with gradients to the points.

    Genova et al. 2018, sec. 3.2.1: the surface is taken as locally planar, triangle ids as constant. With the
    homogeneous corners h = (x d, y d, d), the weights solve sum beta_i h_i = depth (px, py, 1), sum beta_i = 1: beta_i
    is in proportion to the determinant of the two other corners and (px, py, 1).

    Args:
        points: (..., V, 3) as in `rasterize`.
        triangles: (T, 3).
        triangle: (..., H, W) ids, -1 where empty.
        perspective: Affine weights (h without d) where not.

    Returns:
        barycentric (..., H, W, 3) in the points' dtype, zero where empty; depth (..., H, W) mm, infinite where empty.
    """
    flat = triangle.reshape(math.prod(points.shape[:-2]), *triangle.shape[-2:])
    pictures, rows, columns = torch.nonzero(flat >= 0, as_tuple=True)
    corners = triangles.long()[flat[pictures, rows, columns].long()]  # (P, 3)
    scenes = points.reshape(len(flat), *points.shape[-2:])
    x, y, d = scenes[pictures[:, None], corners].double().unbind(-1)  # each (P, 3)
    x, y = x - (columns[:, None] + 0.5), y - (rows[:, None] + 0.5)  # seen from the pixel, where digits are not lost
    weights = []
    for i, j in _OPPOSITE:
        cross = x[:, i] * y[:, j] - y[:, i] * x[:, j]
        weights.append(cross * d[:, i] * d[:, j] if perspective else cross)
    beta = torch.stack(weights, -1)
    beta = beta / beta.sum(-1, keepdim=True)
    barycentric = points.new_zeros(*flat.shape, 3).index_put((pictures, rows, columns), beta.to(points.dtype))
    depth = points.new_full(flat.shape, torch.inf)
    depth = depth.index_put((pictures, rows, columns), (beta * d).sum(-1).to(points.dtype))
    return barycentric.reshape(*triangle.shape, 3), depth.reshape(triangle.shape)
