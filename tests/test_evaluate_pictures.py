"""Scores of pictures: colours and lips."""

import cv2
import numpy as np
import pytest

from likeness.evaluate.color_error import photometric_error, texture_error
from likeness.evaluate.lips import iou, lip_iou


def test_colour_distances_by_hand():
    photo = np.full((4, 6, 3), 0.5)
    covered = np.zeros((4, 6), bool)
    covered[:2] = True
    rendering = photo + np.array([0.1, 0.2, 0.2])
    rendering[2:] = 9  # what the rendering does not cover does not count
    found = photometric_error(rendering, photo, covered)
    assert found == pytest.approx({"rgb distance": 0.3, "covered %": 50})
    black_on_white = photometric_error(np.zeros((1, 1, 3)), np.ones((1, 1, 3)), np.ones((1, 1), bool))
    assert black_on_white["rgb distance"] == pytest.approx(3**0.5)


def test_texture_error_is_l1_over_pixels_and_counts_what_is_missing():
    truth = np.full((2, 2, 3), 0.6)
    face = np.array([[True, True], [True, False]])
    wrong = truth.copy()
    wrong[0, 0] += [0.3, 0, 0.4]
    assert texture_error(wrong, truth, face)["l2,1"] == pytest.approx(0.5 / 3)
    known = np.array([[True, True], [False, True]])
    missing = texture_error(wrong, truth, face, known)
    assert missing["l2,1"] == pytest.approx((0.5 + 0.6 * 3**0.5) / 3)
    assert missing["covered %"] == pytest.approx(200 / 3)


def test_colour_errors_grow_with_noise():
    random = np.random.default_rng(0)
    truth, noise = random.uniform(0, 1, (20, 20, 3)), random.normal(0, 1, (20, 20, 3))
    everywhere = np.ones((20, 20), bool)
    for measure, name in ((photometric_error, "rgb distance"), (texture_error, "l2,1")):
        errors = [measure(truth + step * noise, truth, everywhere)[name] for step in (0, 0.01, 0.1, 0.3)]
        assert errors[0] == 0 and (np.diff(errors) > 0).all()


def lips(shift=0):
    """A label picture drawn by polygons: an upper and a lower lip with an open mouth between."""
    picture = np.zeros((200, 300), np.uint8)
    upper = np.array([[50, 100], [150, 60], [250, 100], [150, 85]]) + [shift, 0]
    lower = np.array([[50, 100], [150, 115], [250, 100], [150, 160]]) + [shift, 0]
    cv2.fillPoly(picture, [upper.astype(np.int32)], 1)
    cv2.fillPoly(picture, [lower.astype(np.int32)], 2)
    return picture


def test_iou_of_rasterised_boxes_by_hand():
    first, second = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    cv2.rectangle(first, (10, 10), (49, 29), 1, -1)  # 40 x 20
    cv2.rectangle(second, (30, 10), (69, 29), 1, -1)  # half of it shared
    assert iou(first > 0, second > 0) == pytest.approx(400 / 1200)
    assert iou(first > 0, first > 0) == 1 and iou(first > 0, 0 * second > 0) == 0
    assert np.isnan(iou(0 * first > 0, 0 * first > 0))


def test_lip_iou_is_one_for_itself_and_falls_with_the_shift():
    truth = lips()
    assert lip_iou(truth, truth) == {"upper": 1.0, "lower": 1.0, "mean of lips": 1.0}
    found = [lip_iou(lips(shift), truth)["mean of lips"] for shift in (0, 5, 15, 40)]
    assert (np.diff(found) < 0).all()
    swapped = np.where(truth == 1, 2, np.where(truth == 2, 1, 0))
    assert lip_iou(swapped, truth)["upper"] == 0
    other = np.where(truth == 1, 12, np.where(truth == 2, 13, 0))
    assert lip_iou(other, np.where(lips(5) == 1, 12, 0), 12, 13)["lower"] == 0
