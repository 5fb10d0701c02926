"""Steps: batches in parts, optimisers, half precision, and what is told when a number is not finite."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from line import Line, quiet, settings, weights
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from likeness.errors import UsageError
from likeness.train import pictures
from likeness.train.loop import train
from likeness.train.order import TrainingError
from likeness.train.step import flat, make_optimizer, split


class Two(Line):
    """Two terms, of which one may have a gradient that is not finite while its value is."""

    def __init__(self, wrong=-1) -> None:
        super().__init__()
        self.wrong = wrong
        self.stages = tuple(replace(stage, terms={"error": 1.0, "size": 0.5}) for stage in self.stages)

    def losses(self, batch, stage):
        losses = super().losses(batch, stage)
        size = self.head.bias.square().sum()
        if self.training and self.calls >= self.wrong > 0:
            size = size + (0 * self.head.bias).abs().sqrt().sum()  # value 0, gradient 0 / 0
        return losses | {"size": size}


def test_a_batch_in_parts_is_the_same_step_where_losses_are_means(tmp_path):
    """Without batch norm and dropout nothing ties the items of a batch together."""
    a, b = (
        weights(train(Line(coupled=False), tmp_path / str(n), settings(accumulate=n), console=quiet())) for n in (1, 4)
    )
    assert all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)
    recipes = [Line(coupled=False) for _ in range(2)]
    for recipe, count in zip(recipes, (1, 4)):  # the optimiser does not mind a gradient's size, but clipping would
        train(recipe, tmp_path / f"gradient{count}", settings(accumulate=count), limit=1, console=quiet())
    torch.testing.assert_close(recipes[1].head.weight.grad, recipes[0].head.weight.grad)
    rows = [list(csv.DictReader((tmp_path / str(n) / "log.csv").open())) for n in (1, 4)]
    assert [float(row["loss"]) for row in rows[1]] == pytest.approx([float(row["loss"]) for row in rows[0]], rel=1e-4)


def test_parts_begin_with_the_same_statistics_and_leave_their_mean(tmp_path):
    """One step on a batch of 8 in two parts: batch norm's running mean moves a tenth of the way to the whole batch's mean."""
    recipe = Line()
    norm = recipe.body[1]
    seen = []
    norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].mean(0)) if module.training else None)
    train(recipe, tmp_path, settings(accumulate=2), limit=1, console=quiet())
    assert len(seen) == 2
    torch.testing.assert_close(norm.running_mean, 0.1 * torch.stack(seen).mean(0))
    assert norm.num_batches_tracked == 1


def test_parts_have_masks_of_their_own(tmp_path):
    recipe, masks = Line(), []
    recipe.body[2].register_forward_hook(
        lambda module, inputs, output: masks.append(output == 0) if module.training else None
    )
    train(recipe, tmp_path, settings(accumulate=2), limit=1, console=quiet())
    assert masks[0].any() and not masks[0].equal(masks[1])


def test_only_adamw_decays_and_only_matrices(tmp_path):
    recipe = Line()
    decays = {name: {tuple(p.shape): group["weight_decay"] for group in make_optimizer(recipe, recipe.stages[0], chosen).param_groups
                     for p in group["params"]}
              for name in ("adamw", "adam", "adadelta") for chosen in [settings(optimizer=name, decay=0.3)]}  # fmt: skip
    none = {(3, 8): 0.0, (3,): 0.0}
    assert decays == {"adamw": none | {(3, 8): 0.3}, "adam": none, "adadelta": none}


def test_parts_that_do_not_divide_the_batch_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="8 cannot be cut into 3"):
        train(Line(), tmp_path, settings(accumulate=3), console=quiet())


def test_parts_are_remembered(tmp_path):
    train(Line(), tmp_path, settings(accumulate=2), limit=2, console=quiet())
    with pytest.raises(TrainingError, match="choose another folder"):
        train(Line(), tmp_path, settings(), console=quiet())


@pytest.mark.parametrize("name", ["adamw", "adam", "adadelta"])
def test_every_optimiser_learns_and_resumes_exactly(tmp_path, name):
    chosen = settings(optimizer=name, average=0.0)
    recipe = Line()
    before = recipe.head.weight.detach().clone()
    whole = train(recipe, tmp_path / "whole", chosen, console=quiet())
    assert not torch.equal(recipe.head.weight, before)
    for limit in (5, 4, None):
        parts = train(Line(), tmp_path / "parts", chosen, limit=limit, console=quiet())
    a, b = weights(whole), weights(parts)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_first_step_is_the_optimisers_own(tmp_path):
    """Adam's first step has the rate's size whatever the gradient; AdaDelta's is the rate times sqrt(eps) / rms, tiny."""
    moved = {}
    for name in ("adam", "adadelta"):
        recipe = Line(coupled=False)
        before = recipe.head.bias.detach().clone()
        train(recipe, tmp_path / name, settings(optimizer=name, warmup=0), limit=1, console=quiet())
        moved[name] = (recipe.head.bias - before).abs()
    torch.testing.assert_close(moved["adam"], torch.full((3,), 1e-2), rtol=0.01, atol=0)
    expected = 1e-2 * (1e-6 / (0.1 + 1e-6)) ** 0.5  # gradient cancels: sqrt(eps) g / sqrt(0.1 g^2 + eps)
    torch.testing.assert_close(moved["adadelta"], torch.full((3,), expected), rtol=0.05, atol=0)


