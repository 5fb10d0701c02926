"""The training loop: exact resumption, refused misspellings, stopping at infinity."""

from __future__ import annotations

import csv

import pytest
import torch
from line import Line, quiet, settings, weights

from likeness.train import checkpoint
from likeness.train.loop import begun_with, train
from likeness.train.order import Order, TrainingError, rate_factor


@pytest.mark.parametrize("sittings", [(3,), (5, 2, 4), (7,)])
def test_resumed_run_equals_uninterrupted_run(tmp_path, sittings):
    whole = train(Line(), tmp_path / "whole", settings(), console=quiet())
    for limit in (*sittings, None):
        parts = train(Line(), tmp_path / "parts", settings(), limit=limit, console=quiet())
    a, b = weights(whole), weights(parts)
    assert a.keys() == b.keys() and any(k.startswith("average.") for k in a)
    assert all(torch.equal(a[k], b[k]) for k in a)
    rows = [list(csv.DictReader((tmp_path / run / "log.csv").open())) for run in ("whole", "parts")]
    assert rows[0][-1]["step"] == rows[1][-1]["step"] == "16"


def test_run_killed_after_checkpoint_repeats_the_lost_steps(tmp_path):
    whole = train(Line(), tmp_path / "whole", settings(), console=quiet())
    with pytest.raises(TrainingError):
        train(Line(poison=6), tmp_path / "parts", settings(), console=quiet())
    assert checkpoint.load(tmp_path / "parts" / "checkpoint.safetensors")[1]["step"] == 3
    parts = train(Line(), tmp_path / "parts", settings(), console=quiet())
    a, b = weights(whole), weights(parts)
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
    train(Line(), tmp_path / "both", settings(), limit=4, console=quiet())
    assert not asked
    train(Line(), tmp_path / "both", settings(compile=True), console=quiet())
    train(Line(), tmp_path / "plain", settings(), console=quiet())
    assert len(asked) == 1
    rows = [list(csv.DictReader((tmp_path / run / "log.csv").open())) for run in ("plain", "both")]
    assert float(rows[1][2]["loss"]) > 1.5 * float(rows[0][2]["loss"]) and rows[0][1] | {"samples_per_second": ""} == (
        rows[1][1] | {"samples_per_second": ""}
    )


def test_frozen_group_stays(tmp_path):
    recipe = Line()
    before = recipe.body[0].weight.detach().clone()
    train(recipe, tmp_path, settings(), limit=7, console=quiet())
    assert torch.equal(recipe.body[0].weight, before)
    train(recipe, tmp_path, settings(), console=quiet())
    assert not torch.equal(recipe.body[0].weight, before)


def test_misspelled_term_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(TrainingError, match="second.*eror"):
        train(Line(terms=("eror",)), tmp_path, settings(), console=quiet())
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_term_that_is_not_computed_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="different names"):
        train(Line(terms=("error", "smoothness")), tmp_path, settings(), console=quiet())


def test_misspelled_group_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="haed"):
        train(Line(rates=("haed",)), tmp_path, settings(), console=quiet())


def test_loss_that_is_not_finite_stops_with_step_and_term(tmp_path):
    with pytest.raises(TrainingError, match="step 4: error is not finite"):
        train(Line(poison=5), tmp_path, settings(), console=quiet())


def test_other_settings_do_not_resume(tmp_path):
    train(Line(), tmp_path, settings(), limit=2, console=quiet())
    with pytest.raises(TrainingError, match="choose another folder"):
        train(Line(), tmp_path, settings(batch=4), console=quiet())


class Told(Line):
    """Tells of itself what the command line decided."""

    def __init__(self, **facts):
        super().__init__()
        self.made_from = facts


def test_a_run_of_other_facts_does_not_resume_and_the_fact_is_named(tmp_path):
    train(Told(views=3, sets=("a", "b")), tmp_path, settings(), limit=2, console=quiet())
    assert begun_with(tmp_path) == {"views": 3, "sets": ["a", "b"]}
    with pytest.raises(
        TrainingError, match=r"checkpoint\.safetensors: begun with views 3, now 1; choose another"
    ) as caught:
        train(Told(views=1, sets=("a", "b")), tmp_path, settings(), limit=2, console=quiet())
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match=r"begun with batch 8, now 4; sets \['a', 'b'\], now \['a'\]; choose"):
        train(Told(views=3, sets=("a",)), tmp_path, settings(batch=4), limit=2, console=quiet())
    path = train(Told(views=3, sets=("a", "b"), more=1), tmp_path, settings(), limit=2, console=quiet())
    assert checkpoint.load(path)[1]["step"] == 4 and begun_with(tmp_path)["more"] == 1


def test_a_run_of_an_earlier_version_that_tells_no_facts_resumes(tmp_path):
    path = train(Told(views=3), tmp_path, settings(), limit=2, console=quiet())
    tensors, state = checkpoint.load(path)
    del state["identity"]["facts"]
    checkpoint.save(path, tensors, state)
    assert begun_with(tmp_path) == {} == begun_with(tmp_path / "nowhere")
    train(Told(views=1), tmp_path, settings(), limit=2, console=quiet())
    assert begun_with(tmp_path) == {"views": 1}


def test_a_checkpoint_of_other_networks_is_refused_in_a_line(tmp_path):
    train(Line(), tmp_path, settings(), 2, quiet())
    with pytest.raises(
        TrainingError, match=r"checkpoint\.safetensors: its weights do not fit \(.*body.*\); choose"
    ) as caught:
        train(Line(coupled=False), tmp_path, settings(), console=quiet())
    assert "\n" not in str(caught.value)


def test_order_is_a_permutation_in_every_pass():
    batches = list(Order(length=12, batch=4, seed=3, start=0, stop=6))
    first, second = sum(batches[:3], []), sum(batches[3:], [])
    assert sorted(first) == sorted(second) == list(range(12)) and first != second
    assert list(Order(12, 4, 3, 4, 6)) == batches[4:]


def test_schedule_rises_then_falls():
    factors = [rate_factor(step, 100, 10, 0.01) for step in range(100)]
    assert factors[0] == pytest.approx(0.1, rel=0.01) and max(factors) > 0.95
    assert factors[-1] < 0.02 and factors[10:] == sorted(factors[10:], reverse=True)
