"""Half precision: a step of every recipe, in which networks compute in half precision and everything else does not."""

import numpy as np
import pytest
import test_genova2018
import test_landmark_network
import test_margin
import test_regressor
import test_tewari2018
import torch
from torch import nn

from likeness.data.booth import Booth
from likeness.recipes.finder import FinderRecipe
from likeness.recipes.genova2018 import BOTH, Genova2018
from likeness.recipes.points import Points
from likeness.recipes.tewari2018 import FULL
from likeness.types import Stage


def tewari():
    torch.manual_seed(0)
    recipe, count = test_tewari2018._recipe(), 2
    test_tewari2018._stir(recipe)
    batch = {"image": torch.randint(0, 255, (count, 128, 128, 3), dtype=torch.uint8), "points": 128 * torch.rand(count, 66, 2),
             "confidence": torch.ones(count, 66)}  # fmt: skip
    return recipe, batch, Stage("full", 1, FULL, {})


def genova():
    torch.manual_seed(0)
    (model, topology), network = test_genova2018.toy_model(), test_genova2018.network()
    recipe = Genova2018(network, model, Booth(topology, network.template, network.size), width=64)
    features = {
        name: nn.functional.normalize(torch.randn(4, network.features)) for name in ("features", "photo", "target")
    }
    codes = {name: torch.randn(4, size) for name, size in model.codes.items()}
    return recipe, features | codes, Stage("both", 1, BOTH, {})


def default():
    recipe = test_regressor._recipe()
    return recipe, test_regressor._batch(recipe, 2), recipe.stages[0]


def points():
    torch.manual_seed(0)
    recipe = Points()
    return recipe, test_landmark_network._batch(2), recipe.stages[0]


def identity():
    recipe = test_margin.maker(test_margin.colours())()
    return recipe, test_margin.batch_of(recipe, recipe.stages[0]), recipe.stages[0]


def finder():
    torch.manual_seed(0)
    recipe, maps = FinderRecipe(None), torch.rand(4, 12, 12)
    batch = {"image": torch.randint(0, 255, (4, 96, 96, 3), dtype=torch.uint8), "score": maps, "valid": torch.ones_like(maps),
             "weight": maps, "geometry": torch.rand(4, 5, 12, 12)}  # fmt: skip
    return recipe, batch, recipe.stages[0]


def losses(made, precision):
    """The losses of a recipe, seeded."""
    recipe, batch, stage = made
    recipe.precision = precision
    torch.manual_seed(1)
    return recipe.losses(batch, stage)


@pytest.mark.parametrize("make", [tewari, genova, default, points, identity, finder])
def test_a_step_in_half_precision_is_nearly_that_in_single(make):
    made = make()
    recipe, _, stage = made
    full, half = losses(made, "float32"), losses(made, "bfloat16")
    assert full.keys() == half.keys() == stage.terms.keys()
    assert all(value.dtype == torch.float32 for value in half.values())
    whole, other = (torch.stack([found[name].detach() for name in stage.terms]).numpy() for found in (full, half))
    np.testing.assert_allclose(other, whole, rtol=0.1, atol=0.02)
    assert (other != whole).any()
    sum(weight * half[name] for name, weight in stage.terms.items()).backward()
    for name, parameters in recipe.groups().items():
        gradients = [p.grad for p in parameters if p.grad is not None]
        assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients), name
        assert max(gradient.abs().max() for gradient in gradients) > 0, name


class Known(nn.Module):
    """A network that answers what it was told to, without any products."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, image):
        return self.answer


@pytest.mark.parametrize("make", [tewari, default])
def test_shape_camera_and_colour_are_computed_in_single_precision(make):
    """Half of it has three digits: a tenth of a picture's pixel at best, and tones that differ by a hundredth."""
    recipe, batch, stage = make()
    with torch.no_grad():
        recipe.network = Known(recipe.network.eval()(batch["image"]))
        full, half = (losses((recipe, batch, stage), precision) for precision in ("float32", "bfloat16"))
    assert all(half[name].equal(full[name]) for name in stage.terms)
