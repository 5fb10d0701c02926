"""`likeness evaluate PROTOCOL` on small files that lie as the public sets do."""

import csv
import json
import sys

import numpy as np
import pytest
from test_evaluate_surfaces import dome, motion

from likeness.assets import builtin
from likeness.cli import evaluate_surfaces as surfaces_command
from likeness.cli.main import dispatch, main
from likeness.errors import PARTIAL, AssetError
from likeness.evaluate import keypoints
from likeness.evaluate.layouts import micc as micc_layout
from likeness.evaluate.layouts.pairs import pairs


def write_obj(path, vertices, triangles=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
    path.write_text("\n".join(lines + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]) + "\n")


def write_dome(path, marks_beside=True, bump=0.0, by=None, count=41):
    """A face-like dome with its seven landmarks beside it, moved."""
    mesh, marks, _ = dome(count, bump)
    by = motion(0, 1) if by is None else by
    write_obj(path, by.apply(mesh.vertices), mesh.triangles)
    if marks_beside:
        np.savetxt(path.with_suffix(".txt"), by.apply(marks))
    return by.apply(marks)


def run(tmp_path, protocol, *options, code=0, predictions="p", truth="t"):
    """Run a command; its rows by item and its report."""
    args = ["evaluate", protocol, "--predictions", str(tmp_path / predictions)]
    args += ["--truth", str(tmp_path / truth)] if truth else []
    assert dispatch([*args, "-o", str(tmp_path / "report"), *map(str, options)]) == code
    with open(tmp_path / "report/scores.csv", newline="", encoding="utf-8") as file:
        rows = {row["item"]: row for row in csv.DictReader(file)}
    return rows, json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))


STILL = motion(0, 1)


@pytest.fixture
def micc_set(tmp_path):
    """Two subjects, one as distributed and one flat; the second has no prediction for its clip."""
    for place in ("subject_01/Model/frontal1/obj/110920150452", "subject_02"):
        write_dome(tmp_path / f"t/{place}.obj", bump=4)
    write_dome(tmp_path / "p/subject_01/cooperative.obj", by=motion(1, 0.01))
    write_dome(tmp_path / "p/subject_01/indoor.obj", bump=4, by=motion(2, 3))
    return tmp_path


def test_micc_scores_what_there_is_and_counts_the_rest(micc_set, capsys):
    rows, report = run(micc_set, "micc", "--nose-tip", 4, code=PARTIAL)
    assert report["scored"] == 2 and report["failed"] == 1
    good, bad = (float(rows[f"subject_01/{clip}"]["point to plane"]) for clip in ("indoor", "cooperative"))
    assert good < 1e-3 < 0.1 < bad
    assert rows["subject_01/indoor"]["group"] == "subject_01"
    assert "missing" in rows["subject_02"]["failure"]
    out, err = capsys.readouterr()
    assert "micc, genova2018, mm: 2 scored, 1 not" in out
    assert [line for line in err.splitlines() if "subject_02" in line]


def test_micc_averages_the_frames_of_a_clip_as_deng2022(micc_set):
    for k, bump in enumerate((0, 8)):  # together they have the bump of the scan
        write_dome(micc_set / f"p/subject_02/outdoor/frame{k}.obj", bump=bump, by=motion(k + 5))
    rows, _ = run(micc_set, "micc", "--clip", "deng2022")
    assert float(rows["subject_02/outdoor"]["point to plane"]) < 0.02
    rows, _ = run(micc_set, "micc", code=PARTIAL)
    assert "genova2018 wants one mesh" in rows["subject_02/outdoor"]["failure"]


def test_micc_names_the_unit_and_the_fault_of_bad_meshes(micc_set):
    write_dome(micc_set / "t/subject_02.obj", bump=4, by=motion(0, 0.001))  # metres
    write_dome(micc_set / "p/subject_02/indoor.obj")
    (micc_set / "p/subject_01/cooperative.obj").write_text("# empty\n")
    rows, report = run(micc_set, "micc", code=PARTIAL)
    assert "looks like m" in rows["subject_02/indoor"]["failure"]
    assert "empty, no vertices" in rows["subject_01/cooperative"]["failure"]
    assert report["scored"] == 1


def test_micc_of_our_own_mesh_against_seven_points_of_a_scan(tmp_path, person):
    topology, mean, shape = person
    points = keypoints.known(len(shape)).points(shape)
    write_obj(tmp_path / "t/subject_01.obj", shape, topology.triangles)
    np.savetxt(tmp_path / "t/subject_01.txt", points[[36, 39, 42, 45, 30, 48, 54]])
    write_obj(tmp_path / "p/subject_01.obj", motion(1, 0.1).apply(mean), topology.triangles)
    rows, _ = run(tmp_path, "micc")
    assert 0.3 < float(rows["subject_01"]["point to plane"]) < 3


