"""A photo, its rendering and what is left between them, side by side."""

from __future__ import annotations

import cv2
import numpy as np

from likeness import color
from likeness.errors import LikenessError

FULL = 64
"""Difference, in steps of sRGB (of 255), that is drawn black or white. Ours: light and skin are then well in the grey."""


def residual(
    photo: np.ndarray, rendering: np.ndarray, weight: np.ndarray | None = None, full: int = FULL
) -> np.ndarray:
    """Photo | rendering | difference, (H, 3 W, 3) uint8 sRGB; the scale is written on the third.

    The difference is photo less rendering in stored (sRGB) values, channel by channel: middle grey where they agree, white
    where the photo is `full` steps brighter, black where it is as much darker. What has no weight is middle grey.

    Args:
        photo: (H, W, 3) linear RGB.
        rendering: (H, W, 3) linear RGB.
        weight: (H, W) in [0, 1]: what counts. None counts all.
        full: Steps of sRGB, 1 to 255.

    Raises:
        LikenessError: When the two have different sizes.
    """
    if photo.shape != rendering.shape:
        raise LikenessError(f"a photo of {photo.shape} and a rendering of {rendering.shape} cannot be compared")
    one, other = color.encode(photo), color.encode(rendering)
    difference = one.astype(np.float32) - other
    if weight is not None:
        difference *= np.asarray(weight, np.float32)[..., None]
    shown = np.clip(np.rint(127.5 + difference * (127.5 / full)), 0, 255).astype(np.uint8)
    height = shown.shape[0]
    label = f"white +{full}, black -{full}"
    cv2.putText(shown, label, (4, height - 5), cv2.FONT_HERSHEY_SIMPLEX, height / 500, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([one, other, shown], 1)
