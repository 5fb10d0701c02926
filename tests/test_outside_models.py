"""Every reader of outside face models, on a small file of the same layout; and what it says of files that are none."""

import pickle
import struct
from importlib import import_module

import numpy as np
import outside_files as files
import pytest
from scipy import sparse

from likeness import color
from likeness.assets import albedomm, bfm, flame, gnm, pca, readable, sfm
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import Colors, OutsideModel, checked
from likeness.cli import models
from likeness.errors import AssetError

FACE, COLORS = files.face(), files.colors()
SAME = {"rtol": 1e-4, "atol": 1e-4}


def mat_arrays(scale=1000.0):
    """The 2009 model: micrometres, deviations beside unit columns, colours up to 255, triangles from 1, clockwise."""
    shape, tint = FACE.scaled(scale), COLORS.scaled(255)
    return {
        "segbin": np.ones((12, 4)), "shapeMU": shape.mean.ravel(), "shapePC": shape.basis, "shapeEV": shape.deviations,
        "texMU": tint.mean.ravel(), "texPC": tint.basis, "texEV": tint.deviations, "tl": FACE.triangles[:, [0, 2, 1]].astype(np.int32) + 1,
    }  # fmt: skip


def assert_same(model, part=FACE, identity=slice(None)):
    np.testing.assert_allclose(model.mean, part.mean, **SAME)
    np.testing.assert_allclose(model.identity, part.modes[identity], **SAME)
    np.testing.assert_array_equal(model.faces[:, :3], part.triangles)
    assert (model.faces[:, 3] == -1).all() and model.faces.dtype == np.int32
    for values in (model.mean, model.identity, model.expression):
        assert values.dtype == np.float32 and values.dtype.isnative


@pytest.mark.parametrize(
    ("order", "dtype", "packed"), [("<", "f4", False), (">", "f4", False), ("<", "f8", True), (">", "f8", True)]
)
def test_basel_2009_in_either_byte_order(tmp_path, order, dtype, packed):
    path = tmp_path / "01_MorphableModel.mat"
    files.write_mat(path, mat_arrays(), order, dtype, packed)
    model = readable.read(path)
    assert_same(model)
    assert model.expression.shape == (0, 12, 3) and "2009" in model.name and "non-commercial" in model.licence
    code = np.array([0.5, -1, 0.2])
    expected = np.clip(COLORS.mean + np.tensordot(code, COLORS.modes, 1), 0, 1)
    np.testing.assert_allclose(model.albedo.decode(code), color.linear_from_srgb(expected), atol=1e-4)


@pytest.mark.parametrize(("minor", "dtype"), [(9, "f4"), (8, "f4"), (9, ">f4"), (9, "f8")])
def test_basel_2017_of_both_versions(tmp_path, minor, dtype):
    path, moves = tmp_path / "model2017-1_bfm_nomouth.h5", files.face(12, 3, 5).scaled(0.01)
    files.write_statismo(path, {"shape": FACE, "expression": moves, "color": COLORS}, minor, dtype)
    model = readable.read(path)
    np.testing.assert_allclose(model.mean, FACE.mean + moves.mean, **SAME)
    np.testing.assert_allclose(model.identity, FACE.modes, **SAME)
    np.testing.assert_allclose(model.expression, moves.modes, **SAME)
    np.testing.assert_allclose(model.albedo.modes, COLORS.modes, **SAME)
    assert model.albedo.encoding == "srgb" and model.expression_unit == "standard deviation"


def test_basel_2009_in_the_later_layout_is_in_micrometres(tmp_path):
    path = tmp_path / "model2009-publicmm1-bfm.h5"
    files.write_statismo(path, {"shape": FACE.scaled(1000), "color": COLORS.scaled(255)})
    model = bfm.read(path)
    assert_same(model)
    np.testing.assert_allclose(model.albedo.mean, COLORS.mean, **SAME)
    assert "no expressions in this file" in model.notes


def test_combined_with_the_albedo_model_colours_are_linear(tmp_path):
    path = tmp_path / "model.h5"
    files.write_statismo(path, {"shape": FACE, "diffuseAlbedo": COLORS, "specularAlbedo": COLORS.scaled(0.1)})
    model = bfm.read(path)
    np.testing.assert_allclose(model.albedo.decode(np.zeros(3)), COLORS.mean, **SAME)
    np.testing.assert_allclose(model.specular.mean, 0.1 * COLORS.mean, **SAME)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_surrey_in_every_version(tmp_path, version):
    path = tmp_path / "sfm.bin"
    files.write_eos(path, FACE, COLORS, version=version, landmarks={"eye": 3})
    model = readable.read(path)
    assert_same(model)
    np.testing.assert_allclose(model.albedo.mean, COLORS.mean, **SAME)


