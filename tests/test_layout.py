"""Chart coordinates and grid triangles."""

import numpy as np
import pytest

from likeness.assets import toy
from likeness.assets.layout import Rectangle


@pytest.mark.parametrize("level", ["base", "dense"])
def test_an_embedded_place_has_its_own_chart_coordinates(level):
    layout = toy.head().layout
    places = np.concatenate([np.random.default_rng(0).uniform(size=(500, 2)), [[0, 0], [1, 1], [0.5, 0.5], [1, 0]]])
    points = layout.embed(places, level)
    np.testing.assert_allclose(points.points(layout.uv(level)), places, atol=1e-6)
    assert points.weights.min() >= -1e-6


def test_embedded_places_lie_in_one_triangle_of_the_mesh():
    layout = toy.head().layout
    known = {frozenset(t) for t in toy.head().topology().triangles.tolist()}
    free = layout.free("base")["mouth_bag"] | layout.free("base")["eye_left"] | layout.free("base")["eye_right"]
    places = np.random.default_rng(1).uniform(size=(500, 2))
    cell = (places * (layout.size - 1)).astype(int)
    holes = list(layout.holes.values())
    on_skin = [not any(h.left <= c < h.right and h.top <= r < h.bottom for h in holes) for c, r in cell]
    assert free.any() and {frozenset(t) for t in layout.embed(places[on_skin]).vertices.tolist()} <= known


def test_a_loop_goes_around_its_rectangle_counter_clockwise():
    loop = Rectangle(2, 4, 5, 8).loop()
    assert len(loop) == 10 and len({tuple(p) for p in loop}) == 10
    x, y = loop[:, 1], -loop[:, 0]
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2 == 6


def test_levels_have_names():
    with pytest.raises(ValueError, match="'fine'"):
        toy.head().layout.count("fine")
