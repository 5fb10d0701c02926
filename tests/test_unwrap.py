"""Unwrapping: a painted face comes back from its picture; what is hidden is mirrored, continued, and never black."""

import cv2
import numpy as np
import pytest

from likeness import color
from likeness.assets import toy
from likeness.geometry.cameras import project, to_camera, transform_view
from likeness.geometry.mesh import vertex_normals
from likeness.runtime import draw, eyes
from likeness.runtime.linings import line
from likeness.runtime.sight import locate, look
from likeness.runtime.unwrap import complete, light_ratio, unwrap

SIZE = 256
WHOLE = (slice(None), slice(None))


def painted(seed=0, symmetric=False):
    """A smooth random texture of skin-like brightness."""
    rng = np.random.default_rng(seed)
    texture = cv2.resize(
        rng.uniform(90, 220, (10, 10, 3)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    texture = (texture + texture[:, ::-1]) / 2 if symmetric else texture
    return np.clip(texture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def face():
    model = toy.head()
    return model.decode(np.zeros(6), np.zeros(51)), model.topology("base")


def normals(vertices, view, topology):
    return vertex_normals(vertices, topology.triangles) @ view.rotation.T


def located(vertices, view, topology, size):
    return locate(to_camera(vertices, view), normals(vertices, view, topology), view, topology, size)


def on_skin(face, view, size=SIZE):
    vertices, topology = face
    texels = located(vertices, view, topology, size)
    return texels, texels.part == 1


def test_a_frontal_picture_gives_the_texture_back(face):
    texture = painted()
    view = draw.portrait(face[0], (400, 400))
    found = unwrap(draw.textured(*face, texture, view), *_args(face, view), SIZE)
    texels, skin = on_skin(face, view)
    sure = skin & (texels.cosine > 0.6)
    error = np.abs(found.astype(int) - texture)[sure]
    assert sure.mean() > 0.5 and np.median(error) <= 3 and np.percentile(error, 95) <= 14


def _args(face, view):
    return face[0], view, face[1]


@pytest.mark.parametrize("yaw", [1.0, -1.0])
def test_the_hidden_side_is_the_mirror_image(face, yaw):
    texture = painted(1, symmetric=True)
    view = draw.portrait(face[0], (400, 400), yaw=yaw)
    found = unwrap(draw.textured(*face, texture, view), *_args(face, view), SIZE)
    texels, skin = on_skin(face, view)
    hidden = skin & (texels.cosine < 0.05) & (texels.cosine[:, ::-1] > 0.7)
    error = np.abs(found.astype(int) - texture)[hidden]
    assert hidden.sum() > 500 and np.median(error) <= 4 and np.percentile(error, 90) <= 20


def test_the_mirrored_side_takes_this_sides_light():
    shape = (SIZE, SIZE)
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None].repeat(SIZE, 0)
    light = np.exp(0.4 * x)[..., None]
    albedo = color.decode(painted(2, symmetric=True))
    trust = np.ones(shape, np.float32)
    trust[60:120, 150:200] = 0
    filled = complete(light * albedo, trust)
    np.testing.assert_allclose(filled[90, 175], (light * albedo)[90, 175], rtol=0.08)
    ratio = light_ratio(light * albedo, np.ones(shape, np.float32))
    np.testing.assert_allclose(np.log(ratio[64, 96, 0]), 0.8 * x[0, 192], rtol=0.1)


@pytest.mark.parametrize("height", [24, 800])
def test_small_and_large_photos(face, height):
    texture = painted(3)
    view = draw.portrait(face[0], (height, height))
    found = unwrap(draw.textured(*face, texture, view), *_args(face, view), SIZE)
    texels, skin = on_skin(face, view)
    sure = skin & (texels.cosine > 0.6)
    assert np.median(np.abs(found.astype(int) - texture)[sure]) <= (12 if height < 100 else 3)


def test_large_photos_are_averaged_not_picked(face):
    """A checkerboard of single pixels becomes its mean in linear light."""
    view = draw.portrait(face[0], (800, 800))
    checker = ((np.indices((800, 800)).sum(0) % 2) * 255).astype(np.uint8)[..., None].repeat(3, -1)
    found = unwrap(checker, *_args(face, view), 128)
    texels, skin = on_skin(face, view, 128)
    values = found[skin & (texels.cosine > 0.8)]
    assert np.abs(values.astype(int) - 188).mean() < 6  # 188 is half the light; a mean of bytes would give 128


def test_no_black_holes_whatever_the_view(face):
    texture = painted(4)
    for view in (
        draw.portrait(face[0], (200, 200), yaw=1.4),
        transform_view(
            draw.portrait(face[0], (200, 200)), np.array([[1, 0, -90.0], [0, 1, 60], [0, 0, 1]]), (200, 200)
        ),
    ):
        picture = draw.textured(*face, texture, view, (0.4, 0.4, 0.4))
        found = unwrap(picture, *_args(face, view), SIZE)
        _, skin = on_skin(face, view)
        assert found[skin].min() > 40
    away = transform_view(view, np.array([[1, 0, 5000.0], [0, 1, 0], [0, 0, 1]]), (200, 200))
    assert unwrap(np.full((200, 200, 3), 90, np.uint8), *_args(face, away), 64).shape == (64, 64, 3)


def eye_texture(shift):
    """Eyeballs with a dark iris `shift` radians to the subject's left of the pole, on skin."""
    model = toy.head()
    vertices, topology = model.decode(np.zeros(6), np.zeros(51)), model.topology("base")
    view = draw.portrait(vertices, (640, 640))
    texels = located(vertices, view, topology, 2 * SIZE)
    texture = np.full((2 * SIZE, 2 * SIZE, 3), (200, 150, 130), np.uint8)
    for name in eyes.PARTS:
        ball = eyes.Ball.of(vertices, topology, topology.parts[name])
        on = (texels.triangle >= 0) & ball.triangles[texels.triangle]
        points = (vertices[topology.triangles[texels.triangle]] * texels.shares(topology, WHOLE)[..., None]).sum(-2)
        pole = np.array([np.sin(shift), 0, np.cos(shift)])
        angle = np.arccos(np.clip(ball.directions(points) @ pole, -1, 1))
        colours = np.where((angle < ball.iris)[..., None], (40, 70, 110), (225, 220, 215))
        texture[on] = colours[on]
    return texture, texels, vertices, topology, view


def test_shares_in_a_window_are_those_of_the_chart(face):
    vertices, topology = face
    texels = located(vertices, draw.portrait(vertices, (300, 300)), topology, 128)
    window = slice(20, 90), slice(30, 100)
    shares = texels.shares(topology, window)
    x, y = np.meshgrid(np.arange(30, 100) + 0.5, np.arange(20, 90) + 0.5)
    there = texels.triangle[window] >= 0
    found = (shares[..., None] * topology.uv[topology.triangles[texels.triangle[window]]]).sum(-2) * 128
    np.testing.assert_allclose(found[there], np.stack([x, y], -1)[there], atol=1e-4)
    assert there.mean() > 0.5 and shares[there].min() > -1e-5 and not shares[~there].any()


@pytest.mark.parametrize("shift", [0.0, 0.2, -0.25])
def test_the_iris_is_there_once_and_centred(shift):
    texture, texels, vertices, topology, view = eye_texture(shift)
    found = unwrap(draw.textured(vertices, topology, texture, view), vertices, view, topology, 2 * SIZE)
    for name in eyes.PARTS:
        ball = eyes.Ball.of(vertices, topology, topology.parts[name])
        on = (texels.triangle >= 0) & ball.triangles[texels.triangle]
        points = (vertices[topology.triangles[texels.triangle]] * texels.shares(topology, WHOLE)[..., None]).sum(-2)
        directions = ball.directions(points)
        angle = np.arccos(np.clip(directions[..., 2], -1, 1))
        dark = on & (found[..., 0] < 110)
        assert np.abs(directions[dark][:, :2].mean(0)).max() < 0.09
        assert dark[on & (angle < 0.75 * ball.iris)].mean() > 0.95
        assert dark[on & (angle > 1.35 * ball.iris) & (angle < 1.2)].mean() < 0.05


def test_an_eye_that_is_hidden_is_the_other_one(face):
    texture, *_ = eye_texture(0.0)
    view = draw.portrait(face[0], (640, 640), yaw=1.3)
    found = unwrap(draw.textured(*face, texture, view), *_args(face, view), SIZE)
    texels, _ = on_skin(face, view)
    number = 1 + list(face[1].parts).index("eye_left")
    block = texels.part == number
    np.testing.assert_allclose(found[block].mean(0), found[:, ::-1][block].mean(0), atol=4)


def test_the_z_buffer_sees_parts_where_they_are(face):
    vertices, topology = face
    view = draw.portrait(vertices, (300, 300))
    sight = look(to_camera(vertices, view), normals(vertices, view, topology), view, topology)
    for number, name in enumerate(topology.parts, start=1):
        if name.startswith("eye"):
            spot = (project(vertices[topology.parts[name]][:1], view)[0] - sight.corner) * sight.scale
            assert sight.part[int(spot[1]), int(spot[0])] == number
    assert abs(sight.millimetres - 200 / 480) < 0.15


def test_an_eye_printed_on_a_lid_is_not_believed_and_insides_are_lined(face):
    vertices, topology = face
    texels, skin = on_skin(face, draw.portrait(vertices, (300, 300)), 512)
    rng = np.random.default_rng(0)
    colours = np.float32([0.5, 0.3, 0.2]) * rng.uniform(0.9, 1.1, (512, 512, 1)).astype(np.float32)
    ball = eyes.Ball.of(vertices, topology, topology.parts["eye_left"])
    above = np.linalg.norm(vertices - ball.centre, axis=1) - ball.radius
    height = (above[topology.triangles[texels.triangle]] * texels.shares(topology, WHOLE)).sum(-1)
    near = cv2.dilate((texels.part == 2).astype(np.uint8), np.ones((61, 61))) > 0
    eye = skin & (height > 1.5) & (height < 4) & near
    colours[eye] = (0.3, 0.35, 0.45)
    trust = np.where(skin, np.float32(1), 0)
    hidden = skin & (cv2.dilate((texels.part == 4).astype(np.uint8), np.ones((5, 5))) > 0)  # beside the mouth
    trust[hidden] = 0
    lined, believed = line(colours.copy(), trust.copy(), texels, vertices, topology)
    assert eye.sum() > 20 and hidden.sum() > 50
    assert np.median(believed[eye]) < 0.2 and believed[skin & (height > 6) & ~hidden].min() > 0.9
    assert believed[hidden].min() > 0.9 and (lined[hidden].mean(0) < 0.7 * np.float32([0.5, 0.3, 0.2])).all()
    np.testing.assert_array_equal(trust[hidden], 0)
