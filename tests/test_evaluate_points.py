"""Landmark, pose and clip scores against values worked out by hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from likeness.assets import builtin
from likeness.evaluate import nme, pose, steadiness
from likeness.geometry.alignment import similarity
from likeness.geometry.rotation import from_axis_angle, from_euler


def square(count=68):
    """68 points whose tightest box is 40 wide and 90 high, so that its size is 60."""
    random = np.random.default_rng(0)
    points = random.uniform([10, 20], [50, 110], (count, 2))
    points[[0, 1]] = [[10, 20], [50, 110]]
    return points


def test_nme_by_hand():
    truth = square()
    assert nme.box_size(truth) == pytest.approx(60)
    off = truth + [3.0, 4.0]  # every point is 5 px away
    assert nme.nme(off, truth, nme.box_size(truth)) == pytest.approx(5 / 60)
    one = truth.copy()
    one[60] += [0, 6.0]
    found = nme.aflw2000(one, np.concatenate([truth, np.ones((68, 1))], 1))
    assert found["nme"] == pytest.approx(100 * 6 / 68 / 60)
    assert found["inner mouth"] == pytest.approx(100 * 6 / 8 / 60)


def test_the_unit_of_2d_errors():
    truth = square()
    truth[36], truth[45] = [10, 50], [40, 90]
    assert nme.unit_size(truth, "outer") == pytest.approx(50)
    assert nme.unit_size(truth[None], "outer").shape == (1,)
    truth[36:42], truth[42:48] = [10, 50], [22, 45]
    assert nme.unit_size(truth, "pupils") == pytest.approx(13)
    assert nme.unit_size(truth, "box") == nme.box_size(truth)
    with pytest.raises(ValueError, match="unknown unit"):
        nme.unit_size(truth, "nose")


def test_nme_does_not_ask_for_size_place_or_roll_of_the_picture_and_grows_with_the_error():
    truth, random = square(), np.random.default_rng(1)
    off = truth + random.normal(0, 2, truth.shape)
    base = nme.aflw2000(off, truth)["nme"]
    assert nme.aflw2000(3 * off + 7, 3 * truth + 7)["nme"] == pytest.approx(base)
    turned = nme.nme(off[:, ::-1], truth[:, ::-1], nme.unit_size(truth[:, ::-1], "outer"))
    assert turned == pytest.approx(nme.nme(off, truth, nme.unit_size(truth, "outer")))
    errors = [nme.aflw2000(truth + step * (off - truth), truth)["nme"] for step in (0, 0.5, 1, 2)]
    assert errors[0] == 0 and (np.diff(errors) > 0).all()


def test_yaw_bins():
    np.testing.assert_array_equal(nme.yaw_bin(np.array([0, -30, 30.1, -60, 60.1, 90, 95])), [0, 0, 1, 1, 2, 2, 2])
    rows = nme.by_yaw(np.array([1.0, 3, 4, 9]), np.array([5.0, -20, 45, -80]))
    assert rows == pytest.approx({
        "yaw 0-30": 2, "yaw 30-60": 4, "yaw 60-90": 9, "balanced mean": 5, "balanced std": np.std([2, 4, 9]),
    })  # fmt: skip
    assert np.isnan(nme.by_yaw(np.ones(1), np.zeros(1))["yaw 60-90"])


def test_angles_between_rotations():
    random = np.random.default_rng(2)
    axis = random.normal(size=(50, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angles = np.concatenate([[0, 1e-7, 179.9999], random.uniform(0, 180, 47)])
    first = from_axis_angle(random.normal(size=(50, 3)))
    second = first @ from_axis_angle(axis * np.radians(angles)[:, None])
    np.testing.assert_allclose(pose.angle_between(first, second), angles, atol=1e-6)
    turn = from_axis_angle(random.normal(size=3))  # the camera that looks does not matter
    np.testing.assert_allclose(pose.angle_between(turn @ first, turn @ second), angles, atol=1e-6)


def test_angles_of_both_conventions_come_back():
    angles = np.array([[20.0, -10, 5], [-70, 30, -40], [0, 0, 0]])
    np.testing.assert_allclose(pose.aflw_angles(pose.rotation_of(angles, "aflw")), angles, atol=1e-9)
    yaw = np.radians(20.0)
    np.testing.assert_allclose(pose.rotation_of([20, 0, 0], "ours"), from_euler(yaw, 0 * yaw, 0 * yaw))
    np.testing.assert_allclose(pose.rotation_of([20, 0, 0], "ours"), pose.rotation_of([-20, 0, 0], "aflw"), atol=1e-12)
    errors = pose.pose_error(pose.rotation_of(angles + [2, -3, 1], "aflw"), pose.rotation_of(angles, "aflw"))
    for name, off in (("yaw", 2), ("pitch", 3), ("roll", 1)):
        np.testing.assert_allclose(errors[name], off, atol=1e-9)
    np.testing.assert_allclose(errors["mean of three"], 2, atol=1e-9)
    wrapped = pose.pose_error(pose.rotation_of([0, 0, 179], "aflw"), pose.rotation_of([0, 0, -179], "aflw"))
    assert wrapped["roll"] == pytest.approx(2)


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="LIKENESS_DATA is not set")
def test_angles_of_aflw2000_turn_a_face_onto_its_landmarks():
    from scipy.io import loadmat

    model = builtin.load()
    mean = model.topology("base").landmarks["68"].points(model.mean.astype(float))
    gaps = []
    for path in sorted(Path(os.environ["LIKENESS_DATA"], "aflw2000_16").glob("*.mat")):
        data = loadmat(path)
        pitch, yaw, roll = data["Pose_Para"][0, :3].astype(float)
        points = data["pt3d_68"].T.astype(float) * [1, -1, 1]
        fitted = similarity(mean[17:48], points[17:48]).rotation
        gaps.append(pose.angle_between(fitted, pose.aflw_rotation(pitch, yaw, roll)))
    assert len(gaps) == 16 and np.max(gaps) < 4


def swinging(frames=120, shift=0.0):
    t = np.arange(frames)[:, None, None] - shift
    return np.sin(t / 7 + np.arange(5)[:, None]) * [20.0, 10.0]


def test_jitter_is_the_spread_of_noise_and_even_motion_has_none():
    random = np.random.default_rng(3)
    still = np.zeros((4000, 4, 2))
    noisy = still + random.normal(0, 0.7, still.shape)
    assert steadiness.jitter(noisy) == pytest.approx(0.7, rel=0.02)
    assert steadiness.jitter(still + np.arange(4000)[:, None, None] * 0.3) == pytest.approx(0, abs=1e-9)
    assert steadiness.jitter(2 * noisy) == pytest.approx(2 * steadiness.jitter(noisy))


def test_only_resting_frames_count():
    truth = np.zeros((60, 2, 2))
    truth[30:] += np.arange(30)[:, None, None] * 5.0
    rest = steadiness.resting(truth)
    assert rest[:30].all() and not rest[31:].any()
    wild = truth.copy()
    wild[40] += 100
    assert steadiness.steadiness(wild, truth)["jitter"] == 0
    wild[10] += 1
    assert steadiness.steadiness(wild, truth)["jitter"] > 0
    assert np.isnan(steadiness.jitter(truth, np.zeros(60, bool)))


@pytest.mark.parametrize("late", [-4.0, 0.0, 1.0, 2.5, 6.0])
def test_lag_is_found_between_frames_too(late):
    assert steadiness.lag(swinging(shift=late), swinging()) == pytest.approx(late, abs=0.05)
    assert steadiness.lag(0.5 * swinging(shift=late) + 3, swinging()) == pytest.approx(late, abs=0.05)
    found = steadiness.steadiness(swinging(shift=late), swinging(), fps=25)
    assert found["lag ms"] == pytest.approx(40 * late, abs=2)


def test_a_filter_trades_jitter_for_lag():
    random = np.random.default_rng(4)
    noise = random.normal(0, 0.5, (120, 5, 2))
    truth = swinging()
    rows = {}
    for keep in (0.0, 0.6):
        out = [truth[0]]
        for frame in truth + noise:
            out.append(keep * out[-1] + (1 - keep) * frame)
        rows[keep] = steadiness.jitter(np.array(out[1:])), steadiness.lag(np.array(out[1:]), truth)
    assert rows[0.6][0] < rows[0.0][0] and rows[0.6][1] > rows[0.0][1] + 0.5


def test_a_clip_without_motion_has_no_lag():
    assert np.isnan(steadiness.lag(swinging(), np.zeros((120, 5, 2))))
    assert np.isnan(steadiness.lag(swinging(10), swinging(10)))
