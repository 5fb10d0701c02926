"""Bring a face to where a recognition network expects it, differentiable in the picture and in where the face is."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from likeness.color import srgb_from_linear
from likeness.encoders.recognition.templates import photo_from_crop

SHARP = 1.25
"""Photo pixels per sample up to which bilinear sampling skips nothing (as in `photos.crop`)."""
FINEST = 12
"""At most so many samples along a side of a crop's pixel; photos that are finer still flicker a little. Ours."""


def align(image: Tensor, points: Tensor, template: Any, size: int) -> Tensor:
    """Crops of faces for a recognition network.

    A similarity, in least squares, takes the five points to the template; every pixel of the crop is the mean, in linear
    light, of as many bilinear samples as the photo is finer than the crop. Beyond its border the photo's last pixels are
    repeated. Gradients reach the picture and the points; give detached points where the face must not gain by moving.

    Args:
        image: (B, H, W, 3) linear RGB.
        points: (B, 5, 2) pixels of the picture, in the order of landmark set "5".
        template: (5, 2) pixels of the crop.
        size: Pixels along a side of the crop.

    Returns:
        (B, 3, size, size) sRGB values in [0, 1].
    """
    batch, height, width, _ = image.shape
    motion = photo_from_crop(points, template)
    coarse = float(motion.detach()[:, :, 0].norm(dim=-1).max())
    fine = min(max(1, math.ceil(coarse / SHARP)), FINEST)
    steps = (torch.arange(size * fine, dtype=image.dtype, device=image.device) + 0.5) / fine
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    crop = torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3)
    photo = crop @ motion.to(image.dtype).mT
    grid = photo * (2 / photo.new_tensor([width, height])) - 1  # -1 and 1 are the borders, not the outer centres
    grid = grid.reshape(batch, size * fine, size * fine, 2)
    seen = functional.grid_sample(image.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return srgb_from_linear(functional.avg_pool2d(seen, fine) if fine > 1 else seen)
