"""What is known of skin unseen: neighbours of one chromaticity have one reflectance, and skin is the same all over."""

from __future__ import annotations

import torch
from torch import Tensor

ALPHA, POWER = 50.0, 0.9
"""How soon neighbours that look different cease to count, and the power of differences (Tewari et al. 2018, sec. 6.2)."""
BRIGHTNESS = 0.02
"""Linear RGB that is added to the sum by which colours are divided: the chromaticity of black is noise. Ours."""
FLAT = 1e-6
"""Squared differences much smaller than this count squared, which keeps the gradient finite at zero. Ours."""


def chromaticity(color: Tensor) -> Tensor:
    """Linear RGB (..., 3) over its sum: the same in light and in shade."""
    return color / (color.clamp(min=0).sum(-1, keepdim=True) + BRIGHTNESS)


def alikeness(first: Tensor, second: Tensor) -> Tensor:
    """Weights (...) in (0, 1] of pairs of places by the photo's linear RGB (..., 3) there; a constant, without gradient.

    Tewari et al. 2018, below eq. 13. The formula has colours, its text chromaticities; the text is followed.
    """
    with torch.no_grad():
        return (-ALPHA * (chromaticity(first) - chromaticity(second)).square().sum(-1).sqrt()).exp()


def sparsity(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean () over pairs of the difference of their reflectances to the power 0.9.

    Tewari et al. 2018, eq. 13: times the mean number of neighbours it is that sum over vertices and neighbours, over N.

    Args:
        first, second: (..., E, 3) reflectance at the ends of edges.
        weight: (..., E) `alikeness` of the photo there.
    """
    square = (first - second).square().sum(-1)
    return (weight * ((square + FLAT) ** (POWER / 2) - FLAT ** (POWER / 2))).mean()


def constancy(reflectance: Tensor, others: Tensor) -> Tensor:
    """Squared difference to some other places, summed over those and averaged over the first, ().

    Tewari et al. 2018, eq. 14, where the others are six random places of the skin.

    Args:
        reflectance: (..., M, 3) at skin.
        others: (..., M, 6, 3) at the places each is compared with.
    """
    return (reflectance[..., None, :] - others).square().sum(-1).sum(-1).mean()
