"""A reconstruction in five small pictures: the photo, the overlay, the shape, the textured face from the side, neutral."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from likeness.geometry.cameras import transform_view
from likeness.photos.crop import crop
from likeness.runtime import draw, overlay
from likeness.runtime.reconstruct import Reconstruction

MARGIN = 1.7
"""Side of the shown part of the photo in sides of the face's box. Ours: the head with some hair around it."""
TURN = math.radians(40)
"""Of the textured face."""
GAP = 6
"""Pixels between groups."""


def row(face: Reconstruction, tile: int) -> np.ndarray:
    """Five pictures side by side, (tile, 5 tile, 3) uint8 sRGB; the first three in the camera of the photo."""
    shown = crop(face.image, face.box, 0.0, tile, MARGIN)
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
