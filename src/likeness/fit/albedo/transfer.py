"""How light from every direction reaches each place of a face that stands in its own way.

Precomputed radiance transfer (Sloan et al. 2002) for diffuse light in nine harmonics. The renderer shades by the normal
alone; to take the light out of photos that is too bright in the eye sockets, beside the nose and under the lips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.geometry.harmonics import COSINE_LOBE, basis
from likeness.geometry.mesh import vertex_normals
from likeness.render.rasterize_numba import rasterize

DIRECTIONS, PIXELS = 400, 320
"""Directions over the sphere, and the side of the depth picture that is drawn from each."""
NEAR = 2.5
"""mm by which a vertex may lie behind what a direction sees first: the depth picture's steps."""
AWAY = 1000.0
"""mm from the head's middle to where depth counts from."""


def sphere(count: int) -> np.ndarray:
    """(count, 3) unit directions spread evenly over the sphere, on a golden spiral."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], -1)


def transfer(vertices: np.ndarray, triangles: np.ndarray, bounces: Sequence[float]) -> np.ndarray:
    """(n, V, 9) rows to be multiplied by harmonics (9, 3) as `geometry.harmonics.shade` has them, shadows included.

    Where nothing stands in the way a row is `basis(normal)`, up to the steps of the integral.

    Args:
        vertices: (V, 3) mm.
        triangles: (T, 3).
        bounces: (n,) shares of the light from hidden directions that arrives all the same, from the skin that hides them.
    """
    normals = vertex_normals(np.asarray(vertices, np.float64), triangles)
    directions = sphere(DIRECTIONS)
    functions = basis(directions)
    lobe = np.repeat(COSINE_LOBE, (1, 3, 5))
    hidden = np.zeros((len(vertices), 9))
    for direction, values in zip(directions, functions):
        cosine = np.clip(normals @ direction, 0, None) * 4 / DIRECTIONS
        free = visible(vertices, triangles, direction)
        hidden += (cosine * ~free)[:, None] * (values / lobe)
    # Only what is hidden is summed over directions, so that the steps of the sum hardly show.
    return basis(normals) - (1 - np.asarray(bounces))[:, None, None] * hidden


def visible(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(V,) bool: which vertices a distant light in a direction (3,) reaches."""
    helper = np.array([0.0, 0, 1]) if abs(direction[2]) < 0.9 else np.array([1.0, 0, 0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(right, direction), direction])
    moved = (vertices - vertices.mean(0)) @ frame.T
    low, high = moved[:, :2].min(0), moved[:, :2].max(0)
    pixels = (moved[:, :2] - low) * (PIXELS - 4) / (high - low).max() + 2
    depth = AWAY - moved[:, 2]
    _, _, nearest = rasterize(np.concatenate([pixels, depth[:, None]], 1), triangles, (PIXELS, PIXELS), cull=False)
    column, row = pixels.astype(int).T
    return depth <= nearest[row, column] + NEAR
