"""Lamps in the colours of real ones, and the booth that draws faces where a recognition network wants them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_albedo import made

from likeness.assets import builtin, toy
from likeness.assets.outside import Colors
from likeness.color import LUMINANCE
from likeness.data import lamps
from likeness.data.booth import Booth, as_seen, five_points
from likeness.encoders.recognition.templates import five, photo_from_crop, wide
from likeness.geometry.cameras import project, transform_view
from likeness.geometry.rotation import to_euler
from likeness.models.expressionless import ColorDecoder, Expressionless
from likeness.types import Face, View

SIZE = 32


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def booth():
    topology = toy.head().topology("base")
    return Booth(topology, torch.tensor(wide(SIZE)), SIZE)


def model():
    head = toy.head()
    return Expressionless.of(head, made(), head.topology("base"))


def faces(count, seed=0):
    codes = torch.randn(count, 11, generator=generator(seed))
    return model()(codes[:, :6], codes[:, 6:])


def test_daylight_is_white_and_a_candle_orange():
    kelvin = torch.tensor(list(lamps.KELVIN.values()))
    color = lamps.temperature(kelvin)
    torch.testing.assert_close(color @ torch.tensor(LUMINANCE), torch.ones(len(kelvin)), atol=0.02, rtol=0)
    ratio = color[:, 0] / color[:, 2].clamp(min=1e-3)
    assert (ratio.diff() < 0).all()  # the hotter, the bluer
    # sRGB of black bodies, from the CIE 1931 observer (Mitchell Charity's table): 6500 K and 4000 K
    for t, expected in ((6500.0, (1.0, 0.945, 0.985)), (4000.0, (1.0, 0.632, 0.351))):
        found = lamps.temperature(torch.tensor(t))
        np.testing.assert_allclose(found / found[0], expected, atol=0.05)


def test_lamps_come_from_the_front_at_their_distances_and_from_the_generator_alone():
    head = torch.tensor([[0.0, 0, -800]]).expand(200, 3)
    first, again = (lamps.draw_lamps(200, head, generator(3)) for _ in range(2))
    offset = first.positions - head[:, None]
    distance = offset.norm(dim=-1)
    assert lamps.NEAR <= distance.min() and distance.max() <= lamps.FAR + 1e-2
    assert (offset[..., 2] > 0).all() and first.colors.shape == (200, 2, 3)
    assert first.colors.equal(again.colors) and first.positions.equal(again.positions)
    total = first.colors.sum(1) + first.ambient
    assert (first.colors > 0).all() and total.max() < 3 and 0.7 < total.mean() < 1.3
    assert total.std(0).min() > 0.1  # colours and brightness vary
    warm = total[:, 0] / total[:, 2]
    assert warm.max() > 1.5 and warm.min() < 1


def test_the_five_points_lie_where_the_network_wants_them():
    place, face = booth(), faces(6)
    turn, distance = place.poses(6, generator())
    view = place.view(face, turn, distance)
    five = five_points(toy.head().topology("base"))
    corners = (face.vertices[:, torch.as_tensor(five.vertices).long()] * torch.as_tensor(five.weights)[..., None]).sum(
        -2
    )
    seen = project(corners, view)
    still = photo_from_crop(seen, place.template)  # nothing is left to align
    torch.testing.assert_close(still, torch.eye(2, 3).expand(6, 2, 3), atol=2e-3, rtol=0)
    yaw, pitch, _ = to_euler(turn)
    assert yaw.abs().max() <= math.radians(45) + 1e-5 and pitch.abs().max() <= math.radians(20) + 1e-5
    assert yaw.abs().max() > math.radians(10)


def test_drawn_faces_have_their_five_points_where_photos_have_theirs():
    shipped = builtin.load()
    topology = shipped.topology("base")
    dense = topology.landmarks["dense"].points(shipped.mean)
    np.testing.assert_allclose(five_points(topology).points(shipped.mean)[:, :2], five(dense), atol=1e-4)
    few = replace(topology, landmarks={"5": topology.landmarks["5"]})
    assert five_points(few) is topology.landmarks["5"]


def test_a_face_gains_nothing_by_growing():
    place, face = booth(), faces(2)
    turn, distance = place.frontal(2)
    larger = Face(1.2 * face.vertices, albedo=face.albedo)
    light = lamps.even_light(2, torch.tensor([[0.0, 0, -900], [0, 0, -900]]))
    grey = torch.full((2, 3), 0.2)
    plain = place.draw(face, turn, distance, light, grey)
    grown = place.draw(larger, turn, 1.2 * distance, lamps.even_light(2, torch.tensor([[0.0, 0, -1080.0]] * 2)), grey)
    assert (plain - grown).abs().mean() < 0.01
    assert place.portrait(face).equal(plain)


def test_pictures_follow_from_the_generator_and_reach_codes():
    place, decoder = booth(), model()
    identity, albedo = torch.zeros(3, 6, requires_grad=True), torch.zeros(3, 5, requires_grad=True)
    face = decoder(identity, albedo)
    image = place.photograph(face, *place.poses(3, generator(1)), generator(2))
    again = place.photograph(face, *place.poses(3, generator(1)), generator(2))
    other = place.photograph(face, *place.poses(3, generator(1)), generator(5))
    assert image.shape == (3, SIZE, SIZE, 3) and image.equal(again) and not image.equal(other)
    seen = as_seen(image)
    assert seen.shape == (3, 3, SIZE, SIZE) and 0 <= seen.min() and seen.max() <= 1 and seen.std() > 0.05
    by_identity, by_albedo = torch.autograd.grad(seen.square().sum(), (identity, albedo))
    assert (by_identity.abs().max(0)[0] > 0).all() and (by_albedo.abs().max(0)[0] > 0).all()


def test_gradients_through_the_crop_are_those_of_finite_differences():
    """The camera follows the face: what moves or grows is brought back, and the gradient knows it."""
    place, face = booth().double(), faces(1)
    vertices = face.vertices.double().requires_grad_()
    turn, distance = place.frontal(1, yaw=0.3)

    def seen(vertices):
        view = place.view(Face(vertices), turn.double(), distance.double())
        return project(vertices[:, 40:400:40], view)

    stretch = torch.ones(1, 1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: seen(vertices.detach() * s), stretch)
    (by_size,) = torch.autograd.grad(seen(vertices)[0, 3, 0], vertices)
    assert by_size.abs().sum() > 0


def test_a_camera_moves_with_each_picture_of_a_batch():
    random = np.random.default_rng(0)
    angle, scale = random.uniform(-1, 1, 3), random.uniform(0.5, 2, 3)
    turned = np.stack([scale * np.cos(angle), -scale * np.sin(angle), scale * np.sin(angle), scale * np.cos(angle)], -1)
    motion = np.zeros((3, 3, 3))
    motion[:, :2, :2], motion[:, :2, 2], motion[:, 2, 2] = turned.reshape(3, 2, 2), random.normal(0, 20, (3, 2)), 1
    place, focal = random.normal(0, 5, (3, 3)) - [0, 0, 600], np.full(3, 500.0)
    view = View(np.tile(np.eye(3), (3, 1, 1)), place, focal, np.zeros((3, 2)), (9, 9))
    points = random.normal(0, 50, (3, 5, 3))
    before, after = project(points, view), project(points, transform_view(view, motion, (9, 9)))
    expected = np.einsum("bij,bnj->bni", motion[:, :2, :2], before) + motion[:, None, :2, 2]
    np.testing.assert_allclose(after, expected, atol=1e-9)


@pytest.mark.parametrize("encoding", ["linear", "srgb"])
def test_colours_of_others_are_decoded_as_numpy_does(encoding):
    random = np.random.default_rng(0)
    mean, modes = random.uniform(0.2, 0.8, (9, 3)), random.normal(0, 0.2, (4, 9, 3))
    colors = Colors(mean.astype(np.float32), modes.astype(np.float32), encoding)
    code = random.standard_normal((2, 3, 4)).astype(np.float32)
    found = ColorDecoder(colors).diffuse(torch.from_numpy(code))
    np.testing.assert_allclose(found, colors.decode(code), atol=1e-6)
    assert torch.autograd.gradcheck(
        ColorDecoder(colors).double().diffuse, torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    )
