"""Composed scenes: determinism, exact boxes, maps that decode to the boxes again; and the finder's losses."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from likeness.data import backgrounds, degrade, faceless, scenes
from likeness.data.portraits import Draw, Portrait, painted_over, portraits
from likeness.errors import AssetError
from likeness.photos.detect import STRIDE, Tile, decode
from likeness.recipes.finder import TERMS, FinderRecipe, finder_losses
from likeness.types import Stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven pictures of a bright disc on a dark ground, with landmarks on the disc's rim and at two eye corners."""
    root = tmp_path_factory.mktemp("photos")
    (root / "sfhq").mkdir()
    names, points = [], []
    for i in range(11):
        image = np.full((256, 256, 3), 40, np.uint8)
        center, radius = np.array([120.5 + i, 140.5 - i]), 50 + i
        cv2.circle(image, tuple(int(c) for c in center), radius, (90, 160, 220), -1)
        cv2.imwrite(str(root / "sfhq" / f"{i:05d}.jpg"), image)
        angle = np.linspace(0, 2 * np.pi, 479)[:478]
        rim = center + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        rim[33], rim[263] = center - [25, 10], center + [25, -10]
        names.append(f"{i:05d}.jpg")
        points.append(np.column_stack([rim, np.zeros(478)]))
    np.savez(root / "sfhq.landmarks478.npz", name=np.array(names), points=np.array(points, np.float16))
    return root


@pytest.fixture
def draw(folder):
    return Draw(portraits(folder, "train", ("sfhq",)))


def test_splits_are_disjoint(folder):
    names = ("train", "validation", "test")
    lists = {split: {p.path.name for p in portraits(folder, split, ("sfhq",))[0]} for split in names}
    assert lists["validation"] == {"00005.jpg"} and lists["test"] == {"00000.jpg", "00010.jpg"}
    assert len(lists["train"]) == 8


def test_missing_set_is_one_clear_error(tmp_path):
    with pytest.raises(AssetError, match="sfhq"):
        portraits(tmp_path, "train", ("sfhq",))


def test_items_depend_on_seed_and_number_alone(draw):
    first, again, other = (scenes.Scenes(draw, seed, 10, scenes.Mix()) for seed in (1, 1, 2))
    for i in (3, 0):
        a, b = first[i], again[i]
        assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(first[0]["image"], other[0]["image"])
    assert not np.array_equal(first[0]["image"], first[1]["image"])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("face", [(150.0, 170.0, 90.0, 0.5), (60.5, 81.25, 24.0, -0.7), (160.0, 160.0, 300.0, 0.0)])
def test_placed_photo_lies_where_its_box_says(draw, face, mirror):
    portrait, photo = draw(np.random.default_rng(0))
    placed = scenes.place(portrait, photo, face, mirror, 320)
    canvas = np.zeros((320, 320, 3), np.uint8)
    (x, y), (h, w) = placed.corner, placed.inside.shape
    canvas[y : y + h, x : x + w] = placed.layer * (placed.inside[..., None] > 0.5)
    rows, columns = np.nonzero(canvas[..., 0] > 150)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(face[:2], abs=0.4 + 0.005 * face[2])
    assert 2 * math.sqrt(len(rows) / math.pi) == pytest.approx(face[2], rel=0.06)
    assert (placed.outline.min(0) + placed.outline.max(0)) / 2 == pytest.approx(face[:2], abs=0.5 + 0.005 * face[2])


def test_mirror_turns_the_roll():
    """A portrait with its eyes on a slope: mirrored and placed upright, its bright side is on the other side."""
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[:, :50] = 255
    portrait = Portrait(None, np.array([50.0, 50.0]), 60.0, 0.3, np.array([[20.0, 20], [80, 20], [80, 80], [20, 80]]))
    left = scenes.place(portrait, photo, (50.0, 50.0, 60.0, 0.3), False, 100).layer
    right = scenes.place(portrait, photo, (50.0, 50.0, 60.0, -0.3), True, 100).layer
    assert left[50, 20, 0] == 255 and right[50, 20, 0] == 0
    assert np.abs(left[:, ::-1].astype(int) - right).mean() < 2


def test_maps_decode_to_the_boxes():
    boxes = np.array([[50.3, 61.9, 22.0, 0.3], [200.0, 150.0, 140.0, -0.6]], np.float32)
    target = scenes.maps(scenes.Scene(None, boxes, np.zeros((0, 4), np.float32)), 320)
    assert target["score"].max() == 1 and target["valid"].all()
    found = decode(target["score"], target["geometry"], Tile(1.0, (0, 0), (320, 320)), 0.99)
    assert found[np.argsort(found[:, 2]), :4] == pytest.approx(boxes, abs=1e-3)


