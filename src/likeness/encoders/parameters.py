"""From a crop to all that an image formation wants: codes of a face, a camera, light, and codes of correctives."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likeness.encoders import pretrained
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.camera import CropCamera
from likeness.encoders.regressor import normalized
from likeness.geometry.harmonics import CONSTANTS
from likeness.geometry.rotation import from_sixd

FAINT = -2.5
"""Bias of expression weights before their sigmoid: a face begins at rest. As the regressor's."""


THUMBS = {"albedo": 8, "light": 8, "reflectance": 16}
"""Heads that see a thumbnail too, and its side."""


class Parameters(NamedTuple):
    """What the network says about a crop; Tewari et al. 2018, sec. 5, x without what is learned once for all.

    Attributes:
        identity: (B, I) standard deviations.
        expression: (B, E), in [0, 1] where the face model has weights, in standard deviations where it has those.
        albedo: (B, K) standard deviations.
        camera: Camera of the crop, batched.
        light: (B, 9, 3) `types.Light.harmonics`.
        geometry, reflectance: (B, C) codes of correctives.
    """

    identity: Tensor
    expression: Tensor
    albedo: Tensor
    camera: CropCamera
    light: Tensor
    geometry: Tensor
    reflectance: Tensor


class ParameterNetwork(nn.Module):
    """A backbone and one linear head a quantity.

    It begins at the mean face, at rest, from the front, in even white light, and without corrections. Names are those of
    `encoders.regressor.Regressor`, whose weights fit where the sizes do.

    Ours: what has colour (`THUMBS`) also sees a thumbnail of the crop, 8 x 8 or 16 x 16 means, because a backbone that was
    trained on landmarks has learned to overlook colour.

    Args:
        backbone: Any of `encoders.backbones`.
        sizes: Length of "identity", "expression", "albedo", "geometry" and "reflectance".
        weights: Whether expressions are weights in [0, 1].
    """

    def __init__(self, backbone: Backbone, sizes: dict[str, int], weights: bool = True) -> None:
        super().__init__()
        self.backbone, self.weights = backbone, weights
        sizes = sizes | {"rotation": 6, "camera": 4, "light": 27}
        inputs = {name: backbone.features + 3 * THUMBS.get(name, 0) ** 2 for name in sizes}
        self.heads = nn.ModuleDict({name: nn.Linear(inputs[name], size) for name, size in sizes.items()})
        for name, head in self.heads.items():
            nn.init.normal_(head.weight, std=0.0 if name in ("geometry", "reflectance") else 0.01)
            nn.init.zeros_(head.bias)
        if weights:
            nn.init.constant_(self.heads["expression"].bias, FAINT)
        even = torch.zeros(9, 3)
        even[0] = 1 / CONSTANTS[0]
        self.register_buffer("even", even, persistent=False)
        self.register_buffer("upright", torch.tensor([1.0, 0, 0, 0, 1, 0]), persistent=False)

    def forward(self, image: Tensor) -> Parameters:
        """Crops (B, S, S, 3) uint8 sRGB -> parameters."""
        pixels = normalized(image)
        features = self.backbone(pixels)
        sides = sorted(set(THUMBS.values()))
        thumbs = {side: nn.functional.avg_pool2d(pixels, pixels.shape[-1] // side).flatten(1) for side in sides}
        found = {
            name: head(torch.cat([features, thumbs[THUMBS[name]]], 1) if name in THUMBS else features)
            for name, head in self.heads.items()
        }
        expression = torch.sigmoid(found["expression"]) if self.weights else found["expression"]
        camera = found["camera"]
        view = CropCamera(from_sixd(found["rotation"] + self.upright), camera[:, :2], camera[:, 2], camera[:, 3])
        light = self.even + found["light"].unflatten(1, (9, 3))
        return Parameters(
            found["identity"], expression, found["albedo"], view, light, found["geometry"], found["reflectance"]
        )

    def fill_backbone(self, path: Path) -> pretrained.Loaded:
        """Begin with published weights; see `encoders.pretrained.fill`."""
        ends = normalized(torch.tensor([0, 255]).reshape(2, 1, 1, 1))
        return pretrained.fill(self.backbone, path, *ends.flatten().tolist())
