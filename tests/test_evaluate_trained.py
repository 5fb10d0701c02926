"""Trained recipes, measured: known again by a judge, base against final level."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from likeness import color
from likeness.assets import albedo, builtin
from likeness.cli import evaluate_recall as recall
from likeness.cli import trained
from likeness.cli.evaluate_levels import errors
from likeness.cli.evaluate_recall import EvaluateRecall, evaluate_recall
from likeness.cli.sheets import CAPTION, GAP, TILE, sheet
from likeness.cli.tewari2018 import make
from likeness.cli.trained import Made, Rest, System, listings, name_of, tewari_recipe
from likeness.color import linear_from_srgb
from likeness.data.booth import Booth
from likeness.encoders import camera
from likeness.encoders.recognition import small
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.templates import wide
from likeness.errors import AssetError, UsageError
from likeness.evaluate.identity import Embeddings
from likeness.geometry.cameras import project
from likeness.models.expressionless import Expressionless
from likeness.render.render import render
from likeness.train import checkpoint
from likeness.types import Face, Light

COUNT, SIZE = 7, 160
"""People, of whom the last is no validation photo, and pixels of their photos."""


@pytest.fixture(scope="module")
def surface():
    return builtin.load().topology("base")


@pytest.fixture(scope="module")
def people(surface):
    """Faces that differ much, in colour above all."""
    model = Expressionless.of(builtin.load(), albedo.load(), surface)
    codes = torch.randn(COUNT, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(codes[:, :100], 2 * codes[:, 100:])


@pytest.fixture(scope="module")
def data(tmp_path_factory, surface, people):
    """A photo set of drawings of these people; the file names end in 5, the last one's in 1."""
    root = tmp_path_factory.mktemp("data")
    booth = Booth(surface, torch.tensor(wide(SIZE)).float(), SIZE)
    turn, distance = booth.frontal(COUNT)
    view = booth.view(people, turn, distance)
    dense = torch.from_numpy(surface.landmarks["dense"].points(people.vertices.numpy()))
    points = project(dense, view).numpy()
    folder = root / "photos/sfhq"
    folder.mkdir(parents=True)
    names = [f"{k}5.jpg" for k in range(COUNT - 1)] + ["1.jpg"]
    for name, image in zip(names, booth.portrait(people)):
        cv2.imwrite(str(folder / name), color.encode(image.numpy())[..., ::-1])
    deep = np.concatenate([points, np.zeros((*points.shape[:2], 1))], 2)
    np.savez(root / "photos/sfhq.landmarks478.npz", name=np.array(names), points=deep.astype(np.float16))
    return root


def network(path, seed):
    torch.manual_seed(seed)
    small.write(path, small.IdentityNetwork("mobilenet-places", 64, 32), f"random {seed}", wide(64), "none", ["none"])
    return path


def give(monkeypatch, surface, faces, recogniser=None):
    """Let the measured system answer these faces, whatever it sees."""

    def rest(listing):
        yield Rest(Face(*(v[: len(listing.files)] for v in (faces.vertices, faces.neutral, faces.albedo))), {
            "identity": np.zeros((len(listing.files), 4)), "albedo": np.arange(len(listing.files))[:, None] * np.ones((1, 2)),
        })  # fmt: skip

    monkeypatch.setattr(recall, "system", lambda path, made: System("fake", rest, surface, recogniser))


class Coarse(torch.nn.Module):
    """Sees colours, coarsely, apart from those of most faces."""

    def forward(self, image):
        return torch.nn.functional.adaptive_avg_pool2d(image, 8).flatten(1) - 0.4


def measured(tmp_path, data, monkeypatch, **options):
    """The report of a run with a judge that sees colours."""
    judge = Recognition(Coarse(), "coarse", 64, 192, wide(64), "none")
    monkeypatch.setattr("likeness.encoders.recognition.load.load", lambda name, path: judge)
    config = EvaluateRecall(tmp_path / "none", data=data, sets=("sfhq",), output=tmp_path / "report")
    assert evaluate_recall(replace(config, **options)) == 0
    return json.loads((tmp_path / "report/report.json").read_text())


def test_true_faces_are_known_again(tmp_path, data, surface, people, monkeypatch):
    give(monkeypatch, surface, people)
    report = measured(tmp_path, data, monkeypatch, sheet=tmp_path / "sheet.png", rows=4)
    assert report["scored"] == COUNT - 1  # of the validation split
    assert report["whole"]["top 1"] == 100 and report["metrics"]["similarity"]["mean"] > 0.98
    assert report["whole"]["top 1 by chance"] == pytest.approx(100 / 6)
    assert report["whole"]["albedo codes, largest"] == 5 and report["whole"]["identity codes, spread"] == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[0] == CAPTION + 2 * (
        TILE + GAP
    )  # four photos, two side by side


def test_faces_of_others_are_not(tmp_path, data, surface, people, monkeypatch):
    give(monkeypatch, surface, Face(*(v.roll(1, 0) for v in (people.vertices, people.neutral, people.albedo))))
    report = measured(tmp_path, data, monkeypatch)
    assert report["whole"]["top 1"] == 0 and report["metrics"]["similarity"]["mean"] < 0.98


