"""Reading ICT's model from a checkout (a folder of OBJ files) and from an archive, and decoding it."""

import os
from pathlib import Path

import numpy as np
import pytest

from likeness.assets import ict
from likeness.assets.arkit import EXPRESSIONS, from_ict, ict_names
from likeness.errors import AssetError

NAMES = [name for expression in EXPRESSIONS for name in ict_names(expression)]
FACES = ((0, 1, 2, 3), (0, 3, 4, -1))
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [0.2, 0.1]])


def write_obj(path, vertices):
    """An OBJ mesh with normals in its faces, texture coordinates numbered backwards."""
    lines = ["# comment", *("v {} {} {}".format(*v) for v in vertices), *("vt {} {}".format(*t) for t in UV)]
    for face in FACES:
        lines.append("f " + " ".join(f"{v + 1}/{len(UV) - v}/1" for v in face if v >= 0))
    path.write_text("\n".join(lines))


@pytest.fixture
def checkout(tmp_path):
    """A tiny checkout: five vertices, two identity modes, all 53 expressions; (folder, neutral, ids, ex) in cm."""
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    random = np.random.default_rng(0)
    neutral, ids, ex = random.normal(size=(5, 3)), random.normal(size=(2, 5, 3)), random.normal(size=(53, 5, 3))
    write_obj(folder / "generic_neutral_mesh.obj", neutral)
    for k, offset in enumerate(ids):
        write_obj(folder / f"identity{k:03}.obj", neutral + offset)
    for name, offset in zip(NAMES, ex):
        write_obj(folder / f"{name}.obj", neutral + offset)
    return tmp_path, neutral, ids, ex


def test_a_checkout_gives_millimetres_offsets_and_faces(checkout):
    folder, neutral, ids, ex = checkout
    for path in (folder, folder / "FaceXModel"):
        model = ict.read(path)
        np.testing.assert_allclose(model.mean, 10 * neutral, atol=1e-5)
        np.testing.assert_allclose(model.identity, 10 * ids, atol=1e-5)
        np.testing.assert_allclose(
            model.expression[EXPRESSIONS.index("jawOpen")], 10 * ex[NAMES.index("jawOpen")], atol=1e-5
        )
        assert model.faces.tolist() == [list(face) for face in FACES]
        assert model.uv_faces.tolist() == [[5, 4, 3, 2], [5, 2, 1, -1]]


def test_left_and_right_are_joined_where_apple_has_one_shape(checkout):
    folder, _, _, ex = checkout
    both = ex[NAMES.index("cheekPuff_L")] + ex[NAMES.index("cheekPuff_R")]
    np.testing.assert_allclose(ict.read(folder).expression[EXPRESSIONS.index("cheekPuff")], 10 * both, atol=1e-5)


def test_an_archive_gives_the_same_model(checkout):
    folder, neutral, ids, ex = checkout
    expected = ict.read(folder)
    file = folder / "ict.npz"
    np.savez(file, v=neutral, ids=ids, ex=ex, names=np.array(NAMES), f=expected.faces, vt=UV, ft=expected.uv_faces)
    found = ict.read(file)
    for name in ("mean", "identity", "expression", "faces", "uv", "uv_faces"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)


def test_codes_are_decoded_to_the_whole_head(checkout):
    model = ict.read(checkout[0])
    expression = np.zeros(51)
    expression[EXPRESSIONS.index("jawOpen")] = 0.5
    expected = model.mean + 2 * model.identity[1] + 0.5 * model.expression[EXPRESSIONS.index("jawOpen")]
    np.testing.assert_allclose(model.decode(np.array([0, 2.0]), expression), expected, atol=1e-4)


def test_what_is_missing_is_named(checkout, tmp_path):
    (tmp_path / "FaceXModel" / "jawOpen.obj").unlink()
    with pytest.raises(AssetError, match="jawOpen.obj is missing"):
        ict.read(tmp_path)
    with pytest.raises(AssetError, match="no such file"):
        ict.read(tmp_path / "nothing.npz")


def test_a_mesh_with_other_vertices_is_refused(checkout, tmp_path):
    write_obj(tmp_path / "FaceXModel" / "jawOpen.obj", np.zeros((4, 3)))
    with pytest.raises(AssetError, match="4 vertices where generic_neutral_mesh.obj has 5"):
        ict.read(tmp_path)


def test_names_go_there_and_back():
    assert len(NAMES) == 53
    assert all(from_ict(name) == expression for expression in EXPRESSIONS for name in ict_names(expression))


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs the ICT face model under LIKENESS_DATA")
def test_names_are_those_of_the_real_model():
    with np.load(Path(os.environ["LIKENESS_DATA"]) / "ict/ict_face_model.npz") as file:
        assert sorted(map(str, file["names"])) == sorted(NAMES)