def test_a_stage_may_name_its_own_optimiser(tmp_path):
    recipe, plain = Line(), Line()
    recipe.stages = (replace(recipe.stages[0], optimizer="adadelta"), recipe.stages[1])
    for which, folder in ((recipe, "own"), (plain, "plain")):
        train(which, tmp_path / folder, settings(), limit=3, console=quiet())
    assert not torch.equal(recipe.head.weight, plain.head.weight)
    state = load_file(tmp_path / "own" / "checkpoint.safetensors")
    assert "moments.head.weight.acc_delta" in state


def test_an_optimiser_that_is_not_known_is_refused_before_the_first_step(tmp_path):
    recipe = Line()
    recipe.stages = (recipe.stages[0], replace(recipe.stages[1], optimizer="sgd"))
    with pytest.raises(TrainingError, match="stage second: there is no optimiser 'sgd'; choose one of adamw"):
        train(recipe, tmp_path / "wrong", settings(), console=quiet())
    assert not (tmp_path / "wrong").exists()


def test_half_precision_is_for_networks_and_keeps_the_weights(tmp_path):
    kinds = []

    class Watched(Line):
        def losses(self, batch, stage):
            kinds.append((batch["x"] @ batch["x"].T).dtype)
            return super().losses(batch, stage)

    recipe, answers = Watched(), []
    recipe.head.register_forward_hook(lambda module, inputs, answer: answers.append((recipe.training, answer.dtype)))
    train(recipe, tmp_path / "half", settings(precision="bfloat16"), console=quiet())
    assert set(answers) == {(False, torch.bfloat16), (True, torch.bfloat16)}  # of the look before the first step, too
    assert set(kinds) == {torch.float32} and recipe.head.weight.dtype == torch.float32
    full = weights(train(Line(), tmp_path / "full", settings(), console=quiet()))
    half = weights(tmp_path / "half" / "checkpoint.safetensors")
    moved = (half["weights.head.weight"] - full["weights.head.weight"]).abs().max()
    assert 0 < moved < 0.05


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_with_its_batch(tmp_path, accumulate):
    recipe = Line(poison=5 * accumulate)
    with pytest.raises(
        TrainingError, match=r"stage first, step 4: error is not finite; the batch is in .*step-4\.safetensors"
    ):
        train(recipe, tmp_path, settings(accumulate=accumulate), console=quiet())
    batch = load_file(tmp_path / "batch-of-step-4.safetensors")
    assert batch["x"].shape == (8, 3) and torch.allclose(batch["y"], 2 * batch["x"] + 1)
    before = weights(tmp_path / "checkpoint.safetensors")
    assert all(value.isfinite().all() for value in before.values())


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_names_its_term(tmp_path, clip):
    with pytest.raises(TrainingError, match=r"step 2: the gradient of size is not finite; the batch is in"):
        train(Two(wrong=3), tmp_path, settings(clip=clip), console=quiet())
    assert (tmp_path / "batch-of-step-2.safetensors").exists()


def test_batches_are_cut_along_the_first_dimension_and_flattened_for_writing():
    batch = {"x": torch.arange(6).reshape(6, 1), "deep": {"names": list("abcdef"), "y": torch.zeros(6, 2)}, "n": 3}
    parts = split(batch, 3)
    assert [part["x"].flatten().tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert parts[1]["deep"]["names"] == ["c", "d"] and parts[2]["deep"]["y"].shape == (2, 2) and parts[0]["n"] == 3
    assert set(flat(batch)) == {"x", "deep.y"}


def test_the_same_eight_faces_are_drawn_and_disturb_nothing(tmp_path):
    plain = weights(train(Line(), tmp_path / "plain", settings(), console=quiet()))
    drawn = weights(train(Line(), tmp_path / "drawn", settings(pictures_every=4), console=quiet()))
    assert all(torch.equal(plain[k], drawn[k]) for k in plain)
    files = sorted((tmp_path / "drawn" / "pictures").iterdir())
    assert [file.name for file in files] == [f"step-{step:07}.png" for step in (4, 8, 12, 16)]
    first, last = (np.asarray(Image.open(file)) for file in (files[0], files[-1]))
    assert first.shape == (2 * 4, 4 * 6, 3) and (first != last).any()


def test_pictures_are_linear_light_stored_as_srgb_row_by_row():
    recipe = Line(coupled=False)
    nn.init.zeros_(recipe.head.weight)
    nn.init.zeros_(recipe.head.bias)
    image = pictures.draw(recipe, [{"x": torch.zeros(3)}] * 5, "cpu")
    assert image.shape == (8, 18, 3) and (image[:4] == 188).all()  # linear 0.5
    assert (image[4:, :12] == 188).all() and (image[4:, 12:] == 0).all()  # five of six places


def test_a_recipe_that_draws_nothing_has_no_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(Line, "pictures", lambda self, batch: None)
    train(Line(), tmp_path, settings(pictures_every=2), limit=4, console=quiet())
    assert not (tmp_path / "pictures").exists()


def test_tensorboard_gets_numbers_and_pictures_and_a_resumed_run_goes_on(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(TrainingError):  # at step 5, when steps 2 and 4 are told of and step 3 is the last checkpoint
        train(Line(poison=6), tmp_path, settings(board=True, pictures_every=8), console=quiet())
    train(Line(), tmp_path, settings(board=True, pictures_every=8), console=quiet())
    events = accumulator.EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert {"loss", "error", "rate", "samples_per_second"} <= set(events.Tags()["scalars"])
    steps = [event.step for event in events.Scalars("loss")]
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert steps == [int(row["step"]) for row in rows] == sorted(set(steps)) and steps[-1] == 16
    assert [event.step for event in events.Images("faces")] == [8, 16]


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'likeness\[board\]'"):
        train(Line(), tmp_path, settings(board=True), console=quiet())
