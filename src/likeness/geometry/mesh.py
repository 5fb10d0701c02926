"""Triangles, normals and edges of meshes."""

from __future__ import annotations

from typing import Any

import numpy as np

from likeness.arrays import namespace
from likeness.geometry.rotation import cross

SMALLEST = 1e-12
"""Squared unit of the mesh: a sum of area vectors that is shorter has no direction. Its square is still a float32."""


def triangulate(faces: np.ndarray) -> np.ndarray:
    """Triangles (T, 3) int32 of quads (F, 4), where -1 in the last place marks a triangle. Quads come first, in pairs."""
    quads = faces[faces[:, 3] >= 0]
    pairs = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    return np.concatenate([pairs, faces[faces[:, 3] < 0][:, :3]]).astype(np.int32)


def face_normals(vertices: Any, triangles: Any) -> Any:
    """Cross products of two edges, (..., T, 3): they point outwards and are as long as twice the triangle's area."""
    a, b, c = (vertices[..., triangles[:, i], :] for i in range(3))
    return cross(b - a, c - a)


def vertex_normals(vertices: Any, triangles: Any) -> Any:
    """Unit normals (..., V, 3), the mean over a vertex's triangles weighted by area; zero where there is none.

    Where there is none, beside degenerate triangles or none at all, the gradient is zero too.
    """
    xp = namespace(vertices)
    normals = face_normals(vertices, triangles)
    if xp is np:
        flat, count = triangles.T.ravel(), vertices.shape[-2]
        rows = normals.reshape(-1, *normals.shape[-2:])
        total = np.stack([
            np.stack([np.bincount(flat, np.tile(row[:, i], 3), count) for i in range(3)], -1) for row in rows
        ]).reshape(vertices.shape).astype(vertices.dtype)  # fmt: skip
    else:
        total = xp.zeros_like(vertices)
        for i in range(3):
            total = total.index_add(-2, xp.as_tensor(triangles[:, i], device=vertices.device).long(), normals)
    square = (total * total).sum(-1)[..., None]
    some = square > SMALLEST**2
    return xp.where(some, total / xp.sqrt(xp.where(some, square, 1.0)), 0.0)


def edges(triangles: np.ndarray) -> np.ndarray:
    """Undirected edges (E, 2) of triangles (T, 3), each once, smaller vertex first, sorted."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, 1), axis=0)


def border_vertices(triangles: np.ndarray, count: int | None = None) -> np.ndarray:
    """(V,) bool: vertices of edges that belong to one triangle only; V is `count`, by default the largest number plus one."""
    count = triangles.max(initial=-1) + 1 if count is None else count
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    # One number a side: sorting rows takes ten times as long.
    keys, counts = np.unique(sides.min(1) * count + sides.max(1), return_counts=True)
    border = np.zeros(count, bool)
    border[np.concatenate(np.divmod(keys[counts == 1], max(count, 1)))] = True
    return border


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) a third of the area of each vertex's triangles, squared unit of the mesh: together the whole surface."""
    shares = np.linalg.norm(face_normals(vertices, triangles), axis=-1) / 6
    return np.bincount(triangles.ravel(), np.repeat(shares, 3), len(vertices))