def test_the_frames_of_the_same_video_do_not_count():
    who, scenes = np.array(["A", "A", "A", "B"]), np.array(["A 0", "A 0", "A 1", "B 0"])
    photos = Embeddings(np.arange(4).astype(str), who, np.array([[1.0, 0], [1, 0.01], [0, 1], [1, 1]]))
    found = recall.elsewhere(photos, photos, scenes)
    assert found["top 1 in other videos"] == 0  # the other frame of its video is left out, and the stranger is nearer
    assert found["top 5 in other videos, photos instead of faces"] == 100
    assert recall.elsewhere(photos, photos, np.array(["A", "A", "A", "B"])) == {}


def test_the_network_of_the_loss_is_no_judge(tmp_path, data, surface, people, monkeypatch):
    own = network(tmp_path / "own.safetensors", 1)
    give(monkeypatch, surface, people, small.load(own))
    config = EvaluateRecall(tmp_path / "none", judge_weights=own, data=data, sets=("sfhq",), output=tmp_path / "report")
    with pytest.raises(UsageError, match="cannot judge"):
        evaluate_recall(config)
    assert evaluate_recall(replace(config, judge_weights=network(tmp_path / "other.safetensors", 2))) == 0


def test_a_trained_genova2018_is_read_and_asked(tmp_path, data):
    from likeness.cli.genova2018 import face_model
    from likeness.recipes.genova2018 import Genova2018

    own = network(tmp_path / "own.safetensors", 2)
    recogniser = small.load(own)
    recipe = Genova2018(recogniser, *face_model(None, recogniser))
    with torch.no_grad():
        recipe.decoder.last.bias.fill_(0.25)
        recipe.decoder.last.weight.zero_()
    path = saved(tmp_path, recipe, "Genova2018")
    found = trained.system(path, Made(recogniser_weights=own))
    (listing, names, _), *_ = listings(data, ("sfhq",), "validation", 4)
    (rest,) = found.rest(listing)
    assert len(names) == 4 and rest.face.albedo.shape == rest.face.vertices.shape == (4, 10770, 3)
    assert (rest.codes["identity"] == 0.25).all() and rest.codes["albedo"].shape == (4, 60)


def saved(tmp_path, recipe, name):
    path = tmp_path / f"{name}.safetensors"
    weights = {f"weights.{key}": value for key, value in recipe.state_dict().items()}
    checkpoint.save(path, weights, {"identity": {"recipe": name}, "step": 1})
    return path


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = saved(tmp_path, torch.nn.Linear(1, 1), "Points")
    with pytest.raises(AssetError, match="a checkpoint of Points"):
        name_of(path)
    with pytest.raises(AssetError, match="no weights of tewari2018"):
        tewari_recipe(path, Made())


@pytest.mark.parametrize("kind", ["linear", "non-linear"])
def test_a_trained_tewari2018_tells_its_correctives(tmp_path, kind):
    torch.manual_seed(0)
    recipe = make(kind, codes=12, chart=8)
    path = saved(tmp_path, recipe, "Tewari2018")
    found = tewari_recipe(path, Made())
    assert all(torch.equal(value, recipe.state_dict()[key]) for key, value in found.state_dict().items())
    with pytest.raises(AssetError, match="made with other options"):
        tewari_recipe(path, Made(backbone="mobilenetv3-small"))


@pytest.fixture(scope="module")
def levels():
    """A recipe that answers one face, whatever it sees, whose final level is darker; and that answer."""
    torch.manual_seed(0)
    recipe = make(codes=8, chart=8).eval()
    with torch.no_grad():
        for head in recipe.network.heads.values():
            head.weight.zero_()
        recipe.model.geometry.space.basis.zero_()
        recipe.model.reflectance.space.basis.fill_(1)
        recipe.network.heads["reflectance"].bias.fill_(-0.5)
        found = recipe.network(torch.zeros(1, 128, 128, 3, dtype=torch.uint8))
    return recipe, found


@pytest.mark.parametrize("shown", ["base", "final"])
def test_a_photo_of_a_level_has_no_error_at_that_level(levels, shown):
    recipe, found = levels
    with torch.no_grad():
        face = getattr(recipe.levels(found), shown)
        view, grey = camera.to_view(found.camera, 128), linear_from_srgb(torch.full((3,), 0.5))
        image = render(face, recipe.topology, view, Light(found.light), background=grey).image
    (row,) = errors(recipe, {"image": torch.from_numpy(color.encode(image.numpy()))})
    other = {"base": "final", "final": "base"}[shown]
    assert row[f"{shown}, pixels"] < 0.004 and row[f"{other}, pixels"] > 0.03
    assert row[f"{shown}, vertices"] < 0.03 < row[f"{other}, vertices"]  # reads between pixels
    assert set(row) == {f"{level}, {way}" for level in ("base", "final") for way in ("vertices", "pixels", "skin")}


def test_a_sheet_has_its_rows_in_order():
    tone = [np.full((8, 8, 3), value, np.uint8) for value in (10, 60, 110, 160)]
    drawn = sheet([[tone[0], tone[1]], [tone[2], tone[3]]], ("a", "b"), columns=2)
    middle = CAPTION + TILE // 2
    seen = [drawn[middle, k * (TILE + GAP) + TILE // 2, 0] for k in range(2)]
    right = 2 * (TILE + GAP) + GAP
    seen += [drawn[middle, right + k * (TILE + GAP) + TILE // 2, 0] for k in range(2)]
    assert seen == [10, 60, 110, 160]