def test_surrey_without_colours_with_blendshapes_beside_it(tmp_path):
    files.write_eos(tmp_path / "sfm.bin", FACE)
    shapes = {"anger": FACE.modes[0], "joy": FACE.modes[1] / 2}
    (tmp_path / "shapes.bin").write_bytes(files.eos_blendshapes(shapes))
    model = sfm.read(tmp_path / "sfm.bin", tmp_path / "shapes.bin")
    assert_same(model)
    assert model.albedo is None and model.expression_names == ("anger", "joy") and model.expression_unit == "weight"
    np.testing.assert_allclose(model.expression, list(shapes.values()), **SAME)


@pytest.mark.parametrize("kind", [0, 1])
def test_surrey_with_expressions_inside(tmp_path, kind):
    moves = files.face(12, 2, 7).scaled(0.01)
    inside = files.eos_pca(moves) if kind == 0 else files.eos_blendshapes({"a": moves.modes[0], "b": moves.modes[1]})
    files.write_eos(tmp_path / "sfm.bin", FACE, expression=b"\x00" + struct.pack("<i", kind) + inside)
    model = sfm.read(tmp_path / "sfm.bin")
    np.testing.assert_allclose(model.expression, moves.modes, **SAME)
    np.testing.assert_allclose(model.mean, FACE.mean + (moves.mean if kind == 0 else 0), **SAME)
    assert model.expression_unit == ("standard deviation" if kind == 0 else "weight")


def big_face(turned=False):
    """A face with the Surrey model's number of vertices, whose landmarks lie as in a face."""
    part = files.face(3448, 2, 3)
    places = {177: (-45, 30, 10), 610: (45, 30, 10), 114: (0, 0, 50), 411: (0, -40, 30)}
    for vertex, place in places.items():
        part.mean[vertex] = np.array(place) * ([-1, 1, -1] if turned else 1)
    return part


def test_the_real_topology_has_landmarks_and_must_look_along_z(tmp_path):
    files.write_eos(tmp_path / "sfm.bin", big_face())
    model = sfm.read(tmp_path / "sfm.bin")
    assert (
        model.name == "Surrey Face Model"
        and "CVSSP" in model.licence
        and model.landmarks68[30] == 114
        and model.landmarks68[0] == -1
    )
    files.write_eos(tmp_path / "turned.bin", big_face(turned=True))
    with pytest.raises(AssetError, match="does not lie as expected"):
        sfm.read(tmp_path / "turned.bin")


def write_flame(path, arrays, kind):
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "npz of objects":
        np.savez(path, **arrays | {"J_regressor": np.array(sparse.csc_matrix(arrays["J_regressor"]), object)})
    else:
        path.write_bytes(
            pickle.dumps(arrays | {"J_regressor": sparse.csc_matrix(arrays["J_regressor"]), "bs_type": "lrotmin"}, 2)
        )


@pytest.mark.parametrize("kind", ["npz", "npz of objects", "pkl"])
def test_flame(tmp_path, kind):
    path, arrays = tmp_path / "flame.npz", files.flame_arrays(FACE)
    if kind == "npz":  # some writers give the root itself as its parent
        arrays["kintree_table"] = np.array([[0, 0, 1, 1, 1], range(5)])
    write_flame(path, arrays, kind)
    model = flame.read(path, identity=3)
    assert_same(model, identity=slice(3))
    np.testing.assert_allclose(model.expression, FACE.modes[3:], **SAME)
    rig = model.skeleton
    assert rig.parents.tolist() == [-1, 0, 1, 1, 1] and rig.names[2] == "jaw"
    np.testing.assert_allclose(rig.regressor, arrays["J_regressor"], atol=1e-6)
    np.testing.assert_allclose(rig.correctives, 1000 * np.moveaxis(arrays["posedirs"], -1, 0), **SAME)
    assert "non-commercial" in model.licence and readable.read(path).identity.shape == (4, 12, 3)


