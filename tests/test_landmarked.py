"""Crops with 66 landmarks, and how far automatic landmarks are believed."""

import cv2
import numpy as np
import pytest

from likeness.assets.builtin import load
from likeness.assets.dense_mirror import permutation
from likeness.data.folder import Photos, read_set
from likeness.data.landmarked import CHOSEN, HIDDEN, LandmarkedCrops, believed
from likeness.geometry.rotation import from_euler

PLACES = load().topology().landmarks["dense"].points(load().mean)


def _seen(yaw, scale=1.1):
    """Landmarks (478, 3) of the mean head, turned, in pixels of a photo of 256 px."""
    turned = PLACES @ from_euler(np.float64(yaw), np.float64(0), np.float64(0)).T
    return scale * turned * [1, -1, -1] + [128, 140, 0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    (root / "sfhq").mkdir()
    random = np.random.default_rng(0)
    for i in range(1, 4):
        cv2.imwrite(str(root / f"sfhq/{i}.jpg"), cv2.resize(random.integers(0, 255, (8, 8, 3), np.uint8), (256, 256)))
    points = np.stack([_seen(yaw) for yaw in (0.0, 0.3, -0.3)])
    np.savez(root / "sfhq.landmarks478.npz", name=[f"{i}.jpg" for i in range(1, 4)], points=points.astype(np.float16))
    return Photos([read_set(root, "sfhq", "train")])


def test_a_landmark_is_believed_where_it_is_seen():
    found = believed(np.stack([_seen(0.0), _seen(0.9)]), PLACES)
    right_eye, left_eye, nose = 33, 263, 4
    assert found.shape == (2, 478) and found[0, [right_eye, left_eye, nose]].min() > 0.9
    # Positive yaw turns the nose towards the image's right: what is on the subject's left side is hidden then.
    assert found[1, right_eye] > 0.9 > 2 * HIDDEN > found[1, 454] and found[1, 234] > 0.9


def test_landmarks_that_are_no_face_are_not_believed():
    random = np.random.default_rng(0).permutation(478)
    found = believed(np.stack([_seen(0.2), _seen(0.2)[random]]), PLACES)
    assert found[0].max() > 0.95 and found[1].max() < 0.05


def test_items_follow_from_their_number_alone(photos):
    data = LandmarkedCrops(photos, ("sfhq",), 0, 8)
    again = LandmarkedCrops(photos, ("sfhq",), 0, 8)
    for i in (5, 0, 5):
        assert all(np.array_equal(data[i][key], again[i][key]) for key in ("image", "points", "confidence"))
    assert not np.array_equal(data[0]["points"], data[1]["points"])
    item = data[0]
    assert (
        item["image"].shape == (128, 128, 3) and item["points"].shape == (66, 2) and item["confidence"].shape == (66,)
    )


def test_mirrored_items_keep_the_names_of_points(photos):
    belief = np.zeros((3, 478), np.float32)
    belief[:, permutation()[CHOSEN[0]]] = 1.0  # the jaw's first point has this one for its mirror image
    data = LandmarkedCrops(photos, ("sfhq",), 0, 40, belief)
    mirrored = 0
    for item in (data[i] for i in range(40)):
        jaw = item["points"][:17]
        assert jaw[0, 0] < jaw[8, 0] < jaw[16, 0]  # right temple, chin, left temple, whichever way the photo was
        mirrored += item["confidence"][0] == 1.0
    assert 8 < mirrored < 32


def test_plain_items_are_all_photos_once_and_exactly_placed(photos):
    data = LandmarkedCrops(photos, ("sfhq",), 0, 99, plain=True)
    assert len(data) == 3
    assert np.allclose(data[0]["points"].mean(0), 64, atol=16)
    spread = [np.ptp(data[i]["points"][:, 1]) for i in range(3)]
    assert np.ptp(spread) < 6 and min(spread) > 60
