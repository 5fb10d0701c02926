"""A face's light as an environment picture: what one would see looking around from where the face is.

The picture is equirectangular, twice as wide as high: the upper border is +Y, the lower -Y; the middle column looks along
-Z, columns to the right of it towards +X, and both sides meet at +Z. In the camera frame the middle is thus what lies behind
the subject, the right half is at the camera's right (the subject's left when he faces the camera), and the sides are what is
behind the camera. In the model frame the sides are straight before the face. Viewers that put +X in the middle, as three.js
does, need it turned by a quarter; none of it is mirrored.
"""

from __future__ import annotations

import math

import numpy as np

from likeness import color
from likeness.errors import LikenessError
from likeness.geometry import harmonics
from likeness.types import Light

HEIGHT = 128
"""Rows. Ours: nine functions of direction have nothing finer to show."""
BRIGHT = 99.0
"""Percentile of brightness that becomes white in the tone-mapped picture."""
_LONGEST = 128
"""Bytes in one literal run of a Radiance file."""


def directions(height: int) -> np.ndarray:
    """Unit vectors (H, 2H, 3) of the pixels' centres."""
    polar = np.pi * (np.arange(height) + 0.5) / height
    around = 2 * np.pi * ((np.arange(2 * height) + 0.5) / (2 * height) - 0.5)
    y, ring = np.cos(polar)[:, None], np.sin(polar)[:, None]
    return np.stack(np.broadcast_arrays(ring * np.sin(around), y, -ring * np.cos(around)), -1)


def radiance(light: Light, height: int = HEIGHT, rotation: np.ndarray | None = None) -> np.ndarray:
    """The distant light itself, (H, 2H, 3) float32 linear RGB, 1 being a white sky that lights a white wall to 1.

    It is known up to the third band of spherical harmonics only; directions where those are negative are black.

    Args:
        light: Its `harmonics` (9, 3) are used, not its highlight.
        height: Rows.
        rotation: (3, 3) camera from model: then directions are those of the model frame, else of the camera frame.
    """
    return _picture(harmonics.to_radiance(np.asarray(light.harmonics, np.float64)), height, rotation)


def irradiance(light: Light, height: int = HEIGHT, rotation: np.ndarray | None = None) -> np.ndarray:
    """How bright a white, matt surface is that faces each direction: irradiance / pi, (H, 2H, 3) float32 linear RGB.

    Arguments as in `radiance`. This is what a fit determines well, and what environment maps for diffuse light hold.
    """
    return _picture(np.asarray(light.harmonics, np.float64), height, rotation)


def _picture(coefficients: np.ndarray, height: int, rotation: np.ndarray | None) -> np.ndarray:
    if coefficients.shape != (9, 3) or not np.isfinite(coefficients).all():
        raise LikenessError(
            f"light of shape {coefficients.shape} cannot be drawn; give nine finite coefficients of RGB"
        )
    if height < 2:
        raise LikenessError(f"an environment picture of {height} rows shows nothing; give 2 or more")
    towards = directions(height)
    towards = towards if rotation is None else towards @ np.asarray(rotation, np.float64).T
    return np.maximum(harmonics.basis(towards) @ coefficients, 0).astype(np.float32)


def tone_mapped(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture to look at, (H, W, 3) uint8 sRGB, and the factor by which its light was scaled; what is brighter is white.

    Args:
        picture: (H, W, 3) linear RGB, not negative.
    """
    bright = float(np.percentile(picture.max(-1), BRIGHT))
    exposure = 1 / bright if bright > 0 else 1.0
    return color.encode(picture * np.float32(exposure)), exposure


def to_hdr(picture: np.ndarray) -> bytes:
    """Linear RGB (H, W, 3), not negative, as a Radiance file: shared exponent, each channel within 1/256 of the largest.

    Ward 1991, "Real pixels" (Graphics Gems II), in the run-length layout of Radiance's `color.c`, with literal runs only.

    Raises:
        LikenessError: When a number is negative or not finite, or the width cannot be told in such a file.
    """
    height, width, _ = picture.shape
    if not np.isfinite(picture).all() or (picture < 0).any():
        raise LikenessError("a picture with numbers that are negative or not finite cannot be written as .hdr")
    if not 8 <= width <= 32767:
        raise LikenessError(f"a picture of {width} columns cannot be written as .hdr; 8 to 32767 can")
    lines = [f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode()]
    for row in _shared_exponent(picture):
        lines.append(bytes([2, 2, width >> 8, width & 255]))
        for channel in row.T:
            for first in range(0, width, _LONGEST):
                part = channel[first : first + _LONGEST]
                lines.append(bytes([len(part)]) + part.tobytes())
    return b"".join(lines)


def _shared_exponent(picture: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8: mantissas of red, green and blue, and their exponent plus 128; all zero for black."""
    largest = picture.max(-1)
    mantissa, exponent = np.frexp(largest)
    there = largest > math.ldexp(1, -120)
    scale = np.where(there, mantissa * 256 / np.where(there, largest, 1), 0)
    values = np.concatenate([picture * scale[..., None], np.where(there, exponent + 128, 0)[..., None]], -1)
    return values.astype(np.uint8)
