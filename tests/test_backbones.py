"""The backbone, the camera's numbers, and the regressor's heads."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.encoders import camera
from likeness.encoders.backbones.mobilenet import MobileNetPlaces
from likeness.encoders.regressor import Regressor, normalized
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_euler
from likeness.types import View


def _view(random: np.random.Generator, off: float) -> View:
    rotation = from_euler(*random.normal(0, 0.4, 3))
    translation = np.array([*random.normal(0, 20, 2), -700.0])
    return View(rotation, translation, np.float64(500.0), 64 + off * random.standard_normal(2), (128, 128))


def test_the_backbone_knows_places():
    torch.manual_seed(0)
    network = MobileNetPlaces(features=32).train()  # in training every layer's output has unit variance
    image = torch.zeros(1, 3, 128, 128)
    image[..., 8:24, 8:24] = 2.0
    moved = torch.roll(image, (64, 64), (2, 3))
    with torch.no_grad():
        found = network(torch.cat([image, moved]))
    assert found.shape == (2, 32)
    assert (found[0] - found[1]).abs().max() > 0.01, "averaged over places"


def test_a_centred_camera_is_its_numbers():
    random = np.random.default_rng(0)
    view, points = _view(random, 0.0), random.normal(0, 60, (50, 3))
    again = camera.to_view(camera.from_view(view), 128)
    np.testing.assert_allclose(project(points, again), project(points, view), atol=1e-9)
    np.testing.assert_allclose(again.focal, view.focal)


def test_turning_the_axis_to_the_crop_hardly_moves_the_picture():
    random = np.random.default_rng(1)
    view, points = _view(random, 8.0), random.normal(0, 50, (200, 3)) + [0, 0, 40]
    again = camera.to_view(camera.from_view(view), 128)
    np.testing.assert_allclose(again.principal, [64, 64])
    assert np.linalg.norm(project(points, again) - project(points, view), axis=1).max() < 1.0


def test_a_mirrored_camera_shows_the_mirrored_head_mirrored():
    random = np.random.default_rng(2)
    numbers, points = camera.from_view(_view(random, 8.0)), random.normal(0, 60, (50, 3))
    seen = project(points, camera.to_view(numbers, 128))
    flipped = project(points * [-1, 1, 1], camera.to_view(camera.mirrored(numbers), 128))
    np.testing.assert_allclose(flipped * [-1, 1] + [128, 0], seen, atol=1e-9)


def test_cameras_in_numpy_and_torch_agree_batched():
    random = np.random.default_rng(3)
    one = camera.from_view(_view(random, 8.0))
    many = camera.CropCamera(*(torch.as_tensor(np.stack([value, value])) for value in one))
    views, view = camera.to_view(many, 128), camera.to_view(one, 128)
    np.testing.assert_allclose(views.translation[1].numpy(), view.translation)
    back = camera.from_view(views)
    np.testing.assert_allclose(back.offset[0].numpy(), one.offset)


def test_an_untrained_regressor_answers_the_mean_face_from_the_front():
    torch.manual_seed(0)
    network = Regressor().eval()
    with torch.no_grad():
        estimate = network(torch.randint(0, 255, (2, 128, 128, 3), dtype=torch.uint8))
    assert estimate.identity.shape == (2, 100) and estimate.expression.shape == (2, 51)
    assert estimate.expression.min() >= 0 and estimate.expression.max() < 0.3
    assert (estimate.camera.rotation - torch.eye(3)).abs().max() < 0.6
    assert normalized(torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)).max() < 2.1
