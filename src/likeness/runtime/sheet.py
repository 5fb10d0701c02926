"""A reconstruction in five small pictures: the photo, the overlay, the shape, the textured face turned, neutral."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from likeness.geometry.cameras import project, transform_view
from likeness.photos.crop import crop
from likeness.runtime import draw, overlay
from likeness.runtime.reconstruct import Reconstruction

MARGIN = 1.45
"""Side of the shown part of the photo in sides of the drawn face. Ours: the head with some hair around it."""
TURN = math.radians(40)
"""Of the textured face."""
GAP = 6
"""Pixels between groups."""


def row(face: Reconstruction, tile: int) -> np.ndarray:
    """Five pictures side by side, (tile, 5 tile, 3) uint8 sRGB; the first three in the camera of the photo."""
    shown = crop(face.image, surroundings(face), 0.0, tile, 1.0)
    view = transform_view(face.view, np.linalg.inv(shown.photo_from_crop), (tile, tile))
    side = draw.portrait(face.vertices, (tile, tile), yaw=TURN)
    front = draw.portrait(face.neutral, (tile, tile))
    return np.concatenate([
        shown.image,
        overlay.draw(shown.image, face.vertices, view, face.topology),
        draw.shaded(face.vertices, face.topology, view),
        draw.textured(face.vertices, face.topology, face.texture, side),
        draw.shaded(face.neutral, face.topology, front),
    ], axis=1)  # fmt: skip


def surroundings(face: Reconstruction) -> tuple[float, float, float, float]:
    """The square (x0, y0, x1, y1) of the photo around the face, moved into the photo where it fits."""
    points = project(face.vertices[face.topology.parts["skin"]], face.view)
    low, high = points.min(0), points.max(0)
    size = np.array(face.image.shape[1::-1], float)
    side = min(MARGIN * (high - low).max(), size.min())
    corner = np.clip((low + high) / 2 - side / 2, 0, size - side)
    return (*corner, *(corner + side))


def grid(rows: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Rows below each other in so many columns, white between them."""
    height, width = rows[0].shape[:2]
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    size = (lines * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    canvas = np.full(size, 255, np.uint8)
    for place, picture in enumerate(rows):
        line, column = place // columns, place % columns  # left to right, then down
        top, left = line * (height + GAP), column * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return canvas
