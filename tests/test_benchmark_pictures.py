"""Pictures of the benchmark: heads whose truth is exact, in lights that cast shadows, covered where they say so."""

import math
from dataclasses import replace

import benchmark_parts as parts
import numpy as np
import pytest
from benchmark_parts import grey

from likeness import color
from likeness.assets import toy
from likeness.evaluate.benchmark import heads, scene, views
from likeness.evaluate.benchmark.albedo import without_light
from likeness.evaluate.benchmark.items import Item, Truth, typology_angle
from likeness.evaluate.scans import Scan
from likeness.geometry import cameras, harmonics
from likeness.geometry.mesh import vertex_normals
from likeness.types import View


def test_pictures_follow_from_split_and_number(head, pictures):
    skins = parts.skins()
    again = heads.items(head, skins, "val", 2, grey)
    for one, other in zip(again, pictures):
        np.testing.assert_array_equal(one.picture(), other.picture())
    plans = {split: heads.items(head, skins, split, 1, grey)[0].truth.view for split in heads.SEEDS}
    assert np.abs(plans["val"].rotation - plans["test"].rotation).max() > 0.01


def test_true_points_lie_on_the_head(head):
    """Blue skin with red dots at the places of four landmarks is red at the true points of these, and only there."""
    import cv2

    random, size, dots = np.random.default_rng(3), 256, (19, 27, 33, 8)
    texture = np.zeros((size, size, 3), np.float32)
    texture[..., 2] = 0.5
    for u, v in head.places_68[list(dots)]:
        cv2.circle(texture, (int(u * size), int(v * size)), 6, (1.0, 0.0, 0.0), -1)
    person = replace(heads.draw_person(head, heads.Skin(texture, "dots"), random), identity=np.zeros(toy.IDENTITY))
    plan = heads.Plan(-0.2, 0.1, 0.2, "neutral", "none", 200.0, 700.0, 400, np.array([220.0, 190.0]))
    image, points, dense, view = heads.photograph(head, person, plan, grey(400, random), random)
    for k in (*dots, 29, 3):
        x, y = points[k].astype(int)
        red, _, blue = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int).sum(0)
        assert (red > 2 * blue) == (k in dots), k
    skin = head.topology("base").parts["skin"]
    shown = cameras.project(head.mean[skin].astype(float), view)
    assert np.ptp(shown, axis=0).max() == pytest.approx(200, rel=0.01)
    np.testing.assert_allclose(shown.mean(0), plan.place, atol=12)
    assert (dense > 0).all() and (dense < 400).all()


def test_a_lamp_lights_its_side_and_casts_shadows():
    """A small plate above a large one keeps the lamp from a patch of it, opposite to the lamp."""
    low = np.array([[-100, -100, 0], [100, -100, 0], [100, 100, 0], [-100, 100, 0]], float)
    fine = np.stack(np.meshgrid(np.linspace(-100, 100, 41), np.linspace(-100, 100, 41)), -1).reshape(-1, 2)
    floor = np.concatenate([fine, np.zeros((len(fine), 1))], 1)
    grid = np.arange(41 * 41).reshape(41, 41)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    plate = low * 0.2 + [0, 0, 40]
    vertices = np.concatenate([floor, plate])
    triangles = np.concatenate([triangles, len(floor) + np.array([[0, 1, 2], [0, 2, 3]])]).astype(np.int32)
    count = len(vertices)
    surface = scene.Surface(vertices, triangles, np.zeros((count, 2)), np.full((count, 3), 0.5), np.zeros(count),
                            np.zeros((4, 4, 3), np.float32))  # fmt: skip
    lamp = np.array([-1.0, 0, 1.0]) / math.sqrt(2)
    lighting = scene.Lighting(lamp, np.ones(3), np.zeros(3), np.zeros(3), 0.0, 10.0)
    view = View(np.eye(3), np.array([0, 0, -2000.0]), np.float64(900), np.array([50.0, 50.0]), (100, 100))
    image = scene.shoot(surface, view, lighting, grey(100, None))[..., 0]
    shadow, beside = image[50, 50 + 18], image[50, 50 - 18]  # 40 mm to the right and to the left of the middle
    assert beside == pytest.approx(0.5 * math.cos(math.pi / 4), rel=0.02)
    assert shadow < 0.05 * beside


