"""The training loop: exact resumption, refused misspellings, stopping at infinity."""

from __future__ import annotations

import csv
import io
import math

import pytest
import torch
from rich.console import Console
from torch import nn

from likeness.errors import AssetError
from likeness.recipes.base import Recipe
from likeness.train import checkpoint
from likeness.train.loop import Order, Settings, TrainingError, rate_factor, train
from likeness.types import Stage


class Points:
    """y = 2 x + 1 with noise; item i depends on i alone."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        x = torch.randn(3, generator=torch.Generator().manual_seed(i))
        return {"x": x, "y": 2 * x + 1}


class Line(Recipe):
    """A small network with batch norm and dropout (state and randomness that must survive resumption), two stages."""

    def __init__(self, terms=("error",), rates=("body", "head"), poison=-1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 3)
        self.poison, self.calls = poison, 0
        self.stages = (
            Stage("first", 7, {"error": 1.0}, {"head": 1e-2}),
            Stage("second", 9, {term: 1.0 for term in terms}, {group: 1e-2 for group in rates}),
        )

    def groups(self):
        return {"body": list(self.body.parameters()), "head": list(self.head.parameters())}

    def losses(self, batch, stage):
        error = (self.head(self.body(batch["x"])) - batch["y"]).square().mean()
        self.calls += self.training
        return {"error": error * (math.nan if self.training and self.calls == self.poison else 1.0)}

    def dataset(self, stage):
        return Points()


def _settings(**changes) -> Settings:
    usual = {"batch": 8, "workers": 0, "average": 0.9, "log_every": 2, "save_every": 3, "warmup": 2}
    return Settings(**(usual | changes))


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _weights(path):
    return {k: v for k, v in checkpoint.load(path)[0].items() if k.startswith(("weights.", "average."))}


@pytest.mark.parametrize("sittings", [(3,), (5, 2, 4), (7,)])
def test_resumed_run_equals_uninterrupted_run(tmp_path, sittings):
    whole = train(Line(), tmp_path / "whole", _settings(), console=_quiet())
    for limit in (*sittings, None):
        parts = train(Line(), tmp_path / "parts", _settings(), limit=limit, console=_quiet())
    a, b = _weights(whole), _weights(parts)
    assert a.keys() == b.keys() and any(k.startswith("average.") for k in a)
    assert all(torch.equal(a[k], b[k]) for k in a)
    rows = [list(csv.DictReader((tmp_path / run / "log.csv").open())) for run in ("whole", "parts")]
    assert rows[0][-1]["step"] == rows[1][-1]["step"] == "16"


def test_run_killed_after_checkpoint_repeats_the_lost_steps(tmp_path):
    whole = train(Line(), tmp_path / "whole", _settings(), console=_quiet())
    with pytest.raises(TrainingError):
        train(Line(poison=6), tmp_path / "parts", _settings(), console=_quiet())
    assert checkpoint.load(tmp_path / "parts" / "checkpoint.safetensors")[1]["step"] == 3
    parts = train(Line(), tmp_path / "parts", _settings(), console=_quiet())
    a, b = _weights(whole), _weights(parts)
    assert all(torch.equal(a[k], b[k]) for k in a)
    steps = [int(row["step"]) for row in csv.DictReader((tmp_path / "parts" / "log.csv").open())]
    assert steps == sorted(set(steps))


def test_compiled_losses_are_those_that_are_used(tmp_path, monkeypatch):
    """A run may be resumed with or without the compiler; where it is wanted, its losses train the network."""
    asked = []

    def compiler(losses):
        asked.append(losses)
        return lambda batch, stage: {name: 2 * value for name, value in losses(batch, stage).items()}

    monkeypatch.setattr(torch, "compile", compiler)
    train(Line(), tmp_path / "both", _settings(), limit=4, console=_quiet())
    assert not asked
    train(Line(), tmp_path / "both", _settings(compile=True), console=_quiet())
    train(Line(), tmp_path / "plain", _settings(), console=_quiet())
    assert len(asked) == 1
    rows = [list(csv.DictReader((tmp_path / run / "log.csv").open())) for run in ("plain", "both")]
    assert float(rows[1][2]["loss"]) > 1.5 * float(rows[0][2]["loss"]) and rows[0][1] | {"samples_per_second": ""} == (
        rows[1][1] | {"samples_per_second": ""})


def test_frozen_group_stays(tmp_path):
    recipe = Line()
    before = recipe.body[0].weight.detach().clone()
    train(recipe, tmp_path, _settings(), limit=7, console=_quiet())
    assert torch.equal(recipe.body[0].weight, before)
    train(recipe, tmp_path, _settings(), console=_quiet())
    assert not torch.equal(recipe.body[0].weight, before)


def test_misspelled_term_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(TrainingError, match="second.*eror"):
        train(Line(terms=("eror",)), tmp_path, _settings(), console=_quiet())
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_term_that_is_not_computed_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="different names"):
        train(Line(terms=("error", "smoothness")), tmp_path, _settings(), console=_quiet())


def test_misspelled_group_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="haed"):
        train(Line(rates=("haed",)), tmp_path, _settings(), console=_quiet())


def test_loss_that_is_not_finite_stops_with_step_and_term(tmp_path):
    with pytest.raises(TrainingError, match="step 4: error is not finite"):
        train(Line(poison=5), tmp_path, _settings(), console=_quiet())


def test_other_settings_do_not_resume(tmp_path):
    train(Line(), tmp_path, _settings(), limit=2, console=_quiet())
    with pytest.raises(TrainingError, match="choose another folder"):
        train(Line(), tmp_path, _settings(batch=4), console=_quiet())


def test_order_is_a_permutation_in_every_pass():
    batches = list(Order(length=12, batch=4, seed=3, start=0, stop=6))
    first, second = sum(batches[:3], []), sum(batches[3:], [])
    assert sorted(first) == sorted(second) == list(range(12)) and first != second
    assert list(Order(12, 4, 3, 4, 6)) == batches[4:]


def test_schedule_rises_then_falls():
    factors = [rate_factor(step, 100, 10, 0.01) for step in range(100)]
    assert factors[0] == pytest.approx(0.1, rel=0.01) and max(factors) > 0.95
    assert factors[-1] < 0.02 and factors[10:] == sorted(factors[10:], reverse=True)


def test_damaged_checkpoint_is_one_clear_error(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(AssetError, match="not a checkpoint"):
        checkpoint.load(path)