def test_flame_that_would_run_something_is_refused(tmp_path):
    path = tmp_path / "flame.npz"
    np.savez(path, **files.flame_arrays(FACE) | {"weights": np.array(print, object)})
    with pytest.raises(AssetError, match=r"flame\.npz: weights.*names builtins\.print"):
        flame.read(path)


def test_flame_without_a_rig_stays_in_rest(tmp_path):
    arrays = files.flame_arrays(FACE)
    np.savez(tmp_path / "flame.npz", **{key: arrays[key] for key in ("v_template", "shapedirs", "f")})
    model = flame.read(tmp_path / "flame.npz")
    assert model.skeleton is None and "rest" in model.notes[0]


def test_flames_landmarks_lie_on_its_triangles(tmp_path):
    np.savez(tmp_path / "flame.npz", **files.flame_arrays(FACE))
    model = flame.read(tmp_path / "flame.npz")
    random = np.random.default_rng(0)
    chosen, weights = random.integers(0, 7, 51), random.dirichlet(np.ones(3), 51)
    (tmp_path / "static.pkl").write_bytes(
        pickle.dumps({"lmk_face_idx": chosen.astype(np.uint32), "lmk_b_coords": weights}, 2)
    )
    numbers, places = flame.landmarks(tmp_path / "static.pkl", model)
    assert numbers.tolist() == list(range(17, 68))
    expected = (FACE.mean[FACE.triangles[chosen]] * weights[..., None]).sum(1)
    np.testing.assert_allclose(places.points(model.mean), expected, **SAME)
    (tmp_path / "static.pkl").write_bytes(pickle.dumps({"lmk_face_idx": chosen + 7, "lmk_b_coords": weights}))
    with pytest.raises(AssetError, match="51 points of 7 faces expected"):
        flame.landmarks(tmp_path / "static.pkl", model)


def test_gnm(tmp_path):
    path = tmp_path / "gnm_head.npz"
    np.savez(path, **files.gnm_arrays(FACE))
    model = readable.read(path)
    np.testing.assert_allclose(model.mean, FACE.mean, **SAME)
    np.testing.assert_allclose(model.identity, FACE.modes[:2], **SAME)
    np.testing.assert_allclose(model.expression, FACE.modes[2:], **SAME)
    assert model.faces.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]] and model.expression_names[1] == "lower_face_region_1"
    assert READABLE["gnm"].commercial and "Apache" in model.licence


def test_gnm_with_other_axes_is_refused(tmp_path):
    arrays = files.gnm_arrays(FACE)
    np.savez(
        tmp_path / "gnm.npz", **arrays | {"template_joint_positions": arrays["template_joint_positions"] * [-1, 1, 1]}
    )
    with pytest.raises(AssetError, match="axes"):
        gnm.read(tmp_path / "gnm.npz")


def test_albedo_model_dresses_a_basel_face(tmp_path):
    files.write_statismo(tmp_path / "shape.h5", {"shape": FACE, "color": COLORS})
    files.write_statismo(
        tmp_path / "albedo.h5", {"diffuseAlbedo": COLORS.scaled(0.5), "specularAlbedo": COLORS.scaled(0.1)}
    )
    model = albedomm.dress(tmp_path / "albedo.h5", bfm.read(tmp_path / "shape.h5"))
    np.testing.assert_allclose(model.albedo.mean, 0.5 * COLORS.mean, **SAME)
    np.testing.assert_allclose(model.specular.modes, 0.1 * COLORS.modes, **SAME)
    assert model.albedo.encoding == "linear" and "academic" in model.licence and "Basel" in model.licence
    with pytest.raises(AssetError, match="colours but no shape"):
        readable.read(tmp_path / "albedo.h5")


