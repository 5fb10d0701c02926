"""What the benchmark's page shows of a face: the picture, the mesh over it, the shape; the true shape and the difference
where the truth is known, else the shape in its pose and turned with its texture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from likeness import color
from likeness.errors import LikenessError
from likeness.evaluate.benchmark.items import Item, ItemSet, Method, Shape
from likeness.evaluate.benchmark.measure import Surfaces
from likeness.evaluate.scans import Scan
from likeness.geometry.cameras import transform_view
from likeness.photos.crop import crop
from likeness.runtime import draw, overlay
from likeness.runtime.reconstruct import Reconstruction
from likeness.runtime.sheet import TURN, surroundings

TILE = 264
"""Pixels; the page shows them at half."""
SCALE = 4.0
"""mm at which the colours of the difference are full."""
OUTSIDE, INSIDE, LEVEL, UNMEASURED = (0.75, 0.10, 0.06), (0.05, 0.20, 0.75), (0.80, 0.80, 0.78), (0.35, 0.35, 0.36)
"""Linear RGB: where the found face lies outside the true one, inside it, on it; and where nothing is measured."""


def drawer(reconstruct: Callable[[Item], Reconstruction], surfaces: Surfaces, answers: Callable[[Item], Shape | None]):
    """A function (set, method, item) -> captions and pictures.

    Args:
        reconstruct: The system that the page looks at closely; raises a `LikenessError` where it has no answer.
        surfaces: Distances that were measured.
        answers: The neutral shape that was measured for an item.
    """

    def pictures(chosen: ItemSet, method: Method, item: Item) -> Sequence[tuple[str, np.ndarray]]:
        try:
            face = reconstruct(item)
        except LikenessError:
            true = [("true, neutral", clay(item.truth.neutral))] if item.truth.neutral else []
            return [("picture", _square(item.picture())), *true]
        shown = crop(face.image, surroundings(face), 0.0, TILE, 1.0)
        view = transform_view(face.view, np.linalg.inv(shown.photo_from_crop), (TILE, TILE))
        tiles = [
            ("picture", shown.image),
            ("found, over it", overlay.draw(shown.image, face.vertices, view, face.topology)),
            ("found, neutral", draw.shaded(face.neutral, face.topology, draw.portrait(face.neutral, (TILE, TILE)))),
        ]
        truth, shape = item.truth.neutral, answers(item)
        if truth is not None and shape is not None:
            return [*tiles, ("true, neutral", clay(truth)), ("difference, ±4 mm", difference(truth, shape, surfaces))]
        side = draw.portrait(face.vertices, (TILE, TILE), yaw=TURN)
        turned = draw.textured(face.vertices, face.topology, face.texture, side)
        return [
            *tiles,
            ("found, in its pose", draw.shaded(face.vertices, face.topology, view)),
            ("turned by 40°", turned),
        ]

    return pictures


def _square(image: np.ndarray) -> np.ndarray:
    """A picture reduced or enlarged to a tile's height and no wider."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(image[top : top + side, left : left + side], (TILE, TILE), interpolation=cv2.INTER_AREA)


def _front(scan: Scan) -> tuple[np.ndarray, object]:
    """Rows of a scan's vertices about the face, and a camera in front of them."""
    near = np.linalg.norm(scan.vertices - scan.landmarks[4], axis=1) < 115
    return near, draw.portrait(scan.vertices[near], (TILE, TILE))


def clay(scan: Scan) -> np.ndarray:
    """A true surface as clay from the front."""
    _, view = _front(scan)
    colours = np.array(draw.CLAY, np.float32) * draw.brightness(scan.vertices, scan.triangles, view)[:, None]
    return _drawn(scan, view, colours)


def difference(scan: Scan, shape: Shape, surfaces: Surfaces) -> np.ndarray:
    """The true surface coloured by how far the found one lies outside (red) or inside it (blue)."""
    errors = surfaces.errors(scan, shape)
    _, view = _front(scan)
    colours = np.tile(np.array(UNMEASURED, np.float32), (len(scan.vertices), 1))
    share = np.clip(np.abs(errors.signed) / SCALE, 0, 1)[:, None]
    full = np.where(errors.signed[:, None] > 0, np.array(OUTSIDE), np.array(INSIDE))
    colours[errors.rows] = np.array(LEVEL) + share * (full - np.array(LEVEL))
    light = draw.brightness(scan.vertices, scan.triangles, view)
    return _drawn(scan, view, colours * (0.45 + 0.55 * light)[:, None].astype(np.float32))


def _drawn(scan: Scan, view, colours: np.ndarray) -> np.ndarray:
    surface, coverage = draw.rendered(scan.vertices, scan.triangles, view, colours, None)
    return color.encode(surface + (1 - coverage) * np.asarray(draw.BACKGROUND, np.float32))
