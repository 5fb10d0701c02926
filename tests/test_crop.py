"""Crops: the way back is exact, large photos are averaged and not skipped through, borders are no trap."""

import cv2
import numpy as np
import pytest

from likeness.errors import PhotoError
from likeness.photos.crop import crop, sample, similarity


def waves(height, width):
    """A smooth picture whose colour says where one is: red grows with x, green with y."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.rint(255 * np.stack([x, y, (1 + np.sin(6 * x + 4 * y)) / 2], -1)).astype(np.uint8)


def crop_points(size):
    places = np.arange(size) + 0.5
    return np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)


@pytest.mark.parametrize(
    ("box", "roll"), [((40, 60, 120, 140), 0.0), ((70.3, 50.1, 210.2, 190), 0.6), ((300, 200, 700, 600), -2.5)]
)
def test_pixels_come_from_where_the_similarity_says(box, roll):
    image = waves(800, 1000)
    cut = crop(image, box, roll)
    points = crop_points(128) @ cut.photo_from_crop[:2, :2].T + cut.photo_from_crop[:2, 2]
    expected = np.stack([255 * points[:, 0] / 1000, 255 * points[:, 1] / 800], -1)
    inside = ((points > 2) & (points < [998, 798])).all(1)
    assert inside.mean() > 0.7
    error = cut.image[..., :2].reshape(-1, 2)[inside] - expected[inside]
    assert np.abs(error).max() < 1.3 and np.abs(error.mean(0)).max() < 0.08  # 1 grey level is 4 px of this photo


def test_there_and_back_again():
    image = waves(400, 400)
    matrix = crop(image, (150, 120, 250, 220), 0.4, size=200, margin=1.4).photo_from_crop
    back = sample(crop(image, (150, 120, 250, 220), 0.4, size=200, margin=1.4).image, np.linalg.inv(matrix), 400)
    assert np.abs(back[140:200, 170:230].astype(int) - image[140:200, 170:230]).max() <= 2


def test_the_box_is_in_the_middle_and_roll_turns_clockwise():
    cut = crop(waves(300, 300), (100, 110, 180, 190), 0.3)
    np.testing.assert_allclose(cut.photo_from_crop @ [64, 64, 1], [140, 150, 1])
    right = cut.photo_from_crop[:2, :2] @ [1, 0]  # the crop's x axis, seen in the photo
    np.testing.assert_allclose(np.arctan2(right[1], right[0]), 0.3)
    np.testing.assert_allclose(np.linalg.norm(right), 1.4 * 80 / 128)
    np.testing.assert_allclose(similarity((140, 150), 112, 0.3, 128), cut.photo_from_crop)


def test_a_large_photo_is_averaged():
    """Stripes of one pixel become grey; a plain bilinear look-up would answer black or white."""
    image = np.zeros((2000, 2000, 3), np.uint8)
    image[:, ::2] = 255
    cut = crop(image, (200, 200, 1400, 1400), 0.2).image
    assert 115 < cut.min() and cut.max() < 140


def test_a_tiny_box_is_enlarged_smoothly():
    cut = crop(waves(64, 64), (30, 30, 34, 34)).image.astype(int)
    assert np.abs(np.diff(cut, axis=1)).max() <= 3


@pytest.mark.parametrize(
    "box", [(-90, -90, 10, 10), (250, 250, 390, 390), (-500, -500, -400, -400), (-1000, -1000, 1300, 1300)]
)
def test_beyond_the_border_the_last_pixels_go_on(box):
    image = waves(300, 300)
    cut = crop(image, box, 0.1)
    assert cut.image.shape == (128, 128, 3)
    corner = cut.photo_from_crop @ [0.5, 0.5, 1]
    expected = image[tuple(np.clip(corner[1::-1].astype(int), 0, 299))]
    assert np.abs(cut.image[0, 0].astype(int) - expected)[:2].max() <= 12  # averaged over 18 px in the last case


def test_photos_wider_than_opencv_warps():
    image = np.zeros((40, 40_000, 3), np.uint8)
    image[:, 39_900:] = 200
    assert crop(image, (39_950, 10, 39_970, 30)).image.min() == 200


def test_plain_opencv_agrees_where_nothing_is_averaged():
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    cut = crop(image, (60, 60, 140, 140), margin=1.4)
    expected = cv2.resize(image[44:156, 44:156], (128, 128), interpolation=cv2.INTER_LINEAR)
    assert np.abs(cut.image.astype(int) - expected)[4:-4, 4:-4].max() <= 6


@pytest.mark.parametrize("box", [(10, 10, 10, 10), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5), (30, 30, 10, 10)])
def test_boxes_that_are_none(box):
    with pytest.raises(PhotoError, match="no square"):
        crop(waves(50, 50), box)
