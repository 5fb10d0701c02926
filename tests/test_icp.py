"""Iterated closest points find motions that are known, whatever is missing or wrong in the points."""

import numpy as np
import pytest

from likeness.geometry.alignment import Similarity, still
from likeness.geometry.icp import Marks, lay_onto, partners
from likeness.geometry.mesh import border_vertices, vertex_areas, vertex_normals
from likeness.geometry.rotation import from_axis_angle


def face(count=25):
    """A face-like patch (V, 3) mm without symmetry, and its triangles."""
    x, y = np.meshgrid(np.linspace(-80, 80, count), np.linspace(90, -90, count))
    z = 60 - x**2 / 120 - y**2 / 200 + 25 * np.exp(-((x / 14) ** 2 + ((y + 5) / 24) ** 2))
    z += 9 * np.exp(-(((x - 40) / 20) ** 2 + ((y - 30) / 15) ** 2)) - 7 * np.exp(
        -(((x + 35) / 22) ** 2 + ((y + 45) / 22) ** 2)
    )
    ids = np.arange(count * count).reshape(count, count)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([x, y, z], -1).reshape(-1, 3), triangles


def motion(seed, scale=1.0):
    """A turn of up to 15 degrees and a shift of some 10 mm."""
    random = np.random.default_rng(seed)
    axis = random.standard_normal(3)
    turn = from_axis_angle(random.uniform(0.05, 0.26) * axis / np.linalg.norm(axis))
    return Similarity(turn, random.normal(0, 6, 3), np.float64(scale))


def on(vertices, triangles, count, seed=0, where=lambda p: np.ones(len(p), bool)):
    """Random points (count, 3) on a surface, and its normals there."""
    random = np.random.default_rng(seed)
    inside = triangles[where(vertices[triangles].mean(1))]
    corners, weights = inside[random.integers(0, len(inside), count)], random.dirichlet(np.ones(3), count)[..., None]
    normals = (vertex_normals(vertices, triangles)[corners] * weights).sum(1)
    return (vertices[corners] * weights).sum(1), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def middle(points):
    return np.abs(points[:, :2]).max(1) < 65


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1.0, 1.12])
def test_a_known_motion_is_recovered_from_several_starts(seed, scale):
    vertices, triangles = face()
    points, normals = on(vertices, triangles, 200, where=middle)
    true = motion(seed, scale)
    given = {"scale": scale != 1, "normals": normals @ true.rotation.T}
    found = lay_onto(vertices, triangles, true.apply(points), plane=True, **given)
    np.testing.assert_allclose(found.motion.apply(vertices), true.apply(vertices), atol=1e-6)
    np.testing.assert_allclose(found.vertices, true.apply(vertices), atol=1e-6)
    assert found.steps < 25 and found.distances.max() < 1e-6
    # point to point creeps where surfaces slide: it gets there by a constant factor a round
    slow = lay_onto(vertices, triangles, true.apply(points), steps=100, **given)
    left, at_first = (np.abs(v - true.apply(vertices)).max() for v in (slow.vertices, vertices))
    assert left < 0.2 * at_first and slow.distances.mean() < 0.4


def test_a_better_start_is_used():
    vertices, triangles = face()
    true = motion(0)
    far = Similarity(from_axis_angle(np.array([0, 2.5, 0.3])), np.array([200.0, 10, -40]), np.float64(1)).after(true)
    points = far.apply(on(vertices, triangles, 200, where=middle)[0])
    near = Similarity(from_axis_angle(np.array([0.02, 0, 0.03])), np.array([1.0, 2, 0]), np.float64(1)).after(far)
    found = lay_onto(vertices, triangles, points, start=near, plane=True)
    np.testing.assert_allclose(found.motion.apply(vertices), far.apply(vertices), atol=1e-6)


def test_without_scale_the_size_stays():
    vertices, triangles = face()
    found = lay_onto(vertices, triangles, 1.1 * on(vertices, triangles, 300, where=middle)[0], steps=30)
    assert found.motion.scale == 1
    turned = lay_onto(vertices, triangles, 1.1 * on(vertices, triangles, 300, where=middle)[0], steps=30, plane=True)
    assert turned.motion.scale == 1


def test_points_that_are_wrong_are_trimmed():
    vertices, triangles = face()
    points, _ = on(vertices, triangles, 250, where=middle)
    true = motion(1)
    points = true.apply(points)
    points[:50] += np.random.default_rng(0).uniform(15, 60, (50, 1)) * true.rotation[:, 2]
    errors = {}
    for kept in (1.0, 0.75):
        found = lay_onto(vertices, triangles, points, plane=True, kept=kept)
        errors[kept] = np.abs(found.vertices - true.apply(vertices)).max()
    assert errors[0.75] < 1e-6 and errors[1.0] > 3
    assert not found.good[:50].any()


def test_points_beyond_the_border_do_not_pull():
    vertices, triangles = face()
    part = triangles[(vertices[triangles][..., 1] < 35).all(1)]  # the surface ends below the brow, the points go on
    points, _ = on(vertices, triangles, 600, where=middle)
    true = motion(2)
    inside = lay_onto(vertices, part, true.apply(points), plane=True, steps=100)
    pulled = lay_onto(vertices, part, true.apply(points), plane=True, steps=100, reject_border=False)
    wrong = [np.abs(one.vertices - true.apply(vertices)).max() for one in (inside, pulled)]
    assert wrong[0] < 1e-6 and wrong[1] > 1


