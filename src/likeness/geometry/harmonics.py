"""Real spherical harmonics up to the third band (B = 3, nine functions) and diffuse light in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from likeness.arrays import like, namespace

CONSTANTS = (
    math.sqrt(1 / (4 * math.pi)),
    math.sqrt(3 / (4 * math.pi)),
    math.sqrt(15 / (4 * math.pi)),
    math.sqrt(5 / (16 * math.pi)),
    math.sqrt(15 / (16 * math.pi)),
)
"""Normalisation of 1; x, y, z; xy, yz, xz; 3z^2 - 1; x^2 - y^2: the functions are orthonormal on the sphere."""

COSINE_LOBE = (1.0, 2 / 3, 1 / 4)
"""Ratio of irradiance / pi to radiance by band (Ramamoorthi and Hanrahan 2001, eq. 8, divided by pi)."""


def basis(directions: Any) -> Any:
    """The nine functions (..., 9) at unit directions (..., 3), in the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2."""
    xp = namespace(directions)
    x, y, z = (directions[..., i] for i in range(3))
    c0, c1, c2, c3, c4 = CONSTANTS
    functions = [c0 * xp.ones_like(x), c1 * y, c1 * z, c1 * x, c2 * x * y, c2 * y * z]
    return xp.stack([*functions, c3 * (3 * z * z - 1), c2 * x * z, c4 * (x * x - y * y)], -1)


def shade(normals: Any, harmonics: Any) -> Any:
    """Irradiance / pi (..., n, 3) at normals (..., n, 3) under light (..., 9, 3): what diffuse albedo is multiplied by.

    `Light.harmonics` holds radiance coefficients already convolved with the cosine lobe (`from_radiance`).
    """
    return basis(normals) @ harmonics


def from_radiance(radiance: Any) -> Any:
    """Coefficients of distant radiance (..., 9, 3) convolved with the cosine lobe, ready for `shade`."""
    a0, a1, a2 = COSINE_LOBE
    return radiance * like([a0, a1, a1, a1, a2, a2, a2, a2, a2], radiance)[:, None]


def to_radiance(irradiance: Any) -> Any:
    """Coefficients of the distant radiance (..., 9, 3) that gives irradiance / pi (..., 9, 3); inverse of `from_radiance`.

    Diffuse surfaces show four times less of the third band than there is: what is noise there grows.
    """
    a0, a1, a2 = COSINE_LOBE
    return irradiance / like([a0, a1, a1, a1, a2, a2, a2, a2, a2], irradiance)[:, None]


def turned(coefficients: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Light of one frame in another: `shade(n, result) == shade(rotation @ n, coefficients)` for all directions n. Numpy only.

    Bands do not mix under a rotation, so that a few directions determine the result exactly; spread over a spiral here.

    Args:
        coefficients: (9, C) in the frame that `rotation` leads to.
        rotation: (3, 3).
    """
    height = (2 * np.arange(24) + 1) / 24 - 1
    around = np.arange(24) * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - height * height)
    rows = np.stack([ring * np.cos(around), ring * np.sin(around), height], -1)
    return np.linalg.lstsq(basis(rows), basis(rows @ np.asarray(rotation).T) @ coefficients, rcond=None)[0]
