"""From what a recognition network says about a face to the codes of a face model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class IdentityCodes(NamedTuple):
    """Codes of a face at rest, in standard deviations.

    Attributes:
        identity: (B, I) shape.
        albedo: (B, K) colour.
    """

    identity: Tensor
    albedo: Tensor


class FeatureDecoder(nn.Module):
    """Two layers of 1024 with ReLU and a linear one, as we know Genova et al. 2018, sec. 3.1: features (B, F) to codes.

    Features are unit vectors; they are brought to unit variance, so that the first layer begins as it is meant to. It begins
    near the mean face.

    Args:
        features: F.
        identity, albedo: Lengths of the codes.
        width: Of the two layers.
    """

    def __init__(self, features: int, identity: int, albedo: int, width: int = 1024) -> None:
        super().__init__()
        self.gain, self.sizes = features**0.5, (identity, albedo)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.last = nn.Linear(width, identity + albedo)
        for layer in (self.layers[0], self.layers[2]):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor) -> IdentityCodes:
        return IdentityCodes(*torch.split(self.last(self.layers(self.gain * features)), self.sizes, -1))
