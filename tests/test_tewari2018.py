"""The recipe tewari2018 on the toy head: every term, every stage, and the two levels against each other."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.assets.toy import head
from likeness.cli.tewari2018 import Tewari2018 as Config
from likeness.color import linear_from_srgb
from likeness.data.augment import CROP_SIZE
from likeness.encoders import camera
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.parameters import ParameterNetwork
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_euler
from likeness.models.linear import LinearModel
from likeness.recipes.tewari2018 import (
    BASE,
    BASE_RATES,
    FULL,
    FULL_RATES,
    FaceParts,
    Tewari2018,
    bare_of,
    stored,
)  # fmt: skip
from likeness.render.render import render
from likeness.train import loop
from likeness.train.settings import Settings
from likeness.types import Embedding, Face, Light, Stage

TOPOLOGY = head().topology()
RATES = {"encoder": 2e-3, "heads": 4e-3, "skin": 4e-3}
STAGES = (
    Stage("base", 24, BASE, RATES), Stage("full", 36, FULL, {"geometry": 1e-2, "reflectance": 5e-2}),
)  # fmt: skip
GROUPS = {
    "sparse": "heads",
    "std": "heads",
    "photo_base": "skin",
    "photo_final": "reflectance",
    "smo": "geometry",
    "sta": "geometry",
    "ref": "reflectance",
    "glo": "reflectance",
}


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
    """Drawings of the toy with known codes, every second with a beard that no albedo code makes.

    Attributes:
        aspect: (n,) how much wider than high, of identity; red: (n,) of albedo; turn: (n,) yaw.
    """

    def __init__(self, count=16, seed=3, bearded=True, spread=1.0):
        random = torch.Generator().manual_seed(seed)
        shape, tones = LinearModel.of(head()), Tones()
        identity, expression = spread * torch.randn(count, 6, generator=random), torch.zeros(count, 51)
        code = torch.randn(count, 2, generator=random)
        albedo = tones.encoded(code).clone()
        if bearded:
            albedo[::2, torch.from_numpy(TOPOLOGY.uv[:, 1] > 0.75)] *= 0.4
        angle = 0.3 * torch.randn(count, generator=random)
        self.aspect, self.red, self.turn = identity[:, 0] - identity[:, 1], code[:, 1], angle
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


def test_with_the_shipped_shares_of_rates_both_levels_learn_in_the_second_stage(portraits, tmp_path):
    rates = {name: 2e-3 * share for name, share in FULL_RATES.items()}
    recipe = _recipe(portraits, (STAGES[0], Stage("full", 48, FULL, rates)))
    batch = _batch(portraits, 16)
    settings = Settings(batch=8, warmup=4, optimizer="adam", workers=0)
    loop.train(recipe, tmp_path, settings, limit=24)
    middle = recipe.errors(batch)
    loop.train(recipe, tmp_path, settings)
    after = recipe.errors(batch)
    assert after["base"].mean() < 0.8 * middle["base"].mean()
    assert after["final"].mean() < 0.95 * after["base"].mean()


def test_codes_of_heads_that_it_never_saw_come_back(tmp_path):
    """By the loop, with the shipped terms, settings and shares of rates. Asked for is what a picture tells: not size, which
    is the camera's too, and not how light the skin is, which is the light's, too."""
    base, full = ({name: 4e-3 * share for name, share in rates.items()} for rates in (BASE_RATES, FULL_RATES))
    recipe = _recipe(Portraits(64, 4, False, 2.0), (Stage("base", 150, BASE, base), Stage("full", 20, FULL, full)))
    loop.train(recipe, tmp_path, replace(Config().settings, batch=16, warmup=20, workers=0, pictures_every=0))
    others = Portraits(32, 5, False, 2.0)
    with torch.no_grad():
        found = recipe.eval().network(others.images)
    rotation, identity = found.camera.rotation, found.identity
    answers = {
        "aspect": identity[:, 0] - identity[:, 1], "red": found.albedo[:, 1],
        "turn": torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2]),
    }  # fmt: skip
    missed = {what: _missed(answer, getattr(others, what)) for what, answer in answers.items()}
    assert max(missed.values()) < 0.5, missed


def _missed(answer, true):
    """Squared error over that of the mean face: 1 for who knows nothing."""
    return ((answer - true).square().sum() / true.square().sum()).item()


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
    torch.testing.assert_close(tiles[:, :, 0], linear_from_srgb(_batch(portraits, 2)["image"] / 255), atol=1e-5, rtol=0)


def test_training_draws_the_same_eight_faces_again_and_again(portraits, tmp_path):
    assert Config().settings.pictures_every > 0
    recipe = _recipe(portraits, (replace(STAGES[0], steps=2),))
    settings = Settings(batch=2, warmup=1, optimizer="adam", workers=0, pictures_every=1)
    loop.train(recipe, tmp_path, settings)
    first, last = (cv2.imread(str(tmp_path / f"pictures/step-000000{k}.png"))[..., ::-1] for k in (1, 2))
    assert first.shape == (2 * CROP_SIZE, 4 * 7 * CROP_SIZE, 3)
    shown = first.reshape(2, CROP_SIZE, 4, 7, CROP_SIZE, 3)
    photos = shown[:, :, :, 0].transpose(0, 2, 1, 3, 4).reshape(8, CROP_SIZE, CROP_SIZE, 3)
    assert np.abs(photos.astype(int) - portraits.images[:8].numpy()).max() <= 1
    assert not np.array_equal(first, last)


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
    torch.testing.assert_close(
        stored(face.albedo.diffuse(code)), face.albedo.encoded(code).clamp(0, 1), atol=1e-4, rtol=0
    )
    pca.write(tmp_path / "plain.npz", replace(other, albedo=None))
    with pytest.raises(AssetError, match="colours"):
        parts(tmp_path / "plain.npz")