@pytest.mark.parametrize("specular", [True, False])
def test_colours_on_flames_chart_go_to_its_vertices(tmp_path, specular):
    """A picture that is linear over the chart is met exactly between pixels; blue comes first in the file."""
    side, shape = 32, pca_model(tmp_path)
    line = (np.arange(side) + 0.5) / side
    u, v = np.meshgrid(line, 1 - line)
    red, green, blue = 0.4 + 0.5 * u, 0.3 + 0.2 * v, 0.1 + 0.1 * u * 0
    picture = np.stack([blue, green, red], -1)
    modes = np.stack([0.1 * picture, 0.2 * picture[..., ::-1]], -1)
    vt = np.random.default_rng(4).uniform(0.05, 0.95, (len(shape.faces) * 3, 2))
    ft = np.arange(len(vt)).reshape(-1, 3)
    used = np.zeros((12, 2))
    used[shape.faces[:, :3].ravel()] = vt[ft.ravel()]
    for face, corners in zip(shape.faces[:, :3], ft):
        vt[corners] = used[face]
    more = {"specMU": 0.1 * picture, "specPC": 0.1 * modes} if specular else {}
    names = ("MU", "PC") if specular else ("mean", "tex_dir")
    scale = 1 if specular else 255
    np.savez(tmp_path / "albedo.npz", vt=vt, ft=ft, **{names[0]: scale * picture, names[1]: scale * modes}, **more)
    found = albedomm.read(tmp_path / "albedo.npz", shape)
    known = np.unique(shape.faces[:, :3])
    expected = np.stack([0.4 + 0.5 * used[:, 0], 0.3 + 0.2 * used[:, 1], np.full(12, 0.1)], -1)
    np.testing.assert_allclose(found.diffuse.mean[known], expected[known], atol=1e-5)
    np.testing.assert_allclose(found.diffuse.modes[0, known], 0.1 * expected[known], atol=1e-5)
    assert found.diffuse.encoding == ("linear" if specular else "srgb") and (found.specular is not None) == specular
    with pytest.raises(AssetError, match="give the FLAME model"):
        albedomm.read(tmp_path / "albedo.npz")


def pca_model(folder, **changes):
    arrays = {"mean": FACE.mean, "identity": FACE.modes, "faces": FACE.triangles} | changes
    np.savez(folder / "pca.npz", **arrays)
    return readable.read(folder / "pca.npz")


@pytest.mark.parametrize("unit", ["um", "mm", "cm", "m"])
def test_any_archive_in_any_unit_and_axes(tmp_path, unit):
    factor = 1 / pca.UNITS[unit]
    turn = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]])  # ours from the file's: axes "-x +z +y"
    model = pca_model(
        tmp_path, mean=factor * FACE.mean @ turn, identity=factor * FACE.modes @ turn, unit=unit, axes="-x +z +y"
    )
    assert_same(model)


def test_any_archive_with_columns_and_variances(tmp_path):
    arrays = {"mean": FACE.mean.ravel(), "basis": FACE.basis.astype(">f8"), "variance": FACE.deviations**2}
    np.savez(tmp_path / "pca.npz", **arrays)
    np.testing.assert_allclose(pca.read(tmp_path / "pca.npz").identity, FACE.modes, **SAME)
    np.savez(tmp_path / "pca.npz", mean=FACE.mean, basis=FACE.basis)
    with pytest.raises(AssetError, match="neither stddev nor variance"):
        pca.read(tmp_path / "pca.npz")


def test_an_archive_that_was_written_comes_back(tmp_path):
    model = OutsideModel(
        "x", "free", FACE.mean.astype(np.float32), FACE.modes[:2].astype(np.float32), FACE.modes[2:].astype(np.float32),
        np.concatenate([FACE.triangles, np.full((7, 1), -1)], 1).astype(np.int32), "weight", ("a", "b"),
        np.where(np.arange(68) < 30, np.arange(68) % 12, -1).astype(np.int32),
        Colors(COLORS.mean.astype(np.float32), COLORS.modes.astype(np.float32), "linear"),
    )  # fmt: skip
    pca.write(tmp_path / "x.npz", model)
    found = pca.read(tmp_path / "x.npz")
    for name in ("mean", "identity", "expression", "faces", "landmarks68"):
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    np.testing.assert_array_equal(found.albedo.modes, model.albedo.modes)
    assert (found.name, found.licence, found.expression_names) == ("x", "free", ("a", "b"))


@pytest.mark.parametrize(("changes", "said"), [
    ({"axes": "+x +y -z"}, "no turn"), ({"axes": "up"}, "no turn"), ({"unit": "inch"}, "choose one of um"),
    ({"mean": FACE.mean / 1000}, "another unit"), ({"identity": FACE.modes[:, :5]}, "identity modes have shape"),
    ({"faces": FACE.triangles + 9}, "speak of vertex"), ({"mean": FACE.mean.ravel()[:-1]}, "three for each vertex"),
    ({"identity": np.where(FACE.modes > 0, np.nan, 0)}, "not finite"), ({"landmarks68": np.arange(5)}, "68 of 12"),
    ({"expression_unit": "volts"}, "choose one of weight"),
])  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, changes, said):
    with pytest.raises(AssetError, match=said):
        pca_model(tmp_path, **changes)


