"""Discrete Laplacians of triangle meshes. All are positive: what a vertex has more than its neighbours.

They are matrices that stay fixed while a face moves (`geometry.sparse.Sparse`): make one from the mean face, apply it to
positions, offsets or colours.
"""

from __future__ import annotations

import numpy as np

from likeness.geometry.mesh import edges, face_normals
from likeness.geometry.sparse import Sparse

FLAT = 1e-10
"""Area of a triangle, in squares of its longest edge, below which it has no angles and does not count. Ours."""


def uniform(triangles: np.ndarray, count: int) -> Sparse:
    """(V, V), symmetric: `sum of (x_i - x_j)` over the neighbours j of vertex i; zero for vertices in no triangle.

    Args:
        triangles: (T, 3).
        count: V.
    """
    pairs = edges(triangles)
    return _of_weights(pairs, np.ones(len(pairs)), count)


def umbrella(triangles: np.ndarray, count: int) -> Sparse:
    """(V, V): `x_i - mean of x_j` over the neighbours j; what Tewari et al. 2018, eq. 12, square and sum. Not symmetric.

    Args:
        triangles: (T, 3).
        count: V.
    """
    degree = np.bincount(edges(triangles).ravel(), minlength=count)
    return uniform(triangles, count).scaled(1 / np.maximum(degree, 1))


def cotangent(vertices: np.ndarray, triangles: np.ndarray) -> Sparse:
    """(V, V), symmetric: `sum of (cot a + cot b) / 2 (x_i - x_j)`, a and b the angles opposite to the edge.

    Meyer, Desbrun, Schroeder and Barr 2003, "Discrete differential-geometry operators for triangulated 2-manifolds",
    eq. 8 without its area: applied to the positions and divided by `voronoi_areas` it is 2 H n, twice the mean curvature
    along the outward normal. Unitless. Obtuse angles give negative weights; triangles without area count for nothing.

    Args:
        vertices: (V, 3).
        triangles: (T, 3).
    """
    cotangents = _cotangents(vertices, triangles)
    pairs = np.concatenate([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]])
    return _of_weights(pairs, cotangents.T.ravel() / 2, len(vertices))


def voronoi_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) the area that is nearest to each vertex, squared unit of the mesh; together the whole surface.

    Meyer et al. 2003, fig. 4: in obtuse triangles half goes to the obtuse corner and a quarter to each other.

    Args:
        vertices: (V, 3).
        triangles: (T, 3).
    """
    vertices = np.asarray(vertices, np.float64)
    cotangents = _cotangents(vertices, triangles)
    area = np.linalg.norm(face_normals(vertices, triangles), axis=1) / 2
    corners = vertices[triangles]
    squares = ((corners[:, [2, 0, 1]] - corners[:, [1, 2, 0]]) ** 2).sum(-1)  # of the edge opposite to each corner
    parts = squares * cotangents / 8  # of the edge opposite to each corner: to both its ends
    shares = parts[:, [1, 2, 0]] + parts[:, [2, 0, 1]]
    obtuse = cotangents < 0
    shares = np.where(obtuse.any(1)[:, None], area[:, None] * np.where(obtuse, 0.5, 0.25), shares)
    return np.bincount(triangles.ravel(), shares.ravel(), len(vertices))


def _cotangents(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(T, 3) of each corner's angle; zero in triangles without area."""
    corners = np.asarray(vertices, np.float64)[triangles]
    following, preceding = corners[:, [1, 2, 0]] - corners, corners[:, [2, 0, 1]] - corners
    double = np.linalg.norm(np.cross(following[:, 0], preceding[:, 0]), axis=-1)[:, None]
    longest = (following**2).sum(-1).max(1, keepdims=True)
    some = double > 2 * FLAT * longest
    return np.where(some, (following * preceding).sum(-1) / np.where(some, double, 1), 0)


def _of_weights(pairs: np.ndarray, weights: np.ndarray, count: int) -> Sparse:
    """The Laplacian of weighted edges (n, 2), which may be given in parts."""
    a, b = pairs.T
    rows, columns = np.concatenate([a, b, a, b]), np.concatenate([b, a, a, b])
    return Sparse.gathered(rows, columns, np.concatenate([-weights, -weights, weights, weights]), (count, count))
