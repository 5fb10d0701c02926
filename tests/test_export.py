"""OBJ, face.json and textures: what is written comes back, names are safe, bad numbers are refused."""

from io import BytesIO

import cv2
import numpy as np
import pytest

from likeness.errors import AssetError, LikenessError
from likeness.export import codes, obj, textures
from likeness.export.asset import Asset
from likeness.geometry.rotation import from_euler
from likeness.types import View


def patch(texture=None):
    """Two quads and a triangle with a vertex that nothing uses."""
    x = np.arange(3.0)
    positions = np.array(
        [[a, b, 0.1 * a] for b in (10.0, 0.0) for a in 7 * x] + [[99, 99, 99], [3.5, 17, 0]], np.float32
    )
    faces = np.array([[3, 4, 1, 0], [4, 5, 2, 1], [0, 1, 7, -1]], np.int32)
    uv = np.array([[a / 2, b] for b in (0.0, 1.0) for a in x] + [[0, 0], [0.25, 0]], np.float32)
    targets = np.zeros((2, 8, 3), np.float32)
    targets[1, :, 2] = 2
    return Asset("x", positions, faces, uv, targets, ("a", "b"), np.array([1.0, 0.5]), texture, ("one", "two"))


def test_obj_keeps_quads_pose_and_chart():
    trimesh = pytest.importorskip("trimesh")
    asset = patch()
    files = obj.to_files(asset)
    assert sorted(files) == ["face.mtl", "face.obj"]
    text = files["face.obj"].decode()
    faces = [line.split()[1:] for line in text.splitlines() if line.startswith("f ")]
    assert [len(face) for face in faces] == [4, 4, 3]
    vertices = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("v ")], float)
    np.testing.assert_allclose(vertices, np.delete(asset.posed(), 6, 0), atol=1e-4)
    mesh = trimesh.load(BytesIO(files["face.obj"]), file_type="obj", process=False)
    assert len(mesh.faces) == 5 and (mesh.face_normals[:, 2] > 0.9).all()
    places = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("vt ")], float)
    np.testing.assert_allclose(places[:, 1], 1 - np.delete(asset.uv, 6, 0)[:, 1], atol=1e-6)


def test_obj_names_hold_together_without_spaces():
    data = textures.to_png(np.zeros((4, 4, 3), np.uint8))
    files = obj.to_files(patch(data), 'my "face" é')
    assert all(name.isascii() and " " not in name and '"' not in name for name in files)
    mesh = next(value for name, value in files.items() if name.endswith(".obj")).decode()
    material = next(value for name, value in files.items() if name.endswith(".mtl")).decode()
    assert mesh.split("mtllib ")[1].splitlines()[0] in files
    texture = material.split("map_Kd ")[1].splitlines()[0]
    assert files[texture] == data and texture.endswith(".png")


def record(**changes):
    rng = np.random.default_rng(0)
    view = View(
        from_euler(*np.array([0.4, -0.2, 0.1])), np.array([1.5, -2, -600]), 900.0, np.array([320.5, 200]), (480, 640)
    )
    values = dict(
        codes={"identity": rng.normal(size=100), "expression": rng.random(51)},
        view=view,
        photo='Foto "ü" 1.jpg',
        photo_from_crop=np.array([[2.0, 0.1, 3], [-0.1, 2, 4], [0, 0, 1]]),
        crop_pixels=128,
        box=(1.0, 2.0, 30.5, 31.5),
        roll=0.25,
        score=0.93,
        landmarks={"68": rng.random((68, 2)) * 640},
        model={"name": "builtin", "level": "dense"},
        licences=("MIT",),
        timings={"encode": 1.25},
    )
    return codes.FaceFile(**(values | changes))


def test_face_json_comes_back():
    face = record()
    data = codes.to_bytes(face)
    back = codes.from_bytes(data)
    for name in face.codes:
        np.testing.assert_allclose(back.codes[name], face.codes[name], atol=1e-5)
    for name in ("rotation", "translation", "focal", "principal"):
        np.testing.assert_allclose(getattr(back.view, name), getattr(face.view, name), atol=1e-4)
    np.testing.assert_allclose(back.landmarks["68"], face.landmarks["68"], atol=1e-3)
    np.testing.assert_allclose(back.photo_from_crop, face.photo_from_crop)
    assert back.photo == face.photo and back.view.size == face.view.size and back.box == face.box
    assert abs(back.roll - face.roll) < 1e-4 and back.timings == face.timings and back.model == face.model
    assert b'"tongueOut": 0.0' in data and data.count(b"\n") < 120
    assert codes.from_bytes(codes.to_bytes(record(box=None, score=None))).box is None


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'"x"', b'{"format": "other", "version": 1}', b"\xff"])
def test_other_json_is_refused_in_one_line(data):
    with pytest.raises(AssetError, match="not a face.json"):
        codes.from_bytes(data)


def test_a_newer_version_is_refused():
    data = codes.to_bytes(record()).replace(b'"version": 1', b'"version": 2')
    with pytest.raises(AssetError, match="version 2"):
        codes.from_bytes(data)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(LikenessError, match="finite"):
        codes.to_bytes(record(landmarks={"68": np.full((68, 2), np.nan)}))


def test_pictures_come_back():
    smooth = np.add.outer(np.arange(48), np.arange(32))[..., None] + np.array([0, 60, 120])
    image = smooth.astype(np.uint8)
    png = cv2.imdecode(np.frombuffer(textures.to_png(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(png, image)
    jpeg = cv2.imdecode(np.frombuffer(textures.to_jpeg(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(jpeg.astype(int) - image).max() <= 6
    with pytest.raises(LikenessError, match="uint8"):
        textures.to_png(image.astype(np.float32))
    with pytest.raises(LikenessError, match="neither"):
        textures.mime_type(b"GIF89a")


def test_fill_keeps_what_is_known_and_continues_it():
    rng = np.random.default_rng(1)
    image = rng.random((37, 50, 3)).astype(np.float32)
    weight = (rng.random((37, 50)) < 0.4).astype(np.float32)
    filled = textures.fill(image, weight)
    np.testing.assert_allclose(filled[weight == 1], image[weight == 1], atol=1e-6)
    constant = textures.fill(np.where(weight[..., None] > 0, np.float32(0.3), 0.9), weight)
    np.testing.assert_allclose(constant, 0.3, atol=1e-6)
    known = image[weight == 1]
    assert filled.min() >= known.min() - 1e-6 and filled.max() <= known.max() + 1e-6
    far = textures.fill(np.where(np.arange(64)[None, :, None] < 2, np.float32(0.7), 0) + np.zeros((64, 64, 1), np.float32),
                        np.where(np.arange(64)[None] < 2, np.float32(1), 0) + np.zeros((64, 64), np.float32))  # fmt: skip
    np.testing.assert_allclose(far, 0.7, atol=1e-5)
