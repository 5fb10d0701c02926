"""Crops of photos and renders: geometry, mirroring and spoiling."""

import numpy as np
import pytest

pytest.importorskip("torch")

from likeness.assets.dense_mirror import permutation
from likeness.assets.toy import head
from likeness.data import augment
from likeness.data.crops import SWAP, Crops, Source
from likeness.data.folder import Photos, crop_from_photo, read_set, splits, transform, warp
from likeness.data.targets import Index, write_index, write_shard
from likeness.encoders import camera
from likeness.errors import AssetError
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_euler


def _points(random: np.random.Generator, size: float = 200.0) -> np.ndarray:
    points = random.uniform(0.3 * size, 0.7 * size, (478, 3)).astype(np.float32)
    points[33, :2], points[263, :2] = (0.4 * size, 0.45 * size), (0.6 * size, 0.45 * size)
    return points


def _source(random: np.random.Generator, known: bool = True) -> Source:
    """A picture whose landmarks are the toy's own, projected by the camera that is its target."""
    model = head()
    identity, expression = random.standard_normal((1, len(model.identity))), random.uniform(0, 1, (1, 51))
    vertices = model.decode(identity[0], expression[0])
    rotation = from_euler(*(np.float64(angle) for angle in (0.3, -0.1, 0.05)))
    targets = {
        "identity": identity, "expression": expression, "rotation": rotation[None], "focal": np.array([700.0]),
        "translation": np.array([[5.0, -10, -800]]), "principal": np.array([[110.0, 115]]),
    }  # fmt: skip
    dense = model.topology().landmarks["dense"].points(vertices)
    points = project(dense, camera.of_row(targets, 0, (224, 224)))[None]
    image = random.integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    return Source(image, points, np.ones(1), targets, np.array([known]))


def test_every_landmark_has_one_mirror_image():
    order = permutation()
    np.testing.assert_array_equal(order[order], np.arange(478))
    assert order[33] == 263 and order[61] == 291 and order[1] == 1 and order[468] == 473
    assert (SWAP[SWAP] == np.arange(51)).all() and SWAP[0] == 7


def test_a_crop_puts_the_box_in_its_middle_upright():
    points = _points(np.random.default_rng(0))
    turn = crop_from_photo(np.array([100.0, 100]), 200.0, 0.4, 200)  # turns the picture
    moved = transform(transform(points, np.linalg.inv(turn)), augment.exact(transform(points, np.linalg.inv(turn))))
    eye = moved[263] - moved[33]
    assert abs(eye[1]) < 1e-3 and eye[0] > 0
    extent = np.ptp(moved[:, :2], axis=0).max()
    assert extent == pytest.approx(augment.CROP_SIZE / augment.CROP_MARGIN, rel=1e-5)


