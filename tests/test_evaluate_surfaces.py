"""Scores of surfaces: known displacements give known millimetres, and what must not count does not."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from likeness.assets import builtin, ict
from likeness.errors import AssetError
from likeness.evaluate import keypoints, micc, now, topologies
from likeness.evaluate.meshes import checked
from likeness.evaluate.surfaces import align, crop, distances, plain_distances, start_motion, weighted_median
from likeness.geometry.alignment import Similarity
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_axis_angle

MARKS = ((-45, 35), (-18, 33), (18, 33), (45, 35), (0, -18), (-25, -45), (25, -45))
TIP = (0, -5)


def height(x, y, bump=0.0):
    """Depth of a face-like dome with a nose and two cheeks that differ, mm; `bump` mm more on one cheek."""
    z = 70 - x**2 / 110 - y**2 / 190 + 22 * np.exp(-((x / 11) ** 2 + ((y + 5) / 22) ** 2))
    z = z + 6 * np.exp(-(((x - 30) / 14) ** 2 + ((y - 40) / 10) ** 2))
    z = z - 4 * np.exp(-(((x + 35) / 12) ** 2 + ((y + 30) / 16) ** 2))
    return z + bump * np.exp(-(((x - 40) / 18) ** 2 + ((y + 20) / 18) ** 2))


def dome(count=61, bump=0.0, reach=1.0):
    """The dome as a checked mesh, its seven landmarks and its nose tip."""
    x, y = np.meshgrid(np.linspace(-85, 85, count) * reach, np.linspace(-95, 95, count) * reach)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    points = np.stack([x, y, height(x, y, bump)], -1).reshape(-1, 3)
    marks = np.array([(*p, height(*np.array(p, float), bump)) for p in MARKS])
    return checked(points, triangles, "dome"), marks, np.array([*TIP, height(*np.array(TIP, float), bump)])


def motion(seed, scale=1.0):
    random = np.random.default_rng(seed)
    return Similarity(from_axis_angle(random.normal(0, 1, 3)), random.normal(0, 100, 3), np.float64(scale))


def moved(mesh, by):
    return replace(mesh, vertices=by.apply(mesh.vertices))


def micc_of(prediction, marks, truth=None, **options):
    mesh, true_marks, tip = truth or dome(81, bump=5)
    return micc.point_to_plane(prediction, mesh, marks, true_marks, tip, **options)


def test_alignment_recovers_fifty_motions():
    truth, marks, tip = dome(61)
    cropped = crop(truth, tip, 80)
    for seed in range(50):
        by = motion(seed, np.exp(np.random.default_rng(seed).uniform(-5, 5)))
        off = marks + np.random.default_rng(seed).normal(0, 3, marks.shape)  # 3 mm off: landmarks do not do it alone
        laid = align(moved(truth, by), cropped, start_motion(by.apply(off), marks, True), True)
        assert np.abs(laid.vertices - truth.vertices).max() < 0.02


def test_point_to_plane_agrees_with_trimesh():
    surface, points = dome(41)[0], dome(31, bump=4)[0]
    found = distances(points, surface)
    reference = trimesh.Trimesh(surface.vertices, surface.triangles, process=False)
    closest, gaps, triangle = trimesh.proximity.closest_point_naive(reference, points.vertices[found.rows])
    np.testing.assert_allclose(found.surface, gaps, atol=1e-9)
    shares = trimesh.triangles.points_to_barycentric(reference.triangles[triangle], closest)
    corners = vertex_normals(surface.vertices, surface.triangles)[surface.triangles[triangle]]
    normals = (corners * shares[..., None]).sum(1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    plane = np.abs(((points.vertices[found.rows] - closest) * normals).sum(1))
    np.testing.assert_allclose(found.plane, plane, atol=1e-6)
    assert (found.plane <= found.surface + 1e-12).all()
    np.testing.assert_allclose(plain_distances(points.vertices[found.rows], surface), gaps, atol=1e-9)


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_a_known_displacement_gives_known_millimetres(shift):
    surface, _, tip = dome(61)
    pushed = replace(surface, vertices=surface.vertices + shift * vertex_normals(surface.vertices, surface.triangles))
    found = distances(crop(surface, tip, 60), pushed)
    np.testing.assert_allclose(np.average(found.plane, weights=found.weights), shift, rtol=0.03)
    assert np.median(found.surface) == pytest.approx(shift, rel=0.02)


def test_points_beyond_a_border_do_not_count():
    whole, part = dome(61)[0], dome(31, reach=0.5)[0]
    found = distances(whole, part)
    inside = (np.abs(whole.vertices[found.rows, :2]) < [43, 48]).all(1)
    assert inside.all() and 0.2 < len(found.rows) / len(whole.vertices) < 0.26
    assert np.bincount(found.rows).max() == 1
    assert found.plane.max() < 0.2


def test_micc_does_not_ask_for_place_size_order_or_density():
    prediction, marks, _ = dome(61)
    base = micc_of(prediction, marks)
    assert 0.15 < base["point to plane"] < 1 and base["overlap %"] > 80
    assert base["point to plane"] == pytest.approx((base["from scan"] + base["from prediction"]) / 2)
    by = motion(1, 0.013)
    assert micc_of(moved(prediction, by), by.apply(marks)) == pytest.approx(base, abs=2e-3)
    truth, true_marks, tip = dome(81, bump=5)
    by = motion(2)
    turned = micc_of(prediction, marks, (moved(truth, by), by.apply(true_marks), by.apply(tip[None])[0]))
    assert turned == pytest.approx(base, abs=2e-3)
    order = np.random.default_rng(0).permutation(len(truth.vertices))
    rank = np.argsort(order)
    shuffled = replace(truth, vertices=truth.vertices[order], triangles=rank[truth.triangles][::-1].astype(np.int32))
    other = micc_of(prediction, marks, (shuffled, true_marks, tip))
    assert other["point to plane"] == pytest.approx(base["point to plane"], abs=0.01)
    for count in (41, 121):
        denser = micc_of(dome(count)[0], marks)
        assert denser["point to plane"] == pytest.approx(base["point to plane"], abs=0.03)


def test_micc_of_the_truth_is_nothing_and_grows_with_the_bump():
    marks = dome()[1]
    errors = [micc_of(dome(81, bump=5 + more)[0], marks)["point to plane"] for more in (0, 1, 3, 8)]
    assert errors[0] < 1e-3 and (np.diff(errors) > 0.02).all()


def test_triangles_wound_the_other_way_do_not_count():
    prediction, marks, _ = dome(61)
    turned = replace(prediction, triangles=np.ascontiguousarray(prediction.triangles[:, ::-1]))
    assert micc_of(turned, marks) == pytest.approx(micc_of(prediction, marks), abs=1e-6)


def test_surfaces_that_hardly_meet_are_refused():
    part, marks, _ = dome(31, reach=0.2)
    with pytest.raises(AssetError, match="share only . %"):
        micc_of(part, marks)


def test_scale_counts_in_the_metrical_variant_only():
    truth, marks, tip = dome(61)
    larger = replace(truth, vertices=1.05 * truth.vertices)
    with_scale = micc.point_to_plane(larger, truth, 1.05 * marks, marks, tip)
    metrical = micc.point_to_plane(larger, truth, 1.05 * marks, marks, tip, scale=False)
    assert with_scale["point to plane"] < 1e-6 and metrical["point to plane"] > 0.2
    assert now.scan_to_mesh(larger, truth, 1.05 * marks, marks).mean() < 1e-6
    errors = now.scan_to_mesh(larger, truth, 1.05 * marks, marks, scale=False)
    assert errors.mean() > 0.3


def test_the_mean_of_a_clip_does_not_ask_where_its_frames_are():
    shape = dome(31)[0].vertices
    random = np.random.default_rng(0)
    noise = [random.normal(0, 1, shape.shape) for _ in range(30)]
    still = micc.mean_of_clip([shape + n for n in noise])
    assert np.abs(still - shape).mean() < 0.25 * np.abs(noise[0]).mean()
    roving = micc.mean_of_clip([shape + noise[0], *(motion(k).apply(shape + n) for k, n in enumerate(noise[1:]))])
    np.testing.assert_allclose(roving, still, atol=1e-6)
    with pytest.raises(AssetError, match="share a topology"):
        micc.mean_of_clip([shape, shape[:-1]])


def test_now_by_hand_and_its_growth():
    truth, marks, _ = dome(61)
    centre, radius = now.face_sphere(marks)
    bridge = (marks[1] + marks[2]) / 2
    np.testing.assert_allclose(centre, marks[4] + 0.3 * (bridge - marks[4]))
    eyes, nose = np.linalg.norm(marks[0] - marks[3]), np.linalg.norm(bridge - marks[4])
    assert radius == pytest.approx(0.7 * (eyes + nose), rel=1e-6)
    errors = now.scan_to_mesh(dome(61, bump=4)[0], truth, marks, marks)
    assert len(errors) == (np.linalg.norm(truth.vertices - centre, axis=1) <= radius).sum()
    means = [now.scan_to_mesh(dome(61, bump=bump)[0], truth, marks, marks).mean() for bump in (0, 1, 3, 8)]
    assert means[0] < 1e-6 and (np.diff(means) > 0.02).all()
    whole, curves = now.over_all([np.array([1.0, 3.0]), np.array([2.0])])
    assert whole == pytest.approx({"all points: median": 2, "all points: mean": 2, "all points: std": (2 / 3) ** 0.5})
    assert curves["cumulative"][1, 20] == pytest.approx(1 / 3) and curves["cumulative"][1, -1] == 1


def test_key_points_of_our_own_topologies_and_of_files(tmp_path):
    model = builtin.load()
    for level, vertices in (("base", model.mean), ("dense", model.refine(model.mean))):
        topology = model.topology(level)
        points = topology.landmarks["68"].points(vertices)
        np.testing.assert_array_equal(keypoints.known(len(vertices)).points(vertices), points)
        skin = topology.parts["skin"].stop
        np.testing.assert_array_equal(keypoints.known(skin, "builtin").points(vertices[:skin]), points)
    np.testing.assert_array_equal(keypoints.known(ict.NARROW).vertices[:, 0], ict.MULTI_PIE_68)
    assert keypoints.known(ict.FACE) is None  # as many as our own skin has: must be told apart by name
    assert keypoints.known(ict.FACE, "ict").vertices[0, 0] == ict.MULTI_PIE_68[0]
    assert keypoints.known(1234) is None
    (tmp_path / "ids.txt").write_text("3\n1\n0 # the nose\n")
    (tmp_path / "six.txt").write_text("0 1 2 0.5 0.25 0.25\n" * 4)
    shape = np.eye(4)[:, :3] * 4
    np.testing.assert_array_equal(keypoints.read(tmp_path / "ids.txt").points(shape), shape[[3, 1, 0]])
    np.testing.assert_allclose(keypoints.read(tmp_path / "six.txt").points(shape)[0], [2, 1, 1])
    mesh = tmp_path / "a.obj"
    with pytest.raises(AssetError, match="no key points"):
        keypoints.locate(mesh, shape)
    np.testing.assert_array_equal(keypoints.locate(mesh, shape, keypoints.read(tmp_path / "ids.txt")), shape[[3, 1, 0]])
    np.savetxt(tmp_path / "a.txt", np.ones((7, 3)))
    assert keypoints.locate(mesh, shape).sum() == 21  # the file beside it goes first
    for text, words in (("0 1\n", "2 numbers a row"), ("0.5\n1\n", "whole"), ("0 1 2 1 1 1\n", "sum to 1")):
        (tmp_path / "bad.txt").write_text(text * 2)
        with pytest.raises(AssetError, match=words):
            keypoints.read(tmp_path / "bad.txt")
    points = np.arange(68 * 3.0).reshape(68, 3)
    np.testing.assert_array_equal(keypoints.seven(points, "x"), points[[36, 39, 42, 45, 33, 48, 54]])
    np.testing.assert_array_equal(keypoints.seven(points[17:], "x"), keypoints.seven(points, "x"))
    with pytest.raises(AssetError, match="of the 68 are wanted"):
        keypoints.seven(points[:5], "x")
    for count in (51, 68):
        ours, theirs = keypoints.shared(points, points[-count:], "x")
        np.testing.assert_array_equal(ours, points[-count:])
        np.testing.assert_array_equal(theirs, ours)
    ours, theirs = keypoints.shared(points[17:], points[:7], "x", (36, 39, 42, 45, 30, 48, 54))
    np.testing.assert_array_equal(ours, points[[36, 39, 42, 45, 30, 48, 54]])
    np.testing.assert_array_equal(theirs, points[:7])


def test_key_points_of_other_systems_by_their_number_of_vertices():
    assert (
        keypoints.known(topologies.FLAME).vertices[33, 0] == 3556 and len(keypoints.known(5023, "flame").vertices) == 68
    )
    assert keypoints.known(5023, "bfm") is None
    front, trimmed = (keypoints.known(count) for count in (topologies.BFM_FRONT, topologies.BFM_TRIMMED))
    np.testing.assert_array_equal(front.vertices[27:], trimmed.vertices[27:])
    assert (front.vertices[:27] != trimmed.vertices[:27]).all()
    seven = keypoints.known(topologies.BFM_NO_NECK)  # of its jaw and brows nothing is known
    np.testing.assert_array_equal(seven.vertices[:, 0], front.vertices[list(keypoints.SEVEN_OF_68), 0])
    assert keypoints.of_68(topologies.BFM_NO_NECK, (30, 17)) is None
    assert keypoints.of_68(topologies.BFM_NO_NECK, (30,)).vertices[0, 0] == 8192
    for count in (topologies.FLAME, topologies.BFM_FRONT, topologies.BFM_TRIMMED, topologies.BFM_NO_NECK):
        rows = topologies.table(count)[1]
        assert rows.shape == (68,) and rows.max() < count
        assert len(set(rows[rows >= 0])) == (rows >= 0).sum(), "two points on one vertex"
    model = builtin.load()
    some = keypoints.of_68(len(model.mean), (30, 8))
    np.testing.assert_array_equal(some.points(model.mean), keypoints.known(len(model.mean)).points(model.mean)[[30, 8]])


def test_what_cannot_be_aligned_is_said():
    truth, marks, tip = dome(31)
    with pytest.raises(AssetError, match="three pairs"):
        micc.point_to_plane(truth, truth, marks[:5], marks, tip)
    with pytest.raises(AssetError, match="one line"):
        micc.point_to_plane(truth, truth, np.outer(np.arange(7.0), [1, 2, 3]), marks, tip)
    with pytest.raises(AssetError, match="no triangle is left"):
        micc.point_to_plane(truth, truth, marks, marks, tip + 900)
    with pytest.raises(AssetError, match="cannot be aligned"):
        wild = marks + np.random.default_rng(0).normal(0, 5000, marks.shape)
        micc.point_to_plane(truth, truth, wild, marks, tip, scale=False)


def test_a_weighted_median_by_hand():
    assert weighted_median(np.array([5.0, 1, 3]), np.array([1.0, 1, 1])) == 3
    assert weighted_median(np.array([5.0, 1, 3]), np.array([5.0, 1, 1])) == 5