def test_a_small_fault_is_remarked_and_scored(micc_set, capsys):
    path = micc_set / "p/subject_01/indoor.obj"
    path.write_text(path.read_text() + "f 1 1 2\n")
    rows, report = run(micc_set, "micc", code=PARTIAL)
    assert report["remarks"] == {"subject_01/indoor": "1 triangles without area dropped"}
    assert float(rows["subject_01/indoor"]["point to plane"]) < 1e-3
    assert "without area" in capsys.readouterr().err


def test_micc_finds_scans_as_distributed(tmp_path):
    write_dome(tmp_path / "subject_01/Model/frontal2/obj/2.obj")
    write_dome(tmp_path / "subject_01/Model/frontal1/obj/1.obj")
    write_dome(tmp_path / "subject_01/Model/left/obj/0.obj")
    assert micc_layout.scans(tmp_path)["subject_01"].name == "1.obj"


PP = "<!DOCTYPE PickedPoints>\n<PickedPoints>\n <DocumentData/>\n{}\n</PickedPoints>\n"


def write_now(folder, metres=1.0):
    """A NoW-like set of one subject and three images, the last without a prediction."""
    mesh, marks, _ = dome(41, 4)
    write_obj(folder / "t/scans/FaMoS_1/natural_head_rotation.000001.obj", STILL.apply(mesh.vertices), mesh.triangles)
    picked = folder / "t/scans_lmks_onlypp/FaMoS_1/natural_head_rotation.000001_picked_points.pp"
    picked.parent.mkdir(parents=True)
    rows = [f'<point active="1" z="{z}" x="{x}" y="{y}" name="{i}"/>' for i, (x, y, z) in enumerate(STILL.apply(marks))]
    picked.write_text(PP.format("\n".join(rows)))
    names = ["multiview_neutral/IMG_1", "selfie/IMG_2", "selfie/IMG_3"]
    (folder / "t/imagepathsvalidation.txt").write_text("".join(f"FaMoS_1/{name}.jpg\n" for name in names))
    write_dome(folder / f"p/FaMoS_1/{names[0]}.obj", bump=4, by=motion(3, metres))
    write_dome(folder / f"p/FaMoS_1/{names[1]}.obj", bump=0, by=motion(4, metres))


def test_now(tmp_path):
    write_now(tmp_path)
    rows, report = run(tmp_path, "now", code=PARTIAL)
    assert float(rows["FaMoS_1/multiview_neutral/IMG_1"]["mean"]) < 1e-3
    bad = float(rows["FaMoS_1/selfie/IMG_2"]["mean"])
    assert bad > 0.1 and "missing" in rows["FaMoS_1/selfie/IMG_3"]["failure"]
    assert report["whole"]["all points: mean"] == pytest.approx(bad / 2, rel=0.02)
    assert report["curves"]["cumulative"][1][-1] == pytest.approx(1, abs=0.01)
    rows, _ = run(tmp_path, "now", "--challenge", "multiview_neutral")
    assert list(rows) == ["FaMoS_1/multiview_neutral/IMG_1"]


def test_now_metrical_wants_the_right_size_and_the_right_unit(tmp_path):
    write_now(tmp_path, metres=1.1)
    rows, _ = run(tmp_path, "now", "--metrical", "--unit", "mm", code=PARTIAL)
    assert float(rows["FaMoS_1/multiview_neutral/IMG_1"]["mean"]) > 0.5
    rows, report = run(tmp_path, "now", "--metrical", "--unit", "m", code=PARTIAL)
    assert "looks like mm" in rows["FaMoS_1/selfie/IMG_2"]["failure"] and report["scored"] == 0
    with pytest.raises(AssetError, match="needs --unit"):
        run(tmp_path, "now", "--metrical")
    (tmp_path / "metres").mkdir()
    write_now(tmp_path / "metres", metres=0.001)
    rows, _ = run(tmp_path / "metres", "now", "--metrical", "--unit", "m", code=PARTIAL)
    assert float(rows["FaMoS_1/multiview_neutral/IMG_1"]["mean"]) < 1e-3


def test_now_without_its_list_is_refused(tmp_path):
    (tmp_path / "t").mkdir()
    with pytest.raises(AssetError, match="imagepathsvalidation"):
        run(tmp_path, "now")


