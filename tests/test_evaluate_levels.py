"""Levels of a face against its photo, and codes against their model's people."""

import math

import numpy as np
import pytest

from likeness.evaluate.codes import distribution
from likeness.evaluate.levels import gain, level_errors


def test_both_levels_are_measured_on_the_same_pixels():
    photo = np.zeros((4, 5, 3))
    pixels = np.zeros((4, 5), bool)
    pixels[1, 1:3] = True
    base, final = np.full_like(photo, 0.5), photo.copy()
    final[1, 2] = [0.3, 0.4, 0.0]
    found = level_errors(photo, {"base": base, "final": final}, pixels)
    assert found == {"base": pytest.approx(0.5 * math.sqrt(3)), "final": pytest.approx(0.25)}
    final[0] = 1  # a pixel that does not count
    assert level_errors(photo, {"final": final}, pixels)["final"] == pytest.approx(0.25)


def test_without_pixels_there_is_no_error():
    assert math.isnan(level_errors(np.zeros((2, 2, 3)), {"base": np.ones((2, 2, 3))}, np.zeros((2, 2), bool))["base"])


def test_the_papers_numbers_are_a_fall_of_22_percent():
    assert gain(np.full(3, 0.092), np.full(3, 0.072))["fall %"] == pytest.approx(21.74, abs=0.01)


def test_photos_are_drawn_with_both_their_errors():
    random = np.random.default_rng(0)
    base = random.uniform(0.02, 0.3, 300)  # photos differ far more than levels do
    found = gain(base, 0.8 * base)
    assert found["from"] == pytest.approx(20) and found["to"] == pytest.approx(20) and found["better %"] == 100
    noisy = gain(base, 0.8 * base + random.normal(0, 0.05, 300))
    assert noisy["from"] < noisy["fall %"] < noisy["to"] and noisy["better %"] < 100


def test_a_photo_without_an_error_is_left_out():
    assert gain([1.0, np.nan, 1.0], [0.5, 0.1, np.nan])["fall %"] == 50
    assert math.isnan(gain([np.nan], [1.0])["fall %"])


def test_people_of_the_model_are_recognised_as_such():
    random = np.random.default_rng(1)
    found = distribution(random.standard_normal((400, 60)))
    assert found["off centre"] == pytest.approx(1 / 20, rel=0.2) and found["spread"] == pytest.approx(1, abs=0.02)
    moved = distribution(3 + 0.2 * random.standard_normal((400, 60)))
    assert moved["off centre"] == pytest.approx(3, abs=0.02) and moved["spread"] == pytest.approx(0.2, abs=0.01)
    assert distribution(np.array([[1.0, -7.0], [0, 0]]))["largest"] == 7
