"""What a photo says about one face, gathered for a fit: a square of its pixels, landmarks with their spreads, where skin is,
and the regressor's answer to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness import color
from likeness.encoders.camera import centred
from likeness.geometry.cameras import transform_view
from likeness.photos import crop
from likeness.photos.detect import face_frame, square
from likeness.types import Landmarks, View

SIZE, MARGIN = 224, 1.4
"""Pixels along a side of the square, and its side in sides of the face's box."""


@dataclass(frozen=True)
class Evidence:
    """One face in one photo.

    Attributes:
        image: (S, S, 3) float32 linear RGB, an upright square about the face.
        crop_from_photo, photo_from_crop: (3, 3) similarities between pixels.
        points: (n, 2) float32 px of the square: 478 dense landmarks or the Multi-PIE 68.
        sigma: (n,) float32 px, standard deviation of x and of y, each; infinite where a landmark is not known.
        skin: (S, S) float32 in [0, 1], how far each pixel shows skin.
        identity: (I,), expression (E,) and view (px of the square, principal point in the middle): the regressor's answer.
    """

    image: np.ndarray
    crop_from_photo: np.ndarray
    photo_from_crop: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    skin: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    view: View


def gather(
    image: np.ndarray,
    estimate: Any,
    landmarks: Landmarks | None = None,
    skin: np.ndarray | None = None,
    size: int = SIZE,
) -> Evidence:
    """Cut the square out of a photo and bring everything to its pixels.

    Args:
        image: (H, W, 3) uint8 sRGB.
        estimate: The regressor's `codes`, `view` and `landmarks` (478, 2), in pixels of the photo.
        landmarks: Points and spreads in pixels of the photo, 478 or 68; without them there is no landmark term.
        skin: (H, W) in [0, 1] over the photo; by default all pixels may be skin.
        size: Pixels along a side of the square.
    """
    centre, side, roll = face_frame(estimate.landmarks)
    cut = crop.crop(image, square(centre, side), roll, size, MARGIN)
    back = np.linalg.inv(cut.photo_from_crop)
    scale = float(np.hypot(back[0, 0], back[1, 0]))
    points, sigma = np.zeros((478, 2)), np.full(478, np.inf)
    if landmarks is not None:
        points = np.asarray(landmarks.points, np.float64) @ back[:2, :2].T + back[:2, 2]
        sigma = np.asarray(landmarks.sigma, np.float64) * scale
    shown = np.ones((size, size), np.float32)
    if skin is not None:
        levels = np.rint(255 * np.asarray(skin)).astype(np.uint8)
        shown = crop.sample(levels, cut.photo_from_crop, size).astype(np.float32) / 255
    shown = shown * inside(cut.photo_from_crop, image.shape[:2], size)
    codes = (np.asarray(estimate.codes[name], np.float32) for name in ("identity", "expression"))
    return Evidence(
        color.decode(cut.image), back, cut.photo_from_crop, points.astype(np.float32), sigma.astype(np.float32), shown, *codes,
        centred(transform_view(estimate.view, back, (size, size))),
    )  # fmt: skip


def inside(photo_from_crop: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """(size, size) bool: which pixels of a cut-out lie in the photo of `shape` (height, width), and not beyond its border."""
    line = np.arange(size) + 0.5
    x, y = np.meshgrid(line, line)
    places = np.stack([x, y], -1) @ photo_from_crop[:2, :2].T + photo_from_crop[:2, 2]
    return ((places > 0.5) & (places < np.array([shape[1], shape[0]]) - 0.5)).all(-1)
