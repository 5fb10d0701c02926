"""The regressor's losses and recipe, on the toy head."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.assets.correspondence import OUTLINE
from likeness.assets.toy import head
from likeness.encoders import camera
from likeness.geometry.alignment import similarity
from likeness.losses.landmark import opening_error, sliding_distance
from likeness.losses.parameter import excess, quadratic, rotation_distance
from likeness.models.points import PointModel, shape_gram
from likeness.recipes.default import TERMS, Default
from likeness.recipes.points import Points
from likeness.train.loop import check
from likeness.types import Stage


def _recipe(terms: dict[str, float] = TERMS) -> Default:
    torch.manual_seed(0)
    model = head()
    points = PointModel.at(model, model.topology().landmarks["dense"])
    shape, motion = (torch.from_numpy(shape_gram(modes, model.mean)) for modes in (model.identity, model.expression))
    normals = torch.nn.functional.normalize(points.mean.reshape(-1, 3), dim=-1)
    return Default(points, normals, shape, motion, (Stage("codes", 1, terms, {"backbone": 1e-3, "heads": 1e-3}),))


def _batch(recipe: Default, count: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 255, (count, 128, 128, 3), dtype=torch.uint8, generator=generator)
    identity = torch.randn(count, recipe.points.identity.shape[0], generator=generator)
    expression = torch.rand(count, 51, generator=generator)
    numbers = camera.CropCamera(
        torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 2), torch.zeros(count), torch.zeros(count)
    )
    from likeness.geometry.cameras import project

    seen = project(recipe.points(identity, expression), camera.to_view(numbers, 128))
    flags = {"known": torch.ones(count), "rendered": torch.arange(count) % 2.0}
    return {
        "image": image,
        "points": seen,
        "identity": identity,
        "expression": expression,
        **numbers._asdict(),
        **flags,
    }


def test_outline_points_slide_and_others_do_not():
    angles = torch.linspace(0, 2 * np.pi, len(OUTLINE) + 1)[:-1]
    true = torch.zeros(1, 478, 2)
    true[0, list(OUTLINE)] = torch.stack([angles.cos(), angles.sin()], -1)
    turn = torch.tensor([[np.cos(0.02), -np.sin(0.02)], [np.sin(0.02), np.cos(0.02)]], dtype=torch.float32)
    along = sliding_distance(true @ turn.T, true, OUTLINE, along=0.25)[0, list(OUTLINE)]
    across = sliding_distance(true * 1.02, true, OUTLINE)[0, list(OUTLINE)]
    assert along.max() < 0.3 * 0.02 + 1e-3
    torch.testing.assert_close(across, torch.full_like(across, 0.02), rtol=0.02, atol=0)
    moved = true.clone()
    moved[0, 1] = 0.5
    assert sliding_distance(moved, true, OUTLINE)[0, 1] == pytest.approx(0.5 * 2**0.5, rel=1e-4)


def test_openings_do_not_care_where_the_eye_is():
    true = torch.rand(2, 478, 2)
    assert opening_error(true + 0.3, true, [(159, 145)]).max() < 2e-3
    closed = true.clone()
    closed[:, 159] = closed[:, 145]
    expected = (true[:, 159] - true[:, 145]).norm(dim=-1, keepdim=True)
    torch.testing.assert_close(opening_error(closed, true, [(159, 145)]), expected, rtol=1e-3, atol=1e-3)


def test_the_shape_form_is_the_mean_squared_error_after_alignment():
    random = np.random.default_rng(0)
    mean, modes = random.normal(0, 50, (400, 3)), random.normal(0, 0.3, (5, 400, 3))
    modes[0] = mean * 0.002  # pure growth: nothing is left of it after alignment
    codes = random.standard_normal(5)
    gram = shape_gram(modes, mean)
    face = mean + np.tensordot(codes, modes, 1)
    aligned = similarity(face, mean).apply(face)
    expected = ((aligned - mean) ** 2).sum(-1).mean()
    assert codes @ gram @ codes == pytest.approx(expected, rel=0.03)
    assert gram[0, 0] < 1e-6 * shape_gram(modes, mean, motion=False)[0, 0]


def test_parameter_distances():
    gram = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    assert quadratic(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2), gram).item() == pytest.approx(2 + 4 * 0.5 + 4)
    turn = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    assert rotation_distance(turn, torch.eye(3)[None]).item() == pytest.approx(8**0.5 * np.sin(np.pi / 4), rel=1e-4)
    assert excess(torch.tensor([0.5, 0.2]), torch.tensor([0.3, 0.4])).tolist() == pytest.approx([0.04, 0.0])


@pytest.mark.parametrize("term", list(TERMS))
def test_every_term_alone_reaches_the_heads_and_only_by_itself(term):
    recipe = _recipe()
    if term == "bounds":  # mouthClose above jawOpen
        recipe.network.heads["expression"].bias.data[recipe.close] = 2.0
    recipe.losses(_batch(recipe), recipe.stages[0])[term].backward()
    heads = {
        name for name, p in recipe.network.heads.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-12
    }
    reached = {
        "identity": {"identity.bias"}, "photo_identity": {"identity.bias"}, "expression": {"expression.bias"},
        "codes": {"expression.bias"}, "rotation": {"rotation.bias"}, "camera": {"camera.bias"}, "bounds": {"expression.bias"},
        "prior": {"identity.bias", "camera.bias"},
        "points": {"identity.bias", "expression.bias", "rotation.bias", "camera.bias"},
    }  # fmt: skip
    reached["openings"] = reached["points"]
    assert {name for name in heads if name.endswith("bias")} == reached[term]


def test_the_truth_costs_nothing_but_the_prior():
    recipe = _recipe()
    batch = _batch(recipe)
    from likeness.encoders.regressor import Estimate

    numbers = camera.CropCamera(*(batch[key] for key in camera.CropCamera._fields))
    batch["expression"][:, recipe.close] = 0.0
    from likeness.geometry.cameras import project

    batch["points"] = project(recipe.points(batch["identity"], batch["expression"]), camera.to_view(numbers, 128))
    estimate = Estimate(batch["identity"], batch["expression"], numbers)
    recipe.network.forward = lambda image: estimate
    losses = recipe.losses(batch, recipe.stages[0])
    assert max(float(value) for name, value in losses.items() if name != "prior") < 0.25  # smoothed distances
    assert losses["prior"] > 0.1


def test_the_loss_falls():
    recipe = _recipe()
    recipe.train()
    batch = _batch(recipe, 6)
    optimizer = torch.optim.AdamW(recipe.network.parameters(), 2e-3)
    values = []
    for _ in range(12):
        losses = recipe.losses(batch, recipe.stages[0])
        loss = sum(TERMS[name] * value for name, value in losses.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert min(values[-3:]) < 0.9 * values[0]


class _Items:
    """A data set of one batch's items."""

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch["image"])

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {key: value[i] for key, value in self.batch.items()}