def test_facescape_with_key_points_by_vertex_and_views_that_are_averaged(tmp_path):
    mesh, marks, _ = dome(41, 4)
    ids = [int(np.linalg.norm(mesh.vertices - mark, axis=1).argmin()) for mark in marks]
    np.savetxt(tmp_path / "ids.txt", ids, fmt="%d")
    for person in ("1", "122"):
        write_dome(tmp_path / f"t/{person}/models_reg/1_neutral.obj", False, 4)
        write_dome(tmp_path / f"t/{person}/models_reg/16_grin.obj", False, 4)
    write_dome(tmp_path / "p/1/models_reg/1_neutral.obj", False, 0, motion(1, 5))
    write_dome(tmp_path / "p/122/models_reg/1_neutral/view0.obj", False, 3, motion(2, 5))
    write_dome(tmp_path / "p/122/models_reg/1_neutral/view1.obj", False, 5, motion(3, 5))
    write_dome(tmp_path / "p/500/models_reg/1_neutral.obj", False)
    given = ("--keypoints", tmp_path / "ids.txt", "--truth-keypoints", tmp_path / "ids.txt")
    rows, report = run(tmp_path, "facescape", *given, "--only", "1_neutral.obj", code=PARTIAL)
    assert report["scored"] == 2 and rows["122/models_reg/1_neutral"]["group"] == "122"
    assert float(rows["122/models_reg/1_neutral"]["point to plane"]) < 0.02
    assert float(rows["1/models_reg/1_neutral"]["point to plane"]) > 0.1
    assert "no truth" in rows["500/models_reg/1_neutral"]["failure"]


def test_facewarehouse_in_its_own_unit(tmp_path):
    for tester in ("Tester_1", "Tester_2"):
        write_dome(tmp_path / f"t/{tester}/TrainingPose/pose_0.obj", by=motion(1, 0.01))  # decimetres
    write_dome(tmp_path / "p/Tester_1/TrainingPose/pose_0.obj", bump=3)
    write_dome(tmp_path / "p/Tester_2/TrainingPose/pose_0.obj", bump=0)
    rows, _ = run(tmp_path, "facewarehouse", "--truth-unit", "dm")
    first, second = rows.values()
    assert float(second["mean"]) < 1e-3 < 0.1 < float(first["mean"]) < float(first["hausdorff"])
    rows, report = run(tmp_path, "facewarehouse", code=PARTIAL)
    assert report["scored"] == 0 and "looks like dm" in rows["Tester_1/TrainingPose/pose_0"]["failure"]


def test_key_points_by_vertex_stay_on_a_truth_of_another_unit(tmp_path):
    """Vertices in decimetres, named by number: the points are theirs in millimetres, as those of a file beside would be."""
    mesh, marks, _ = dome(41, 4)
    ids = [int(np.linalg.norm(mesh.vertices - mark, axis=1).argmin()) for mark in marks]
    np.savetxt(tmp_path / "ids.txt", ids, fmt="%d")
    found = surfaces_command._points_in_mm(tmp_path / "no.obj", mesh, keypoints.read(tmp_path / "ids.txt"), "dm")
    np.testing.assert_allclose(found, mesh.vertices[ids], atol=1e-9)
    np.savetxt(tmp_path / "no.txt", marks / 100)
    np.testing.assert_allclose(surfaces_command._points_in_mm(tmp_path / "no.obj", mesh, None, "dm"), marks, atol=1e-9)


@pytest.fixture(scope="module")
def person():
    model = builtin.load()
    topology = model.topology("base")
    identity = np.random.default_rng(0).normal(size=100)
    return topology, model.mean.astype(float), model.decode(identity, np.zeros(51)).astype(float)


def test_realy_with_our_topology_and_with_regions_of_a_scan(tmp_path, person):
    from likeness.evaluate.realy import regions_of

    topology, mean, shape = person
    write_obj(tmp_path / "t/a.obj", shape, topology.triangles)
    write_obj(tmp_path / "p/a.obj", motion(1, 0.1).apply(mean), topology.triangles)
    whole, _ = run(tmp_path, "realy")
    for name, region in regions_of(shape, topology).items():
        write_obj(tmp_path / f"t2/a/{name}.obj", region.vertices, region.triangles)
    np.save(tmp_path / "t2/a.npy", keypoints.known(len(shape)).points(shape))
    parts, _ = run(tmp_path, "realy", truth="t2")
    for name in ("nose", "mouth", "forehead", "cheek", "mean of regions"):
        assert 0.2 < float(whole["a"][name]) == pytest.approx(float(parts["a"][name]), abs=0.01)
    write_dome(tmp_path / "t/b.obj")
    write_dome(tmp_path / "p/b.obj")
    rows, _ = run(tmp_path, "realy", code=PARTIAL)
    assert "are not our topology" in rows["b"]["failure"]