def test_warping_moves_pixels_as_points():
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:23, 40:43] = 255
    similarity = crop_from_photo(np.array([38.0, 24.0]), 32.0, 0.3, 128)
    crop = warp(image, similarity, 128).astype(float)[..., 0]
    rows, columns = np.mgrid[:128, :128] + 0.5
    seen = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
    np.testing.assert_allclose(seen, transform(np.array([[41.5, 21.5]]), similarity)[0], atol=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_targets_of_a_crop_project_to_its_points(mirrored):
    random = np.random.default_rng(4)
    source, model = _source(random), head()
    crops = Crops([source], [1.0], 0, 4, model.symmetry)
    item = crops.item(source, 0, augment.jittered(source.points[0], random), mirrored)
    view = camera.to_view(camera.CropCamera(*(item[key].astype(np.float64) for key in camera.CropCamera._fields)), 128)
    vertices = model.decode(item["identity"], item["expression"])
    dense = model.topology().landmarks["dense"]
    if mirrored:  # the toy's dense landmarks mean nothing, so they are mirrored here by the surface
        whole = model.decode(source.targets["identity"][0], source.targets["expression"][0])
        np.testing.assert_allclose(vertices[model.topology().mirror] * [-1, 1, 1], whole, atol=1e-3)
        seen = project(dense.points(whole) * [-1, 1, 1], view)[permutation()]
    else:
        seen = project(dense.points(vertices), view)
    assert np.linalg.norm(seen - item["points"], axis=1).max() < 1.0


def test_items_depend_on_seed_and_number_alone():
    source = _source(np.random.default_rng(5))
    first, second = (Crops([source], [1.0], 3, 4, head().symmetry) for _ in range(2))
    first[0], first[1]
    for key, value in first[2].items():
        np.testing.assert_array_equal(value, second[2][key])
    assert (first[2]["image"] != first[3]["image"]).any()
    assert first[2]["image"].shape == (128, 128, 3) and first[2]["image"].dtype == np.uint8


def test_photos_without_targets_say_so():
    source = _source(np.random.default_rng(6), known=False)
    item = Crops([source], [1.0], 0, 1, head().symmetry)[0]
    assert item["known"] == 0 and not item["identity"].any()


def test_spoiling_keeps_the_shape_and_changes_pixels():
    random = np.random.default_rng(7)
    crop = random.integers(0, 255, (128, 128, 3), dtype=np.uint8)
    changed = 0
    for _ in range(40):
        other = augment.spoil(crop, random, lambda: crop)
        assert other.shape == crop.shape and other.dtype == np.uint8
        changed += (other != crop).any()
    assert changed > 30


def test_splits_follow_the_number_of_the_file(tmp_path):
    found = splits(tmp_path, ["00000.jpg", "00005.jpg", "00007.jpg"], "sfhq")
    assert found.tolist() == ["test", "validation", "train"]


def test_a_folder_of_photos_is_cut_out_with_its_targets(tmp_path):
    import cv2

    random = np.random.default_rng(8)
    (tmp_path / "sfhq").mkdir()
    names = [f"0000{i}.jpg" for i in (1, 2, 5)]
    for name in names:
        cv2.imwrite(str(tmp_path / "sfhq" / name), random.integers(0, 255, (256, 256, 3), dtype=np.uint8))
    points = np.stack([_points(random, 256.0) for _ in names])
    np.savez(tmp_path / "sfhq.landmarks478.npz", name=names, points=points.astype(np.float16), not_found=np.array([]))
    fits = {"identity": np.ones((1, 100)), "expression": np.zeros((1, 51)), "rotation": np.eye(3)[None],
            "translation": np.array([[0, 0, -900.0]]), "focal": np.array([900.0]), "principal": np.array([[128.0, 128]])}  # fmt: skip
    shards = tmp_path / "fits" / "sfhq"
    write_index(shards, Index({}, (("00002.jpg", "00009.jpg"), ("00001.jpg",))))
    write_shard(Index.shard(shards, 0), {"name": ["00002.jpg"], "ok": [True], **fits}, [("00009.jpg", "no face")])
    photos = Photos([read_set(tmp_path, "sfhq", "train", tmp_path / "fits")])
    assert len(photos) == 2 and photos.targets["known"].tolist() == [False, True]
    np.testing.assert_allclose(np.ptp(photos.points[..., :2], axis=1).max(1), 112, rtol=1e-3)
    with pytest.raises(AssetError, match="no such file"):
        read_set(tmp_path, "stylegan", "train")


def test_shut_eyes_are_closed_in_the_targets_and_open_ones_left_alone():
    from likeness.assets.arkit import EXPRESSIONS
    from likeness.data.crops import LID_POINTS, close_lids

    points = np.zeros((2, 478, 3))
    for side, x in (("Right", 60.0), ("Left", 140.0)):
        upper, lower, corners = LID_POINTS[side]
        points[:, corners[0], 0], points[:, corners[1], 0] = x - 15, x + 15
        points[:, upper, 0], points[:, lower, 0] = x, x
        points[:, upper, 1], points[:, lower, 1] = -4.5, 4.5
    points[1, LID_POINTS["Left"][0], 1] = -1.0
    points[1, LID_POINTS["Left"][1], 1] = 1.0
    left = EXPRESSIONS.index("eyeBlinkLeft")
    given = np.full((2, 51), 0.1)
    closed = close_lids(given, points)
    assert closed[1, left] == 1.0 and closed[1, EXPRESSIONS.index("eyeWideLeft")] == 0.0
    closed[1, [left, EXPRESSIONS.index("eyeWideLeft")]] = 0.1
    np.testing.assert_array_equal(closed, given)
    turned = points.copy()
    turned[..., 2] = 1.2 * turned[..., 0]  # a turned head: automatic lids are not to be believed
    assert close_lids(given, turned)[1, left] == given[1, left]


def test_lids_of_shut_eyes_meet_and_open_ones_stay():
    from likeness.data.crops import LID_POINTS, LID_RINGS, close_gaps

    points = np.zeros((2, 478, 3))
    for side, x in (("Right", 60.0), ("Left", 140.0)):
        for ring, sign in zip(LID_RINGS[side], (-1, 1)):
            points[:, ring, 0], points[:, ring, 1] = x + np.linspace(-10, 10, 7), sign * 4.5
        for corner, sign in zip(LID_POINTS[side][2], (-1, 1)):
            points[:, corner, 0] = x + 15 * sign
    points[1, LID_RINGS["Left"][0], 1], points[1, LID_RINGS["Left"][1], 1] = 2.0, 4.0
    expected = points.copy()
    expected[1, LID_RINGS["Left"], 1] = 3.0
    np.testing.assert_allclose(close_gaps(points), expected)
    for side in (
        "Right",
        "Left",
    ):  # the rings run along the lids together, and hold the points by which eyes are judged
        assert [set(points) <= set(ring) for points, ring in zip(LID_POINTS[side], LID_RINGS[side])] == [True, True]
        pairs = set(zip(*LID_RINGS[side]))
        assert set(zip(LID_POINTS[side][0], LID_POINTS[side][1])) <= pairs


def test_other_proportions_move_pixels_and_landmarks_alike_and_forget_the_codes():
    random = np.random.default_rng(4)
    source = _source(random)
    x, y = source.points[0, 1, :2]
    grid = np.mgrid[:224, :224] + 0.5
    source.images[0] = np.where(np.hypot(grid[1] - x, grid[0] - y) < 6, 250, 10)[..., None]
    crops = Crops([source], [1.0], 0, 10, head().symmetry, stretched=1.0)
    motion = augment.exact(source.points[0])
    for _ in range(5):
        affine = augment.stretched(motion, random)
        scale = np.linalg.svd(affine[:2, :2])[1]
        item = crops.item(source, 0, affine, mirrored=False, similar=False)
        bright = item["image"][..., 0] > 128
        centre = np.array([(grid[1, :128, :128][bright]).mean(), (grid[0, :128, :128][bright]).mean()])
        assert scale[0] > 1.01 * scale[1] and np.hypot(*(centre - item["points"][1])) < 0.5
    assert crops[0]["known"] == 0 and Crops([source], [1.0], 0, 10, head().symmetry)[0]["known"] == 1