def test_names_of_terms_are_names_of_losses():
    recipe = _recipe()
    recipe.data = {"codes": _Items(_batch(recipe))}
    check(recipe)
    check(Points(_Items(_batch(recipe))))


def test_a_run_begins_with_all_of_its_kind_or_with_the_backbone_of_the_other(tmp_path):
    from likeness.cli.regressor import start
    from likeness.errors import AssetError
    from likeness.train import checkpoint

    torch.manual_seed(1)
    regressor, points, paths = _recipe(), Points(), {}
    for name, recipe in (("regressor", regressor), ("points", points)):
        paths[name] = tmp_path / name
        checkpoint.save(paths[name], {f"average.{key}": value for key, value in recipe.state_dict().items()}, {})
    torch.manual_seed(2)
    fresh = Points()
    head = fresh.network.head.weight.clone()
    start(fresh, paths["regressor"])
    assert torch.equal(fresh.network.backbone.top[0].weight, regressor.network.backbone.top[0].weight)
    assert torch.equal(fresh.network.head.weight, head)
    start(fresh, paths["points"])
    assert torch.equal(fresh.network.head.weight, points.network.head.weight)
    other = _recipe()
    start(other, paths["points"])
    assert torch.equal(other.network.backbone.top[0].weight, points.network.backbone.top[0].weight)
    checkpoint.save(tmp_path / "none", {"average.something": torch.zeros(1)}, {})
    with pytest.raises(AssetError, match="no averaged backbone"):
        start(other, tmp_path / "none")


def test_options_of_training_are_those_of_the_loop_and_keep_each_lessons_defaults():
    import tyro

    from likeness.cli.points import Points
    from likeness.cli.regressor import Regressor
    from likeness.cli.train import Finder

    points, regressor = tyro.cli(Points, args=[]), tyro.cli(Regressor, args=["--batch", "8", "--workers", "0"])
    assert points.settings.seed == 1 and regressor.settings.seed == 2 and regressor.settings.clip == 5.0
    assert regressor.settings.batch == 8 and regressor.settings.workers == 0 and points.settings.batch == 64
    assert tyro.cli(Finder, args=["--seed", "7"]).settings.identity()["seed"] == 7
