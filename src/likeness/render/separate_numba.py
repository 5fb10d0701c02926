"""The search of `separate` as one loop over the edges, on the CPU."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from likeness.kernels import kernel
from likeness.render.rasterize_numba import NEAR
from likeness.render.separate import TIE, Region

NOWHERE = 16
"""Marks a vertex that is not finite or lies too near to the camera's plane, beside the four sides of a box."""


def separating(points: Tensor, region: Region, seen: Tensor, cull: bool, perspective: bool) -> tuple[Tensor, Tensor]:
    """As `separate.separating`."""
    batch, height, width = seen.shape
    edges = torch.empty(2, batch, height, width, dtype=torch.int32)
    mesh = [tensor.numpy() for tensor in region]
    for i in range(batch):
        _search(points[i].contiguous().numpy(), *mesh, seen[i].numpy(), cull, perspective, edges[:, i].numpy())
    return edges[0, :, :, :-1], edges[1, :, :-1]


@kernel
def _search(points, inside, edges, sides, across, forward, seen, cull, perspective, best):
    """Writes best (2, H, W): the edge between each pixel and the next one along x and along y, -1 where there is none."""
    height, width = seen.shape
    best[:] = -1
    left, right, top, bottom = _box(seen)
    if right < 0:
        return
    cells, sides_of_box = np.empty((len(points), 2), np.int32), np.empty(len(points), np.uint8)
    _place(points, width, height, perspective, left, right, top, bottom, cells, sides_of_box)
    depth = np.full(best.shape, np.inf)
    for e in range(len(edges)):  # no views of arrays in this loop: numba counts references to them
        a, b = edges[e, 0], edges[e, 1]
        if sides_of_box[a] & sides_of_box[b] or (sides_of_box[a] | sides_of_box[b]) & NOWHERE:
            continue
        xa, ya, xb, yb = cells[a, 0], cells[a, 1], cells[b, 0], cells[b, 1]
        for axis in range(2):
            # from the lower end, included, to the upper one, excluded
            first, last = (min(ya, yb), max(ya, yb)) if axis == 0 else (min(xa, xb), max(xa, xb))
            lines, places = (height, width) if axis == 0 else (width, height)
            across_a, across_b = np.float64(points[a, 1 - axis]), np.float64(points[b, 1 - axis])
            along_a, along_b = np.float64(points[a, axis]), np.float64(points[b, axis])
            for line in range(max(first, 0), min(last, lines)):
                t = (line + 0.5 - across_a) / (across_b - across_a)
                x = along_a + t * (along_b - along_a) - 0.5
                if not (x > -1.0 and x < places):
                    continue
                for place in range(max(math.floor(x - TIE), 0), min(math.floor(x + TIE), places - 2) + 1):
                    row, column = (line, place) if axis == 0 else (place, line)
                    here = seen[row, column]
                    if here == (seen[row, column + 1] if axis == 0 else seen[row + 1, column]):
                        continue
                    az, bz = np.float64(points[a, 2]), np.float64(points[b, 2])
                    z = 1 / ((1 - t) / az + t / bz) if perspective else (1 - t) * az + t * bz
                    if z < depth[axis, row, column]:
                        if _separates(e, axis, here, points, inside, edges, sides, across, forward, cull):
                            depth[axis, row, column], best[axis, row, column] = z, e


@kernel
def _box(seen):
    """The first and last pixels of pairs that differ: left, right, top, bottom; right < 0 where there is none."""
    height, width = seen.shape
    left, right, top, bottom = width, -1, height, -1
    for row in range(height):
        for column in range(width):
            x = column + 1 < width and seen[row, column] != seen[row, column + 1]
            y = row + 1 < height and seen[row, column] != seen[row + 1, column]
            if x or y:
                left, right = min(left, column), max(right, column + 1)
                top, bottom = min(top, row), max(bottom, row + 1)
    return left, right, top, bottom


@kernel
def _place(points, width, height, perspective, left, right, top, bottom, cells, sides_of_box):
    """Writes the cells (V, 2) of vertices, the first column and row of pixels whose centre is not before a vertex, and on
    which sides of the box they lie (V,), one bit each; `NOWHERE` where a vertex is no use."""
    for i in range(len(points)):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)) or (perspective and z < NEAR):
            sides_of_box[i] = NOWHERE
            continue
        column = math.ceil(min(max(x, -1.0), width + 1.0) - 0.5)
        row = math.ceil(min(max(y, -1.0), height + 1.0) - 0.5)
        cells[i, 0], cells[i, 1] = column, row
        sides_of_box[i] = (column < left) | (column > right) << 1 | (row < top) << 2 | (row > bottom) << 3


@kernel
def _separates(e, axis, here, points, inside, edges, sides, across, forward, cull):
    """As `separate._separates`; here: whether the first pixel of the pair sees the region."""
    a, b = edges[e, 0], edges[e, 1]
    ax, ay = np.float64(points[a, 0]), np.float64(points[a, 1])
    x, y = np.float64(points[b, 0]) - ax, np.float64(points[b, 1]) - ay
    into = (y if axis == 0 else -x) * (-1.0 if here else 1.0)
    ours_here = ours_there = others_here = others_there = False
    for k in range(2):
        side = sides[e, k]
        if side < 0:
            continue
        c = across[e, k]
        area = x * (np.float64(points[c, 1]) - ay) - y * (np.float64(points[c, 0]) - ax)
        if not ((area < 0 or area > 0) and (not cull or (area < 0) == forward[e, k])):
            continue
        mine = (area < 0) == (into > 0)
        if inside[side]:
            ours_here, ours_there = ours_here or mine, ours_there or not mine
        else:
            others_here, others_there = others_here or mine, others_there or not mine
    return (ours_here and not ours_there) or (others_there and not others_here)
