"""Where recognition networks expect a face's five points, and the motion that brings a face there. Works without PyTorch.

The five points are those of landmark set "5" (`assets.landmarks`): right eye, left eye, nose tip, right and left mouth corner
of the subject, so that in an upright picture the first lies left of the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from likeness.arrays import like, namespace
from likeness.assets.landmarks import IRIS_LEFT, IRIS_RIGHT

DENSE_OF_5 = (IRIS_RIGHT, IRIS_LEFT, 4, 61, 291)
"""Dense landmarks that are the five points; the last three are those of the 68's nose tip and mouth corners."""
ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Pixels of a 112 x 112 crop: the template of SphereFace, widened from 96 to 112 pixels, that ArcFace's networks saw in
training (Deng et al. 2019, sec. 3.1; the published code's `arcface_src`)."""
ARCFACE_SIDE = 112
WIDE_SIDE, WIDE_CENTER = 124.0, (56.0, 64.0)
"""ArcFace pixels: side and centre of a crop that shows a face from forehead to chin. Ours: a face box of the detector behind
FaceNet's and VGG-Face's training crops (2.1 eye distances wide, 2.8 high), and a quarter of it around."""


def arcface(size: int) -> np.ndarray:
    """(5, 2) pixels of a `size` x `size` crop: ArcFace's template, enlarged."""
    return np.array(ARCFACE) * (size / ARCFACE_SIDE)


def wide(size: int) -> np.ndarray:
    """(5, 2) pixels of a `size` x `size` crop that shows the whole face, see `WIDE_SIDE`."""
    return (np.array(ARCFACE) - WIDE_CENTER) * (size / WIDE_SIDE) + size / 2


def five(dense: Any) -> Any:
    """The five points (..., 5, 2) of dense landmarks (..., 478, 2 or 3), in their pixels. Arrays and tensors."""
    return dense[..., list(DENSE_OF_5), :2]


def photo_from_crop(points: Any, template: Any) -> Any:
    """The similarity from crop to photo pixels that takes a template's points nearest to a face's, in least squares.

    In the plane the answer is closed, never a reflection, and smooth in the points: with a = (x, y) as complex numbers about
    their means, scale and turn together are sum(conj(template) points) / sum(|template|^2) (Umeyama 1991, for two
    dimensions).

    Args:
        points: (..., 5, 2) photo pixels, array or tensor.
        template: (5, 2) crop pixels.

    Returns:
        (..., 2, 3); homogeneous crop pixels to photo pixels. In both the first pixel's centre is (0.5, 0.5).
    """
    xp, template = namespace(points), like(template, points)
    middle, place = template.mean(0), points.mean(-2)
    source, target = template - middle, points - place[..., None, :]
    size = (source * source).sum()
    real = (source * target).sum((-2, -1)) / size
    turned = xp.stack([-source[:, 1], source[:, 0]], -1)
    imaginary = (turned * target).sum((-2, -1)) / size
    x = place[..., 0] - real * middle[0] + imaginary * middle[1]
    y = place[..., 1] - imaginary * middle[0] - real * middle[1]
    rows = [xp.stack([real, -imaginary, x], -1), xp.stack([imaginary, real, y], -1)]
    return xp.stack(rows, -2)
