"""Which edge of a mesh separates two neighbouring pixels, one of which sees a region of it: the readable search, any device.

`separate_numba` is the same search as one loop, for the CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from likeness.render.rasterize_numba import NEAR

TIE = 1e-6
"""Pixels; a crossing so near to a pixel's centre may separate it from either neighbour: the z-buffer rounds otherwise."""


class Region(NamedTuple):
    """A set of triangles of a mesh and the mesh's edges, which stay the same while it moves; made once by `region`.

    Attributes:
        triangle: (T + 1,) bool, which triangles belong; the last, False, answers to -1.
        edges: (E, 2) int32 vertices.
        sides: (E, 2) int32 triangles at the edge, -1 where there is none.
        across: (E, 2) int32 third corners of those triangles.
        forward: (E, 2) bool, whether the triangle runs along the edge from its first vertex to its second.
    """

    triangle: Tensor
    edges: Tensor
    sides: Tensor
    across: Tensor
    forward: Tensor

    def to(self, device: Any) -> Region:
        """The same region on another device."""
        return Region(*(tensor.to(device) for tensor in self))


def separating(points: Tensor, region: Region, seen: Tensor, cull: bool, perspective: bool) -> tuple[Tensor, Tensor]:
    """Which edge separates each two neighbouring pixels of which one sees the region and the other does not.

    Of the edges that cross the line between the two centres and can be seen as the region's border (`_separates`), the one
    nearest to the camera; the first of those equally near. Not differentiable.

    Args:
        points: (B, V, 3) px, px, mm.
        seen: (B, H, W) bool.
        cull: Whether triangles seen from behind were left out.
        perspective: Whether depth is that of a perspective camera.

    Returns:
        Edges (B, H, W - 1) of pairs along x and (B, H - 1, W) of pairs along y, int64; -1 where there is none.
    """
    points = points.double()
    picture, edge = _edges_near(points, region, seen, perspective)
    along_x = _along_rows(points, region, picture, edge, seen, 0, cull, perspective)
    along_y = _along_rows(points, region, picture, edge, seen.mT, 1, cull, perspective)
    return along_x, along_y.mT


def _edges_near(points: Tensor, region: Region, seen: Tensor, perspective: bool) -> tuple[Tensor, Tensor]:
    """Pictures and edges (n,), (n,) that may be in question: their boxes meet the box of all pairs that differ."""
    across, down = seen[:, :, 1:] != seen[:, :, :-1], seen[:, 1:] != seen[:, :-1]
    code = torch.zeros(
        points.shape[:2], dtype=torch.uint8, device=points.device
    )  # on which sides of the box a vertex lies
    for axis in (0, 1):
        flags = torch.cat([across.any(1), down.any(1)] if axis == 0 else [across.any(2), down.any(2)], 1)
        n = seen.shape[2 - axis]
        place = torch.cat([torch.arange(n - 1 + axis), torch.arange(n - axis)]).to(flags.device)
        low = torch.where(flags, place, 1 << 30).amin(1, keepdim=True)
        high = torch.where(flags, place + 2, -1).amax(1, keepdim=True)
        code |= (~(points[..., axis] >= low)).to(torch.uint8) << 2 * axis
        code |= (~(points[..., axis] <= high)).to(torch.uint8) << 2 * axis + 1
    picture, edge = torch.nonzero(code[:, region.edges[:, 0]] & code[:, region.edges[:, 1]] == 0, as_tuple=True)
    ends = points[picture[:, None], region.edges[edge]]
    good = ends.isfinite().all(2).all(1)
    if perspective:  # nearer to the camera's plane pixels mean nothing
        good &= (ends[..., 2] >= NEAR).all(1)
    return picture[good], edge[good]


