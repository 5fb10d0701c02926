"""Between the vertices of a surface and a picture over its chart, both ways and from side to side.

Both ways are fixed matrices (`geometry.sparse.Sparse`), made once for a chart and a size, for numpy arrays and torch
tensors alike. Texel centres lie at (column + 0.5, row + 0.5) / size, u to the right and v down, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.arrays import namespace
from likeness.geometry.closest import closest_points
from likeness.geometry.sparse import Sparse

OUTSIDE = 1e-6
"""Texel sides from the chart's triangles within which a texel's centre still counts as covered: rounding."""


@dataclass(frozen=True)
class Chart:
    """The way between vertices and texels.

    Attributes:
        size: (height, width) of the texture.
        covered: (height, width) bool: texels whose centre lies in a triangle of the chart.
        paint: (height * width, V) what vertices have to texels, linear in each triangle.
        read: (V, height * width) texels to vertices, bilinear.
    """

    size: tuple[int, int]
    covered: np.ndarray
    paint: Sparse
    read: Sparse

    @classmethod
    def of(cls, uv: np.ndarray, triangles: np.ndarray, size: tuple[int, int]) -> Chart:
        """Lay a texture over a chart.

        Args:
            uv: (V, 2) chart coordinates in [0, 1], v down.
            triangles: (T, 3); where they overlap in the chart, the first one is painted.
            size: (height, width).
        """
        height, width = size
        stretch = np.array([width, height, 0.0])
        flat = np.concatenate([np.asarray(uv, np.float64), np.zeros((len(uv), 1))], 1) * stretch
        rows, columns = np.divmod(np.arange(height * width), width)
        centres = np.stack([columns + 0.5, rows + 0.5, 0 * rows], 1)
        found = closest_points(centres, flat, triangles)
        corners = np.asarray(triangles)[found.triangle]
        texels = np.repeat(np.arange(height * width), 3)
        paint = Sparse.gathered(texels, corners.ravel(), found.barycentric.ravel(), (height * width, len(uv)))
        return cls(size, (found.distances < OUTSIDE).reshape(size), paint, bilinear(uv, size))

    def to_texture(self, values: Any) -> Any:
        """Values at vertices (..., V, C) as a texture (..., height, width, C); differentiable.

        Texels that no triangle covers take the value of the chart's nearest place, so that nothing else bleeds in when the
        texture is sampled at its seams.
        """
        texels = self.paint.apply(values)
        return texels.reshape(*values.shape[:-2], *self.size, values.shape[-1])

    def to_vertices(self, texture: Any) -> Any:
        """A texture (..., height, width, C) at the vertices (..., V, C), bilinear; differentiable.

        Raises:
            ValueError: When the texture has another size.
        """
        if tuple(texture.shape[-3:-1]) != tuple(self.size):
            raise ValueError(
                f"a texture of {tuple(texture.shape)} for a chart of {self.size}; give (..., height, width, C)"
            )
        return self.read.apply(texture.reshape(*texture.shape[:-3], -1, texture.shape[-1]))


def bilinear(uv: np.ndarray, size: tuple[int, int]) -> Sparse:
    """(n, height * width): the four texels around each place of a chart (n, 2), weighted; clamped at the border."""
    height, width = size
    place = np.asarray(uv, np.float64) * [width, height] - 0.5
    low = np.floor(place)
    share = place - low
    rows, columns, weights = [], [], []
    for x in (0, 1):
        for y in (0, 1):
            column, row = (np.clip(low[:, k] + step, 0, side - 1) for k, step, side in ((0, x, width), (1, y, height)))
            rows.append(np.arange(len(place)))
            columns.append((row * width + column).astype(np.int64))
            weights.append(np.abs(1 - x - share[:, 0]) * np.abs(1 - y - share[:, 1]))
    parts = (np.concatenate(part) for part in (rows, columns, weights))
    return Sparse.gathered(*parts, (len(place), height * width))


def mirrored_texture(texture: Any) -> Any:
    """The texture (..., height, width, C) of the mirrored face, over a chart in which mirror images lie at u and 1 - u."""
    return namespace(texture).flip(texture, (-2,))


def mirrored_values(values: Any, mirror: Any) -> Any:
    """Values (..., V, C) of the mirrored face, such as colours, by a topology's permutation (V,).

    Positions and offsets change the sign of x as well: `assets.builtin.flip`.
    """
    return values[..., mirror, :]
