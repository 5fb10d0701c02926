"""Cut an upright square around a face out of a photo, and know the exact way back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from likeness.errors import PhotoError
from likeness.types import Crop

MARGIN = 1.4
"""Side of the crop in sides of the face's box. Ours: forehead and chin stay inside when the box is a tenth off."""
SIZE = 128
"""Pixels along a side of the crop that the regressor sees."""
SHARP = 1.25
"""Photo pixels per crop pixel up to which plain bilinear sampling skips nothing."""


def similarity(center: Sequence[float], side: float, roll: float, size: int) -> np.ndarray:
    """(3, 3) float64 that takes homogeneous crop pixels to photo pixels.

    Args:
        center: (x, y) of the square in photo pixels.
        side: Of the square in photo pixels.
        roll: Turn of the square in radians, clockwise in the photo.
        size: Pixels along a side of the crop.
    """
    scale = side / size
    cosine, sine = scale * math.cos(roll), scale * math.sin(roll)
    half = size / 2
    x, y = float(center[0]), float(center[1])
    return np.array([
        [cosine, -sine, x - half * (cosine - sine)],
        [sine, cosine, y - half * (sine + cosine)],
        [0.0, 0.0, 1.0],
    ])  # fmt: skip


def crop(image: np.ndarray, box: Sequence[float], roll: float = 0.0, size: int = SIZE, margin: float = MARGIN) -> Crop:
    """The square around a face's box, turned upright.

    Where the photo is finer than the crop it is averaged first, so that nothing flickers; beyond its border its last
    pixels are repeated.

    Args:
        image: (H, W, 3) uint8 sRGB.
        box: (x0, y0, x1, y1) photo pixels, as the face finder gives it.
        roll: Radians, clockwise in the photo.
        size: Pixels along a side of the crop.
        margin: Side of the crop in sides of the box.

    Returns:
        The pixels, and the similarity from crop to photo pixels (first pixel's centre at (0.5, 0.5) in both).

    Raises:
        PhotoError: When the box has no area or is not finite.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(x1 - x0, y1 - y0) * margin
    if not (math.isfinite(side) and math.isfinite(roll) and math.isfinite(x0 + y0) and side > 0):
        raise PhotoError(f"the box {tuple(round(float(v), 1) for v in box)} is no square of a photo")
    photo_from_crop = similarity(((x0 + x1) / 2, (y0 + y1) / 2), side, roll, size)
    return Crop(sample(image, photo_from_crop, size), photo_from_crop)


def sample(image: np.ndarray, photo_from_crop: np.ndarray, size: int) -> np.ndarray:
    """The pixels (size, size, 3) uint8 that a similarity from crop to photo pixels selects, antialiased."""
    part, part_from_photo = _part(image, photo_from_crop, size)
    matrix = (part_from_photo @ photo_from_crop)[:2]
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5  # OpenCV's pixel centres are integers
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _part(image: np.ndarray, photo_from_crop: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the photo that a crop shows, not finer than the crop, and (3, 3) to its pixels from the photo's."""
    scale = math.hypot(photo_from_crop[0, 0], photo_from_crop[1, 0])
    corners = photo_from_crop @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    reach = 2 * scale + 2  # what neighbours of the outermost pixels need
    limits = []
    for place, length in ((0, image.shape[1]), (1, image.shape[0])):
        low = min(max(0, math.floor(corners[place].min() - reach)), length - 1)
        high = max(min(length, math.ceil(corners[place].max() + reach)), low + 1)
        limits.append((low, high))
    (left, right), (top, bottom) = limits
    part = image[top:bottom, left:right]
    if scale > SHARP:
        new = [max(1, round((high - low) / scale)) for low, high in limits]
        part = cv2.resize(part, new, interpolation=cv2.INTER_AREA)
    x, y = part.shape[1] / (right - left), part.shape[0] / (bottom - top)
    return part, np.array([[x, 0, -x * left], [0, y, -y * top], [0, 0, 1.0]])