def _along_rows(
    points: Tensor,
    region: Region,
    picture: Tensor,
    edge: Tensor,
    seen: Tensor,
    axis: int,
    cull: bool,
    perspective: bool,
) -> Tensor:
    """Separating edges (B, n, m - 1) of pairs along the rows of `seen` (B, n, m), which is transposed where axis is 1."""
    flags = seen[:, :, 1:] != seen[:, :, :-1]
    which, t, row, column = _hits(points, region, picture, edge, flags, axis)
    picture, edge = picture[which], edge[which]
    towards = torch.where(seen[picture, row, column], -1.0, 1.0)  # along the axis, into the region
    valid = _separates(points, region, picture, edge, towards, axis, cull)
    picture, edge, t, row, column = (tensor[valid] for tensor in (picture, edge, t, row, column))
    first, second = (points[picture, region.edges[edge, k], 2] for k in (0, 1))
    depth = 1 / ((1 - t) / first + t / second) if perspective else (1 - t) * first + t * second
    pair = (picture * flags.shape[1] + row) * flags.shape[2] + column
    nearest = depth.new_full((flags.numel(),), torch.inf).scatter_reduce(0, pair, depth, "amin")
    ties, none = depth == nearest[pair], len(region.edges)
    best = torch.full((flags.numel(),), none, device=edge.device).scatter_reduce(0, pair[ties], edge[ties], "amin")
    return torch.where(best == none, -1, best).reshape(flags.shape)


def _hits(
    points: Tensor, region: Region, picture: Tensor, edge: Tensor, flags: Tensor, axis: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where edges (n,) cross flagged pairs: number of the edge, place t along it in [0, 1], row and column of the pair."""
    a, b = (points[picture, region.edges[edge, k]] for k in (0, 1))
    if axis:
        a, b = a[:, [1, 0]], b[:, [1, 0]]
    rows, columns = flags.shape[1], flags.shape[2]
    # an edge meets the lines through pixel centres from its lower end, included, to its upper one, excluded
    low = (torch.minimum(a[:, 1], b[:, 1]) - 0.5).ceil().clip(0, rows)
    high = (torch.maximum(a[:, 1], b[:, 1]) - 0.5).ceil().clip(0, rows)
    count = (high - low).long()
    which = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    row = low.long()[which] + torch.arange(len(which), device=count.device) - (count.cumsum(0) - count)[which]
    a, b = a[which], b[which]
    t = (row + 0.5 - a[:, 1]) / (b[:, 1] - a[:, 1])
    x = a[:, 0] + t * (b[:, 0] - a[:, 0])
    column, other = ((x - 0.5 + tie).floor().clip(-1, columns).long() for tie in (-TIE, TIE))
    twice = torch.nonzero(other != column)[:, 0]
    which, t, row = (torch.cat([value, value[twice]]) for value in (which, t, row))
    column = torch.cat([column, other[twice]])
    good = (column >= 0) & (column < columns)
    good &= flags[picture[which], row, column.clip(0, columns - 1)]
    return which[good], t[good], row[good], column[good]


def _separates(
    points: Tensor, region: Region, image: Tensor, edge: Tensor, towards: Tensor, axis: int, cull: bool
) -> Tensor:
    """Whether edges (n,) can be seen as the region's border by one who crosses them along an axis, into the region.

    Either the region ends there (a drawn triangle of it on its side and none on the other), or something else does that
    hides it (a drawn triangle that is not of it on the other side, and none on the region's).
    """
    start, end = (points[image, region.edges[edge, k], :2] for k in (0, 1))
    along = end - start
    into = towards * (along[:, 1] if axis == 0 else -along[:, 0])
    none = torch.zeros_like(edge, dtype=torch.bool)
    ours_here, ours_there, others_here, others_there = none, none, none, none
    for k in (0, 1):
        corner = points[image, region.across[edge, k], :2] - start
        area = along[:, 0] * corner[:, 1] - along[:, 1] * corner[:, 0]
        side = region.sides[edge, k]
        # counter-clockwise from outside in a y-up frame is clockwise in pixels: front faces have negative area
        drawn = (side >= 0) & ((area < 0) | (area > 0)) & (((area < 0) == region.forward[edge, k]) | (not cull))
        ours, here = region.triangle[side], (area < 0) == (into > 0)
        ours_here, ours_there = ours_here | drawn & ours & here, ours_there | drawn & ours & ~here
        others_here, others_there = others_here | drawn & ~ours & here, others_there | drawn & ~ours & ~here
    return ours_here & ~ours_there | others_there & ~others_here
