"""Skin by colour: the mixtures, the classifier that ships, its adaptation to one face, and where the face is bare."""

import numpy as np
import pytest

from likeness import color
from likeness.assets import toy
from likeness.errors import AssetError
from likeness.photos import skin
from likeness.render.regions import bare_skin
from likeness.types import View

TONES = [(240, 205, 185), (215, 165, 135), (170, 115, 85), (115, 72, 50), (70, 42, 30)]
"""sRGB of skin, light to dark."""


def photo(face, around, size=96, noise=6, seed=0):
    """A disc of skin with side light before a background, and a band of the background's colour across its top."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    disc = np.hypot(x, y) < 0.35
    band = disc & (y < -0.2)
    light = (0.55 + 0.9 * (x + 0.35))[..., None]
    shown = np.where((disc & ~band)[..., None], np.array(face) * light, np.array(around))
    noisy = shown + np.random.default_rng(seed).normal(size=(size, size, 3)) * noise
    return np.clip(noisy, 0, 255).astype(np.uint8), disc, band


def test_a_mixture_finds_the_distributions_it_is_made_of():
    random = np.random.default_rng(0)
    values = np.concatenate(
        [random.normal([0, 0, 0], [1, 0.5, 0.2], (3000, 3)), random.normal([5, 0, 1], 0.3, (1000, 3))]
    )
    found = skin.mixture(values, 2)
    order = np.argsort(found.means[:, 0])
    assert np.allclose(found.shares[order], [0.75, 0.25], atol=0.01)
    assert np.allclose(found.means[order], [[0, 0, 0], [5, 0, 1]], atol=0.06)
    assert np.allclose(np.sqrt(found.variances[order]), [[1, 0.5, 0.2], [0.3] * 3], atol=0.05)


def test_density_is_that_of_independent_normal_distributions():
    model = skin.Mixture(np.array([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 2.0], [0.5, 0.1]]))
    at = np.array([[0.5, 0.2], [2.0, -1.1]])
    bells = np.exp(-((at[:, None] - model.means) ** 2) / (2 * model.variances)) / np.sqrt(2 * np.pi * model.variances)
    assert np.allclose(np.exp(model.log_density(at)), (model.shares * bells.prod(-1)).sum(-1))


def test_the_table_is_the_formula():
    model = skin.load()
    colours = np.random.default_rng(1).integers(40, 256, (1, 500, 3)).astype(np.uint8)
    odds = np.clip(model.odds(skin.tones(color.decode(colours)).reshape(-1, 3)) + skin.PRIOR, -30, 30)
    exact = 1 / (1 + np.exp(-odds))
    assert np.abs(skin.probability(colours)[0] - exact).mean() < 0.03


@pytest.mark.parametrize("tone", TONES)
def test_skin_of_every_tone_counts_and_grass_and_sky_do_not(tone):
    image = np.array([[tone, (70, 140, 40), (90, 150, 230)]], np.uint8)
    assert skin.weights(image)[0, 0] == 1
    assert (skin.weights(image)[0, 1:] < 0.2).all()


@pytest.mark.parametrize("tone", TONES)
def test_hair_before_the_face_is_left_out_even_where_it_has_the_colour_of_skin(tone):
    other = TONES[2] if tone != TONES[2] else TONES[4]  # another's skin, here the colour of hair
    image, disc, band = photo(tone, np.array(other) * [0.7, 0.9, 1.4], noise=4)
    found = skin.weights(image, disc)
    assert found[disc & ~band].mean() > 0.95
    assert found[band].mean() < 0.1
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1


def test_weights_are_one_from_one_half_on():
    image, disc, _ = photo(TONES[1], (120, 110, 100), noise=25)
    probable, found = skin.probability(image, disc), skin.weights(image, disc)
    assert (found[probable > 0.5] == 1).all() and np.array_equal(found[probable <= 0.5], probable[probable <= 0.5])
    assert ((probable > 0) & (probable < 0.5)).any()


def test_a_face_of_few_pixels_is_left_to_the_classifier_that_ships():
    image, disc, _ = photo(TONES[1], (60, 90, 120))
    few = np.zeros_like(disc)
    few[48, 40:56] = True
    assert np.array_equal(skin.probability(image, few), skin.probability(image))


def test_files_come_back_and_damage_is_one_line(tmp_path):
    model, path = skin.load(), tmp_path / "skin.safetensors"
    path.write_bytes(skin.to_bytes(model, {"photos": 1}))
    again = skin.load(path)
    assert np.array_equal(again.skin.means, model.skin.means) and np.array_equal(again.other.shares, model.other.shares)
    (tmp_path / "half").write_bytes(path.read_bytes()[:300])
    for name, reason in (("half", "holds no skin colours"), ("nothing", "cannot read")):
        with pytest.raises(AssetError, match=reason):
            skin.load(tmp_path / name)


def test_bare_skin_leaves_out_eyes_brows_and_lips():
    head = toy.head()
    topology = head.topology("base")
    view = View(np.eye(3), np.array([0.0, 0, -900]), np.array(400.0), np.array([50.0, 50.0]), (100, 100))
    seen, bare = bare_skin(head.mean, view, topology)
    assert seen.sum() > bare.sum() > 0.5 * seen.sum() and not (bare & ~seen).any()
    lip = np.rint(50 + 400 / 810 * np.array([0, 0.34 * 100])).astype(int)
    assert seen[lip[1], lip[0]] and not bare[lip[1], lip[0]]
    nose = bare_skin(head.mean, view, topology, ("nose",))[1]
    assert nose[lip[1], lip[0]] and not nose[50, 50] and bare[50, 50]
