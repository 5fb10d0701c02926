"""Our own identity networks: a backbone whose answer points the same way for all pictures of a person.

Wang et al. 2018, "Additive margin softmax for face verification", doi 10.1109/LSP.2018.2822810; Chen et al. 2020, "A simple
framework for contrastive learning of visual representations" (SimCLR), arXiv 2002.05709; Bardes et al. 2022, "VICReg:
variance-invariance-covariance regularization for self-supervised learning", arXiv 2105.04906.

| equation | function |
|---|---|
| Wang 6, the loss with a margin | `losses.margin.additive_margin` |
| Wang 5, cosines of unit vectors | `losses.margin.cosines` |
| Chen 1, between the two pictures of an item | `losses.margin.contrast` |
| Bardes 4, numbers that do not repeat one another | `losses.distribution.correlation` |

*Ours differs*: Wang's loss stands beside a contrast within the batch, because ten thousand people with few pictures each are
hardly learned from scratch by classification; its margin comes in a second stage. People are photos with renders of their own
fits, and made-up people (`data.identities`), for few photos that may teach weights that ship show one person twice. The two
pictures of an item are of one person, not two views of one picture. Left alone, these losses were served by six directions of
skin. So codes of shape and colour are read from the embedding, too, by a matrix that is thrown away, wherever a shard knows
them: of renders, and of photos by their fits. Of VICReg only the covariance is used; batch normalisation sees to the variance.
*Not in the papers*: scale 24 and margin 0.25 for small networks (Wang: 30 and 0.35), temperature 1/14, weights 1 and 0.3 and
those in capitals below, how pictures are spoiled, all rates.
*Number to expect*: 0.99 area under the ROC curve between photos and renders of their fits, 0.81 between frames of different
videos, answers that vary in 27 directions (test split, docs/identity.md); without codes and correlation 0.98, 0.76 and 5.
*Licences*: no weights of others are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from likeness.encoders.recognition.small import IdentityNetwork
from likeness.losses.distribution import correlation
from likeness.losses.margin import additive_margin, contrast, cosines
from likeness.losses.parameter import quadratic
from likeness.recipes.base import Recipe
from likeness.types import Batch, Stage

SCALE, CONTRAST = 24.0, 14.0
"""Of cosines with people's directions, and of cosines between pictures."""
CODES, SPREAD = 3.0, 0.1
"""Weights of the codes read from the embedding, each, and of its numbers' covariance."""
MARGINS = {"softmax": 0.0, "margin": 0.25}
"""Of the terms that tell all people apart."""


class Identity(Recipe):
    """An identity network with a direction for each person it learns from.

    Args:
        network: Learns.
        people: How many there are to be told apart.
        steps: Of the stages "softmax", without a margin, and "margin".
        rate: Learning rate at the top of each stage's schedule.
        data: Items of each stage by its name, with `image` (2, S, S, 3) uint8 sRGB, `person`, and `codes` (2, C).
        grams: Name of a term -> quadratic form of codes' errors; shape (I, I) and colour (K, K), C = I + K. They are brought to
            a trace of 1.
    """

    def __init__(
        self,
        network: IdentityNetwork,
        people: int,
        steps: tuple[int, int] = (1000, 1000),
        rate: float = 2e-3,
        data: Mapping[str, Any] | None = None,
        grams: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.data = network, dict(data or {})
        self.directions = nn.Parameter(torch.randn(people, network.features) * network.features**-0.5)
        self.grams = {name: gram / gram.diagonal().sum() for name, gram in (grams or {}).items()}
        codes = sum(len(gram) for gram in self.grams.values())
        self.codes = nn.Parameter(torch.randn(network.features, codes) * 0.1 * network.features**-0.5)
        rates = dict.fromkeys(("backbone", "embedding", "directions", "codes"), rate)
        always = {"contrast": 1.0, "correlation": SPREAD} | dict.fromkeys(self.grams, CODES)
        self.stages = tuple(Stage(name, number, always | {name: 0.3}, rates) for name, number in zip(MARGINS, steps))
        self.network.to(memory_format=torch.channels_last)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        backbone = list(self.network.backbone.parameters())
        mine = {id(parameter) for parameter in backbone}
        head = [parameter for parameter in self.network.parameters() if id(parameter) not in mine]
        return {"backbone": backbone, "embedding": head, "directions": [self.directions], "codes": [self.codes]}

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        """Means over the batch: `contrast` between the two pictures of each person; `softmax` and `margin` over all people;
        `correlation` of the embedding's numbers; for each of `grams` what codes read from the embedding leave, by that form,
        where the mean face leaves 1 of people of the model."""
        image = batch["image"].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        embedding, person = self.ask(self.network, image), batch["person"]
        margins = {term: margin for term, margin in MARGINS.items() if term in stage.terms}
        found = {}
        if "contrast" in stage.terms:
            found["contrast"] = contrast(*embedding.chunk(2), person, CONTRAST).mean()
        if "correlation" in stage.terms:
            found["correlation"] = correlation(embedding)
        if margins:
            cosine, twice = cosines(embedding, self.directions), person.repeat(2)
            found |= {term: additive_margin(cosine, twice, margin, SCALE).mean() for term, margin in margins.items()}
        if stage.terms.keys() & self.grams.keys():
            known = batch["codes"].transpose(0, 1).flatten(0, 1)
            found |= {name: value for name, value in self._unread(embedding, known).items() if name in stage.terms}
        return found

    def _unread(self, embedding: torch.Tensor, true: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean error of codes (B, C) read from embeddings by each form, where they are known."""
        sizes = [len(gram) for gram in self.grams.values()]
        parts = zip(self.grams.items(), (embedding @ self.codes).split(sizes, -1), true.split(sizes, -1))
        errors = {}
        for (name, gram), guess, code in parts:
            known = code.isfinite().all(-1)
            errors[name] = quadratic(guess[known], code[known], gram.to(guess)).sum() / max(1, int(known.sum()))
        return errors

    def dataset(self, stage: Stage) -> Any:
        return self.data[stage.name]
