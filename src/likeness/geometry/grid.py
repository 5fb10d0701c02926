"""Refinement of a surface over a square grid of vertices: every second vertex is kept, the others are interpolated."""

from __future__ import annotations

from typing import Any

from likeness.arrays import namespace


def _refine_rows(grid: Any) -> Any:
    """Insert a row between every two rows: (..., N, M, C) -> (..., 2N-1, M, C)."""
    xp = namespace(grid)
    before = 2 * grid[..., :1, :, :] - grid[..., 1:2, :, :]
    after = 2 * grid[..., -1:, :, :] - grid[..., -2:-1, :, :]
    padded = xp.concatenate([before, grid, after], -3)
    between = (9 * (padded[..., 1:-2, :, :] + padded[..., 2:-1, :, :]) - padded[..., :-3, :, :] - padded[..., 3:, :, :]) / 16
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
