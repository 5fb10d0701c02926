"""Alignment of corresponding points (Procrustes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.arrays import namespace


@dataclass(frozen=True)
class Similarity:
    """`target = scale * rotation @ source + translation`, batched: (..., 3, 3), (..., 3), (...)."""

    rotation: Any
    translation: Any
    scale: Any

    def apply(self, points: Any) -> Any:
        """Move points (..., n, 3)."""
        turned = points @ self.rotation.swapaxes(-1, -2)
        return self.scale[..., None, None] * turned + self.translation[..., None, :]

    def after(self, first: Similarity) -> Similarity:
        """The one motion that does `first` and then this one."""
        turned = (self.rotation @ first.translation[..., None])[..., 0]
        return Similarity(
            self.rotation @ first.rotation, self.scale[..., None] * turned + self.translation, self.scale * first.scale
        )

    def inverse(self) -> Similarity:
        """The motion back."""
        back, size = self.rotation.swapaxes(-1, -2), 1 / self.scale
        return Similarity(back, -size[..., None] * (back @ self.translation[..., None])[..., 0], size)


def still(dimensions: int = 3) -> Similarity:
    """The motion that moves nothing, float64 numpy arrays."""
    return Similarity(np.eye(dimensions), np.zeros(dimensions), np.float64(1))


def similarity(source: Any, target: Any, weights: Any | None = None, scale: bool = True) -> Similarity:
    """The least-squares motion from source to target points, without reflection.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", eq. 40-42.

    Args:
        source: (..., n, 3), n >= 3 and not all on one line.
        target: (..., n, 3), any unit.
        weights: (..., n) non-negative, or None for equal ones.
        scale: Whether the size is free; 1 otherwise.
    """
    xp = namespace(source)
    weights = xp.ones_like(source[..., 0]) if weights is None else weights
    weights = (weights / weights.sum(-1)[..., None])[..., None]
    source_mean, target_mean = (weights * source).sum(-2), (weights * target).sum(-2)
    source_centred = source - source_mean[..., None, :]
    target_centred = target - target_mean[..., None, :]
    covariance = (weights * target_centred).swapaxes(-1, -2) @ source_centred
    u, s, vh = xp.linalg.svd(covariance)
    sign = xp.sign(xp.linalg.det(u) * xp.linalg.det(vh))
    flip = xp.stack([xp.ones_like(sign), xp.ones_like(sign), sign], -1)
    rotation = (u * flip[..., None, :]) @ vh
    variance = (weights * source_centred**2).sum(-1).sum(-1)
    size = (s * flip).sum(-1) / variance if scale else xp.ones_like(variance)
    translation = target_mean - size[..., None] * (rotation @ source_mean[..., None])[..., 0]
    return Similarity(rotation, translation, size)
