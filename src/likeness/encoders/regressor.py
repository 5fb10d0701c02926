"""The regressor: a crop in, codes and a camera out, one linear head per code."""

from __future__ import annotations

import torch


def normalized(image: torch.Tensor) -> torch.Tensor:
    """Pictures (B, S, S, 3) uint8 sRGB as network input (B, 3, S, S) in about [-2, 2], channels last in memory."""
    return (image.permute(0, 3, 1, 2).float() - 127.5) * (1 / 64)
