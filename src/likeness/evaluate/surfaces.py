"""What protocols on surfaces share: crops, alignment without correspondence, and distances between two surfaces."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.meshes import Mesh
from likeness.geometry.alignment import Similarity, similarity
from likeness.geometry.closest import closest_points
from likeness.geometry.icp import lay_onto, partners
from likeness.geometry.mesh import border_vertices, vertex_areas, vertex_normals

STEERING = 2500
"""About as many points steer an alignment; all are measured. Ours: more change the scores by less than 0.01 mm."""
STEPS, TOLERANCE = 40, 1e-4
"""Rounds of alignment at most, and the share of the face's extent (0.02 mm) below which it has come to rest. Ours."""


class Distances(NamedTuple):
    """Distances from points of one surface to another.

    Attributes:
        plane: (n,) to the tangent plane at the closest point, mm.
        surface: (n,) to the closest point itself, mm.
        weights: (n,) mm^2 of its surface that each point stands for.
        rows: (n,) which points were measured: those whose partner lies inside the other surface's border, facing alike.
    """

    plane: np.ndarray
    surface: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


def used(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no triangle has."""
    return kept(mesh, np.ones(len(mesh.vertices), bool))


def kept(mesh: Mesh, chosen: np.ndarray) -> Mesh:
    """The triangles all of whose corners are chosen (V,) bool, and their vertices.

    Raises:
        AssetError: There are none.
    """
    triangles = mesh.triangles[chosen[mesh.triangles].all(1)]
    if not len(triangles):
        raise AssetError("no triangle is left after the crop: is the nose tip on the face?")
    rows, triangles = np.unique(triangles, return_inverse=True)
    colors = None if mesh.colors is None else mesh.colors[rows]
    return replace(
        mesh, vertices=mesh.vertices[rows], triangles=triangles.reshape(-1, 3).astype(np.int32), colors=colors, uv=None
    )


def crop(mesh: Mesh, centre: np.ndarray, radius: float) -> Mesh:
    """The part of a mesh within `radius` of a point, in the mesh's unit."""
    return kept(mesh, np.linalg.norm(mesh.vertices - centre, axis=1) <= radius)


def start_motion(predicted: np.ndarray, truth: np.ndarray, scale: bool) -> Similarity:
    """The motion that takes key points (k, 3) of a prediction to the true ones.

    Raises:
        AssetError: Fewer than three, of different number, or all on one line.
    """
    if predicted.shape != truth.shape or len(predicted) < 3:
        counts = f"{len(predicted)} key points of the prediction, {len(truth)} of the truth"
        raise AssetError(f"{counts}; three pairs are needed")
    for points in (predicted, truth):
        spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
        if not spread[1] > 1e-6 * spread[0]:
            raise AssetError("all key points lie on one line")
    return similarity(predicted, truth, scale=scale)


def align(
    prediction: Mesh, truth: Mesh, start: Similarity, scale: bool, border: bool = True, area: bool = True
) -> Mesh:
    """The prediction, laid onto the truth by iterated closest points (point to plane) over the region that both have.

    Args:
        prediction: Any unit if the size is free, else mm.
        truth: mm, cropped to what counts.
        start: From key points.
        scale: Whether the size is free.
        border: Whether points of the truth beyond the prediction's border are left out; else they pull, too.
        area: Whether points of the truth count by the area they stand for; else each alike.

    Raises:
        AssetError: The two do not meet.
    """
    some = steering(len(truth.vertices))
    normals = vertex_normals(truth.vertices, truth.triangles)[some]
    prediction = _facing_alike(prediction, start, truth.vertices[some], normals)
    weights = vertex_areas(truth.vertices, truth.triangles)[some] if area else None
    try:
        laid = lay_onto(
            prediction.vertices, prediction.triangles, truth.vertices[some], start=start, scale=scale, plane=True,
            normals=normals, weights=weights, reject_border=border, steps=STEPS, tolerance=TOLERANCE,
        )  # fmt: skip
    except ValueError as error:
        raise AssetError(f"cannot be aligned: {error}") from None
    if not 1e-6 < float(laid.motion.scale / start.scale) < 1e6:
        raise AssetError("cannot be aligned: its size ran away")
    return replace(prediction, vertices=laid.motion.apply(prediction.vertices))


def _facing_alike(prediction: Mesh, start: Similarity, points: np.ndarray, normals: np.ndarray) -> Mesh:
    """The prediction with its triangles wound as the truth's: files differ in that, and only pairs that face alike count."""
    found = closest_points(points, start.apply(prediction.vertices), prediction.triangles)
    across = vertex_normals(prediction.vertices, prediction.triangles)[prediction.triangles[found.triangle]].mean(1)
    near = found.distances <= np.median(found.distances)
    if np.median((across @ start.rotation.T * normals).sum(1)[near]) >= 0:
        return prediction
    return replace(prediction, triangles=np.ascontiguousarray(prediction.triangles[:, ::-1]))


def steering(count: int) -> np.ndarray:
    """About `STEERING` rows of `count`, spread evenly but not regularly, the same every time."""
    if count <= STEERING:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, STEERING, replace=False))


def distances(points: Mesh, surface: Mesh) -> Distances:
    """From every vertex of one mesh to another mesh, over the region that both have.

    The plane is that of the vertex normals, interpolated at the closest point: the normal of one triangle would depend
    on which of several equally near triangles comes first.
    """
    normals = vertex_normals(points.vertices, points.triangles)
    border = border_vertices(surface.triangles, len(surface.vertices))
    found, good = partners(surface.vertices, surface.triangles, points.vertices, normals, border)
    rows = np.flatnonzero(good)
    corners, shares = surface.triangles[found.triangle[rows]], found.barycentric[rows]
    across = (vertex_normals(surface.vertices, surface.triangles)[corners] * shares[..., None]).sum(1)
    across /= np.maximum(np.linalg.norm(across, axis=1), 1e-12)[:, None]
    plane = np.abs(((points.vertices[rows] - found.points[rows]) * across).sum(1))
    return Distances(plane, found.distances[rows], vertex_areas(points.vertices, points.triangles)[rows], rows)


def plain_distances(points: np.ndarray, surface: Mesh) -> np.ndarray:
    """Distance (n,) of points (n, 3) from the closest point of a mesh, border or not."""
    return closest_points(points, surface.vertices, surface.triangles).distances


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value below which half of the weight lies."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(weights[order].cumsum(), weights.sum() / 2)])
