"""motion.json and motion.csv: the way back, lost frames, columns, timecodes, and quaternions without jumps."""

import json
from dataclasses import replace

import numpy as np
import pytest

from likeness.assets.arkit import EXPRESSIONS
from likeness.errors import AssetError, LikenessError
from likeness.export import motion as files
from likeness.export.motion import INTERPOLATED, LOST, TRACKED, Motion
from likeness.geometry.rotation import from_axis_angle, from_euler, from_quaternion, to_quaternion

LIVE_LINK_FACE = (
    "Timecode,BlendshapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,"
    "JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,"
    "MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,MouthStretchRight,"
    "MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,"
    "MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,"
    "BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,HeadPitch,"
    "HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)
"""The first line of the app's own recordings, as public importers quote it."""


def example(frames=9, light=True):
    """Two stretches with a loss between them and one frame interpolated."""
    rng = np.random.default_rng(0)
    state = np.array([TRACKED] * 3 + [LOST] * 2 + [TRACKED, INTERPOLATED, TRACKED, TRACKED])[:frames]
    lost = state == LOST
    rotation = from_euler(*(0.5 * rng.normal(size=(3, frames))))
    values = {
        "expression": rng.random((frames, 51)), "rotation": rotation, "box": 100 * rng.random((frames, 4)),
        "translation": rng.normal(0, 30, (frames, 3)) - [0, 0, 900], "light": rng.normal(size=(frames, 9, 3)),
    }  # fmt: skip
    for array in values.values():
        array[lost] = np.nan
    values["box"][state != TRACKED] = np.nan
    segment = np.where(lost, -1, np.where(np.arange(frames) < 3, 0, 1))
    return Motion(
        clip="ein Film.mp4", size=(480, 640), rate=25.0, times=np.arange(frames) / 25, state=state, segment=segment,
        identity=rng.normal(size=100), focal=700.0, principal=np.array([320.0, 240.0]), cuts=(3,),
        model={"name": "likeness-builtin"}, licences=("a licence",), albedo=rng.normal(size=60) if light else None,
        **(values if light else values | {"light": None}),
    )  # fmt: skip


@pytest.mark.parametrize("light", [True, False])
def test_the_way_back(light):
    motion = example(light=light)
    back = files.from_bytes(files.to_bytes(motion))
    np.testing.assert_array_equal(back.state, motion.state)
    np.testing.assert_array_equal(back.segment, motion.segment)
    for name, atol in (
        ("times", 1e-6),
        ("identity", 1e-5),
        ("expression", 1e-4),
        ("rotation", 1e-6),
        ("translation", 1e-3),
        ("box", 0.1),
        ("principal", 1e-4),
    ):
        np.testing.assert_allclose(getattr(back, name), getattr(motion, name), atol=atol, err_msg=name)
    assert (back.light is None) == (back.albedo is None) == (not light)
    if light:
        np.testing.assert_allclose(back.light, motion.light, atol=1e-5)
        np.testing.assert_allclose(back.albedo, motion.albedo, atol=1e-5)
    assert (back.clip, back.size, back.rate, back.focal, back.cuts) == ("ein Film.mp4", (480, 640), 25.0, 700.0, (3,))
    assert files.to_bytes(back) == files.to_bytes(files.from_bytes(files.to_bytes(back)))


def test_what_the_document_says():
    document = json.loads(files.to_bytes(example()))
    assert (document["format"], document["version"]) == ("likeness.motion", 1)
    assert document["state"][2:7] == ["tracked", "lost", "lost", "tracked", "interpolated"]
    assert document["segments"] == [{"first": 0, "last": 2}, {"first": 5, "last": 8}]
    assert list(document["expression"]) == [*EXPRESSIONS, "tongueOut"]
    assert document["expression"]["jawOpen"][3:5] == [None, None] and document["head"]["quaternion_xyzw"][4] is None
    assert document["expression"]["tongueOut"][0] == 0 and len(document["time"]) == 9


@pytest.mark.parametrize("damage", [
    lambda d: {**d, "format": "other"}, lambda d: {**d, "version": 2}, lambda d: {k: v for k, v in d.items() if k != "head"},
    lambda d: {**d, "state": ["asleep"] * 9},
])  # fmt: skip
def test_other_and_damaged_files_are_refused(damage):
    with pytest.raises(AssetError):
        files.from_bytes(json.dumps(damage(json.loads(files.to_bytes(example())))).encode())


def test_numbers_that_are_not_finite_are_refused():
    motion = example()
    expression = motion.expression.copy()
    expression[0, 3] = np.nan
    with pytest.raises(LikenessError, match="not finite"):
        files.to_bytes(replace(motion, expression=expression))


def test_columns_are_those_of_the_app():
    motion = example()
    lines = files.to_live_link(motion).decode().splitlines()
    assert lines[0] == LIVE_LINK_FACE and len(lines) == 10
    names = lines[0].split(",")
    for line, state, weights in zip(lines[1:], motion.state, motion.expression):
        row = dict(zip(names, line.split(",")))
        assert len(line.split(",")) == 63
        if state == LOST:
            assert row["BlendshapeCount"] == "0" and row["JawOpen"] == ""
            continue
        assert row["BlendshapeCount"] == "61" and float(row["TongueOut"]) == 0
        for name, weight in zip(EXPRESSIONS, weights):
            assert abs(float(row[name[0].upper() + name[1:]]) - weight) < 1e-6


def test_angles_of_head_and_eyes():
    """The left eye looks out, to the subject's left: yaw is positive. The right one looks out: negative."""
    expression = np.zeros((1, 51))
    expression[0, EXPRESSIONS.index("eyeLookOutLeft")] = 1
    expression[0, EXPRESSIONS.index("eyeLookOutRight")] = 0.5
    expression[0, EXPRESSIONS.index("eyeLookDownRight")] = 1
    motion = replace(
        example(1), expression=expression, rotation=from_euler(np.array([0.3]), np.array([0.2]), np.array([-0.1]))
    )
    names, row = (line.split(",") for line in files.to_live_link(motion).decode().splitlines())
    row = dict(zip(names, row))
    angles = [float(row[f"Head{name}"]) for name in ("Yaw", "Pitch", "Roll")]
    np.testing.assert_allclose(angles, [0.3, 0.2, -0.1], atol=1e-6)
    assert (
        abs(float(row["LeftEyeYaw"]) - np.radians(32)) < 1e-5 and abs(float(row["RightEyeYaw"]) + np.radians(16)) < 1e-5
    )
    assert abs(float(row["RightEyePitch"]) - np.radians(25)) < 1e-5 and float(row["LeftEyePitch"]) == 0


@pytest.mark.parametrize("time, rate, text", [
    (0, 30, "00:00:00:00.000"), (3.52, 25, "00:00:03:13.000"), (1.0, 29.97, "00:00:01:00.000"),
    (59.99, 50, "00:00:59:49.500"), (59.99999, 50, "00:01:00:00.000"), (3661.0, 24, "01:01:01:00.000"),
])  # fmt: skip
def test_timecodes(time, rate, text):
    assert files.timecode(time, rate) == text


def test_quaternions_do_not_jump():
    """A head that turns through the whole circle passes the place where a matrix's quaternion changes sign."""
    angle = np.linspace(0, 2.5 * np.pi, 60)
    rotation = from_axis_angle(angle[:, None] * np.array([0.36, 0.48, 0.8]))
    jumps = (np.diff(to_quaternion(rotation), axis=0) ** 2).sum(1)
    assert jumps.max() > 1
    smooth = files.continuous(rotation, [np.arange(60)])
    assert (np.diff(smooth, axis=0) ** 2).sum(1).max() < 0.01
    np.testing.assert_allclose(from_quaternion(smooth), rotation, atol=1e-12)
