"""A recipe that learns a line, for tests of the training loop; run as a program it trains, so that it can be killed."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from likeness.losses.distribution import standard_normal_moments
from likeness.recipes.base import Recipe
from likeness.train import checkpoint
from likeness.train.settings import Settings
from likeness.types import Stage


class Points:
    """y = 2 x + 1 with noise; item i depends on i alone."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        x = torch.randn(3, generator=torch.Generator().manual_seed(i))
        return {"x": x, "y": 2 * x + 1}


class Line(Recipe):
    """A small network with batch norm and dropout (state and randomness that must survive resumption), two stages.

    Args:
        poison: The call of the losses whose error is not a number, in process `sick` or in all.
        moments: Whether a third term ties the answers of all processes together.
    """

    def __init__(
        self, terms=("error",), rates=("body", "head"), poison=-1, coupled=True, sick=None, moments=False
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 8), *([nn.BatchNorm1d(8), nn.Dropout(0.2)] if coupled else [nn.Tanh()]))
        self.head = nn.Linear(8, 3)
        healthy = sick is not None and os.environ.get("RANK", "0") != str(sick)
        self.poison, self.calls, self.moments = -1 if healthy else poison, 0, moments
        more = {"moments": 0.1} if moments else {}
        self.stages = (
            Stage("first", 7, {"error": 1.0} | more, {"head": 1e-2}),
            Stage("second", 9, {term: 1.0 for term in terms} | more, {group: 1e-2 for group in rates}),
        )

    def groups(self):
        return {"body": list(self.body.parameters()), "head": list(self.head.parameters())}

    def losses(self, batch, stage):
        answer = self.ask(lambda x: self.head(self.body(x)), batch["x"])
        self.calls += self.training
        error = (answer - batch["y"]).square().mean() * (
            math.nan if self.training and self.calls == self.poison else 1.0
        )
        return {"error": error} | ({"moments": standard_normal_moments(answer)} if self.moments else {})

    def dataset(self, stage):
        return Points()

    def pictures(self, batch):
        """Grey squares as bright as the first coordinate of each answer."""
        found = self.head(self.body(batch["x"]))[:, 0].sigmoid()
        return found[:, None, None, None].expand(-1, 4, 6, 3)


def settings(**changes) -> Settings:
    usual = {"batch": 8, "workers": 0, "average": 0.9, "log_every": 2, "save_every": 3, "warmup": 2}
    return Settings(**(usual | changes))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def weights(path):
    return {k: v for k, v in checkpoint.load(path)[0].items() if k.startswith(("weights.", "average."))}


def program() -> None:
    """`line.py FOLDER SETTINGS RECIPE`: settings and the recipe's arguments as JSON; prints every checkpoint's step."""
    from likeness.train.loop import train

    folder, changes, arguments = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    written = checkpoint.save

    def told(path, tensors, state):
        written(path, tensors, state)
        print(state["step"], flush=True)

    checkpoint.save = told
    train(Line(**arguments), folder, settings(**changes), console=quiet())


if __name__ == "__main__":
    program()
