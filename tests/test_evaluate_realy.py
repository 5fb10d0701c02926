"""Region by region, and the bending that finds partners: what slid is seen, what was only moved is not."""

from dataclasses import replace

import numpy as np
import pytest
from test_evaluate_surfaces import dome, motion

from likeness.assets import builtin
from likeness.errors import AssetError
from likeness.evaluate import keypoints, realy
from likeness.evaluate.layouts import realy as layout
from likeness.evaluate.meshes import checked
from likeness.evaluate.nonrigid import bend, correspondents
from likeness.geometry.alignment import Similarity
from likeness.geometry.closest import Grid
from likeness.geometry.rotation import from_axis_angle

NONE = np.zeros(0, int), np.zeros((0, 3))


@pytest.fixture(scope="module")
def heads():
    """Our own face: mean and a person, their 68 points, and the true regions of the person."""
    model = builtin.load()
    topology = model.topology("base")
    person = model.decode(np.random.default_rng(0).normal(size=100), np.zeros(51)).astype(float)
    mean = model.mean.astype(float)
    marks = topology.landmarks["68"]
    return topology, mean, person, marks, realy.regions_of(person, topology)


def realy_of(heads, vertices):
    topology, _, person, marks, regions = heads
    mesh = checked(vertices, topology.triangles, "head")
    return realy.region_errors(mesh, regions, marks.points(vertices), marks.points(person))


def test_regions_of_the_truth_have_no_error_wherever_it_is(heads):
    by = motion(3, 0.2)
    for vertices in (heads[2], by.apply(heads[2])):
        found = realy_of(heads, vertices)
        assert set(found) == {"nose", "mouth", "forehead", "cheek", "mean of regions", "closest points"}
        assert max(found.values()) < 1e-3
    mean = realy_of(heads, heads[1])
    assert min(mean.values()) > 0.2 and mean["closest points"] < mean["mean of regions"]
    assert realy_of(heads, by.apply(heads[1])) == pytest.approx(mean, abs=5e-3)


def test_a_wrong_nose_is_the_noses_fault(heads):
    topology, _, person, _, _ = heads
    nose = topology.regions["nose"]
    centre = person[nose].mean(0)
    long = person + 8 * np.exp(-((person - centre) ** 2).sum(1, keepdims=True) / 200) * [0, -0.5, 1]
    found = realy_of(heads, long)
    assert found["nose"] > 0.3
    assert max(found["forehead"], found["cheek"]) < 0.25 * found["nose"]


def test_51_points_leave_the_cheek_out_and_no_region_is_an_error(heads):
    topology, mean, person, marks, regions = heads
    mesh = checked(mean, topology.triangles, "head")
    found = realy.region_errors(mesh, regions, marks.points(mean)[17:], marks.points(person))
    assert np.isnan(found["cheek"]) and found["nose"] > 0
    with pytest.raises(AssetError, match="placed by 51 or 68"):
        realy.region_errors(mesh, regions, marks.points(mean), keypoints.seven(marks.points(person), "x"))
    with pytest.raises(AssetError, match="no region to measure"):
        realy.region_errors(mesh, {}, marks.points(mean), marks.points(person))


def slid(person, centre, way, reach=22.0):
    """The same surface, nearly, with what lies about a place moved along it."""
    share = np.exp(-((person - centre) ** 2).sum(1, keepdims=True) / (2 * reach**2))
    return person + share * np.asarray(way, float)


def test_a_forehead_that_slid_is_seen_and_by_closest_points_it_is_not(heads):
    """Brows 5 mm too high on a forehead that is as round as before: nearly the same surface, other places on it."""
    _, _, person, marks, _ = heads
    centre = marks.points(person)[17:27].mean(0)
    found = realy_of(heads, slid(person, centre, [0, 5, -1]))
    assert found["forehead"] > 0.5 and found["forehead"] > 3 * found["closest points"]
    assert found["mouth"] < 0.2 * found["forehead"]


@pytest.mark.parametrize("name", ["nose", "mouth", "forehead", "cheek"])
def test_a_region_that_lies_elsewhere_is_laid_in_place_by_its_own_points(heads, name):
    """The true region with its points, 8 mm to the side and tilted: its shape is right, and only that is asked."""
    topology, _, person, marks, regions = heads
    by = Similarity(from_axis_angle(np.array([0.02, 0.05, 0.04])), np.array([8.0, 1, 0]), np.float64(1))
    points = marks.points(person)
    mesh = checked(person, topology.triangles, "head")
    centre = regions[name].vertices.mean(0)
    region = replace(regions[name], vertices=by.apply(regions[name].vertices - centre) + centre)
    rows = list(keypoints.REGIONS[name])
    moved = by.apply(points[rows] - centre) + centre
    assert realy._measured(mesh, region, points[rows], moved, name)[0] < 0.05
    if name == "forehead":  # round as it is, it would not find its place by closest points alone
        assert realy._measured(mesh, region, points[:0], points[:0], name)[0] > 0.2


def test_the_seven_set_the_size_and_the_other_points_do_not(heads):
    topology, mean, person, marks, regions = heads
    mesh = checked(mean, topology.triangles, "head")
    base = realy.region_errors(mesh, regions, marks.points(mean), marks.points(person))
    moved = marks.points(mean).copy()
    moved[:7] *= 1.3  # of the jaw, in no region
    assert realy.region_errors(mesh, regions, moved, marks.points(person)) == pytest.approx(base)
    moved = marks.points(mean).copy()
    moved[[36, 45]] *= [[1.15, 1, 1]]
    assert realy.region_errors(mesh, regions, moved, marks.points(person))["nose"] != pytest.approx(
        base["nose"], rel=0.01
    )


