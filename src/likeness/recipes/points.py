"""First lesson of the regressor's backbone: where the dense landmarks are in a crop. Needs no face model at all.

Ours, because the landmarks lie beside the photos from the start, while targets in codes must first be fitted; and because
a network that knows where things are learns codes in a fraction of the time. The head is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from likeness.assets.correspondence import EYE_LEFT, EYE_RIGHT, LIPS
from likeness.data.augment import CROP_SIZE
from likeness.encoders.backbones import MobileNetV3Small
from likeness.encoders.regressor import normalized
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage


class Points(Recipe):
    """Backbone and one linear layer to 478 points.

    Args:
        data: Data set of items with image and points (see `data.crops`).
        steps: Steps of the only stage.
        rate: Learning rate at the top of the schedule.
    """

    def __init__(self, data: Any = None, steps: int = 1000, rate: float = 2e-3) -> None:
        super().__init__()
        self.data = data
        self.stages = (Stage("points", steps, {"points": 1.0}, {"network": rate}),)
        self.backbone = MobileNetV3Small()
        self.head = nn.Linear(self.backbone.features, 2 * 478)
        weight = torch.ones(478)
        weight[list(LIPS + EYE_LEFT + EYE_RIGHT)] = 2.0
        self.register_buffer("weight", weight / weight.mean(), persistent=False)
        self.to(memory_format=torch.channels_last)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"network": list(self.parameters())}

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        """Mean weighted distance in hundredths of the crop's half side."""
        found = self.head(self.backbone(normalized(batch["image"]))).unflatten(-1, (478, 2))
        true = batch["points"] / (CROP_SIZE / 2) - 1
        return {"points": 100 * (((found - true) ** 2).sum(-1) + 1e-6).sqrt().mul(self.weight).mean()}

    def dataset(self, stage: Stage) -> Any:
        return self.data
