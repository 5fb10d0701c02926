"""Refinement of a surface over a square grid of vertices: every second vertex is kept, the others are interpolated."""

from __future__ import annotations

from typing import Any

from likeness.arrays import namespace
from likeness.geometry.rotation import cross


def _refine_rows(grid: Any) -> Any:
    """Insert a row between every two rows: (..., N, M, C) -> (..., 2N-1, M, C)."""
    xp = namespace(grid)
    before = 2 * grid[..., :1, :, :] - grid[..., 1:2, :, :]
    after = 2 * grid[..., -1:, :, :] - grid[..., -2:-1, :, :]
    padded = xp.concatenate([before, grid, after], -3)
    between = (
        9 * (padded[..., 1:-2, :, :] + padded[..., 2:-1, :, :]) - padded[..., :-3, :, :] - padded[..., 3:, :, :]
    ) / 16
    paired = xp.stack([grid[..., :-1, :, :], between], -3)
    merged = paired.reshape(*grid.shape[:-3], 2 * (grid.shape[-3] - 1), *grid.shape[-2:])
    return xp.concatenate([merged, grid[..., -1:, :, :]], -3)


def refine(grid: Any) -> Any:
    """The regular refinement of a grid: (..., N, M, C) -> (..., 2N-1, 2M-1, C).

    The interpolating four-point scheme, weights (-1, 9, 9, -1) / 16 along each axis (Dyn, Levin and Gregory 1987),
    with linear extrapolation at the borders. It is exact on cubic polynomials inside and on linear ones everywhere.
    """
    along_rows = _refine_rows(grid)
    return _refine_rows(along_rows.swapaxes(-2, -3)).swapaxes(-2, -3)


def triangle_sums(grid: Any, used: Any) -> Any:
    """Sums of triangle area vectors (twice the area, outwards) at the vertices of a grid, without scattering.

    Every quad is split along the diagonal from its upper left corner, on the right half of the columns along the other one,
    as the layout of our face topology does it.

    Args:
        grid: (N, N, 3), row by row downwards, seen from outside.
        used: (N - 1, N - 1, 1 or 3) 1 where there is a quad, else 0.

    Returns:
        (N, N, 3); normalised they are the vertex normals.
    """
    xp = namespace(grid)
    half = grid.shape[-2] // 2
    top_left, bottom_left, bottom_right, top_right = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    ab, ac, ad, bc = bottom_left - top_left, bottom_right - top_left, top_right - top_left, bottom_right - bottom_left
    db = top_right - bottom_left
    lower = cross(ab[:, :half], ac[:, :half]) * used[:, :half]
    upper = cross(ac[:, :half], ad[:, :half]) * used[:, :half]
    outer = cross(bc[:, half:], db[:, half:]) * used[:, half:]
    inner = cross(db[:, half:], -ab[:, half:]) * used[:, half:]
    at_top_left = xp.concatenate([lower + upper, inner], -2)
    at_bottom_left = xp.concatenate([lower, outer + inner], -2)
    at_bottom_right = xp.concatenate([lower + upper, outer], -2)
    at_top_right = xp.concatenate([upper, outer + inner], -2)
    row, column = xp.zeros_like(grid[:1, :-1]), xp.zeros_like(grid[:, :1])
    below = xp.concatenate([at_top_left, row], -3) + xp.concatenate([row, at_bottom_left], -3)
    beside = xp.concatenate([at_top_right, row], -3) + xp.concatenate([row, at_bottom_right], -3)
    return xp.concatenate([below, column], -2) + xp.concatenate([column, beside], -2)
