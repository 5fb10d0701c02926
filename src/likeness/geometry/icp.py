"""Iterated closest points: the motion that lays a surface onto points whose partners on it are not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from likeness.geometry.alignment import Similarity, similarity, still
from likeness.geometry.closest import Closest, Grid
from likeness.geometry.mesh import border_vertices, vertex_normals
from likeness.geometry.rotation import from_axis_angle

FACING = 0.3
"""Cosine between the normals of two partners below which they belong to different sheets, such as skin and inner lid. Ours."""


class Partners(NamedTuple):
    """Closest points of a surface to points, and which (n,) of these pairs count."""

    found: Closest
    good: np.ndarray


class Marks(NamedTuple):
    """Pairs that are known beforehand.

    Attributes:
        places: (k, 3) points of the surface at rest, in its unit.
        aims: (k, 3) where they belong, in the points' unit.
        weights: (k,) beside the weights of the points.
    """

    places: np.ndarray
    aims: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Registration:
    """How a surface was laid onto points.

    Attributes:
        motion: Takes the surface to the points.
        vertices: (V, 3) the surface, moved.
        distances: (n,) from each point to the moved surface, in the points' unit.
        good: (n,) bool: which points steered, the trimmed ones not.
        steps: Rounds that were taken.
    """

    motion: Similarity
    vertices: np.ndarray
    distances: np.ndarray
    good: np.ndarray
    steps: int


def partners(
    vertices: np.ndarray,
    triangles: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray | None = None,
    border: np.ndarray | None = None,
    kept: float = 1.0,
) -> Partners:
    """The closest point of a surface to each of many points, and whether to believe that the two are the same place.

    Args:
        vertices: (V, 3) of the surface.
        triangles: (T, 3).
        points: (n, 3).
        normals: (n, 3) unit normals of the points; then pairs whose surfaces do not face the same way are left out.
        border: (V,) bool, `geometry.mesh.border_vertices`; then points that land on the border are left out: they may lie
            where the surface has ended.
        kept: Share of the remaining pairs that is kept, the nearest ones.
    """
    found = Grid(vertices, triangles).closest(points)
    facing = None if normals is None else (vertex_normals(vertices, triangles), normals)
    return Partners(found, _believed(found, triangles, facing, border, kept))


def _believed(
    found: Closest,
    triangles: np.ndarray,
    facing: tuple[np.ndarray, np.ndarray] | None,
    border: np.ndarray | None,
    kept: float,
) -> np.ndarray:
    """Which pairs (n,) count; `facing` has the normals of the surface's vertices (V, 3) and of the points (n, 3)."""
    corners, good = triangles[found.triangle], np.ones(len(found.triangle), bool)
    if border is not None:
        good &= ~(border[corners] & (found.barycentric > 1e-6)).any(1)
    if facing is not None:
        good &= (facing[0][corners].mean(1) * facing[1]).sum(1) > FACING
    if kept < 1 and good.any():
        good &= found.distances <= np.quantile(found.distances[good], kept)
    return good


