"""Rows that every other one is read against: the mean face in the right pose, and the truth itself."""

from __future__ import annotations

import cv2
import numpy as np

from likeness.assets.builtin import Builtin
from likeness.errors import AssetError
from likeness.evaluate.benchmark.heads import face_triangles
from likeness.evaluate.benchmark.items import Answer, Item, Method, Shape
from likeness.evaluate.registration import fit_to_scan
from likeness.evaluate.scans import LANDMARKS_OF_68
from likeness.geometry.cameras import project
from likeness.types import View

FOCALS = (1.2, 1.8, 2.7, 4.0, 8.0)
"""Focal lengths that are tried, in sides of the picture: from a phone at arm's length to a long lens."""


def fit_pose(places: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> View:
    """The camera, principal point in the middle, that brings points (n, 3) mm nearest to pixels (n, 2).

    Perspective-n-point for each of `FOCALS` (an orthographic start is what OpenCV's SQPNP does without), refined by
    Levenberg-Marquardt; the focal length with the least error wins.

    Raises:
        AssetError: No camera explains the points.
    """
    places, pixels = np.ascontiguousarray(places, np.float64), np.ascontiguousarray(pixels, np.float64)
    cv_from_ours = np.diag([1.0, -1.0, -1.0])  # OpenCV's camera has y down and looks along +z
    middle, best, least = np.array([size[1] / 2, size[0] / 2]), None, np.inf
    for factor in FOCALS:
        focal = factor * max(size)
        matrix = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
        found, turn, shift = cv2.solvePnP(places, pixels, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
        if not found:
            continue
        turn, shift = cv2.solvePnPRefineLM(places, pixels, matrix, None, turn, shift)
        view = View(cv_from_ours @ cv2.Rodrigues(turn)[0], cv_from_ours @ shift[:, 0], np.float64(focal), middle, size)
        error = np.linalg.norm(project(places, view) - pixels, axis=1).mean()
        if error < least:
            best, least = view, error
    if best is None:
        raise AssetError("no camera brings the mean face onto the given points")
    return best


def shape_of(model: Builtin, neutral: np.ndarray, level: str = "base") -> Shape:
    """Neutral vertices (V, 3) mm of the face model at a level, as any method's shape."""
    topology = model.topology(level)
    vertices = np.asarray(neutral, np.float64)
    marks = topology.landmarks["68"].points(vertices)[list(LANDMARKS_OF_68)]
    return Shape(vertices, face_triangles(topology), marks, in_mm=True)


def mean_face(model: Builtin) -> Method:
    """The mean face of the model in the pose that fits the given landmarks best."""
    topology = model.topology("base")
    shape = shape_of(model, model.mean)
    sets = {name: np.asarray(topology.landmarks[name].points(shape.vertices)) for name in ("68", "dense")}

    def answer(item: Item) -> Answer:
        truth, size = item.truth, item.picture().shape[:2]
        if truth.dense is not None:
            view = fit_pose(sets["dense"], truth.dense[:, :2], size)
        elif truth.points is not None:
            view = fit_pose(sets["68"], truth.points, size)
        else:
            return Answer(shape)
        return Answer(shape, project(sets["68"], view), project(sets["dense"], view), view)

    return Method(
        "mean face", answer, "The mean of the face model without expression, its pose fitted to the true landmarks."
    )


def true_face(model: Builtin) -> Method:
    """What no photo can beat: the model fitted to the true surface itself, with the true points and camera."""
    topology = model.topology("base")
    triangles = face_triangles(topology)
    used, compact = np.unique(triangles, return_inverse=True)
    compact = compact.reshape(-1, 3)
    mean, modes = model.mean[used].astype(np.float64), model.identity[:, used].astype(np.float64)
    marks = topology.landmarks["68"].points(np.asarray(model.mean, np.float64))[list(LANDMARKS_OF_68)]
    nearest = np.linalg.norm(mean[None] - marks[:, None], axis=-1).argmin(1)
    fitted: dict[int, Shape] = {}

    def answer(item: Item) -> Answer:
        scan = item.truth.neutral
        if scan is None:
            raise AssetError("no true surface is known")
        if id(scan) not in fitted:
            codes, motion = fit_to_scan(mean, modes, compact, nearest, scan)
            vertices = float(motion.scale) * (model.mean + np.tensordot(codes, model.identity, 1))
            fitted[id(scan)] = shape_of(model, vertices)
        dense = None if item.truth.dense is None else item.truth.dense[:, :2]
        return Answer(fitted[id(scan)], item.truth.points, dense, item.truth.view)

    about = "The oracle: the face model fitted to the true surface itself, with the true points and camera."
    return Method("true face", answer, about, sets=("heads", "scan"))
