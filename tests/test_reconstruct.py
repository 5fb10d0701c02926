"""A photo in, faces out: order, limits, files by suffix, names, what is imported, what is refused."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likeness
from likeness.errors import LikenessError, OutputError, PhotoError, UsageError
from likeness.export.codes import from_bytes
from likeness.geometry.cameras import project
from likeness.runtime.reconstruct import FORMATS, RESULT_FILES, reconstruct

HEAVY = ("torch", "scipy", "skimage", "onnxruntime", "numba", "cv2", "PIL", "numpy")


@pytest.fixture
def face(toy_system, photo):
    (face,) = reconstruct(photo((100, 120, 80)), system=toy_system)
    return face


def test_faces_come_from_left_to_right(toy_system, photo):
    faces = reconstruct(photo((250, 100, 90), (60, 120, 60), (150, 60, 40)), system=toy_system)
    centers = [(f.box[0] + f.box[2]) / 2 for f in faces]
    np.testing.assert_allclose(centers, [60, 150, 250], atol=1)
    largest = reconstruct(photo((250, 100, 90), (60, 120, 60), (150, 60, 40)), max_faces=2, system=toy_system)
    np.testing.assert_allclose([f.box[0] for f in largest], [30, 205], atol=1)
    assert len(reconstruct(photo((250, 100, 90), (60, 120, 16)), min_face=60, system=toy_system)) == 1
    assert len(reconstruct(photo((250, 100, 90), (60, 120, 60)), min_score=0.5, system=toy_system)) == 1


def test_no_face_is_an_empty_list(toy_system, photo):
    assert reconstruct(photo(), system=toy_system) == []


def test_a_file_and_its_array_agree(toy_system, photo, tmp_path):
    image = photo((100, 120, 80))
    path = tmp_path / "Foto ü 'x'.png"
    Image.fromarray(image).save(path)
    (from_file,), (from_array,) = reconstruct(path, system=toy_system), reconstruct(image, system=toy_system)
    (from_text,) = reconstruct(str(path), system=toy_system)
    assert from_file.photo == from_text.photo == path.name and from_array.photo == ""
    np.testing.assert_array_equal(from_file.vertices, from_array.vertices)
    assert from_file.box == from_array.box == (60, 80, 140, 160)


def test_a_reconstruction_says_all_there_is(face, toy_system):
    count = len(face.topology.uv)
    assert face.vertices.shape == face.neutral.shape == (count, 3)
    assert face.expression["jawOpen"] == pytest.approx(0.5) and len(face.expression) == 51
    assert set(face.codes) == {"identity", "expression"} and 0 < face.score < 1
    assert set(face.landmarks) == {"68", "66", "5", "dense"} and face.landmarks["68"].shape == (68, 2)
    inside = (face.landmarks["68"] > np.array(face.box[:2]) - 15) & (face.landmarks["68"] < np.array(face.box[2:]) + 15)
    assert inside.all()
    moved = np.linalg.norm(face.vertices - face.neutral, axis=-1)
    assert moved.max() > 5 and face.asset().posed() == pytest.approx(face.vertices, abs=1e-3)
    points = project(face.vertices, face.view)
    assert abs(points[face.topology.parts["skin"]].mean(0) - [100, 120]).max() < 15


def test_the_texture_is_made_once_and_late(face):
    assert "texture" not in face.timings
    assert face.texture.shape == (1024, 1024, 3) and face.texture.dtype == np.uint8
    assert face.texture is face.texture and face.timings["texture"] > 0
    assert face.texture_file[:3] == b"\xff\xd8\xff"


def test_saving_by_suffix(face, tmp_path):
    face.save(tmp_path / "one.glb")
    assert (tmp_path / "one.glb").read_bytes()[:4] == b"glTF"
    face.save(str(tmp_path / "zwei ü.OBJ"))
    assert {path.suffix for path in tmp_path.iterdir()} == {".glb", ".obj", ".mtl", ".jpg"}
    face.save(tmp_path / "three.json")
    assert from_bytes((tmp_path / "three.json").read_bytes()).box == face.box
    face.save(tmp_path / "texture.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "texture.png")), face.texture)
    face.save(tmp_path / "all")
    face.save(tmp_path / "all")
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {"face.glb", "face.obj", "face.mtl", "face.jpg", "face.json", "overlay.png"} <= set(RESULT_FILES)
    with pytest.raises(UsageError, match="fbx"):
        face.save(tmp_path / "face.fbx")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        face.save(tmp_path / "file" / "face.glb")


def test_files_by_format(face):
    assert set(face.files(["glb"])) == {"face.glb"}
    assert set(face.files(["obj", "json"])) == {"face.obj", "face.mtl", "face.jpg", "face.json"}
    with pytest.raises(UsageError, match="usd"):
        face.files(["usd"])
    record = json.loads(face.files(FORMATS)["face.json"])
    assert {"read", "find", "encode", "decode", "texture"} <= set(record["timings_ms"])
    assert record["model"]["level"] == "base" and record["photo"]["width"] == 320


@pytest.mark.parametrize(
    "arguments", [{"max_faces": 0}, {"min_face": 0}, {"min_face": float("nan")}, {"min_face": 1e9}, {"min_score": 2}]
)
def test_arguments_out_of_range(toy_system, photo, arguments):
    with pytest.raises(UsageError):
        reconstruct(photo((100, 120, 80)), system=toy_system, **arguments)


def test_levels_that_do_not_exist(photo):
    with pytest.raises(UsageError, match="ultra"):
        reconstruct(photo(), level="ultra")


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", [[1, 2]], np.zeros((30, 30, 3))])
def test_things_that_are_no_photo(toy_system, wrong):
    with pytest.raises(PhotoError):
        reconstruct(wrong, system=toy_system)


def test_a_face_half_outside_the_photo(toy_system, photo):
    def find(image, *limits):
        return [replace(face, box=tuple(np.add(face.box, 60))) for face in toy_system.find(image, *limits)]

    outside = replace(toy_system, find=find)
    (face,) = reconstruct(photo((300, 220, 80)), system=outside)
    assert set(face.files()) >= {"face.glb", "overlay.png"}


def test_public_names_are_lazy_and_complete():
    code = f"import sys, likeness; print([m for m in {HEAVY} if m in sys.modules]); print(len(dir(likeness)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[]\n")
    for name in likeness.__all__:
        assert getattr(likeness, name) is not None and name in dir(likeness)
    assert likeness.reconstruct is reconstruct and issubclass(likeness.PhotoError, LikenessError)
    assert likeness.load_model and likeness.read_photo and 10 <= len(likeness.__all__) <= 16
    with pytest.raises(AttributeError, match="nothing"):
        likeness.nothing  # noqa: B018 - the look-up itself is what fails


def test_editors_see_the_same_names():
    tree = ast.parse(Path(likeness.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen | {"__version__"} == set(likeness.__all__)


WITHOUT_LEARNING = """
import importlib.abc, sys
BLOCKED = ("torch", "scipy", "skimage", "onnx", "onnxscript", "trimesh")

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, {tests!r})
from conftest import draw_photo, make_system
from likeness.runtime import sheet
from likeness.runtime.reconstruct import reconstruct
(face,) = reconstruct(draw_photo((100, 120, 80)), system=make_system())
face.files()
sheet.row(face, 64)
print([m for m in BLOCKED if m in sys.modules])
"""


def test_a_reconstruction_works_where_nothing_for_learning_is_installed(request):
    code = WITHOUT_LEARNING.format(tests=str(request.path.parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch):
    """On the astronaut, with the system that ships."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pytest.importorskip("skimage.data").astronaut()).save("photo.jpg")
    scope = {}
    exec(compile(block, "README.md", "exec"), scope)
    assert scope["points"].shape == (68, 2) and scope["person"].shape == (100,)
    assert scope["picture"].shape == (1024, 1024, 3)
    assert (tmp_path / "face.glb").stat().st_size < 15e6
