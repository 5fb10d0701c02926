"""How the shipped regressor is trained: renders with known codes, and photos with landmarks and fitted codes.

The landmarks of photos act directly, through the face model's projection, as well as through the fitted codes: where the two
disagree the picture wins. Everything here is ours; the numbers were chosen on validation photos and renders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.correspondence import EYE_LEFT, EYE_RIGHT, OUTLINE
from likeness.assets.correspondence import LIPS as LIP_POINTS
from likeness.data.augment import CROP_SIZE
from likeness.encoders import camera
from likeness.encoders.regressor import Estimate, Regressor
from likeness.geometry.cameras import project
from likeness.losses.landmark import LIDS, LIPS, opening_error, sliding_distance
from likeness.losses.parameter import excess, quadratic, rotation_distance
from likeness.models.points import PointModel
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage

TERMS = {
    "points": 1.0, "openings": 1.5, "identity": 18.0, "photo_identity": 12.0, "expression": 2.0, "codes": 2.0,
    "rotation": 3.0, "camera": 5.0, "bounds": 20.0, "prior": 0.1,
}  # fmt: skip
"""Weights of the terms of `Default.losses`, so that each matters about equally at the end."""
PERCENT = 100.0
"""Picture distances are in hundredths of half a crop side."""
HIDDEN = 0.3
"""What a photo's landmark counts where the head hides it: there the detector guesses."""

BLINK = 8.0
"""How often the weight of a blink counts among the expressions: it moves few vertices, and everybody sees it."""


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the batch, zero where nothing counts."""
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


class Default(Recipe):
    """Regressor of codes and camera.

    Args:
        points: Model of the 478 dense landmarks.
        normals: (478, 3) unit outward normals of the mean face at the landmarks.
        shape: (100, 100) quadratic form of the neutral shape error (`models.points.shape_gram`), mm^2.
        motion: (51, 51) the same of the expressions, mm^2.
        stages: Stages of training.
        data: Data set of each stage by its name (see `data.crops`).
    """

    def __init__(
        self,
        points: PointModel,
        normals: torch.Tensor,
        shape: torch.Tensor,
        motion: torch.Tensor,
        stages: tuple[Stage, ...] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = Regressor(points.identity.shape[0], points.expression.shape[0])
        self.points, self.stages, self.data = points, stages, dict(data or {})
        self.register_buffer("normals", normals, persistent=False)
        self.register_buffer("shape", shape, persistent=False)
        self.register_buffer("motion", motion, persistent=False)
        weight = torch.ones(len(normals))
        weight[list(LIP_POINTS + EYE_LEFT + EYE_RIGHT)] = 2.0
        self.register_buffer("weight", weight / weight.mean(), persistent=False)
        emphasis = torch.ones(len(EXPRESSIONS))
        emphasis[[EXPRESSIONS.index("eyeBlinkLeft"), EXPRESSIONS.index("eyeBlinkRight")]] = BLINK
        self.register_buffer("emphasis", emphasis, persistent=False)
        self.close, self.open = EXPRESSIONS.index("mouthClose"), EXPRESSIONS.index("jawOpen")
        self.network.to(memory_format=torch.channels_last)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"backbone": list(self.network.backbone.parameters()), "heads": list(self.network.heads.parameters())}

    def dataset(self, stage: Stage) -> Any:
        return self.data[stage.name]

    def landmarks(self, estimate: Estimate) -> torch.Tensor:
        """The dense landmarks (B, 478, 2) of estimates, in half crop sides from the crop's centre."""
        view = camera.to_view(estimate.camera, CROP_SIZE)
        return project(self.points(estimate.identity, estimate.expression), view) / (CROP_SIZE / 2) - 1

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        estimate = self.ask(self.network, batch["image"])
        return self._picture(estimate, batch) | self._codes(estimate, batch)

    def _picture(self, estimate: Estimate, batch: Batch) -> dict[str, torch.Tensor]:
        """What can be seen: landmarks, and the openings of eyes and mouth."""
        true = batch["points"] / (CROP_SIZE / 2) - 1
        found, rendered = self.landmarks(estimate), batch["rendered"][:, None]
        exact = ((found - true).square().sum(-1) + 1e-6).sqrt()
        distance = rendered * exact + (1 - rendered) * sliding_distance(found, true, OUTLINE)
        facing = (self.normals @ estimate.camera.rotation.detach()[:, 2, :, None])[..., 0]
        seen = HIDDEN + (1 - HIDDEN) * torch.sigmoid((facing - 0.1) / 0.07)
        seen = rendered + (1 - rendered) * seen
        openings = opening_error(found, true, LIDS).mean() + opening_error(found, true, LIPS).mean()
        return {"points": PERCENT * (distance * seen * self.weight).mean(), "openings": PERCENT * openings}

    def _codes(self, estimate: Estimate, batch: Batch) -> dict[str, torch.Tensor]:
        """What is known: codes and camera. Identity errors are shares of the variance between people."""
        known, rendered = batch["known"], batch["rendered"]
        shape = quadratic(estimate.identity, batch["identity"], self.shape) / self.shape.diagonal().sum()
        motion = quadratic(estimate.expression, batch["expression"], self.motion)
        off = ((estimate.expression - batch["expression"]).abs() * self.emphasis).mean(-1)
        true = camera.CropCamera(batch["rotation"], batch["offset"], batch["size"], batch["distance"])
        found = estimate.camera
        view = (found.offset - true.offset).abs().mean(-1) + (found.size - true.size).abs()
        view = view + 0.3 * (found.distance - true.distance).abs()
        weights = estimate.expression
        return {
            "identity": _mean(shape, known * rendered),
            "photo_identity": _mean(shape, known * (1 - rendered)),
            "expression": _mean((motion + 1e-4).sqrt(), known),
            "codes": PERCENT * _mean(off, known) * 0.1,
            "rotation": _mean(rotation_distance(found.rotation, true.rotation), known),
            "camera": _mean(view, known),
            "bounds": excess(weights[:, self.close], weights[:, self.open]).mean(),
            "prior": estimate.identity.square().mean() + found.distance.square().mean(),
        }
