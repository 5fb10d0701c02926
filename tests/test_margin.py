"""The loss that tells people apart, and the recipe that uses it."""

import numpy as np
import pytest
import torch

from likeness.data.identities import MODEL, PHOTO, SIDE, Album, Identities, Row, packed
from likeness.encoders.recognition.small import IdentityNetwork
from likeness.losses.margin import additive_margin, contrast, cosines
from likeness.recipes.identity import Identity
from likeness.train import loop
from likeness.train.settings import Settings
from likeness.types import Stage


def test_without_a_margin_it_is_the_softmax_of_scaled_cosines():
    cosine, person = torch.rand(5, 7) * 2 - 1, torch.tensor([0, 6, 3, 3, 1])
    plain = -(10 * cosine).log_softmax(1)[torch.arange(5), person]
    torch.testing.assert_close(additive_margin(cosine, person, 0.0, 10.0), plain)


def test_eq_6_as_printed():
    cosine, person, m, s = torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64), torch.tensor([0]), 0.35, 30.0
    own = np.exp(s * (0.3 - m))
    wanted = -np.log(own / (own + np.exp(s * -0.2) + np.exp(s * 0.5)))
    assert float(additive_margin(cosine, person, m, s)) == pytest.approx(wanted)


def test_a_larger_margin_demands_more_of_the_own_person_alone():
    random = torch.Generator().manual_seed(0)
    cosine, person = torch.rand(6, 4, generator=random, dtype=torch.float64) * 2 - 1, torch.arange(6) % 4
    losses = [additive_margin(cosine, person, m, 16.0) for m in (0.0, 0.2, 0.4)]
    assert (losses[1] > losses[0]).all() and (losses[2] > losses[1]).all()


def test_gradients_and_the_length_of_embeddings_which_means_nothing():
    embedding = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    directions = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    person = torch.tensor([2, 0, 3])
    assert torch.autograd.gradcheck(
        lambda e, d: additive_margin(cosines(e, d), person, 0.3, 4.0), (embedding, directions)
    )
    torch.testing.assert_close(cosines(7 * embedding, 0.1 * directions), cosines(embedding, directions))


def test_contrast_asks_each_picture_for_the_other_of_its_person():
    random, person = torch.Generator().manual_seed(0), torch.tensor([5, 1, 5, 2])
    first, second = torch.randn(2, 4, 6, generator=random)
    likeness = 9 * cosines(first, second)
    wanted = []
    for i in range(4):
        others = [j for j in range(4) if j == i or person[j] != person[i]]
        there = torch.logsumexp(likeness[i, others], 0) - likeness[i, i]
        back = torch.logsumexp(likeness[others, i], 0) - likeness[i, i]
        wanted.append((there + back) / 2)
    torch.testing.assert_close(contrast(first, second, person, 9.0), torch.stack(wanted))
    near = contrast(first, first + 0.01 * second, torch.arange(4), 30.0)
    assert (near < contrast(first, second, torch.arange(4), 30.0)).all()


def test_contrasts_gradient():
    random = torch.Generator().manual_seed(0)
    pair = [torch.randn(3, 5, dtype=torch.float64, generator=random).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: contrast(a, b, torch.tensor([1, 1, 2]), 4.0), pair)


def colours(people=6, shots=4):
    """An album in which each person is a colour, half of them with photos."""
    random, rows = np.random.default_rng(0), []
    for person in range(people):
        tone, codes = random.integers(30, 220, 3), random.standard_normal(5)
        for shot in range(shots):
            picture = np.clip(tone + random.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
            kind = PHOTO if person % 2 and shot == 0 else MODEL
            rows.append(Row(picture, person, kind, codes=codes if kind == MODEL else None))
    return Album(**packed(rows))


@pytest.fixture(scope="module")
def recipe_maker():
    return maker(colours())


def maker(album):
    """A function (steps) -> recipe that learns from an album."""

    def make(steps=(12, 12)):
        torch.manual_seed(3)
        network = IdentityNetwork("mobilenetv3-small", 40, 16)
        data = {
            name: Identities(album, 40, seed, 16 * n)
            for seed, (name, n) in enumerate(zip(("softmax", "margin"), steps))
        }
        grams = {"shape": torch.diag(torch.tensor([3.0, 1, 1])), "colour": torch.eye(2)}
        return Identity(network, data["softmax"].count, steps, 3e-3, data, grams)

    return make


def batch_of(recipe, stage, count=8):
    data = recipe.dataset(stage)
    return torch.utils.data.default_collate([data[i] for i in range(count)])


HEADS = {"softmax": "directions", "margin": "directions", "shape": "codes", "colour": "codes"}


@pytest.mark.parametrize("term", ["contrast", "correlation", "softmax", "margin", "shape", "colour"])
def test_each_term_alone_reaches_every_group(recipe_maker, term):
    recipe = recipe_maker()
    stage = Stage("alone", 1, {term: 1.0}, {})
    losses = recipe.losses(batch_of(recipe, recipe.stages[0]), stage)
    assert set(losses) == {term}
    losses[term].backward()
    for name, parameters in recipe.groups().items():
        if name in ("directions", "codes") and HEADS.get(term) != name:
            continue  # a head of other terms
        assert sum(float(p.grad.abs().sum()) for p in parameters if p.grad is not None) > 1e-4, name


def test_codes_are_read_in_shares_of_what_people_differ_by_and_where_they_are_known(recipe_maker):
    recipe = recipe_maker()
    torch.nn.init.zeros_(recipe.codes)
    unknown = torch.full((1, 5), torch.nan)
    true = torch.cat([torch.tensor([[2.0, 0, 0, 0, 0], [0, 1, 1, 0, 1]]), unknown])
    found = recipe._unread(torch.zeros(3, 16), true)
    assert found["shape"].item() == pytest.approx((4 * 3 / 5 + 2 / 5) / 2) and found["colour"].item() == pytest.approx(
        0.25
    )
    nobody = recipe._unread(torch.zeros(1, 16), unknown)
    assert nobody["shape"].item() == 0


def test_the_margin_costs(recipe_maker):
    recipe = recipe_maker().eval()
    with torch.no_grad():
        batch = batch_of(recipe, recipe.stages[0])
        plain, wide = (recipe.losses(batch, Stage("", 1, {term: 1.0}, {}))[term] for term in ("softmax", "margin"))
    assert wide > plain + 1


def test_every_stage_learns_and_two_runs_agree(recipe_maker, tmp_path):
    settings = Settings(batch=16, workers=0, warmup=2, log_every=4, save_every=100)
    first, second = recipe_maker(), recipe_maker()
    for place, recipe in enumerate((first, second)):
        loop.train(recipe, tmp_path / str(place), settings)
    for (name, one), two in zip(first.state_dict().items(), second.state_dict().values()):
        assert torch.equal(one, two), name
    lines = (tmp_path / "0/log.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","))) for line in lines[1:]]
    for stage in ("softmax", "margin"):
        values = [float(row["loss"]) for row in rows if row["stage"] == stage]
        assert values[-1] < values[0], stage


def test_parameters_are_in_one_group_each(recipe_maker):
    recipe = recipe_maker()
    grouped = [id(p) for group in recipe.groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in recipe.parameters())
