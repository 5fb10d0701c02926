"""The regressor: a crop in, codes and a camera out, one linear head per code."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from likeness.encoders.backbones.mobilenet import MobileNetPlaces
from likeness.encoders.camera import CropCamera
from likeness.geometry.rotation import from_sixd


class Estimate(NamedTuple):
    """What the network says about a crop.

    Attributes:
        identity: (B, 100) standard deviations.
        expression: (B, 51) in [0, 1].
        camera: Camera of the crop, batched.
    """

    identity: torch.Tensor
    expression: torch.Tensor
    camera: CropCamera


def normalized(image: torch.Tensor) -> torch.Tensor:
    """Pictures (B, S, S, 3) uint8 sRGB as network input (B, 3, S, S) in about [-2, 2], channels last in memory."""
    return (image.permute(0, 3, 1, 2).float() - 127.5) * (1 / 64)


class Regressor(nn.Module):
    """Backbone and heads. All heads begin at the mean face, at rest, seen from the front.

    Args:
        identity, expression: Lengths of the codes.
        features: Length of the backbone's answer.
    """

    def __init__(self, identity: int = 100, expression: int = 51, features: int = 512) -> None:
        super().__init__()
        self.backbone = MobileNetPlaces(features=features)
        self.heads = nn.ModuleDict({
            "identity": nn.Linear(features, identity),
            "expression": nn.Linear(features, expression),
            "rotation": nn.Linear(features, 6),
            "camera": nn.Linear(features, 4),
        })  # fmt: skip
        for head in self.heads.values():
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        nn.init.constant_(self.heads["expression"].bias, -2.5)
        self.register_buffer("upright", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)

    def forward(self, image: torch.Tensor) -> Estimate:
        """Crops (B, S, S, 3) uint8 sRGB -> estimates."""
        features = self.backbone(normalized(image))
        expression = torch.sigmoid(self.heads["expression"](features))
        rotation = from_sixd(self.heads["rotation"](features) + self.upright)
        camera = self.heads["camera"](features)
        view = CropCamera(rotation, camera[:, :2], camera[:, 2], camera[:, 3])
        return Estimate(self.heads["identity"](features), expression, view)
