"""The GLB file: Khronos' validator, the way back to the model's vertices, another reader, sizes, names, bad numbers."""

import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from likeness.assets import builtin, toy
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.ict import IctModel
from likeness.errors import LikenessError
from likeness.export import gltf
from likeness.export.asset import Asset, from_builtin, from_ict, split_seams
from likeness.export.textures import to_jpeg, to_png

CHECKER = Path(__file__).parent / "gltf"
COMPONENTS = {5123: "<u2", 5125: "<u4", 5126: "<f4"}


def sheet(size=9, level_names=EXPRESSIONS, texture="jpeg", seed=0):
    """A curved square sheet with a hole (vertices that no face uses), local, global and empty movements."""
    rng = np.random.default_rng(seed)
    line = np.linspace(0, 1, size)
    u, v = np.meshgrid(line, line)
    uv = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    positions = np.stack([160 * (uv[:, 0] - 0.5), 200 * (0.5 - uv[:, 1]), 40 * np.cos(2 * uv[:, 0] - 1)], -1)
    ids = np.arange(size * size).reshape(size, size)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1)
    kept = np.ones((size - 1, size - 1), bool)
    kept[3:5, 3:5] = False
    faces = quads[kept].astype(np.int32)
    faces = np.concatenate([faces[1:], [[*faces[0, :3], -1]]]).astype(np.int32)
    targets = np.zeros((len(level_names), size * size, 3), np.float32)
    for k in range(1, len(level_names)):  # the first movement moves nothing
        moving = rng.random(size * size) < (0.2 if k % 2 else 1.0)
        targets[k, moving] = rng.normal(0, 3, (int(moving.sum()), 3))
    picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
    data = {"jpeg": to_jpeg, "png": to_png, None: lambda _: None}[texture](picture)
    weights = rng.random(len(level_names))
    notices = ("Face model learned from ICT-FaceKit, MIT licence", "second notice, in Türkçe")
    return Asset("a face ü 1", positions.astype(np.float32), faces, uv, targets, level_names, weights, data, notices)


