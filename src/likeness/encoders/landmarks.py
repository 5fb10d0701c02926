"""The landmark network: a crop in, 478 points out, and for each how far it may be off."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from likeness.assets.correspondence import COUNT
from likeness.encoders.backbones.mobilenet import MobileNetPlaces
from likeness.encoders.regressor import normalized

FLOOR = 0.003
"""Smallest spread, in half crop sides (0.2 px of a crop of 128): no label is better, and its inverse is a gradient. Ours."""
FIRST = 0.06
"""Spread before anything is learned."""


class Guess(NamedTuple):
    """Where the points of B crops are.

    Attributes:
        points: (B, 478, 2) half crop sides from the crop's centre, x right, y down.
        spread: (B, 478) scale s of the density exp(-d / s) / (2 pi s^2) of the distance d to the true point, same unit.
    """

    points: torch.Tensor
    spread: torch.Tensor


class LandmarkNetwork(nn.Module):
    """Backbone and one linear layer to 478 times (x, y, logarithm of the spread), after Wood et al. 2022, sec. 3.2
    ("3D face reconstruction with dense landmarks").

    Args:
        features: Length of the backbone's answer.
    """

    def __init__(self, features: int = 512) -> None:
        super().__init__()
        self.backbone = MobileNetPlaces(features=features)
        self.head = nn.Linear(features, 3 * COUNT)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[2 * COUNT :], torch.tensor(FIRST).log().item())

    def forward(self, image: torch.Tensor) -> Guess:
        """Crops (B, S, S, 3) uint8 sRGB -> guesses."""
        answer = self.head(self.backbone(normalized(image)))
        points = answer[:, : 2 * COUNT].unflatten(-1, (COUNT, 2))
        return Guess(points, FLOOR + answer[:, 2 * COUNT :].clamp(-9.0, 1.0).exp())