@pytest.mark.parametrize("plane", [False, True])
def test_weights_say_whose_points_count(plane):
    vertices, triangles = face()
    points, _ = on(vertices, triangles, 150, where=middle)
    true, other = motion(0), motion(3)
    both = np.concatenate([true.apply(points), other.apply(points)])
    found = lay_onto(vertices, triangles, both, plane=plane, weights=np.repeat([1.0, 1e-9], 150), start=true, steps=10)
    np.testing.assert_allclose(found.vertices, true.apply(vertices), atol=1e-5)


def test_a_turn_that_nothing_measures_is_left_alone():
    flat = np.array([[-10, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0.0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    points = np.random.default_rng(0).uniform(-5, 5, (40, 3)) * [1, 1, 0] + [0, 0, 1.5]
    found = lay_onto(flat, triangles, points, plane=True, reject_border=False)
    np.testing.assert_allclose(found.motion.rotation, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found.motion.translation, [0, 0, 1.5], atol=1e-9)
    assert found.distances.max() < 1e-9


def test_partners_on_the_other_sheet_do_not_count():
    vertices, triangles = face(9)
    points, normals = on(vertices, triangles, 50)
    away = normals * np.where(np.arange(50) < 20, -1, 1)[:, None]
    np.testing.assert_array_equal(partners(vertices, triangles, points, away).good, np.arange(50) >= 20)


def test_too_few_partners_are_refused():
    vertices, triangles = face(9)
    with pytest.raises(ValueError, match="begin nearer"):
        lay_onto(vertices, triangles, np.array([[500.0, 0, 0]] * 10))


def test_motions_are_composed_and_undone():
    one, other = motion(0, 1.3), motion(1, 0.6)
    points = np.random.default_rng(0).standard_normal((7, 3))
    np.testing.assert_allclose(other.after(one).apply(points), other.apply(one.apply(points)))
    np.testing.assert_allclose(one.inverse().apply(one.apply(points)), points)
    np.testing.assert_array_equal(still().apply(points), points)


def test_a_patch_has_its_outline_for_border_and_its_areas_add_up():
    vertices, triangles = face(6)
    outline = np.ones((6, 6), bool)
    outline[1:-1, 1:-1] = False
    np.testing.assert_array_equal(border_vertices(triangles), outline.ravel())
    np.testing.assert_array_equal(border_vertices(triangles, 40)[36:], np.zeros(4))
    assert vertex_areas(vertices * [1, 1, 0], triangles).sum() == pytest.approx(160 * 180)


@pytest.mark.parametrize("plane", [False, True])
def test_what_is_told_of_pairs_is_true_of_the_moved_surface(plane):
    """Searches happen where the surface rests; distances and trimming are those of the surface where it was laid."""
    vertices, triangles = face()
    points, normals = on(vertices, triangles, 200, where=middle)
    about = Similarity(from_axis_angle(np.array([0, 2.5, 0.3])), np.zeros(3), np.float64(1))
    true = about.after(motion(1, 3.0))  # a large turn, so that normals must be turned along
    aims = true.apply(points + 0.7 * normals * np.random.default_rng(0).standard_normal((200, 1)))
    facing = normals @ true.rotation.T
    start = Similarity(true.rotation, true.translation + 4, true.scale)
    found = lay_onto(
        vertices, triangles, aims, start=start, scale=True, plane=plane, normals=facing, kept=0.8, steps=15
    )
    afresh = partners(found.vertices, triangles, aims, facing, border_vertices(triangles), 0.8)
    np.testing.assert_allclose(found.distances, afresh.found.distances, atol=1e-9)
    np.testing.assert_array_equal(found.good, afresh.good)
    np.testing.assert_allclose(found.vertices, found.motion.apply(vertices), atol=1e-9)
    assert abs(found.motion.scale / 3 - 1) < 0.02


@pytest.mark.parametrize("plane", [False, True])
def test_marks_settle_what_the_surface_leaves_open(plane):
    """A plane may slide and turn in itself; three pairs that are known hold it."""
    x, y = np.meshgrid(np.linspace(-10, 10, 9), np.linspace(-10, 10, 9))
    flat = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    ids = np.arange(81).reshape(9, 9)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    true = Similarity(from_axis_angle(np.array([0, 0, 0.2])), np.array([1.0, -0.5, 2]), np.float64(1.1))
    points = true.apply(np.random.default_rng(0).uniform(-6, 6, (60, 3)) * [1, 1, 0])
    places = np.array([[-8.0, -8, 0], [8, -8, 0], [0, 8, 0]])
    marks = Marks(places, true.apply(places), np.full(3, 20.0))
    free = lay_onto(flat, triangles, points, scale=True, plane=plane)
    held = lay_onto(flat, triangles, points, scale=True, plane=plane, marks=marks, steps=100)
    assert np.abs(free.vertices - true.apply(flat)).max() > 1
    np.testing.assert_allclose(held.vertices, true.apply(flat), atol=1e-6)
