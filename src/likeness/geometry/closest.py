"""Closest points on triangle surfaces, exactly: a nearest-neighbour tree proposes, the triangle's Voronoi regions decide."""

from typing import NamedTuple

import numpy as np


class Closest(NamedTuple):
    """Where points land on a surface.

    Attributes:
        triangle: (n,) int32, row of the triangle.
        barycentric: (n, 3) float64, weights of its three corners, none negative, sum 1.
        points: (n, 3) float64, the closest points, in the unit of the mesh.
        distances: (n,) float64, in the unit of the mesh.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    points: np.ndarray
    distances: np.ndarray


def point_to_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric weights of the closest point of each triangle to each point.

    Ericson, Real-Time Collision Detection (2005), section 5.1.5.

    Args:
        points: (..., 3), any unit.
        corners: (..., 3, 3), triangle corners (corner, coordinate); broadcast against points.

    Returns:
        (..., 3) weights, none negative, sum 1. Not differentiable.
    """
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    d3, d4 = d1 - (ab * ab).sum(-1), d2 - (ab * ac).sum(-1)
    d5, d6 = d1 - (ab * ac).sum(-1), d2 - (ac * ac).sum(-1)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    zero = np.zeros_like(d1)
    one = np.ones_like(d1)

    def ratio(x, y):
        return np.clip(x / np.where(y == 0, 1, y), 0, 1)

    total = va + vb + vc
    v, w = ratio(vb, total), ratio(vc, total)
    on_ab, on_ac = ratio(d1, d1 - d3), ratio(d2, d2 - d6)
    on_bc = ratio(d4 - d3, (d4 - d3) + (d5 - d6))
    regions = [
        ((d1 <= 0) & (d2 <= 0), one, zero, zero),
        ((d3 >= 0) & (d4 <= d3), zero, one, zero),
        ((d6 >= 0) & (d5 <= d6), zero, zero, one),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), 1 - on_ab, on_ab, zero),
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), 1 - on_ac, zero, on_ac),
        ((va <= 0) & (d4 >= d3) & (d5 >= d6), zero, 1 - on_bc, on_bc),
    ]
    conditions = [region[0] for region in regions]
    inside = (1 - v - w, v, w)
    return np.stack([np.select(conditions, [r[k + 1] for r in regions], inside[k]) for k in range(3)], axis=-1)


def closest_points(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, candidates: int = 16) -> Closest:
    """Find the closest point of a surface to every query, exactly.

    A triangle further than (distance to its centroid - its radius) cannot win; queries whose candidates do not prove
    that are asked again with four times as many.

    Args:
        points: (n, 3) queries, in the unit of the mesh.
        vertices: (V, 3) surface vertices.
        triangles: (T, 3) corner indices.
        candidates: triangles tried first for each query.

    Returns:
        The closest points. Needs scipy (the `learn` extra). Not differentiable.
    """
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64)
    corners = np.asarray(vertices, np.float64)[triangles]
    centroids = corners.mean(axis=1)
    radius = np.linalg.norm(corners - centroids[:, None], axis=-1).max()
    tree = cKDTree(centroids)
    triangle = np.zeros(len(points), np.int32)
    weights = np.zeros((len(points), 3))
    distances = np.full(len(points), np.inf)
    open_rows, count = np.arange(len(points)), min(candidates, len(triangles))
    while len(open_rows):
        reach, near = tree.query(points[open_rows], k=count)
        reach, near = reach.reshape(len(open_rows), -1), near.reshape(len(open_rows), -1)
        found = point_to_triangle(points[open_rows, None], corners[near])
        gaps = np.linalg.norm((found[..., None] * corners[near]).sum(-2) - points[open_rows, None], axis=-1)
        best = gaps.argmin(axis=1)
        rows = np.arange(len(open_rows))
        triangle[open_rows], weights[open_rows] = near[rows, best], found[rows, best]
        distances[open_rows] = gaps[rows, best]
        unproven = (gaps[rows, best] > reach[:, -1] - radius) & (count < len(triangles))
        open_rows, count = open_rows[unproven], min(4 * count, len(triangles))
    landed = (weights[..., None] * corners[triangle]).sum(axis=1)
    return Closest(triangle, weights, landed, distances)
