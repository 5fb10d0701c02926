"""The landmark network: where 478 points are in a crop, and how sure that is. Also the first lesson of the regressor.

Wood et al. 2022, "3D face reconstruction with dense landmarks", sec. 3.2: points and one spread each, trained by likelihood.
Ours differs: exp(-d / s) in place of a normal density, because automatic landmarks of photos have outliers; beside it the
plain distance, because a likelihood alone learns little from what it calls uncertain; and the openings of lids and lips.
Renders know where hidden points are, photos have a detector's guess. Weights of the terms are ours.

For the regressor the landmarks are a first lesson, because they lie beside the photos from the start, while targets in
codes must first be fitted; and because a network that knows where things are learns codes in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from likeness.assets.correspondence import COUNT, EYE_LEFT, EYE_RIGHT
from likeness.assets.correspondence import LIPS as LIP_POINTS
from likeness.data.augment import CROP_SIZE
from likeness.encoders.landmarks import LandmarkNetwork
from likeness.losses.landmark import LIDS, LIPS, isotropic_likelihood, opening_error
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage

TERMS = {"points": 1.0, "likelihood": 1.0, "openings": 0.5}
"""Weights of the terms of `Points.losses`."""
PERCENT = 100.0
"""Picture distances are in hundredths of half a crop side."""


class Points(Recipe):
    """The landmark network.

    Args:
        data: Data set of items with image and points (see `data.crops`).
        steps: Steps of the only stage.
        rate: Learning rate at the top of the schedule.
    """

    def __init__(self, data: Any = None, steps: int = 1000, rate: float = 2e-3) -> None:
        super().__init__()
        self.data = data
        self.stages = (Stage("points", steps, TERMS, {"network": rate}),)
        self.network = LandmarkNetwork()
        weight = torch.ones(COUNT)
        weight[list(LIP_POINTS + EYE_LEFT + EYE_RIGHT)] = 2.0
        self.register_buffer("weight", weight / weight.mean(), persistent=False)
        self.to(memory_format=torch.channels_last)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"network": list(self.parameters())}

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        """Mean weighted distance; mean weighted negative log likelihood; what lids and lips are more or less open."""
        guess = self.ask(self.network, batch["image"])
        true = batch["points"] / (CROP_SIZE / 2) - 1
        distance = ((guess.points - true).square().sum(-1) + 1e-6).sqrt()
        openings = opening_error(guess.points, true, LIDS).mean() + opening_error(guess.points, true, LIPS).mean()
        return {
            "points": PERCENT * (distance * self.weight).mean(),
            "likelihood": (isotropic_likelihood(distance, guess.spread) * self.weight).mean(),
            "openings": PERCENT * openings,
        }

    def dataset(self, stage: Stage) -> Any:
        return self.data
