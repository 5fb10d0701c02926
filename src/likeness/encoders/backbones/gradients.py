"""Histograms of gradients (Dalal and Triggs 2005) and coarse colours: a fixed map from crops to vectors, with nothing to learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from likeness.encoders.backbones.base import Backbone

CELL, BINS, TILES = 8, 9, 8
"""Pixels along a side of a cell; orientations in half a turn; tiles of colour along a side of the crop."""
CLIP = 0.2
"""Largest share of a block's gradients in one bin (Dalal and Triggs, sec. 6.4)."""
COLOUR = 1.5
"""Weight of colours beside histograms. Ours."""
FAINT = 0.05
"""Gradient that counts as none beside a block's: flat skin is not noise made large. Ours."""


class Gradients(Backbone):
    """Each cell's gradients by orientation, normalised by those of the four blocks around it; and the mean colour of tiles.

    Dalal and Triggs 2005, sec. 6; the four normalisations are added up as in Felzenszwalb et al. 2010, sec. 6.1. Orientations
    share a gradient smoothly (cosine to the fourth) where the papers interpolate between bins. Differentiable.

    Args:
        size: Side of the input in pixels, a multiple of 8.
    """

    def __init__(self, size: int = 96) -> None:
        cells = size // CELL
        super().__init__(size, cells * cells * BINS + TILES * TILES * 3, step=CELL, smallest=32)
        angles = torch.arange(BINS) * (math.pi / BINS)
        self.register_buffer("directions", torch.stack([angles.cos(), angles.sin()]), persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        bright = functional.pad(image.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = bright[:, :, 1:-1, 2:] - bright[:, :, 1:-1, :-2]
        down = bright[:, :, 2:, 1:-1] - bright[:, :, :-2, 1:-1]
        length = (across.square() + down.square() + 1e-8).sqrt()
        cosine = (across * self.directions[0, :, None, None] + down * self.directions[1, :, None, None]) / length
        cells = functional.avg_pool2d(length * cosine**4, CELL)
        energy = functional.avg_pool2d(functional.pad(cells.square().sum(1, keepdim=True), (1, 1, 1, 1)), 2, 1).mul(4)
        norms = (energy + FAINT**2).sqrt()  # of every block of 2 x 2 cells, those at the border included
        blocks = (norms[:, :, :-1, :-1], norms[:, :, :-1, 1:], norms[:, :, 1:, :-1], norms[:, :, 1:, 1:])
        histogram = sum((cells / norm).clip(max=CLIP) for norm in blocks)
        colours = functional.adaptive_avg_pool2d(image, TILES) * (COLOUR / 4)
        return torch.cat([histogram.flatten(1), colours.flatten(1)], 1)
