"""The sphere that points lie on."""

from __future__ import annotations

import numpy as np


def centre(points: np.ndarray) -> np.ndarray:
    """Centre (3,) of the sphere that fits points best.

    Linear least squares of `|p|^2 = 2 p . c + d` (Coope 1993, "Circle fitting by linear and nonlinear least squares"). The
    points need not go all around. Not differentiable.

    Args:
        points: (n, 3), n >= 4 and not all in one plane.
    """
    system = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    return np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
