"""Light as a picture of the surroundings, its files, and the picture of what a rendering leaves over."""

import cv2
import numpy as np
import pytest

from likeness import color
from likeness.errors import LikenessError
from likeness.export import environment
from likeness.export.residual import residual
from likeness.geometry import harmonics
from likeness.geometry.rotation import from_euler
from likeness.types import Light


def light_from(direction, colour=(1.0, 1.0, 1.0)):
    """Distant light from one direction (camera frame), softened to nine functions, over an even sky."""
    sky = np.zeros((9, 3))
    sky[0] = 2
    point = harmonics.basis(np.asarray(direction, float))[:, None] * np.array(colour)
    return Light(harmonics.from_radiance(point + sky))


def brightest(picture):
    return np.unravel_index(picture.sum(-1).argmax(), picture.shape[:2])


@pytest.mark.parametrize("draw", [environment.radiance, environment.irradiance])
@pytest.mark.parametrize(
    "direction, place",
    [
        ((0, 0, -1), (0.5, 0.5)),
        ((1, 0, 0), (0.5, 0.75)),
        ((-1, 0, 0), (0.5, 0.25)),
        ((0, 1, 0), (0, None)),
        ((0, -1, 0), (1, None)),
    ],
)
def test_light_stands_where_it_comes_from(draw, direction, place):
    row, column = brightest(draw(light_from(direction), 64))
    assert abs(row / 64 - place[0]) <= 1 / 32
    assert place[1] is None or abs(column / 128 - place[1]) <= 1 / 64


def test_light_at_the_subjects_left_brightens_the_right_half():
    subject_left = (1, 0, 0)  # he faces the camera: his left is the camera's right, +X
    picture = environment.radiance(light_from(subject_left), 32)
    assert picture[:, 32:].mean() > 1.3 * picture[:, :32].mean()


def test_the_model_frame_turns_with_the_head():
    turned = from_euler(np.float64(np.pi / 2), np.float64(0), np.float64(0))  # the nose points to the image's right
    picture = environment.radiance(light_from((1, 0, 0)), 64, turned)
    assert brightest(picture)[1] in (0, 127)  # straight before the face: both sides of the picture


def test_irradiance_is_what_shade_gives_and_an_even_sky_lights_a_white_wall_to_its_own_colour():
    light = Light(np.random.default_rng(0).normal(size=(9, 3)) * 0.1 + np.eye(9)[:, :1] * 3)
    towards = environment.directions(16)
    assert np.allclose(np.linalg.norm(towards, axis=-1), 1)
    assert np.allclose(environment.irradiance(light, 16), harmonics.shade(towards, light.harmonics), atol=1e-6)
    even = np.zeros((9, 3))
    even[0] = 0.7 / harmonics.CONSTANTS[0]
    assert np.allclose(environment.radiance(Light(even), 8), 0.7) and np.allclose(
        environment.irradiance(Light(even), 8), 0.7
    )


def test_radiance_integrates_to_the_irradiance_it_was_made_from():
    light = light_from((0.6, 0.48, 0.64), (1.0, 0.5, 0.2))
    height = 96
    picture, towards = environment.radiance(light, height).astype(float), environment.directions(height)
    area = (np.pi / height) ** 2 * np.sqrt(1 - towards[..., 1] ** 2)
    normal = np.array([0.0, 0.6, 0.8])
    gathered = (picture * (np.maximum(towards @ normal, 0) * area)[..., None]).sum((0, 1)) / np.pi
    assert np.allclose(gathered, harmonics.shade(normal[None], light.harmonics)[0], rtol=0.02)


def test_another_program_reads_the_hdr_file():
    picture = environment.radiance(light_from((0.3, 0.8, 0.5), (3.0, 1.0, 0.1)), 96)
    picture[0, :9] = 0
    read = cv2.imdecode(np.frombuffer(environment.to_hdr(picture), np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert read.shape == picture.shape
    assert (np.abs(read - picture) <= picture.max(-1, keepdims=True) / 128 + 1e-9).all()
    assert (read[0, :9] == 0).all()


def test_bad_light_and_bad_pictures_are_refused():
    with pytest.raises(LikenessError, match="nine finite"):
        environment.radiance(Light(np.full((9, 3), np.nan)))
    with pytest.raises(LikenessError, match="negative"):
        environment.to_hdr(np.full((4, 8, 3), -1.0))
    with pytest.raises(LikenessError, match="columns"):
        environment.to_hdr(np.zeros((4, 6, 3)))


def test_tone_mapping_only_scales():
    picture = np.random.default_rng(1).uniform(0, 40, (20, 40, 3)).astype(np.float32)
    shown, exposure = environment.tone_mapped(picture)
    assert np.array_equal(shown, color.encode(picture * np.float32(exposure)))
    assert 0.005 < (shown == 255).any(-1).mean() < 0.03
    assert environment.tone_mapped(np.zeros((2, 4, 3), np.float32))[0].max() == 0


def test_the_residual_is_grey_where_they_agree_and_white_where_the_photo_is_brighter():
    photo = color.decode(np.full((40, 50, 3), 100, np.uint8))
    stored = np.full((40, 50, 3), 100, np.uint8)
    stored[:10, :10] -= 64
    stored[:10, 20:30] += 32
    picture = residual(photo, color.decode(stored))
    assert picture.shape == (40, 150, 3)
    assert (picture[:, :50] == 100).all() and np.array_equal(picture[:, 50:100], stored)
    third = picture[:, 100:]
    assert (third[:10, :10] == 255).all() and (third[:10, 20:30] == 64).all() and (abs(third[12, :] - 127.5) < 1).all()
    assert (third[30:] > 128).any()  # the scale is written on it
    hidden = residual(photo, color.decode(stored), np.zeros((40, 50)))
    assert (abs(hidden[:10, 100:110] - 127.5) < 1).all()
    with pytest.raises(LikenessError, match="compared"):
        residual(photo, photo[:5])