def test_doubtful_faces_are_neither_asked_for_nor_forbidden():
    face = np.array([[100.0, 100.0, 60.0, 0.0]], np.float32)
    target = scenes.maps(scenes.Scene(None, np.zeros((0, 4), np.float32), face), 320)
    assert target["valid"][100 // STRIDE, 100 // STRIDE] == 0 and target["valid"].mean() > 0.9
    assert target["score"].max() == 0


def test_hidden_face_is_doubtful(draw):
    portrait, photo = draw(np.random.default_rng(0))
    canvas = scenes._Canvas(np.zeros((320, 320, 3), np.uint8), scenes.Mix())
    placed = scenes.place(portrait, photo, (160.0, 160.0, 100.0, 0.0), False, 320)
    canvas.paste(placed, placed.inside, is_face=True)
    assert len(canvas.boxes()[0]) == 1
    mask = np.zeros((320, 320), np.float32)
    mask[:, :165] = 1
    canvas.cover(np.zeros((320, 320, 3), np.uint8), mask)
    sure, doubtful = canvas.boxes()
    assert len(sure) == 0 and len(doubtful) == 1


def test_painted_over_face_is_gone(draw):
    portrait, photo = draw(np.random.default_rng(0))
    faceless = painted_over(portrait, photo, np.random.default_rng(0))
    x, y = (int(c) for c in portrait.center)
    assert faceless.shape == photo.shape and int(faceless[y, x].max()) < int(photo[y, x].max()) - 60


def test_shuffled_face_has_other_pixels_where_it_was_and_the_same_ones_in_sum(draw):
    portrait, photo = draw(np.random.default_rng(0))
    marked = np.random.default_rng(1).integers(0, 256, photo.shape, dtype=np.uint8)
    mixed = faceless.shuffled(portrait, marked, np.random.default_rng(2))
    changed = (mixed != marked).any(-1)
    x, y = (int(c) for c in portrait.center)
    assert changed[y - 30 : y + 30, x - 30 : x + 30].mean() > 0.6 and not changed[0].any()
    assert np.array_equal(np.sort(mixed.ravel()), np.sort(marked.ravel()))


def test_leaves_have_edges_at_all_scales_and_the_tones_of_the_photo():
    """Neighbours differ little, pixels far apart much: there are large leaves too."""
    photo = np.zeros((50, 50, 3), np.uint8)
    photo[:25], photo[25:] = (200, 40, 40), (40, 40, 200)
    image = faceless.leaves(photo, 128, np.random.default_rng(3)).astype(float)
    assert np.abs(image[..., 1] - 40).mean() < 12 and image[..., 0].std() > 30
    near, far = (np.abs(image[:, k:, 0] - image[:, :-k, 0]).mean() for k in (1, 20))
    assert near < 0.6 * far


def test_mix_says_how_often_there_is_no_face_and_how_steep_heads_are(draw):
    def boxes(mix):
        return [scenes.compose(draw, np.random.default_rng((4, i)), mix).boxes for i in range(60)]

    usual = boxes(scenes.Mix(96, tilted=1.0))
    wary = boxes(scenes.Mix(96, tilted=1.0, empty=0.5, steepest=math.radians(60)))
    assert sum(len(b) == 0 for b in wary) > sum(len(b) == 0 for b in usual) + 10
    steepest = [max(abs(np.concatenate(b)[:, 3])) for b in (usual, wary)]
    assert steepest[0] <= math.radians(45) + 1e-6 < math.radians(50) < steepest[1] <= math.radians(60) + 1e-6


def test_pictures_for_reporting_are_others():
    assert not set(backgrounds.TRAINING) & set(backgrounds.REPORTING) and "astronaut.png" not in backgrounds.TRAINING


@pytest.mark.parametrize("make", [backgrounds.clouds, backgrounds.gradient, backgrounds.background])
def test_backgrounds(make):
    for seed in range(5):
        image = make(96, np.random.default_rng(seed))
        assert image.shape == (96, 96, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("change", ["recolor", "shade", "blur", "shrink", "noise", "compress", "grey"])
def test_degradations_keep_layout_and_differ(change):
    image = backgrounds.clouds(64, np.random.default_rng(0))
    result = getattr(degrade, change)(image, np.random.default_rng(1))
    assert result.shape == image.shape and result.dtype == np.uint8 and not np.array_equal(result, image)


def _batch(draw) -> dict[str, torch.Tensor]:
    data = scenes.Scenes(draw, 0, 4, scenes.Mix(96))
    return torch.utils.data.default_collate([data[i] for i in range(4)])


def test_every_term_alone_reaches_the_network(folder):
    recipe = FinderRecipe(None)
    batch = _batch(Draw(portraits(folder, "train", ("sfhq",))))
    for term in TERMS:
        losses = recipe.losses(batch, Stage("small", 1, TERMS, {"network": 1e-3}))
        assert set(losses) == set(TERMS)
        recipe.zero_grad()
        losses[term].backward()
        assert recipe.network.stem[0].weight.grad.abs().max() > 0


def test_perfect_answer_costs_nothing(draw):
    batch = _batch(draw)
    center = batch["score"] > 0.9999
    good = finder_losses(torch.where(center, 20.0, -20.0), batch["geometry"], batch)
    bad = finder_losses(torch.where(center, -20.0, 20.0), batch["geometry"] + 1, batch)
    assert all(float(v) < 1e-3 for v in good.values()) and all(float(v) > 0.1 for v in bad.values())
