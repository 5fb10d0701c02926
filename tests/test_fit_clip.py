"""`likeness fit CLIP` from end to end on a moving photo: all files or none, lost frames, and one line for what is wrong."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from test_gltf import report

from likeness.cli import fit_clip as command
from likeness.cli.fit_clip import FitClip
from likeness.errors import LikenessError, NoFaceError, OutputError, PhotoError, UsageError
from likeness.export import motion as files
from likeness.photos import video

astronaut = pytest.importorskip("skimage.data", reason="scikit-image comes with [demo]").astronaut
pytest.importorskip("av", reason="clips need the extra `video`")
RATE, SHIFT = 25, 2.0
"""Frames a second, and pixels that the picture moves to the left in each."""


def picture(number, away=False):
    """The astronaut, seen by a camera that moves."""
    photo = astronaut()[:256, 90:346]
    if away:
        return np.full_like(photo, 128)
    move = np.array([[1, 0, 10 - SHIFT * number], [0, 1, 0.0]])
    return cv2.warpAffine(photo, move, (256, 256), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A clip whose face is gone in frames 8 to 19, and its results."""
    folder = tmp_path_factory.mktemp("clip")
    with video.Writer(folder / "somebody.mp4", (256, 256), RATE) as clip:
        for number in range(28):
            clip.add(picture(number % 20, 8 <= number < 20), number / RATE)
    assert command.fit_clip(FitClip(folder / "somebody.mp4", folder / "out", level="base")) == 0
    return folder


def test_all_files_are_there_and_no_others(place):
    folder = place / "out" / "somebody"
    assert [entry.name for entry in folder.iterdir()] == ["face-1"]
    assert sorted(f.name for f in (folder / "face-1").iterdir()) == sorted(command.CLIP_FILES)


def test_the_motion_is_that_of_the_clip(place):
    motion = files.from_bytes((place / "out/somebody/face-1/motion.json").read_bytes())
    assert len(motion.times) == 28 and motion.size == (256, 256) and abs(motion.rate - RATE) < 0.1
    assert (motion.state == np.where((np.arange(28) >= 8) & (np.arange(28) < 20), files.LOST, files.TRACKED)).all()
    assert [list(s[[0, -1]]) for s in motion.segments()] == [[0, 7], [20, 27]]
    shown = motion.translation[:, :2] / -motion.translation[:, 2:] * motion.focal
    np.testing.assert_allclose(np.diff(shown[:8, 0]), -SHIFT, atol=0.5)  # the face drifts to the left
    assert np.abs(np.diff(shown[:8, 1])).max() < 1.5
    smile = motion.expression[:, [files.EXPRESSIONS.index("mouthSmile" + side) for side in ("Left", "Right")]]
    assert np.nanmin(smile) > 0.2 and np.nanstd(smile, 0).max() < 0.1
    assert np.isfinite(motion.light[motion.state == files.TRACKED]).all() and np.isnan(motion.light[10]).all()
    brightness = motion.light[:8, 0, 1]
    assert (brightness > 0.1).all() and np.ptp(brightness) < 0.2 * brightness.mean() and len(motion.albedo) > 10
    lines = (place / "out/somebody/face-1/motion.csv").read_text().splitlines()
    assert len(lines) == 29 and lines[10].split(",")[1] == "0" and lines[5].split(",")[1] == "61"


def test_the_animation_is_valid_and_has_a_part_for_each_stretch(place, tmp_path):
    data = (place / "out/somebody/face-1/face.glb").read_bytes()
    answer = report(data, tmp_path)
    assert answer["issues"]["numErrors"] == answer["issues"]["numWarnings"] == 0, answer["issues"]
    assert answer["info"]["animationCount"] == 2 and answer["info"]["hasMorphTargets"]
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    times = [document["accessors"][a["samplers"][0]["input"]] for a in document["animations"]]
    np.testing.assert_allclose([[t["min"][0], t["max"][0]] for t in times], [[0, 0.28], [0.8, 1.08]], atol=1e-3)


def test_the_overlay_is_the_clip_with_the_face_drawn_where_it_is(place):
    before, after = (list(video.frames(place / name)) for name in ("somebody.mp4", "out/somebody/face-1/overlay.mp4"))
    assert len(before) == len(after) == 28
    np.testing.assert_allclose([f.time for f in after], [f.time for f in before], atol=1e-3)
    change = [np.abs(a.image.astype(int) - b.image) for a, b in zip(before, after)]
    middle = [c[70:150, 90:160].mean() for c in change]
    assert min(middle[:8] + middle[20:]) > 8 > max(middle[8:20])
    assert change[3][:20].mean() < 8


def test_results_are_not_replaced_unasked(place):
    with pytest.raises(OutputError, match="--overwrite"):
        command.fit_clip(FitClip(place / "somebody.mp4", place / "out"))


@pytest.mark.parametrize("change, error, words", [
    ({"face": 0}, UsageError, "--face"), ({"start": 2.0, "end": 1.0}, UsageError, "--start"),
    ({"min_face": 0}, UsageError, "--min-face"), ({"face": 2}, NoFaceError, "--face 2"),
    ({"start": 0.4, "end": 0.7}, NoFaceError, "somebody.mp4.*no face"),
])  # fmt: skip
def test_wrong_questions_have_one_line_and_leave_nothing(place, tmp_path, change, error, words):
    with pytest.raises(error, match=words) as caught:
        command.fit_clip(replace(FitClip(place / "somebody.mp4", tmp_path / "new"), **change))
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


def test_what_goes_wrong_on_the_way_leaves_nothing(place, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_write", lambda *_: (_ for _ in ()).throw(LikenessError("no more")))
    config = FitClip(place / "somebody.mp4", tmp_path / "new", end=0.2)
    with pytest.raises(LikenessError, match="no more"):
        command.fit_clip(config)
    assert not (tmp_path / "new").exists()
    (tmp_path / "broken.mp4").write_bytes((place / "somebody.mp4").read_bytes()[:3000])
    with pytest.raises(PhotoError):
        command.fit_clip(replace(config, clip=tmp_path / "broken.mp4"))
    assert not (tmp_path / "new").exists()


def test_the_texture_is_made_of_the_best_frames():
    """From the front with open eyes, then the farthest turned of each side; blurred and blinking ones are left out."""
    from types import SimpleNamespace

    from likeness.geometry.rotation import from_euler

    yaw = np.radians([0, 2, 3, 30, 35, 38, -5, -14])
    expression = np.zeros((8, 51))
    expression[0, files.EXPRESSIONS.index("eyeBlinkLeft")] = 1
    sharp = [1, 1, 0.5, 1, 1, 0.05, 1, 1]
    sightings = [
        SimpleNamespace(frame=i, sharpness=s, detection=SimpleNamespace(side=100.0)) for i, s in enumerate(sharp)
    ]
    motion = SimpleNamespace(rotation=from_euler(yaw, 0 * yaw, 0 * yaw), expression=expression)
    tracked = SimpleNamespace(faces=[[SimpleNamespace(sightings=sightings)]])
    assert command.texture_frames(motion, tracked, 0) == [1, 4, 7]