WRITERS = {
    "mat": lambda path: files.write_mat(path, mat_arrays()),
    "mat deflated": lambda path: files.write_mat(path, mat_arrays(), packed=True),
    "hdf5": lambda path: files.write_statismo(path, {"shape": FACE, "expression": FACE, "color": COLORS}),
    "eos": lambda path: files.write_eos(path, FACE, COLORS),
    "pkl": lambda path: write_flame(path, files.flame_arrays(FACE), "pkl"),
    "npz": lambda path: np.savez(path.open("wb"), **files.gnm_arrays(FACE)),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated_files_are_one_clear_line(tmp_path, kind, share):
    path = tmp_path / "model.file"
    WRITERS[kind](path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AssetError, match=r"model\.file: ") as caught:
        readable.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x07", b"hello, this is no model at all", b"PK\x03\x04broken", b"\x89HDF\r\n\x1a\nbroken",
                                     b"MATLAB 7.3 MAT-file", b"\x80\x02broken", struct.pack("<I", 3) + b"\xff" * 90])  # fmt: skip
def test_other_files_are_refused_with_a_remedy(tmp_path, content):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(AssetError, match=r"x\.bin: "):
        readable.read(path)


@pytest.mark.parametrize(("kind", "gone"), [("mat", "shapeEV"), ("hdf5", "shape/model/pcaBasis"), ("hdf5", "shape/representer/cells"),
                                            ("flame", "shapedirs"), ("gnm", "expression_basis")])  # fmt: skip
def test_what_is_missing_is_named(tmp_path, kind, gone):
    path = tmp_path / "model"
    if kind == "mat":
        files.write_mat(path, {key: value for key, value in mat_arrays().items() if key != gone})
        reader = bfm.read
    elif kind == "hdf5":
        files.write_statismo(path, {"shape": FACE})
        with files.h5py.File(path, "a") as file:
            del file[gone]
        reader = bfm.read
    else:
        arrays = files.flame_arrays(FACE) if kind == "flame" else files.gnm_arrays(FACE)
        with path.open("wb") as file:
            np.savez(file, **{key: value for key, value in arrays.items() if key != gone})
        reader = flame.read if kind == "flame" else gnm.read
    with pytest.raises(AssetError, match=f"no {gone}"):
        reader(path)


def test_another_version_of_eos_is_named(tmp_path):
    (tmp_path / "x.bin").write_bytes(struct.pack("<I", 9) + b"\0" * 100)
    with pytest.raises(AssetError, match="its version would be 9"):
        sfm.read(tmp_path / "x.bin")
    files.write_eos(tmp_path / "y.bin", FACE)
    (tmp_path / "y.bin").write_bytes((tmp_path / "y.bin").read_bytes() + b"more")
    with pytest.raises(AssetError, match="4 bytes are left over"):
        sfm.read(tmp_path / "y.bin")


def test_without_h5py_the_remedy_is_named(tmp_path, monkeypatch):
    import sys

    files.write_statismo(tmp_path / "x.h5", {"shape": FACE})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(AssetError, match=r"pip install 'likeness\[learn\]'"):
        bfm.read(tmp_path / "x.h5")


def test_the_command_describes_a_file_and_lists_what_can_be_read(tmp_path, capsys):
    files.write_statismo(tmp_path / "x.h5", {"shape": FACE, "expression": FACE, "color": COLORS})
    assert models.models(models.Models(tmp_path / "x.h5")) == 0
    text = capsys.readouterr().out
    assert (
        "Basel Face Model 2017 or 2019" in text
        and "non-commercial" in text
        and "4 modes" in text
        and "7 triangles" in text
    )
    models.models(models.Models())
    text = capsys.readouterr().out
    for entry in READABLE.values():
        assert entry.name in text and entry.licence in text
        assert import_module(f"likeness.assets.{entry.reader}").read
        assert (
            entry.commercial
            or "non-commercial" in entry.licence
            or "academic" in entry.licence
            or entry.reader == "pca"
        )


def test_few_modes_are_the_first_ones(tmp_path):
    model = pca_model(tmp_path).first(identity=2)
    np.testing.assert_allclose(model.identity, FACE.modes[:2], **SAME)
    assert checked(tmp_path, model).decode(np.zeros(2), np.zeros(0)).shape == (12, 3)