def parse(data):
    """(document, accessor reader) of a GLB file, written apart from the writer."""
    magic, number, length = struct.unpack_from("<4sII", data)
    assert (magic, number, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    size_binary, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and size_binary % 4 == 0
    binary = data[28 + size :]

    def numbers(where, count, width, component):
        view = document["bufferViews"][where["bufferView"]]
        start = view["byteOffset"] + where.get("byteOffset", 0)
        values = np.frombuffer(binary, COMPONENTS[component], count * width, start)
        return values.reshape(count, width)

    def read(index):
        entry = document["accessors"][index]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[entry["type"]]
        count, component = entry["count"], entry["componentType"]
        if "bufferView" in entry:
            values = numbers(entry, count, width, component).copy()
        else:
            values = np.zeros((count, width), np.float32)
        if "sparse" in entry:
            sparse = entry["sparse"]
            rows = numbers(sparse["indices"], sparse["count"], 1, sparse["indices"]["componentType"])[:, 0]
            assert (np.diff(rows.astype(int)) > 0).all()
            values[rows] = numbers(sparse["values"], sparse["count"], width, component)
        return values

    return document, read


def report(data, folder):
    """What Khronos' validator says, or a skip with its reason (a failure where LIKENESS_REQUIRE_VALIDATOR is set)."""
    if not (CHECKER / "node_modules" / "gltf-validator").is_dir() or not shutil.which("node"):
        reason = "gltf-validator is not installed: run `npm ci` in tests/gltf"
        if os.environ.get("LIKENESS_REQUIRE_VALIDATOR"):
            pytest.fail(reason)
        pytest.skip(reason)
    path = folder / "face of somebody.glb"
    path.write_bytes(data)
    done = subprocess.run(["node", "validate.mjs", str(path)], cwd=CHECKER, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("texture", ["jpeg", "png"])
def test_the_validator_finds_nothing(texture, tmp_path):
    issues = report(gltf.to_bytes(sheet(texture=texture)), tmp_path)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == issues["numInfos"] == issues["numHints"] == 0, issues


def test_the_validator_sees_a_broken_file(tmp_path):
    data = gltf.to_bytes(sheet())
    assert report(data.replace(b'"min":[', b'"min":[9'), tmp_path)["issues"]["numErrors"] > 0


def test_targets_give_the_posed_vertices_back():
    asset = sheet()
    document, read = parse(gltf.to_bytes(asset))
    mesh = document["meshes"][0]
    primitive = mesh["primitives"][0]
    base = read(primitive["attributes"]["POSITION"])
    moved = base + sum(w * read(t["POSITION"]) for w, t in zip(mesh["weights"], primitive["targets"]))
    used = np.unique(asset.faces[asset.faces >= 0])
    assert len(base) == len(used) < len(asset.positions)
    np.testing.assert_allclose(1000 * base, asset.positions[used], atol=1e-4)
    np.testing.assert_allclose(1000 * moved, asset.posed()[used], atol=len(EXPRESSIONS) * gltf.STILL)
    np.testing.assert_array_equal(read(primitive["attributes"]["TEXCOORD_0"]), asset.uv[used])
    indices = read(primitive["indices"]).ravel()
    assert len(indices) == 3 * (2 * (asset.faces[:, 3] >= 0).sum() + (asset.faces[:, 3] < 0).sum())
    corners = 1000 * base[indices.reshape(-1, 3)]
    outwards = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (outwards[:, 2] > 0).all()
    lengths = np.linalg.norm(read(primitive["attributes"]["NORMAL"]), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_names_weights_and_notices_are_where_readers_look():
    asset = sheet()
    document, _ = parse(gltf.to_bytes(asset))
    mesh = document["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(EXPRESSIONS)
    assert len(mesh["primitives"]) == 1 and len(mesh["primitives"][0]["targets"]) == len(EXPRESSIONS) == 51
    np.testing.assert_allclose(mesh["weights"], asset.weights, atol=1e-6)
    assert document["asset"]["extras"]["notices"] == list(asset.notices)
    assert document["nodes"][0]["name"] == asset.name
    assert "sparse" not in document["accessors"][mesh["primitives"][0]["targets"][0]["POSITION"]]  # moves nothing
    assert "sparse" in document["accessors"][mesh["primitives"][0]["targets"][1]["POSITION"]]


def test_sparse_targets_are_smaller():
    asset = sheet(33)
    still = replace(asset, targets=np.where(np.arange(51)[:, None, None] < 40, 0, asset.targets).astype(np.float32))
    assert len(gltf.to_bytes(still)) < 0.5 * len(gltf.to_bytes(asset))


def test_another_reader_opens_it():
    trimesh = pytest.importorskip("trimesh")
    asset = sheet()
    scene = trimesh.load(BytesIO(gltf.to_bytes(asset)), file_type="glb")
    (mesh,) = scene.geometry.values()
    used = np.unique(asset.faces[asset.faces >= 0])
    order = np.lexsort(np.round(mesh.vertices, 6).T)
    expected = asset.positions[used] / 1000
    np.testing.assert_allclose(mesh.vertices[order], expected[np.lexsort(np.round(expected, 6).T)], atol=1e-6)
    assert mesh.visual.material.baseColorTexture.size == (32, 32)


def test_without_chart_texture_and_movements(tmp_path):
    asset = sheet(texture=None)
    bare = replace(asset, uv=None, targets=asset.targets[:0], target_names=(), weights=np.zeros(0))
    document, _ = parse(gltf.to_bytes(bare))
    assert "targets" not in document["meshes"][0]["primitives"][0] and "images" not in document
    issues = report(gltf.to_bytes(bare), tmp_path)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues


def test_many_vertices_need_wide_indices():
    assert parse(gltf.to_bytes(sheet(260, EXPRESSIONS[:2])))[0]["accessors"][3]["componentType"] == 5125
    assert parse(gltf.to_bytes(sheet(50, EXPRESSIONS[:2])))[0]["accessors"][3]["componentType"] == 5123


def test_seams_split_vertices():
    asset = sheet(5)
    uv = np.concatenate([asset.uv, asset.uv + 0.5])
    second = np.arange(len(asset.faces))[:, None] % 2 == 1
    uv_faces = np.where(asset.faces < 0, -1, asset.faces + second * len(asset.uv))
    split = split_seams(asset, uv, uv_faces)
    corners = asset.faces >= 0
    np.testing.assert_array_equal(split.positions[split.faces[corners]], asset.positions[asset.faces[corners]])
    np.testing.assert_array_equal(split.uv[split.faces[corners]], uv[uv_faces[corners]])
    assert split.targets.shape[1] == len(split.positions) > len(asset.positions) - 4


@pytest.mark.parametrize("where", ["positions", "targets", "weights", "uv"])
def test_numbers_that_are_not_finite_are_refused(where):
    asset = sheet(5)
    values = np.array(getattr(asset, where), np.float32)
    values.flat[-1] = np.nan
    with pytest.raises(LikenessError, match="finite"):
        gltf.to_bytes(replace(asset, **{where: values}))


def test_shapes_that_do_not_fit_are_refused():
    asset = sheet(5)
    with pytest.raises(LikenessError, match="50 names"):
        gltf.to_bytes(replace(asset, target_names=EXPRESSIONS[:50]))


@pytest.mark.parametrize("level", ["base", "dense"])
def test_a_reconstruction_of_the_face_model(level, tmp_path):
    """Codes -> GLB -> base plus weighted targets are the model's own vertices, at both levels."""
    model = toy.head()
    rng = np.random.default_rng(3)
    identity, expression = rng.normal(size=6), rng.random(51)
    picture = to_jpeg(rng.integers(0, 255, (16, 16, 3), np.uint8))
    asset = from_builtin(model, identity, expression, level, picture, "toy")
    data = gltf.to_bytes(asset)
    document, read = parse(data)
    mesh = document["meshes"][0]
    primitive = mesh["primitives"][0]
    moved = read(primitive["attributes"]["POSITION"])
    for weight, target in zip(mesh["weights"], primitive["targets"]):
        moved = moved + weight * read(target["POSITION"])
    expected = model.decode(identity, expression)
    expected = model.refine(expected) if level == "dense" else expected
    used = np.unique(asset.faces[asset.faces >= 0])
    np.testing.assert_allclose(1000 * moved, expected[used], atol=3 * gltf.STILL)
    issues = report(data, tmp_path)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues


def test_the_full_head_keeps_its_seams_and_licence(tmp_path):
    head = IctModel(
        mean=np.float32([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0], [20, 0, 0]]),
        identity=np.ones((3, 5, 3), np.float32),
        expression=np.ones((51, 5, 3), np.float32),
        faces=np.int32([[0, 1, 2, 3], [1, 4, 2, -1]]),
        uv=np.float32([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0], [2, 1], [3, 0]]),
        uv_faces=np.int32([[0, 1, 2, 3], [4, 6, 5, -1]]),
    )
    asset = from_ict(head, np.zeros(3), np.zeros(51))
    assert len(asset.positions) == 7 and "MIT" in asset.notices[0] and "WITHOUT WARRANTY" in asset.notices[1]
    document, _ = parse(gltf.to_bytes(asset))
    assert document["meshes"][0]["extras"]["targetNames"] == list(EXPRESSIONS)
    issues = report(gltf.to_bytes(asset), tmp_path)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues


@pytest.mark.parametrize("level, limit", [("base", 4.0), ("dense", 15.0)])
def test_the_shipped_model_gives_files_of_bounded_size(level, limit, tmp_path):
    """Even with a texture as rich as any photo's, and the validator is content with it."""
    rng = np.random.default_rng(1)
    grain = cv2.GaussianBlur(rng.normal(128, 60, (1024, 1024, 3)), (0, 0), 1.6) * 1.5 - 64
    texture = to_jpeg(np.clip(grain, 0, 255).astype(np.uint8))
    assert len(texture) > 200_000
    data = gltf.to_bytes(from_builtin(builtin.load(), rng.normal(size=100), rng.random(51), level, texture))
    assert len(data) <= limit * 1e6
    if level == "base":
        issues = report(data, tmp_path)["issues"]
        assert issues["numErrors"] == issues["numWarnings"] == 0, issues
