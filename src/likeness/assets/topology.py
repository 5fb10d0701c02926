"""What stays fixed on a face model of others, made from its mean: triangles, symmetry, a chart, and the landmarks it knows."""

from __future__ import annotations

import numpy as np

from likeness.assets.outside import OutsideModel
from likeness.errors import AssetError
from likeness.geometry.mesh import triangulate
from likeness.types import Embedding, Topology

FIVE = (36, 39, 42, 45, 30, 48, 54)
"""Multi-PIE points from which the five follow: corners of the right and of the left eye, nose tip, mouth corners."""


def topology(model: OutsideModel) -> Topology:
    """A topology in our sense, so that a model of others can stand where the one that ships does. Needs scipy.

    Such models come without a chart and without exact symmetry. The chart is a cylinder about the head, seam behind; the
    mirror image of a vertex is the vertex that lies nearest to it, which need not be a permutation. Landmarks are "68" where
    the model knows them all, and "5" where it knows those from which they follow; `known_landmarks` gives those that it knows.
    There is one part, "skin", and one region of that name.

    Raises:
        AssetError: When the model has no faces.
    """
    if not len(model.faces):
        raise AssetError(f"{model.name} has no faces, only vertices; give it some to draw it")
    count = len(model.mean)
    landmarks = {}
    if model.landmarks68 is not None and (model.landmarks68 >= 0).all():
        landmarks["68"] = known_landmarks(model)[1]
    if model.landmarks68 is not None and (model.landmarks68[[*FIVE]] >= 0).all():
        landmarks["5"] = _five(model.landmarks68)
    return Topology(
        faces=model.faces, triangles=triangulate(model.faces), uv=_cylinder(model.mean), mirror=_mirror(model.mean),
        parts={"skin": slice(0, count)}, regions={"skin": np.ones(count, bool)}, landmarks=landmarks,
    )  # fmt: skip


def known_landmarks(model: OutsideModel) -> tuple[np.ndarray, Embedding]:
    """Numbers (k,) from 0 of the Multi-PIE points that a model knows, and where they lie."""
    table = np.full(68, -1) if model.landmarks68 is None else model.landmarks68
    numbers = np.flatnonzero(table >= 0)
    corners = np.repeat(table[numbers][:, None], 3, 1).astype(np.int32)
    return numbers, Embedding(corners, np.tile(np.float32([1, 0, 0]), (len(numbers), 1)))


def _five(table: np.ndarray) -> Embedding:
    """The middles of the eyes' corners, nose tip and mouth corners, of the vertices (68,) of the Multi-PIE points."""
    pairs = table[np.reshape((*FIVE[:4], FIVE[4], FIVE[4], FIVE[5], FIVE[5], FIVE[6], FIVE[6]), (5, 2))]
    vertices = np.concatenate([pairs, pairs[:, 1:]], 1).astype(np.int32)
    return Embedding(vertices, np.tile(np.float32([0.5, 0.5, 0]), (5, 1)))


def _cylinder(mean: np.ndarray) -> np.ndarray:
    """(V, 2) float32: u by the angle about the head's upright middle line, growing to the subject's left; v down."""
    low, high = mean.min(0), mean.max(0)
    x, y, z = (mean - (low + high) / 2).T
    u = 0.5 + np.arctan2(x, z) / (2 * np.pi)
    return np.stack([u, (high[1] - low[1]) / 2 - y], -1).astype(np.float32) / np.float32([1, high[1] - low[1]])


def _mirror(mean: np.ndarray) -> np.ndarray:
    """(V,) int32: the vertex nearest to each one's mirror image; the plane of symmetry is found on the way."""
    from scipy.spatial import cKDTree

    tree, middle = cKDTree(mean), float(np.median(mean[:, 0]))
    for _ in range(30):
        nearest, before = tree.query(mean * [-1, 1, 1] + [2 * middle, 0, 0])[1], middle
        middle = float(np.median(mean[:, 0] + mean[nearest, 0])) / 2
        if abs(middle - before) < 1e-6:
            break
    return nearest.astype(np.int32)
