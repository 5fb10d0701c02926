"""The transfer curve between stored pictures (sRGB) and the linear light in which everything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from likeness.arrays import namespace

LUMINANCE = np.float32([0.2126, 0.7152, 0.0722])
"""Brightness of linear RGB (IEC 61966-2-1): `image @ LUMINANCE`."""
_BLOCK = 1 << 18
_TABLE = np.arange(256, dtype=np.float64) / 255


def linear_from_srgb(image: Any) -> Any:
    """sRGB values in [0, 1] to linear RGB in [0, 1] (IEC 61966-2-1). Numpy arrays and torch tensors, any shape."""
    xp = namespace(image)
    return xp.where(image <= 0.04045, image / 12.92, ((xp.clip(image, 0.0, None) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(image: Any) -> Any:
    """Linear RGB in [0, 1] to sRGB in [0, 1], the inverse of `linear_from_srgb`; values outside are clipped."""
    xp = namespace(image)
    image = xp.clip(image, 0.0, 1.0)
    return xp.where(image <= 0.0031308, image * 12.92, 1.055 * xp.clip(image, 1e-8, None) ** (1 / 2.4) - 0.055)


def decode(image: np.ndarray) -> np.ndarray:
    """A stored picture, uint8 sRGB of any shape, as linear RGB float32 in [0, 1]."""
    table, image = linear_from_srgb(_TABLE).astype(np.float32), np.asarray(image)
    result = np.empty(image.shape, np.float32)
    for values, stored in _blocks(result, image):
        values[:] = table[stored]
    return result


def encode(image: np.ndarray) -> np.ndarray:
    """Linear RGB in [0, 1] as a picture to store, uint8 sRGB, rounded to nearest."""
    image = np.asarray(image, np.float32)
    result = np.empty(image.shape, np.uint8)
    for stored, values in _blocks(result, image):
        stored[:] = np.rint(srgb_from_linear(values) * 255)
    return result


def _blocks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Parts of arrays of one shape, the first of them writable: what is computed on the way takes little memory then."""
    flat = [array.reshape(-1) for array in arrays]
    return (tuple(array[start : start + _BLOCK] for array in flat) for start in range(0, flat[0].size, _BLOCK))