def test_a_smooth_bend_is_followed_and_tangled_partners_are_straightened():
    """A dome sheared and stretched along itself: nearly the same surface; three marks tell where its points went."""
    mesh, _, _ = dome(31)
    way = np.stack([0.06 * mesh.vertices[:, 1] + 4, 0.04 * mesh.vertices[:, 0], 0 * mesh.vertices[:, 0]], -1)
    from test_evaluate_surfaces import height

    true = mesh.vertices + way
    true[:, 2] = height(mesh.vertices[:, 0], mesh.vertices[:, 1]) + 0.5
    rows = np.linspace(0, len(true) - 1, 25).astype(int)
    surface = Grid(true, mesh.triangles)
    partners = correspondents(mesh.vertices, mesh.triangles, surface, rows, true[rows])
    inside = (np.abs(mesh.vertices[:, :2]) < 70).all(1)
    apart = np.linalg.norm(partners - true, axis=1)[inside]
    plain = np.linalg.norm(surface.closest(mesh.vertices).points - true, axis=1)[inside]
    assert apart.mean() < 0.3 * plain.mean() and plain.mean() > 3


def test_what_is_there_already_stays_and_density_does_not_count():
    mesh, _, _ = dome(21)
    still = bend(mesh.vertices, mesh.triangles, Grid(mesh.vertices, mesh.triangles), *NONE)
    np.testing.assert_allclose(still, mesh.vertices, atol=1e-9)
    bumped = dome(61, bump=6)[0]
    bent = []
    for count in (31, 61):
        mesh, _, _ = dome(count)
        places = np.array([[40, -20], [-30, 30], [0, 0], [60, 60.0]])
        rows = np.linalg.norm(mesh.vertices[None, :, :2] - places[:, None], axis=-1).argmin(1)
        aims = mesh.vertices[rows] + [2.0, 0, 0]
        surface = Grid(bumped.vertices, bumped.triangles)
        bent.append(bend(mesh.vertices, mesh.triangles, surface, rows, aims)[rows] - mesh.vertices[rows])
    assert np.abs(bent[0] - bent[1]).max() < 0.35


def test_what_is_far_does_not_pull():
    """A target that ends before its edge: what has no partner there keeps its place, and is not drawn to the border."""
    mesh, _, _ = dome(31)
    part = mesh.triangles[(mesh.vertices[mesh.triangles][..., 0] < 62).all(1)]
    bent = bend(mesh.vertices, mesh.triangles, Grid(mesh.vertices, part), *NONE)
    gone = mesh.vertices[:, 0] > 80
    assert np.abs(bent - mesh.vertices)[gone].max() < 8


def write(path, mesh):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
    path.write_text("\n".join(lines + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.triangles]) + "\n")


def test_realys_own_folders(tmp_path, heads, monkeypatch):
    """Regions, 85 points as an OBJ file without faces, millimetres in a unit, several pictures of a person."""
    import csv

    from likeness.cli.main import dispatch
    from likeness.errors import PARTIAL

    topology, mean, person, marks, regions = heads
    truth, unit = tmp_path / "t", 0.01
    for name, region in regions.items():
        write(truth / f"{layout.SCANS}/2/{name}.obj", replace(region, vertices=region.vertices * unit))
        write(truth / f"{layout.SCANS}/10/{name}.obj", replace(region, vertices=region.vertices * unit))
    points = np.concatenate([marks.points(person), np.full((17, 3), 7.0)]) * unit
    for person_id in ("2", "10"):
        path = truth / f"{layout.POINTS}/{person_id}.obj"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points) + "\n")
    np.savetxt(truth / layout.SCALE, [1.0, 1 / unit, 1.0])
    mesh = checked(mean, topology.triangles, "head")
    by = motion(1, 0.3)
    write(tmp_path / "p/2_0.obj", replace(mesh, vertices=by.apply(mean)))
    write(tmp_path / "p/2_1.obj", replace(mesh, vertices=person))
    args = ["evaluate", "realy", "--predictions", str(tmp_path / "p"), "--truth", str(truth), "-o", str(tmp_path / "r")]
    assert dispatch(args) == PARTIAL
    with open(tmp_path / "r/scores.csv", newline="") as file:
        rows = {row["item"]: row for row in csv.DictReader(file)}
    direct = realy_of(heads, mean)
    assert float(rows["2_0"]["nose"]) == pytest.approx(direct["nose"], abs=0.01)
    assert float(rows["2_1"]["mean of regions"]) < 1e-3
    assert rows["2_0"]["group"] == rows["2_1"]["group"] == "2"
    assert "no row for 10" in rows["10"]["failure"]


def test_a_truth_without_regions_or_points_is_said(tmp_path, heads):
    with pytest.raises(AssetError, match="no such folder"):
        layout.subjects(tmp_path / "nowhere", tmp_path, ("nose",))
    (tmp_path / "t").mkdir()
    with pytest.raises(AssetError, match="neither meshes nor folders with nose"):
        layout.subjects(tmp_path / "t", tmp_path, ("nose",))
    write(tmp_path / "t/a/nose.obj", heads[4]["nose"])
    found = layout.subjects(tmp_path / "t", tmp_path, ("nose",))
    assert "missing" in str(found["a"])
