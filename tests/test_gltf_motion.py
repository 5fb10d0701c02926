"""Movement in the GLB file: the validator, weights and poses at their times, the camera that saw it, bad numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from test_gltf import parse, report, sheet

from likeness.errors import LikenessError
from likeness.export import gltf
from likeness.export.motion import continuous
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_axis_angle, from_quaternion
from likeness.types import View


def movement(name="a clip", frames=12, start=0.0, movements=51):
    rng = np.random.default_rng(3)
    times = start + np.cumsum(rng.uniform(0.01, 0.06, frames)) - (0 if start else 0.005)
    rotation = from_axis_angle(np.linspace(-1, 2.5, frames)[:, None] * np.array([0.36, 0.48, 0.8]))
    translation = rng.normal(0, 40, (frames, 3)) - [0, 0, 900]
    return gltf.Animation(
        name, times, rng.random((frames, movements)), continuous(rotation, [np.arange(frames)]), translation
    )


CAMERA = View(np.eye(3), np.zeros(3), np.float64(800.0), np.array([320.0, 240.0]), (480, 640))


def curves(document, read, number=0):
    """Times and values by node's name and path."""
    entry = document["animations"][number]
    found = {}
    for channel in entry["channels"]:
        sampler = entry["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "LINEAR"
        name = document["nodes"][channel["target"]["node"]]["name"]
        found[name, channel["target"]["path"]] = read(sampler["input"])[:, 0], read(sampler["output"])
    return found


@pytest.fixture
def wide(monkeypatch):
    """The test's own reader knows vectors of three; rotations have four."""
    import test_gltf

    source = test_gltf.parse

    def parse_wide(data):
        document, read = source(data)

        def numbers(index):
            entry = document["accessors"][index]
            if entry["type"] != "VEC4":
                return read(index)
            entry = dict(entry, type="SCALAR", count=4 * entry["count"])
            document["accessors"].append(entry)
            return read(len(document["accessors"]) - 1).reshape(-1, 4)

        return document, numbers

    return parse_wide


def test_the_validator_finds_nothing(tmp_path):
    data = gltf.to_bytes(sheet(), [movement("one"), movement("two", 5, 3.0)], CAMERA)
    issues = report(data, tmp_path)["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == issues["numInfos"] == issues["numHints"] == 0, issues


def test_curves_are_the_movement(wide):
    first, second = movement("one"), movement("two", 5, 3.0)
    asset = replace(sheet(), name="somebody")
    document, read = wide(gltf.to_bytes(asset, [first, second], CAMERA))
    assert [entry["name"] for entry in document["animations"]] == ["one", "two"]
    for number, given in enumerate((first, second)):
        found = curves(document, read, number)
        assert set(found) == {("head", "rotation"), ("head", "translation"), ("somebody", "weights")}
        for times, _ in found.values():
            np.testing.assert_allclose(times, given.times, atol=1e-6)
        np.testing.assert_allclose(found["head", "rotation"][1], given.rotation, atol=1e-6)
        np.testing.assert_allclose(1000 * found["head", "translation"][1], given.translation, atol=1e-4)
        weights = found["somebody", "weights"][1].reshape(len(given.times), -1)
        np.testing.assert_allclose(weights, given.weights, atol=1e-6)
        accessor = document["accessors"][document["animations"][number]["samplers"][0]["input"]]
        np.testing.assert_allclose(
            [accessor["min"][0], accessor["max"][0]], [given.times[0], given.times[-1]], atol=1e-6
        )


def test_the_camera_of_the_file_sees_what_the_clip_showed(wide):
    """Points go through the file's nodes as a viewer would take them, and through the file's lens."""
    given, asset = movement(), sheet()
    document, read = wide(gltf.to_bytes(asset, [given], CAMERA))
    nodes = {node["name"]: node for node in document["nodes"]}
    lens = document["cameras"][nodes["camera"]["camera"]]["perspective"]
    found = curves(document, read)
    points = read(document["meshes"][0]["primitives"][0]["attributes"]["POSITION"])[:20]
    for frame in (0, 7):
        turn = from_quaternion(found["head", "rotation"][1][frame].astype(float))
        there = points @ turn.T + found["head", "translation"][1][frame]  # scene and camera share their parent's shift
        height, width = CAMERA.size
        scale = height / 2 / math.tan(lens["yfov"] / 2)
        seen = np.stack(
            [width / 2 + scale * there[:, 0] / -there[:, 2], height / 2 - scale * there[:, 1] / -there[:, 2]], -1
        )
        view = View(
            from_quaternion(given.rotation[frame]),
            given.translation[frame],
            CAMERA.focal,
            CAMERA.principal,
            CAMERA.size,
        )
        np.testing.assert_allclose(seen, project(1000.0 * points, view), atol=0.01)
    assert abs(lens["aspectRatio"] - 4 / 3) < 1e-6
    assert document["nodes"][document["scenes"][0]["nodes"][0]]["name"] == "scene"
    assert abs(nodes["scene"]["translation"][2] - 0.9) < 0.05  # the head, and not the camera, is in the middle


def test_a_still_face_is_written_as_before():
    document, _ = parse(gltf.to_bytes(sheet()))
    assert "animations" not in document and [node["name"] for node in document["nodes"]] == ["a face ü 1"]


@pytest.mark.parametrize("change, words", [
    (lambda a: replace(a, weights=a.weights[:, :7]), "does not fit"),
    (lambda a: replace(a, translation=a.translation * np.nan), "finite"),
    (lambda a: replace(a, times=a.times[::-1]), "increase"), (lambda a: replace(a, times=a.times - 1), "increase"),
])  # fmt: skip
def test_movement_that_is_none_is_refused(change, words):
    with pytest.raises(LikenessError, match=words):
        gltf.to_bytes(sheet(), [change(movement())])
