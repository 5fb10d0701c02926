"""Soft coverage: which share of each pixel the visible part of a region fills, with a gradient to the outline's vertices.

The region is a set of triangles, such as the inside of the mouth (Deng et al. 2022, sec. 4.1.4); what lies in front of it, such
as a lip, hides it. A z-buffer says which pixels' centres see the region, and that has no gradient. Here, wherever of two
neighbouring pixels one sees the region and the other does not, the mesh edge that separates them is found, and where it crosses
the line between the two centres. (That edges show themselves between neighbouring pixels is the idea of analytic antialiasing,
Laine et al. 2020, sec. 3.4.) The crossings are the corners of an outline, as in marching squares, and the pixels' shares are
exact areas under that outline. A crossing moves with its mesh edge, so that the gradient of the area is the shoelace formula's.

Limits: a region narrower than a pixel may fall between the centres (draw at twice the size); where surfaces pass through one
another there is no mesh edge, so half a pixel is assumed and nothing moves; the outermost half pixel of the picture is hard.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness.render import separate_numba
from likeness.render.separate import Region, separating

MARGIN = 1e-4
"""Pixels; a crossing stays so far from the centres between which it lies, so that no piece of outline has length zero."""
LEVEL = 1e-4
"""Pixels; below this change of an outline over half a pixel, its mean is its middle (division by the change is noise)."""


def region(triangles: Any, inside: Any = None) -> Region:
    """Prepare a region for `coverage`.

    Args:
        triangles: (T, 3) of the whole mesh, the parts that can hide the region included.
        inside: (T,) bool, which triangles belong to the region; by default all, which gives the silhouette.
    """
    triangles = np.asarray(triangles, np.int64).reshape(-1, 3)
    count = len(triangles)
    belongs = np.append(np.ones(count, bool) if inside is None else np.asarray(inside, bool), False)
    start, end = triangles.T.ravel(), np.roll(triangles, -1, 1).T.ravel()
    third, owner = np.roll(triangles, -2, 1).T.ravel(), np.tile(np.arange(count), 3)
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((owner, high, low))
    low, high, owner, third, forward = low[order], high[order], owner[order], third[order], (start < end)[order]
    first = np.ones(len(low), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    place = np.arange(len(low)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    lead = np.flatnonzero(place % 2 == 0)  # where more than two triangles meet, each pair counts as an edge of its own
    pair = np.minimum(lead + 1, len(low) - 1)
    lone = (pair == lead) | (place[pair] % 2 == 0)
    both = [np.stack([values[lead], values[pair]], 1) for values in (owner, third, forward)]
    both[0][lone, 1] = -1
    edges, (sides, across, forward) = np.stack([low[lead], high[lead]], 1), both
    whole = (values.astype(np.int32) for values in (edges, sides, across))
    return Region(torch.as_tensor(belongs), *map(torch.as_tensor, whole), torch.as_tensor(forward))


def within(triangles: Any, vertices: Any) -> np.ndarray:
    """(T,) bool: the triangles (T, 3) whose corners all belong to a set of vertices (V,) bool, as in `Topology.regions`."""
    return np.asarray(vertices, bool)[np.asarray(triangles)].all(1)


def coverage(
    points: Tensor, triangle: Tensor, region: Region, *, cull: bool = True, perspective: bool = True
) -> Tensor:
    """Shares (..., H, W) in [0, 1] of the pixels that the visible part of a region fills.

    Their sum is the area in pixels. Gradients go to the x and y of the points on the outline: those of the region's own
    border, or of what hides it.

    Args:
        points: (..., V, 3) px, px, mm, as they were rasterized.
        triangle: (..., H, W) int, the triangle that each pixel sees, -1 where empty.
        region: On the points' device.
        cull: Whether triangles seen from behind were left out.
        perspective: Whether depth is that of a perspective camera.
    """
    batch, size = triangle.shape[:-2], triangle.shape[-2:]
    flat = points.reshape(-1, *points.shape[-2:])
    seen = region.triangle[triangle.reshape(-1, *size)]
    search = separate_numba.separating if points.device.type == "cpu" else separating
    edges = search(flat.detach(), region, seen, cull, perspective)
    crossings, index, count = [], [], 0
    for axis, edge in enumerate(edges):
        flags = seen[:, :, 1:] != seen[:, :, :-1] if axis == 0 else seen[:, 1:] != seen[:, :-1]
        pairs = torch.nonzero(flags, as_tuple=True)
        crossings.append(_crossings(flat, region, *pairs, edge[pairs], axis))
        index.append(torch.zeros(flags.shape, dtype=torch.int64, device=flags.device))
        index[axis][pairs] = torch.arange(count, count + len(pairs[0]), device=flags.device)
        count += len(pairs[0])
    return _filled(seen, torch.cat(crossings), *index, points.dtype).reshape(*batch, *size)


def _crossings(
    points: Tensor, region: Region, picture: Tensor, row: Tensor, column: Tensor, edge: Tensor, axis: int
) -> Tensor:
    """Where the outline crosses each pair of pixels, whose first one is given, (P, 2) px, float64.

    The gradient is that of a point fixed to the edge, at the share t of its length: moving it along the outline moves no
    area, so that the sum over an outline is right, and nothing grows without bound where an edge runs along the line.
    """
    ends = points[picture[:, None], region.edges[edge.clip(min=0)]][..., :2].double()
    middle, centre = (column + 1.0, row + 0.5) if axis == 0 else (row + 1.0, column + 0.5)
    middle, centre = middle.double(), centre.double()
    with torch.no_grad():
        rise = ends[:, 1, 1 - axis] - ends[:, 0, 1 - axis]
        known = (edge >= 0) & (rise != 0)
        t = torch.where(known, (centre - ends[:, 0, 1 - axis]) / torch.where(known, rise, 1), 0)
        x = torch.where(known, ends[:, 0, axis] + t * (ends[:, 1, axis] - ends[:, 0, axis]), middle)
        x = x.clip(middle - 0.5 + MARGIN, middle + 0.5 - MARGIN)
        value = torch.stack([x, centre] if axis == 0 else [centre, x], 1)
    fixed = (1 - t)[:, None] * ends[:, 0] + t[:, None] * ends[:, 1]
    return value + torch.where(known[:, None], fixed - fixed.detach(), 0)


def _filled(seen: Tensor, crossings: Tensor, across: Tensor, down: Tensor, dtype: torch.dtype) -> Tensor:
    """Shares (B, H, W) of pixels from the outline.

    Args:
        seen: (B, H, W) bool, pixels whose centres see the region.
        crossings: (P, 2) px.
        across: (B, H, W - 1) and
        down: (B, H - 1, W) int64, crossings of the pairs of pixels along x and along y.
    """
    shares = seen.to(dtype)
    corners = [seen[:, :-1, :-1], seen[:, :-1, 1:], seen[:, 1:, :-1], seen[:, 1:, 1:]]
    code = sum(corner.to(torch.uint8) << k for k, corner in enumerate(corners))
    picture, row, column = torch.nonzero((code != 0) & (code != 15), as_tuple=True)
    if not len(picture):
        return shares + 0 * crossings.sum().to(dtype)
    code = code[picture, row, column].long()
    sides = torch.stack([
        across[picture, row, column], across[picture, row + 1, column], down[picture, row, column], down[picture, row, column + 1]
    ], 1)  # fmt: skip
    pieces = torch.as_tensor(_PIECES, device=code.device)[code]  # (n, 2, 2)
    square, number = torch.nonzero(pieces[:, :, 0] >= 0, as_tuple=True)
    corner = torch.stack([column, row], 1)[square] + 0.5
    start, end = (crossings[sides[square, pieces[square, number, k]]] - corner for k in (0, 1))
    hard = (code[:, None] >> torch.arange(4, device=code.device) & 1).double() / 4
    change = (-hard).index_add(0, square, _quadrants(start, end))
    x, y = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]], device=code.device)
    places = (picture[:, None], row[:, None] + y, column[:, None] + x)
    return shares.index_put(places, change.to(dtype), accumulate=True).clip(0, 1)


def _quadrants(start: Tensor, end: Tensor) -> Tensor:
    """Areas (..., 4) of the unit square's quadrants (left top, right top, left bottom, right bottom) beside a line.

    On the side where `cross(end - start, x - start) > 0`; start and end (..., 2) lie on the square's border.
    """
    along = end - start
    upright = along[..., 1].abs() >= along[..., 0].abs()  # then x is a function of y along the line, else y of x
    turned, origin = (torch.where(upright[..., None], v, v.flip(-1)) for v in (along, start))
    slope = (turned[..., 0] / turned[..., 1])[..., None]
    half = torch.tensor([[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5]], dtype=start.dtype, device=start.device)
    left, top = (torch.where(upright[..., None], half[k], half[1 - k]) for k in (0, 1))
    first = origin[..., :1] + slope * (top - origin[..., 1:]) - left
    low = 0.5 * _mean_clipped(first, first + 0.5 * slope)
    positive = (turned[..., 1] < 0) == upright  # whether the side asked for is the one of greater x (y where turned)
    return torch.where(positive[..., None], 0.25 - low, low)


def _mean_clipped(first: Tensor, last: Tensor) -> Tensor:
    """Mean of clip(f, 0, 1/2) where f goes evenly from first to last."""

    def integral(f: Tensor) -> Tensor:
        clipped = f.clip(0, 0.5)
        return 0.5 * clipped * clipped + 0.5 * (f - 0.5).clip(min=0)

    change = last - first
    level = change.abs() < LEVEL
    mean = (integral(last) - integral(first)) / torch.where(level, 1, change)
    return torch.where(level, (0.5 * (first + last)).clip(0, 0.5), mean)


def _pieces() -> np.ndarray:
    """(16, 2, 2): pieces of outline in a square by which corners lie in the region (bit k for corner k), as the sides
    (top, bottom, left, right) from which and to which they run, the region on the side of positive cross product; -1 for
    none. Where two opposite corners are in, they are taken as two separate regions.
    """
    corner = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    sides = np.array([[0, 1], [2, 3], [0, 2], [1, 3]])
    middle = corner[sides].mean(1)
    table = np.full((16, 2, 2), -1)
    for code in range(1, 15):
        inside = code >> np.arange(4) & 1
        groups = [np.flatnonzero(inside)]
        if code in (6, 9):
            groups = [group[None] for group in groups[0]]
        for number, group in enumerate(groups):
            member = np.isin(np.arange(4), group)
            a, b = np.flatnonzero(member[sides[:, 0]] != member[sides[:, 1]])
            along, to = middle[b] - middle[a], corner - middle[a]
            score = along[0] * to[:, 1] - along[1] * to[:, 0]
            table[code, number] = (a, b) if score[member].sum() > score[~member].sum() else (b, a)
    return table


_PIECES = _pieces()
