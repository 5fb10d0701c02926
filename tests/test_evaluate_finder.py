"""Scores of a face finder on cases whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from likeness.evaluate.finder import average_precision, box_error, choose_threshold, match, precision, recall

FACES = [np.array([[100.0, 100, 50, 0.1], [300, 100, 50, 0]]), np.zeros((0, 4))]


def _with(rows, score):
    return np.column_stack([rows, np.full(len(rows), score)])


def test_perfect_finder():
    matches = match([_with(FACES[0], 0.9), np.zeros((0, 5))], FACES)
    assert average_precision(matches) == 1 and recall(matches, 0.5) == 1 and precision(matches, 0.5) == 1
    error = box_error(matches.pairs)
    assert error.median == pytest.approx((0, 0, 0)) and error.spread == pytest.approx((0, 0, 0, 0))


def test_second_answer_for_a_face_is_false():
    matches = match([np.vstack([_with(FACES[0][:1], 0.9), _with(FACES[0][:1], 0.8)]), np.zeros((0, 5))], FACES)
    assert matches.true.tolist() == [True, False] and recall(matches, 0.0) == 0.5


def test_average_precision_by_hand():
    """Best first: true, false, true of two faces: precision 1 up to recall 1/2, then 2/3."""
    far = np.array([[500.0, 500, 50, 0, 0.8]])
    found = [np.vstack([_with(FACES[0][:1], 0.9), far, _with(FACES[0][1:], 0.7)]), np.zeros((0, 5))]
    assert average_precision(match(found, FACES)) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_doubtful_faces_do_not_count():
    found = [np.zeros((0, 5)), np.array([[50.0, 50, 20, 0, 0.9]])]
    assert len(match(found, FACES).scores) == 1
    assert len(match(found, FACES, [np.zeros((0, 4)), np.array([[51.0, 50, 20, 0]])]).scores) == 0


def test_box_error_is_measured_in_the_upright_frame():
    truth = np.array([100.0, 100, 50, math.pi / 2])
    found = np.array([100.0, 110, 50 * math.e, math.pi / 2 + 0.1])  # down in the picture is to the face's left here
    error = box_error(np.stack([found, truth])[None])
    assert error.bias == pytest.approx((0.2, 0, 1, math.degrees(0.1)), abs=1e-9)


def test_threshold_is_the_lowest_that_is_precise_and_quiet():
    far = np.array([[500.0, 500, 50, 0, 0.425]])
    scenes = match([np.vstack([_with(FACES[0], 0.6), far]), np.zeros((0, 5))], FACES)
    assert choose_threshold(scenes, np.array([]), 100) == pytest.approx(0.43)
    assert choose_threshold(scenes, np.array([0.58, 0.545]), 100) == pytest.approx(0.55)
    assert choose_threshold(scenes, np.array([0.58, 0.545]), 200) == pytest.approx(0.43)
