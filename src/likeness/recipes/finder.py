"""The face finder's training: focal loss on centres, and geometry near them (Zhou et al. 2019, "Objects as Points")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from likeness.data.portraits import SETS, Draw, portraits
from likeness.data.scenes import Mix, Scenes
from likeness.encoders.finder import FinderNetwork
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage

TERMS = {"score": 1.0, "center": 0.5, "side": 1.0, "roll": 0.5}
"""Weights of the terms: ours, so that each begins at a similar size."""
TILT_TERMS = TERMS | {"roll": 4.0}
"""Weights of the later stages. With the others' weight the roll is not learned at all: most heads are upright, and the
network answers zero; it needs more weight and more tilted heads (measured: 0.25 for a constant, 0.22 after 5,500 steps,
0.11 after the later stages)."""

MIXES = {
    "small": Mix(224),
    "tilted": Mix(256, tilted=0.7),
    "cluttered": Mix(288, tilted=0.6, tight=0.2, clutter=0.4, seen=0.45),
    "wary": Mix(
        288, tilted=0.6, tight=0.15, clutter=0.3, seen=0.45, steepest=math.radians(60), empty=0.3, decoys=8, odd=0.25
    ),
}
"""Scenes of each stage: smaller than the size of use, because that is quicker and a fully convolutional network does
not mind; a face may fill them and more. The last stage is about what is no face, and about heads tilted beyond 45 degrees:
before it, 2.6 % of faceless validation pictures raised an alarm."""


class FinderRecipe(Recipe):
    """Train the finder on composed scenes: mostly upright heads, tilted ones, the hard cases, and what is no face."""

    def __init__(
        self,
        photos: Path | None,
        seed: int = 0,
        small_steps: int = 5500,
        steps: int = 1400,
        batch: int = 16,
        rate: float = 3e-3,
        long_steps: int = 1100,
        wary_steps: int = 3000,
        sets: tuple[str, ...] = tuple(SETS),
    ) -> None:
        """
        Args:
            photos: Folder of the photo sets; None for a network that is only to be loaded and used.
            small_steps, steps, long_steps, wary_steps: Steps of the four stages; 0 leaves one out.
            batch: The loop's batch size, from which follows how many scenes there are: none is seen twice in a stage.
            rate: Learning rate of the first stage; the others have two thirds of it.
            sets: Which photo sets to learn from.
        """
        super().__init__()
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.network = FinderNetwork()
        torch.random.set_rng_state(generator_state)
        slower = {"network": rate * 2 / 3}
        stages = (
            Stage("small", small_steps, TERMS, {"network": rate}),
            Stage("tilted", steps, TILT_TERMS, slower),
            Stage("cluttered", long_steps, TILT_TERMS, slower),
            Stage("wary", wary_steps, TILT_TERMS, slower),
        )
        self.stages = tuple(stage for stage in stages if stage.steps)
        self.seed, self.batch = seed, batch
        self.draw = Draw(portraits(photos, "train", sets), [SETS[name] for name in sets]) if photos else None

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"network": list(self.network.parameters())}

    def dataset(self, stage: Stage) -> Scenes:
        place = list(MIXES).index(stage.name)
        return Scenes(self.draw, self.seed * 10 + place, stage.steps * self.batch, MIXES[stage.name])

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        score, geometry = self.ask(self.network, batch["image"])
        return finder_losses(score[:, 0], geometry, batch)


def finder_losses(logits: torch.Tensor, geometry: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    """The four terms, each per face.

    `score` is the penalty-reduced focal loss (Zhou et al. 2019, eq. 1, alpha 2, beta 4). Geometry terms are absolute
    differences, weighted by nearness to the centre; that of the centre is divided by the root of the face's size, so
    that neither large nor small faces rule.

    Args:
        logits: (B, h, w).
        geometry: (B, 5, h, w).
        batch: Maps as `data.scenes.Scenes` gives them.
    """
    truth, valid = batch["score"], batch["valid"]
    log_p, log_q = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
    p = logits.sigmoid()
    # A centre's own cell holds exactly 1; rounding in the Gaussian must not turn it into a background cell.
    center = (truth > 0.9999).float()
    here = -center * (1 - p).square() * log_p
    away = -(1 - center) * (1 - truth) ** 4 * p.square() * log_q
    faces = (center * valid).sum().clamp(min=1.0)
    score = ((here + away) * valid).sum() / faces

    weight = batch["weight"] * valid
    total = weight.sum().clamp(min=1.0)
    error = (geometry - batch["geometry"]).abs()
    spread = torch.exp(-0.5 * batch["geometry"][:, 2])
    return {
        "score": score,
        "center": (error[:, :2].sum(1) * spread * weight).sum() / total,
        "side": (error[:, 2] * weight).sum() / total,
        "roll": (error[:, 3:].sum(1) * weight).sum() / total,
    }
