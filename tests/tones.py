"""A recipe that learns from packed photos, for tests; run as a program it trains, and tells which shards it opened."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from likeness.assets import builtin
from likeness.cli.pack import files
from likeness.data.packed import PackedCrops
from likeness.recipes.base import Recipe
from likeness.train.processes import shares
from likeness.train.settings import Settings
from likeness.types import Stage


def places():
    """(478, 3) mm, the dense landmarks on the mean head."""
    model = builtin.load()
    return model.topology().landmarks["dense"].points(model.mean)


class Tones(Recipe):
    """From a crop's tones to where its landmarks are."""

    def __init__(self, data) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.data, self.line = data, nn.Linear(48, 132)
        self.stages = (Stage("one", 4, {"error": 1.0}, {"line": 1e-2}), Stage("two", 5, {"error": 1.0}, {"line": 3e-3}))

    def groups(self):
        return {"line": list(self.line.parameters())}

    def losses(self, batch, stage):
        tones = nn.functional.adaptive_avg_pool2d(batch["image"].permute(0, 3, 1, 2) / 255, 4)
        error = self.line(tones.flatten(1)).view(-1, 66, 2) - batch["points"] / 128
        return {"error": (batch["confidence"][..., None] * error.square()).mean()}

    def dataset(self, stage):
        return self.data


def settings(**changes) -> Settings:
    return Settings(**({"batch": 4, "workers": 0, "warmup": 1, "log_every": 1, "save_every": 100} | changes))


def run(shards, folder, limit=None, **changes):
    """Train on shards as a command does; -> the checkpoint."""
    from likeness.train.loop import train

    made = settings(**changes)
    data = PackedCrops(files([str(shards)]), made.seed, 20, places(), *shares(made.accumulate))
    return train(Tones(data), Path(folder), made, limit, console=Console(file=io.StringIO()))


if __name__ == "__main__":
    opened: set[str] = set()
    sys.addaudithook(
        lambda event, given: event == "open" and str(given[0]).endswith(".tar") and opened.add(Path(given[0]).name)
    )
    run(sys.argv[1], sys.argv[2])
    print(json.dumps(sorted(opened)))