def lay_onto(
    vertices: np.ndarray,
    triangles: np.ndarray,
    points: np.ndarray,
    *,
    start: Similarity | None = None,
    scale: bool = False,
    plane: bool = False,
    normals: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reject_border: bool = True,
    kept: float = 1.0,
    marks: Marks | None = None,
    steps: int = 50,
    tolerance: float = 1e-9,
) -> Registration:
    """Lay a surface onto points by turns of pairing (closest points) and moving (least squares).

    Besl and McKay 1992, "A method for registration of 3-D shapes"; with `plane`, distances along normals, Chen and Medioni
    1992, by the linear step of Low 2004, "Linear least-squares optimization for point-to-plane ICP surface registration";
    with `kept` < 1, trimmed, Chetverikov et al. 2002. The surface moves and the points stay: with a free size, moving
    points would shrink to nothing. It finds the nearest minimum, so begin near.

    Args:
        vertices: (V, 3) surface, any unit.
        triangles: (T, 3).
        points: (n, 3) what the surface is laid onto.
        start: Where to begin; by default at rest.
        scale: Whether the size is free.
        plane: Whether distances count along the normals only (of the points where given, else of the surface); takes
            fewer rounds and lets surfaces slide.
        normals: (n, 3) unit normals of the points; pairs that do not face the same way are left out.
        weights: (n,) how much each point counts, such as the area it stands for.
        reject_border: Whether points that land on the surface's border are left out.
        kept: Share of pairs, the nearest, that steers each round.
        marks: Points of the surface whose partners are known; they pull in every round, trimmed or not.
        steps: At most so many rounds.
        tolerance: Ends when no vertex moved further than this share of the surface's extent.

    Raises:
        ValueError: When fewer than six pairs count.
    """
    vertices, points = np.asarray(vertices, np.float64), np.asarray(points, np.float64)
    triangles = np.asarray(triangles)
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
    border = border_vertices(triangles, len(vertices)) if reject_border else None
    at_rest = vertex_normals(vertices, triangles) if normals is not None or plane else None
    grid, motion, taken = Grid(vertices, triangles), start or still(3), 0

    def pair(motion: Similarity) -> Partners:
        """Search where the surface rests, with the points brought there: the grid serves every round."""
        found = grid.closest(motion.inverse().apply(points))
        facing = None if normals is None else (at_rest @ motion.rotation.T, normals)
        good = _believed(found, triangles, facing, border, kept)
        return Partners(
            found._replace(points=motion.apply(found.points), distances=motion.scale * found.distances), good
        )

    moved = motion.apply(vertices)
    extent = np.ptp(moved[np.unique(triangles)], axis=0).max()
    for taken in range(1, steps + 1):  # noqa: B007 - told below
        pairs = pair(motion)
        if pairs.good.sum() < 6:
            raise ValueError(f"{pairs.good.sum()} of {len(points)} points have a partner on the surface; begin nearer")
        along = normals[pairs.good] if plane and normals is not None else None
        if plane and normals is None:
            along = _normals_at(at_rest @ motion.rotation.T, triangles, pairs)
        pulled = None if marks is None else marks._replace(places=motion.apply(marks.places))
        step = _step(pairs.found.points[pairs.good], points[pairs.good], weights[pairs.good], along, pulled, scale)
        motion = step.after(motion)
        before, moved = moved, motion.apply(vertices)
        if np.abs(moved - before).max() <= tolerance * extent:
            break
    pairs = pair(motion)
    return Registration(motion, moved, pairs.found.distances, pairs.good, taken)


def _normals_at(facing: np.ndarray, triangles: np.ndarray, pairs: Partners) -> np.ndarray:
    """Unit normals (m, 3) of the surface, whose vertices face (V, 3), at the partners that count."""
    corners, weights = triangles[pairs.found.triangle[pairs.good]], pairs.found.barycentric[pairs.good]
    normals = (facing[corners] * weights[..., None]).sum(1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)[:, None]


def _step(
    places: np.ndarray,
    aims: np.ndarray,
    weights: np.ndarray,
    normals: np.ndarray | None,
    marks: Marks | None,
    scale: bool,
) -> Similarity:
    """The motion of least squares that brings places (n, 3) to aims, along normals where they are given; marks as well."""
    if marks is not None:
        repeats = 1 if normals is None else 3  # a known place is known along every axis
        places = np.concatenate([places, np.repeat(marks.places, repeats, 0)])
        aims = np.concatenate([aims, np.repeat(marks.aims, repeats, 0)])
        weights = np.concatenate([weights, np.repeat(marks.weights, repeats)])
        if normals is not None:
            normals = np.concatenate([normals, np.tile(np.eye(3), (len(marks.aims), 1))])
    if normals is None:
        return similarity(places, aims, weights, scale)
    return _plane_step(places, aims, normals, weights, scale)


def _plane_step(
    places: np.ndarray, aims: np.ndarray, normals: np.ndarray, weights: np.ndarray, scale: bool
) -> Similarity:
    """The small motion of places that takes out their distances to aims along normals, to first order.

    What the normals leave open, such as a turn of a sphere, stays as it is.
    """
    middle = np.average(places, axis=0, weights=weights)
    arms = places - middle
    unit = np.sqrt((arms * arms).sum(1).mean())  # turns and shifts of like size, so that the cut-off treats them alike
    columns = [np.cross(arms / unit, normals), normals] + (
        [(arms * normals).sum(1, keepdims=True) / unit] if scale else []
    )
    root = np.sqrt(weights)[:, None]
    gaps = ((aims - places) * normals).sum(1)
    found = np.linalg.lstsq(np.concatenate(columns, 1) * root, gaps * root[:, 0], rcond=1e-6)[0]
    rotation = from_axis_angle(found[:3] / unit)
    size = np.exp(found[6] / unit) if scale else np.float64(1)
    return Similarity(rotation, middle + found[3:6] - size * rotation @ middle, size)
