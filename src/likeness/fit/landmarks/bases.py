"""The face model seen at the dense landmarks only: for each point a mean, identity modes and expression modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import COUNT, IRISES, Correspondence
from likeness.assets.ict import FACE, IctModel
from likeness.assets.parts import LOOK_DEGREES
from likeness.geometry import sphere
from likeness.geometry.mesh import triangulate, vertex_normals
from likeness.geometry.rotation import from_axis_angle
from likeness.types import Embedding

EYEBALLS = {"Right": slice(23791, 24591), "Left": slice(22221, 23021)}
"""ICT's inner eye shells, on which the iris lies. ICT's own expressions do not turn them."""
IRIS_RADIUS = 5.9
"""Half the width of the human iris in mm; it varies by a twentieth between people."""


@dataclass(frozen=True)
class LandmarkBases:
    """Linear model of n points.

    Attributes:
        mean: (n, 3) mm, model frame.
        identity: (100, n, 3) mm per standard deviation.
        expression: (51, n, 3) mm at weight 1.
        normals: (n, 3) unit outward normals on the mean face.
        sigma: (n,) mm, spread of a measured landmark about its point.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    normals: np.ndarray
    sigma: np.ndarray


def eye_centre(ict: IctModel, side: str) -> np.ndarray:
    """Centre (3,) mm of the mean's eyeball ("Left" or "Right"): the sphere that fits its inner shell best."""
    return sphere.centre(ict.mean[EYEBALLS[side]].astype(np.float64))


def gaze_offsets(ict: IctModel, points: np.ndarray, side: str) -> np.ndarray:
    """Displacement (51, n, 3) mm of eyeball points (n, 3) by the eyeLook expressions, linear in the weight."""
    centre, sign = eye_centre(ict, side), 1.0 if side == "Left" else -1.0
    offsets = np.zeros((len(EXPRESSIONS), *points.shape))
    for name, (pitch, yaw) in LOOK_DEGREES.items():
        turn = from_axis_angle(np.radians([pitch, sign * yaw, 0.0]))
        offsets[EXPRESSIONS.index(name + side)] = (points - centre) @ (turn.T - np.eye(3))
    return offsets


def iris_embedding(ict: IctModel) -> Embedding:
    """The ten iris points (right eye's centre, ring of four, then left) as vertices of the eyeballs, nearest the front."""
    vertices = []
    r = IRIS_RADIUS
    ring = np.array(
        [[0, 0, 0], [r, 0, 0], [0, r, 0], [-r, 0, 0], [0, -r, 0]]
    )  # centre, towards the left, up, right, down
    for side in ("Right", "Left"):
        shell = EYEBALLS[side]
        points, centre = ict.mean[shell], eye_centre(ict, side)
        front = centre + [0, 0, np.linalg.norm(points - centre, axis=1).mean()]
        wanted = front + ring
        vertices.append(shell.start + np.linalg.norm(points[None] - wanted[:, None], axis=-1).argmin(1))
    ids = np.concatenate(vertices)
    return Embedding(np.repeat(ids[:, None], 3, 1).astype(np.int32), np.tile([[1.0, 0.0, 0.0]], (10, 1)))


def landmark_bases(ict: IctModel, correspondence: Correspondence) -> LandmarkBases:
    """Restrict the face model to the dense landmarks, their constant offsets included in the mean."""
    ids, weights = correspondence.embedding.vertices, np.asarray(correspondence.embedding.weights, np.float64)

    def at_points(field: np.ndarray) -> np.ndarray:
        return np.einsum("...nkc,nk->...nc", field[..., ids, :].astype(np.float64), weights)

    normals = vertex_normals(ict.mean, triangulate(ict.faces[(ict.faces < FACE).all(1)]))
    mean, expression = at_points(ict.mean), at_points(ict.expression)
    for side, rows in (("Right", slice(IRISES.start, IRISES.start + 5)), ("Left", slice(IRISES.start + 5, COUNT))):
        expression[:, rows] = gaze_offsets(ict, mean[rows], side)
    normals = at_points(normals)
    normals[IRISES] = (0, 0, 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return LandmarkBases(
        mean + correspondence.offset, at_points(ict.identity), expression, normals, correspondence.sigma
    )


def builtin_bases(model: Builtin, correspondence: Correspondence) -> LandmarkBases:
    """The same of the face model that ships, for those who have no ICT files: its dense landmarks lie at the same places.

    Its lids, lips and eyeballs are its own, so that places differ from ICT's by a fraction of a millimetre.
    """
    topology = model.topology("base")
    dense = topology.landmarks["dense"]
    normals = dense.points(vertex_normals(model.mean.astype(np.float64), topology.triangles))
    normals[IRISES] = (0, 0, 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    mean, identity, expression = (
        dense.points(shape.astype(np.float64)) for shape in (model.mean, model.identity, model.expression)
    )
    return LandmarkBases(mean + correspondence.offset, identity, expression, normals, correspondence.sigma)