def test_a_scan_is_seen_from_all_sides():
    """A large ball, one half of its chart red and the other blue: views from the left show more of the one."""
    rows, columns = 80, 81
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    ball = (
        np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1).reshape(-1, 3)
        * 90
    )
    grid = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]).astype(np.int32)
    assert triangles.size > 2**15, "the test is there for scans of many corners too"
    chart = np.stack([around / (2 * np.pi), polar / np.pi], -1).reshape(-1, 2)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:, :32, 0] = texture[:, 32:, 2] = 200
    marks = np.tile([0.0, 0, 90], (7, 1))
    scan = Scan(ball, triangles, marks, chart[triangles], texture)
    items = views.items(scan, lambda side, random: np.zeros((side, side, 3), np.uint8), 12)
    assert len({item.name for item in items}) == 12 and all(item.truth.neutral is scan for item in items)
    left, right = (item.picture().reshape(-1, 3).astype(float).sum(0) for item in (items[0], items[-1]))
    assert left[0] > 2 * left[2] and right[2] > 2 * right[0]


def test_covers_hide_what_they_say(head):
    image, random = np.full((200, 200, 3), 0.5, np.float32), np.random.default_rng(0)
    points = cameras.project(
        head.topology("base").landmarks["68"].points(head.mean.astype(float)),
        View(np.eye(3), np.array([0, 0, -900.0]), np.float64(900), np.array([100.0, 100.0]), (200, 200)),
    )
    for kind, rows in (("eyes", slice(36, 48)), ("mouth", slice(48, 68))):
        changed = np.abs(scene.cover(image, points, kind, random) - image).max(-1) > 0.05
        x, y = points[rows].round().astype(int).T
        assert changed[y, x].mean() > 0.9
        assert changed.mean() < 0.5
    with pytest.raises(ValueError, match="hat"):
        scene.cover(image, points, "hat", random)


def test_light_is_divided_out(head):
    topology, grid = head.topology("base"), head.layout.size
    vertices = head.mean.astype(np.float64)
    radiance = np.zeros((9, 1))
    radiance[0], radiance[3] = 1.0, 0.5  # from the left
    shade = harmonics.shade(vertex_normals(vertices, topology.triangles), harmonics.from_radiance(radiance))
    from scipy.interpolate import NearestNDInterpolator

    size = 96
    skin = topology.parts["skin"]
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    lit = NearestNDInterpolator(topology.uv[skin], shade[skin, 0])(columns / size, rows / size)
    texture = (lit[..., None] * np.array([0.5, 0.35, 0.3])).astype(np.float64)
    albedo = without_light(texture, vertices, topology, grid)
    inside = topology.regions["cheeks"] | topology.regions["forehead"]
    x, y = (topology.uv[inside] * size).astype(int).clip(0, size - 1).T
    before, after = (np.log(picture[y, x, 0]).std() for picture in (texture, albedo))
    assert after < 0.4 * before
    np.testing.assert_allclose(albedo[y, x, 1] / albedo[y, x, 0], 0.7, rtol=1e-3)


def test_typology_angle_of_known_colours():
    """L*a*b* of sRGB (200, 150, 120) is (66.0, 15.7, 23.4) by colorimetry's tables: arctan(16.0 / 23.4)."""
    srgb = np.array([[[200, 150, 120]]], np.uint8)
    assert typology_angle(color.decode(srgb)[0]) == pytest.approx(34.4, abs=0.6)
    tones = [
        typology_angle(color.linear_from_srgb(red * np.array([[1, 0.8, 0.65]]))) for red in (0.25, 0.5, 0.75, 0.95)
    ]
    assert tones == sorted(tones)


def test_truths_of_a_person_are_one_object(pictures):
    assert pictures[0].truth.neutral is pictures[1].truth.neutral
    assert pictures[0].truth.neutral is not pictures[2].truth.neutral
    assert isinstance(pictures[0].truth, Truth) and isinstance(pictures[0], Item)
