"""Textures from several photos, and how well they say a face is known."""

import cv2
import numpy as np
import pytest

from likeness import color
from likeness.assets import toy
from likeness.runtime import draw
from likeness.runtime.blend import blend, gain, worth
from likeness.runtime.confidence import Region, advice, assess, regions_of, shape_deviation, shape_modes, sides
from likeness.runtime.unwrap import see

SIZE = 256


@pytest.fixture(scope="module")
def face():
    model = toy.head()
    return model.decode(np.zeros(6), np.zeros(51)), model.topology("base")


@pytest.fixture(scope="module")
def texture():
    """Random tones of skin-like brightness, with some detail."""
    rng = np.random.default_rng(0)
    tones = cv2.resize(
        rng.uniform(90, 220, (24, 24, 3)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(tones, 0, 255).astype(np.uint8)


def looks(face, texture, yaws, exposures=None, height=400):
    """What photos of the face from several sides show, each made when it is asked for."""
    found = []
    for yaw, exposure in zip(yaws, exposures or [1.0] * len(yaws)):
        view = draw.portrait(face[0], (height, height), yaw=yaw)
        picture = draw.textured(*face, texture, view)
        picture = color.encode(np.clip(color.decode(picture) * exposure, 0, 1))
        found.append(lambda picture=picture, view=view: see(picture, face[0], view, face[1], SIZE))
    return found


def error(blended, texture, least=0.3):
    """Differences of bytes where at least one photo shows the skin well."""
    shown = cv2.resize(blended.worth.max(0), (SIZE, SIZE)) > least
    return np.abs(blended.texture.astype(int) - texture).mean(-1)[shown], shown


@pytest.mark.parametrize("exposures", [(1.0, 1.0, 1.0), (1.0, 0.6, 1.3)])
def test_three_sides_give_the_texture_back_in_the_light_of_the_best_photo(face, texture, exposures):
    blended = blend(looks(face, texture, (0.0, 0.8, -0.8), exposures), face[1])
    off, shown = error(blended, texture)
    assert shown.mean() > 0.8 and np.median(off) <= 2 and np.percentile(off, 95) <= 6


def test_each_side_comes_from_the_photo_that_shows_it(face, texture):
    """The half that one profile hides is not its mirror image when another photo shows it."""
    one, two = blend(looks(face, texture, [1.0]), face[1]), blend(looks(face, texture, [1.0, -1.0]), face[1])
    hidden = cv2.resize(np.float32(one.worth[0]), (SIZE, SIZE)) < 0.02
    shown = hidden & (cv2.resize(two.worth[1], (SIZE, SIZE)) > 0.4)
    wrong, right = (np.abs(b.texture.astype(int) - texture).mean(-1)[shown] for b in (one, two))
    assert shown.mean() > 0.1 and np.median(wrong) > 12 and np.median(right) < 4


def test_the_order_of_photos_does_not_matter(face, texture):
    photos = looks(face, texture, (0.0, 0.7, -0.5), (1.0, 0.8, 1.1))
    plain = blend(photos, face[1], best=0).texture.astype(int)
    turned = blend([photos[2], photos[0], photos[1]], face[1], best=1).texture.astype(int)
    assert np.abs(plain - turned).max() <= 1


def test_a_sharper_photo_is_worth_more(face, texture):
    small, large = (photo() for height in (120, 480) for photo in looks(face, texture, [0.0], height=height))
    assert worth(large).sum() > 2 * worth(small).sum()


def test_gain_finds_a_slow_change_of_light_and_is_bounded():
    rng = np.random.default_rng(0)
    colours = rng.uniform(0.2, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :, None]
    trust = np.zeros((SIZE, SIZE), np.float32)
    trust[:, 40:200] = 1
    found = gain(colours * np.exp(0.5 * x), trust, colours, trust)
    np.testing.assert_allclose(np.log(found[128, 60:180, 0]), 0.5 * x[0, 60:180, 0], atol=0.06)
    assert gain(100 * colours, trust, colours, trust).max() <= 3.001
    np.testing.assert_array_equal(gain(colours, trust, colours, 1 - trust)[0, 0], 1)


def region(regions, name):
    return next(one for one in regions if one.name == name)


@pytest.mark.parametrize(("yaw", "seen", "unseen"), [(0.9, "right", "left"), (-0.9, "left", "right")])
def test_the_unseen_side_is_less_sure_and_asked_for_by_the_persons_side(face, texture, yaw, seen, unseen):
    """Positive yaw turns the face to the picture's right: it shows its own right side."""
    found = assess(blend(looks(face, texture, [yaw]), face[1]), *face)
    for name in ("cheeks", "side", "eye"):
        assert region(found, f"{name}_{seen}").confidence > region(found, f"{name}_{unseen}").confidence + 0.2
    assert advice(found) == (f"add a view from your {unseen}",)
    both = assess(blend(looks(face, texture, [yaw, -yaw]), face[1]), *face)
    assert advice(both) == () and region(both, f"side_{unseen}").coverage > 0.8
    assert region(both, f"nose_{unseen}").photos > region(found, f"nose_{unseen}").photos


def test_left_is_where_x_is_positive(face):
    masks = sides(*face)
    assert face[0][masks["left"], 0].min() > 0 > face[0][masks["right"], 0].max()
    halves = regions_of(*face)
    np.testing.assert_array_equal(halves["cheeks_left"][face[1].mirror], halves["cheeks_right"])


def test_both_sides_missing_is_one_line():
    def known(name, facing):
        return Region(name, 0.1, 0.1, 0.1, facing, 1.0, None)

    assert advice((known("side_left", 0.1), known("side_right", 0.2))) == (
        "add a view from your left and one from your right",
    )
    assert advice((known("side_left", 0.9), known("side_right", 0.2))) == ("add a view from your right",)


def test_deviation_of_the_shape_is_what_samples_show(face):
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((4, len(face[0]), 3))
    root = rng.standard_normal((4, 4))
    samples = rng.standard_normal((4000, 4)) @ root.T
    expected = np.sqrt((np.tensordot(samples, shape_modes(face[0], modes)[:, :50], 1) ** 2).sum(-1).mean(0))
    np.testing.assert_allclose(shape_deviation(face[0], modes, root @ root.T)[:50], expected, rtol=0.06)


def test_size_place_and_turn_are_no_shape(face):
    vertices = face[0] - face[0].mean(0)
    motions = np.stack([0.1 * vertices, np.cross([0, 0.1, 0], vertices), np.full_like(vertices, 3.0)])
    assert np.abs(shape_modes(face[0], motions)).max() < 1e-9
    bent = np.zeros((1, *face[0].shape))
    bent[0, :100, 2] = 1.0
    assert np.abs(shape_modes(face[0], bent)).max() > 0.5
