"""Our own identity networks: a backbone whose answer points the same way for all pictures of a person.

Wang et al. 2018, "Additive margin softmax for face verification", doi 10.1109/LSP.2018.2822810.

| equation | function |
|---|---|
| 6, the loss with a margin | `losses.margin.additive_margin` |
| 5, cosines of unit vectors | `losses.margin.cosines` |

*Ours differs*: a first stage without a margin, because ten thousand people with few pictures each are not learned from scratch
with one; people are photos with renders of their own fits, and made-up people (`data.identities`), for few of the photos
that may teach weights that ship show the same person twice.
*Not in the paper*: scale 24 and margin 0.25 for small networks (the paper: 30 and 0.35), mirrored and spoiled crops, all rates.
*Number to expect*: docs/recognition.md.
*Licences*: no weights of others are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from likeness.encoders.recognition.small import IdentityNetwork
from likeness.losses.margin import additive_margin, cosines
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage

SCALE = 24.0
MARGIN = 0.25


class Identity(Recipe):
    """An identity network with a direction for each person it learns from.

    Args:
        network: Learns.
        people: How many there are to be told apart.
        steps: Of the stages "softmax", without a margin, and "margin".
        rate: Learning rate at the top of each stage's schedule.
        data: Items of each stage by its name, with `image` (S, S, 3) uint8 sRGB and `person`.
    """

    def __init__(
        self, network: IdentityNetwork, people: int, steps: tuple[int, int] = (1000, 1000), rate: float = 2e-3,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.data = network, dict(data or {})
        self.directions = nn.Parameter(torch.randn(people, network.features) * network.features**-0.5)
        names = ("backbone", "embedding", "directions")
        self.stages = (
            Stage("softmax", steps[0], {"softmax": 1.0}, dict.fromkeys(names, rate)),
            Stage("margin", steps[1], {"margin": 1.0}, dict.fromkeys(names, rate)),
        )
        self.network.to(memory_format=torch.channels_last)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        backbone = list(self.network.backbone.parameters())
        mine = {id(parameter) for parameter in backbone}
        head = [parameter for parameter in self.network.parameters() if id(parameter) not in mine]
        return {"backbone": backbone, "embedding": head, "directions": [self.directions]}

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        """`softmax` and `margin`, means over the batch: only those that the stage asks for."""
        image = batch["image"].permute(0, 3, 1, 2).float() / 255
        cosine = cosines(self.network(image), self.directions)
        margins = {"softmax": 0.0, "margin": MARGIN}
        return {
            name: additive_margin(cosine, batch["person"], margins[name], SCALE).mean() for name in stage.terms if name in margins
        }

    def dataset(self, stage: Stage) -> Any:
        return self.data[stage.name]