def test_bu3dfe_from_vrml_along_a_correspondence(tmp_path):
    mesh, _, _ = dome(31, 4)
    points = ",\n".join(f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices)
    faces = ",\n".join(f"{a}, {b}, {c}, -1" for a, b, c in mesh.triangles)
    for name in ("F0001_NE00WH_F3D", "M0002_HA04AE_F3D"):
        place = tmp_path / f"t/{name[:5]}/{name}.wrl"
        place.parent.mkdir(parents=True)
        shape = f"coord Coordinate {{ point [\n{points}\n] }} coordIndex [\n{faces}\n]"
        place.write_text(f"#VRML V2.0 utf8\nShape {{ geometry IndexedFaceSet {{ {shape} }} }}\n")
        (place.parent / f"{name[:-3]}RAW.wrl").write_text("#VRML V2.0 utf8\n")
    order = np.random.default_rng(0).permutation(len(mesh.vertices))
    np.save(tmp_path / "map.npy", np.argsort(order))
    push = np.zeros(len(order))
    push[::2] = 0.5
    normal = np.random.default_rng(1).normal(size=mesh.vertices.shape)
    wrong = mesh.vertices + push[:, None] * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    write_obj(tmp_path / "p/F0001/F0001_NE00WH_F3D.obj", motion(1, 9).apply(wrong[order]))
    write_obj(tmp_path / "p/M0002/M0002_HA04AE_F3D.obj", motion(1, 9).apply(mesh.vertices[order]))
    rows, report = run(tmp_path, "bu3dfe", "--correspondence", tmp_path / "map.npy", "--only", "*_F3D.wrl")
    assert float(rows["F0001/F0001_NE00WH_F3D"]["rmse"]) == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert float(rows["M0002/M0002_HA04AE_F3D"]["rmse"]) < 1e-5
    assert rows["M0002/M0002_HA04AE_F3D"]["group"] == "M0002" and report["scored"] == 2
    given = ("--correspondence", tmp_path / "map.npy", "--only", "*_F3D.wrl", "--eyes", 0, 30)
    rows, _ = run(tmp_path, "bu3dfe", *given)
    row, across = rows["F0001/F0001_NE00WH_F3D"], np.linalg.norm(mesh.vertices[0] - mesh.vertices[30])
    assert float(row["nme %"]) == pytest.approx(100 * float(row["mean"]) / across, rel=1e-6)
    rows, _ = run(tmp_path, "bu3dfe", "--only", "*_F3D.wrl")
    assert float(rows["M0002/M0002_HA04AE_F3D"]["rmse"]) > 5  # without the correspondence the order is wrong


def test_distinctiveness_and_expression(tmp_path, person):
    topology, mean, shape = person
    half = mean + 0.5 * (shape - mean)
    write_obj(tmp_path / "mean.obj", mean, topology.triangles)
    for name, vertices in (("a", half), ("b", shape), ("c", mean)):
        write_obj(tmp_path / f"p/{name}.obj", motion(2, 3).apply(vertices), topology.triangles)
        write_obj(tmp_path / f"t/{name}.obj", shape, topology.triangles)
    rows, report = run(tmp_path, "distinctiveness", "--mean", tmp_path / "mean.obj")
    shares = [float(rows[name]["share"]) for name in "abc"]
    assert shares == pytest.approx([0.5, 1, 0], abs=0.02)
    assert report["whole"]["share, all together"] == pytest.approx(0.5, abs=0.02)
    np.save(tmp_path / "e.npy", mean + [0, 3, 4])
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
    write_obj(tmp_path / "with/a.obj", mean + [0, 3, 4])
    write_obj(tmp_path / "without/a.obj", mean)
    rows, _ = run(tmp_path, "expression", "--neutral", tmp_path / "without", predictions="with", truth=None)
    assert float(rows["a"]["mean"]) == pytest.approx(5, abs=1e-3)


def test_an_item_may_be_a_folder_of_frames(tmp_path):
    for name in ("t/a.obj", "t/x/b.obj", "p/a/1.obj", "p/a/2.obj", "p/x/b.obj", "p/x/c.obj", "p/x/b/1.obj"):
        write_obj(tmp_path / name, np.eye(3))
    found = pairs(tmp_path / "p", tmp_path / "t", (".obj",))
    assert found.names == ("a", "x/b")
    assert [path.name for path in found.frames("a")] == ["1.obj", "2.obj"]
    assert found.prediction("x/b") == tmp_path / "p/x/b.obj" and set(found.strays) == {"x/c", "x/b/1"}
    with pytest.raises(AssetError, match="2 predictions, where one"):
        found.prediction("a")


def test_an_empty_or_missing_truth_takes_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(sys, "argv", ["likeness"])
    for folder in ("t", "nowhere"):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "facescape", "--predictions", str(tmp_path), "--truth", str(tmp_path / folder)])
        assert ended.value.code == AssetError.exit_code
        assert len(capsys.readouterr().err.splitlines()) == 1
