"""The recipe tewari2018 on the toy head: every term, every stage, and the two levels against each other."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.assets.toy import head  # noqa: E402
from likeness.data.augment import CROP_SIZE  # noqa: E402
from likeness.encoders import camera  # noqa: E402
from likeness.encoders.backbones.base import Backbone  # noqa: E402
from likeness.encoders.parameters import ParameterNetwork  # noqa: E402
from likeness.geometry.cameras import project  # noqa: E402
from likeness.geometry.rotation import from_euler  # noqa: E402
from likeness.models.linear import LinearModel  # noqa: E402
from likeness.recipes.tewari2018 import BASE, FULL, FaceParts, Tewari2018, bare_of, stored  # noqa: E402
from likeness.render.render import render  # noqa: E402
from likeness.train import loop  # noqa: E402
from likeness.train.settings import Settings  # noqa: E402
from likeness.types import Embedding, Face, Light, Stage  # noqa: E402

TOPOLOGY = head().topology()
RATES = {"encoder": 2e-3, "heads": 4e-3, "skin": 4e-3}
STAGES = (
    Stage("base", 24, BASE, RATES), Stage("full", 36, FULL, {"geometry": 1e-2, "reflectance": 5e-2}),
)  # fmt: skip
GROUPS = {"sparse": "heads", "std": "heads", "photo_base": "skin", "photo_final": "reflectance", "smo": "geometry",
          "sta": "geometry", "ref": "reflectance", "glo": "reflectance"}


class Small(Backbone):
    """Means of an 8 x 8 grid, and one layer."""

    def __init__(self):
        super().__init__(CROP_SIZE, 24, 1, 1)
        pool, line = torch.nn.AvgPool2d(16), torch.nn.Linear(192, 24)
        self.layers = torch.nn.Sequential(pool, torch.nn.Flatten(), line, torch.nn.Tanh())

    def encode(self, image):
        return self.layers(image)


class Tones(torch.nn.Module):
    """An albedo model of two codes: light or dark, and red or not."""

    codes = {"albedo": 2}

    def encoded(self, code):
        return (0.6 + 0.1 * code[:, :1] + 0.1 * code[:, 1:] * torch.tensor([1.0, -0.5, -0.5]))[:, None].expand(
            -1, len(head().mean), 3
        )


class Portraits:
    """Drawings of the toy with known codes, some with a beard that no albedo code makes."""

    def __init__(self, count=16):
        random = torch.Generator().manual_seed(3)
        shape, tones = LinearModel.of(head()), Tones()
        identity, expression = torch.randn(count, 6, generator=random), torch.zeros(count, 51)
        albedo = tones.encoded(torch.randn(count, 2, generator=random)).clone()
        albedo[::2, torch.from_numpy(TOPOLOGY.uv[:, 1] > 0.75)] *= 0.4
        angle = 0.3 * torch.randn(count, generator=random)
        still = torch.zeros(count)
        numbers = camera.CropCamera(from_euler(angle, still, still), torch.zeros(count, 2), still, still)
        light = torch.zeros(count, 9, 3)
        light[:, 0], light[:, 3] = 3.2, 0.4 * torch.randn(count, 1, generator=random)
        view, face = camera.to_view(numbers, CROP_SIZE), shape(identity, expression)
        drawn = render(Face(face.vertices, albedo=albedo.clamp(0, 1) ** 2.2), TOPOLOGY, view, Light(light)).image
        self.images = (255 * stored(drawn).clamp(0, 1)).to(torch.uint8).detach()
        marks = TOPOLOGY.landmarks["66"]
        marks = Embedding(torch.from_numpy(marks.vertices).long(), torch.from_numpy(marks.weights).float())
        self.points = project(marks.points(face.vertices), view).detach()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return {"image": self.images[i], "points": self.points[i], "confidence": torch.ones(66)}


@pytest.fixture(scope="module")
def portraits():
    return Portraits()


def _recipe(data=None, stages=STAGES, kind="linear"):
    torch.manual_seed(0)
    marks = TOPOLOGY.landmarks["66"]
    path, fixed = (Embedding(marks.vertices[rows], marks.weights[rows]) for rows in (slice(0, 17), slice(17, 66)))
    face = FaceParts(LinearModel.of(head()), Tones(), TOPOLOGY, fixed, path)
    return Tewari2018(face, Small(), kind, codes=8, nodes=40, chart=8, stages=stages, data=data)


def _batch(data, count=4):
    return torch.utils.data.default_collate([data[i] for i in range(count)])


def _stir(recipe):
    """Codes of correctives that are not zero, without which their own parameters cannot feel anything."""
    with torch.no_grad():
        for name in ("geometry", "reflectance"):
            recipe.network.heads[name].weight.normal_(std=0.3 if name == "geometry" else 0.05)


def test_names_of_terms_are_names_of_losses(portraits):
    recipe = _recipe(portraits)
    loop.check(recipe)
    assert set(FULL) == set(GROUPS) and set(BASE) < set(FULL)
    alone = Stage("x", 1, {"smo": 1.0}, {})
    assert set(recipe.losses(_batch(portraits), alone)) == {"smo"}


@pytest.mark.parametrize("term", sorted(GROUPS))
def test_a_term_alone_reaches_what_it_should_move(term, portraits):
    recipe = _recipe(portraits)
    _stir(recipe)
    losses = recipe.losses(_batch(portraits), Stage("x", 1, {term: 1.0}, {}))
    assert losses[term] > 0
    reached = torch.autograd.grad(losses[term], recipe.groups()[GROUPS[term]], allow_unused=True)
    moved = [gradient for gradient in reached if gradient is not None]
    assert max(gradient.abs().max() for gradient in moved) > 1e-7
    assert all(gradient.isfinite().all() for gradient in moved)
    if term in ("smo", "sta", "ref", "glo", "photo_final"):
        space = recipe.model.geometry if GROUPS[term] == "geometry" else recipe.model.reflectance
        again = recipe.losses(_batch(portraits), Stage("x", 1, {term: 1.0}, {}))[term]
        assert torch.autograd.grad(again, space.space.basis)[0].abs().max() > 1e-8


def test_the_base_level_does_not_feel_the_final_levels_correctives(portraits):
    recipe = _recipe(portraits)
    _stir(recipe)
    losses = recipe.losses(_batch(portraits), Stage("x", 1, BASE, {}))
    groups = recipe.groups()
    reached = torch.autograd.grad(sum(losses.values()), groups["geometry"] + groups["reflectance"], allow_unused=True)
    assert all(gradient is None for gradient in reached)


def test_both_stages_learn_and_the_final_level_wins(portraits, tmp_path):
    recipe = _recipe(portraits)
    batch = _batch(portraits, 16)
    before = recipe.errors(batch)
    torch.testing.assert_close(before["base"], before["final"], atol=1e-5, rtol=0)
    first = recipe.losses(batch, STAGES[0])
    settings = Settings(batch=8, warmup=4, optimizer="adam", workers=0, log_every=8)
    loop.train(recipe, tmp_path, settings, limit=24)
    middle = recipe.errors(batch)
    last = recipe.losses(batch, STAGES[0])
    assert sum(BASE[k] * last[k] for k in BASE) < 0.8 * sum(BASE[k] * first[k] for k in BASE)
    assert middle["base"].mean() < 0.9 * before["base"].mean()
    loop.train(recipe, tmp_path, settings)
    after = recipe.errors(batch)
    # The base level's groups are frozen; what is visible at both levels is not.
    torch.testing.assert_close(after["base"], middle["base"], atol=2e-3, rtol=0)
    assert after["final"].mean() < 0.9 * after["base"].mean()


@pytest.mark.parametrize("kind", ["linear", "non-linear"])
def test_two_runs_with_one_seed_agree(kind, portraits, tmp_path):
    weights = []
    for name in ("a", "b"):
        recipe = _recipe(portraits, tuple(replace(stage, steps=2) for stage in STAGES), kind)
        loop.train(recipe, tmp_path / name, Settings(batch=4, warmup=1, optimizer="adadelta", workers=0))
        weights.append(recipe.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    start = _recipe(portraits, kind=kind).state_dict()
    assert any(not torch.equal(start[name], weights[0][name]) for name in start if name.startswith("model.geometry"))


def test_a_drawing_of_the_answer_has_no_photometric_error(portraits):
    recipe = _recipe(portraits)
    _stir(recipe)
    image = _batch(portraits, 2)["image"]
    with torch.no_grad():
        found = recipe.network(image)
        view, levels = camera.to_view(found.camera, CROP_SIZE), recipe.levels(found)
        drawn = render(levels.final, TOPOLOGY, view, Light(found.light)).image
        level = recipe.level(levels.final)
        seen = recipe.seen(level, view, found.light, stored(drawn), recipe.skin)
        border = torch.from_numpy(np.abs(2 * TOPOLOGY.uv[recipe.skin] - 1).max(1) < 0.8)
        other = recipe.seen(level, view, 1.5 * found.light, stored(drawn), recipe.skin)
    inside = seen.visible & border
    error = seen._replace(visible=inside).error()
    assert inside.float().mean() > 0.3 and error.max() < 0.03
    assert other._replace(visible=inside).error().min() > 0.05


def test_pictures_show_photo_and_both_levels(portraits):
    drawn = _recipe(portraits).eval().pictures(_batch(portraits, 2))
    assert drawn.shape == (2, CROP_SIZE, 7 * CROP_SIZE, 3) and 0 <= drawn.min() and drawn.max() <= 1
    tiles = drawn.unflatten(2, (7, CROP_SIZE))
    torch.testing.assert_close(tiles[:, :, 1], tiles[:, :, 2], atol=1e-5, rtol=0)  # nothing is corrected yet
    assert (tiles[:, :, 1] - tiles[:, :, 3]).abs().max() > 0.1


def test_a_network_begins_in_the_middle_and_takes_a_regressors_heads():
    from likeness.encoders.backbones import build
    from likeness.encoders.regressor import Regressor

    torch.manual_seed(0)
    sizes = {"identity": 100, "expression": 51, "albedo": 2, "geometry": 5, "reflectance": 5}
    network, other = ParameterNetwork(build("mobilenet-places", 128), sizes).eval(), Regressor().eval()
    image = torch.randint(0, 255, (2, 128, 128, 3), dtype=torch.uint8)
    found = network(image)
    assert found.geometry.abs().max() == 0 and found.reflectance.abs().max() == 0
    assert found.light.shape == (2, 9, 3) and found.camera.rotation[:, 2, 2].min() > 0.5
    own = network.state_dict()
    assert all(own[name].shape == value.shape for name, value in other.state_dict().items())
    network.load_state_dict(own | other.state_dict())
    torch.testing.assert_close(network(image).identity, other(image).identity)


def test_bare_skin_has_no_eyes_brows_or_lips():
    bare = bare_of(TOPOLOGY, TOPOLOGY.regions["skin"])
    assert 0 < bare.sum() < TOPOLOGY.regions["skin"].sum()
    for name in ("eye_left", "brow_right", "inner_mouth", "lower_lip"):
        assert not (bare & TOPOLOGY.regions[name]).any()


def test_a_face_model_of_others_can_be_the_base_level(portraits, tmp_path):
    from likeness.assets import pca
    from likeness.assets.outside import Colors, OutsideModel
    from likeness.cli.tewari2018 import parts
    from likeness.errors import AssetError

    model, random = head(), np.random.default_rng(0)
    skin = model.layout.size**2
    triangles = TOPOLOGY.triangles[(TOPOLOGY.triangles < skin).all(1)]
    marks = TOPOLOGY.landmarks["68"]
    table = marks.vertices[np.arange(68), marks.weights.argmax(1)]
    colors = Colors(np.full((skin, 3), 0.5), 0.02 * random.standard_normal((3, skin, 3)), "linear")
    other = OutsideModel(
        "other", "none", model.mean[:skin], model.identity[:4, :skin], model.expression[:5, :skin],
        np.concatenate([triangles, np.full((len(triangles), 1), -1)], 1).astype(np.int32),
        expression_unit="standard deviation", landmarks68=table.astype(np.int32), albedo=colors,
    )  # fmt: skip
    pca.write(tmp_path / "other.npz", other)
    face = parts(tmp_path / "other.npz")
    assert not face.weights and len(face.fixed.vertices) == 49 and len(face.path.vertices) == 17
    torch.manual_seed(0)
    recipe = Tewari2018(face, Small(), codes=6, nodes=30, chart=6)
    losses = recipe.losses(_batch(portraits), Stage("x", 1, FULL, {}))
    assert set(losses) == set(FULL) and all(loss.isfinite() for loss in losses.values())
    code = torch.randn(2, 3)
    torch.testing.assert_close(stored(face.albedo.diffuse(code)), face.albedo.encoded(code).clamp(0, 1), atol=1e-4, rtol=0)
    pca.write(tmp_path / "plain.npz", replace(other, albedo=None))
    with pytest.raises(AssetError, match="colours"):
        parts(tmp_path / "plain.npz")
