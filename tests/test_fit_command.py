"""`likeness fit` on toy photos: the files, what they say, and bad input in one line each."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import draw_photo, encode
from PIL import Image
from test_synthesis import SURFACE

from likeness.assets import builtin
from likeness.cli.fit import Fit, Fitter, fit, read_landmarks
from likeness.errors import AssetError, OutputError, PhotoError, UsageError
from likeness.export.codes import from_bytes
from likeness.fit.photo import observe as watching
from likeness.fit.photo.evidence import gather, inside
from likeness.fit.photo.result import FIT_FILES
from likeness.fit.photo.synthesis import STEPS
from likeness.geometry.cameras import project
from likeness.runtime.landmarks import Landmarker
from likeness.runtime.reconstruct import System
from likeness.types import Landmarks, View


@pytest.fixture
def run(toy_system, tmp_path, monkeypatch):
    """Run `fit` on a photo with a face, with the toy's parts; answers the exit code."""
    system = toy_system
    model = system.model
    dense = model.topology("base").landmarks["dense"]

    def look(image, face):
        estimate = encode(image, face)
        vertices = model.decode(estimate.codes["identity"], estimate.codes["expression"])
        return SimpleNamespace(
            **vars(estimate), landmarks=project(dense.points(vertices), estimate.view).astype(np.float32)
        )

    parts = System(system.find, look, system.decode, model, "base")
    monkeypatch.setattr(watching, "face_frame", lambda points: (points.mean(0), float(np.ptp(points, 0).max()), 0.0))
    monkeypatch.setattr("likeness.fit.photo.evidence.face_frame", watching.face_frame)
    monkeypatch.setattr("likeness.runtime.reconstruct.TEXTURE_SIZE", 64)

    def act(*names, **options):
        paths = []
        for name in names:
            Image.fromarray(draw_photo((160, 120, 90))).save(tmp_path / name)
            paths.append(tmp_path / name)
        config = Fit(tuple(paths), tmp_path / "out", level="base", **options)
        return fit(config, parts, Fitter(parts, SURFACE))

    return act


def test_the_command_writes_all_files_and_says_what_became_better(run, tmp_path):
    assert run("a.png") == 0
    folder = tmp_path / "out/a/face-1"
    names = {path.name for path in folder.iterdir()}
    assert set(FIT_FILES) | {"face.glb", "face.obj", "face.json", "overlay.png"} <= names
    record = json.loads((folder / "fit.json").read_text())
    assert record["photometric"]["after"] < record["photometric"]["before"]
    assert record["kept"] == ("regressor" if record["diverged"] else "fit")
    assert record["largest_code"]["identity"] <= 3 and len(record["light"]) == 9
    assert list(record["stages"]) == [step.stage.name for step in STEPS]
    assert (folder / "light.hdr").read_bytes().startswith(b"#?RADIANCE")
    residual = np.asarray(Image.open(folder / "residual.png"))
    assert residual.shape[1] == 3 * residual.shape[0]
    codes = from_bytes((folder / "face.json").read_bytes()).codes
    assert not np.allclose(codes["identity"], np.linspace(-1, 1, 6))
    assert json.loads((tmp_path / "out/summary.json").read_text())["fit"] is True


def test_results_are_not_overwritten_unasked(run, tmp_path):
    assert run("a.png") == 0
    assert run("a.png") == OutputError.exit_code
    assert run("a.png", overwrite=True) == 0


@pytest.mark.parametrize("options, kind", [
    ({"format": "gif"}, UsageError), ({"threads": 0}, UsageError), ({"min_face": 0}, UsageError), ({"max_faces": 0}, UsageError),
])  # fmt: skip
def test_options_out_of_range_are_refused(run, options, kind, tmp_path):
    with pytest.raises(kind):
        run("a.png", **options)
    assert not (tmp_path / "out").exists()


def test_what_is_said_of_faces_counts_for_photos_of_one_person_too(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("likeness.cli.fit_together.together", lambda config: told.append(config) or 0)
    said = {"max_faces": 2, "min_face": 50.0, "min_score": 0.7, "level": "base", "format": "glb", "overwrite": True}
    config = Fit((tmp_path,), tmp_path / "out", together=True, **said)
    assert fit(config) == 0 and {name: getattr(told[0], name) for name in said} == said
    with pytest.raises(UsageError, match="--max-faces is 0"):
        fit(replace(config, max_faces=0))


@pytest.mark.parametrize("file, option, value", [
    ("a.mp4", "max_faces", 1), ("a.mp4", "min_score", 0.7), ("a.mp4", "together", True), ("a.mp4", "format", "glb"),
    ("a.mp4", "landmarks", Path("a.pts")), ("a.mp4", "person", Path("ada.safetensors")),
    ("a.png", "face", 2), ("a.png", "start", 1.0), ("a.png", "end", 2.0),
])  # fmt: skip
def test_what_a_clip_or_a_photo_has_no_use_for_is_refused(tmp_path, file, option, value):
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} is for"):
        fit(Fit((tmp_path / file,), tmp_path / "out", **{option: value}))


def test_a_clip_is_fitted_by_itself(tmp_path):
    with pytest.raises(UsageError, match="by itself"):
        fit(Fit((tmp_path / "a.mp4", tmp_path / "b.png"), tmp_path / "out"))


def test_a_fit_does_not_go_on_without_its_landmark_network(tmp_path, monkeypatch):
    monkeypatch.setattr("likeness.runtime.landmarks.shipped", lambda: Landmarker(tmp_path / "points.onnx"))
    with pytest.raises(AssetError, match="points.onnx: no such file"):
        Fitter.shipped(SimpleNamespace(model=builtin.load()))


def test_landmarks_belong_to_one_photo(run, tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).uniform(100, 200, (68, 2)))
    with pytest.raises(UsageError, match="one photo"):
        run("a.png", "b.png", landmarks=tmp_path / "points.npy")
    assert run("a.png", landmarks=tmp_path / "points.npy") == 0
    assert json.loads((tmp_path / "out/a/face-1/fit.json").read_text())["landmarks"]["points"] == 68


@pytest.mark.parametrize("name, content, message", [
    ("a.txt", b"1 2\n3 4\n", "68 or 478"), ("a.txt", b"one two\n", "no table"), ("a.npy", b"nothing", "no table"),
    ("a.pts", b"no braces", "no table"), ("a.txt", b"5 5\n" * 68, "one place"), ("a.txt", b"5 nan\n" * 68, "not finite"),
])  # fmt: skip
def test_landmarks_that_are_none_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotoError, match=message):
        read_landmarks(tmp_path / name)


def test_landmarks_are_read_with_and_without_spreads(tmp_path):
    points = np.random.default_rng(1).uniform(0, 100, (68, 2))
    lines = "\n".join(f"{x} {y}" for x, y in points)
    (tmp_path / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    (tmp_path / "b.txt").write_text("\n".join(f"{x}, {y}, 2.5" for x, y in points))
    first, second = read_landmarks(tmp_path / "a.pts"), read_landmarks(tmp_path / "b.txt")
    np.testing.assert_allclose(first.points, points, rtol=1e-5)
    assert (second.sigma == 2.5).all() and 0 < first.sigma[0] < 5
    with pytest.raises(PhotoError, match="cannot be read"):
        read_landmarks(tmp_path / "missing.npy")
    (tmp_path / "c.txt").write_text("\n".join(f"{x} {y} 0" for x, y in points))
    with pytest.raises(PhotoError, match="not positive"):
        read_landmarks(tmp_path / "c.txt")


def test_evidence_moves_everything_to_the_square():
    image = np.zeros((200, 300, 3), np.uint8)
    points = np.random.default_rng(2).uniform(120, 180, (478, 2)).astype(np.float32)
    points[33], points[263] = (135, 140), (165, 145)  # a little rolled
    view = View(np.eye(3), np.array([0, 0, -900.0]), np.float64(800), np.array([150.0, 150.0]), (200, 300))
    answer = SimpleNamespace(codes={"identity": np.zeros(6), "expression": np.zeros(51)}, view=view, landmarks=points)
    found = gather(image, answer, Landmarks(points, np.full(478, 2.0)), size=64)
    np.testing.assert_allclose(found.crop_from_photo @ found.photo_from_crop, np.eye(3), atol=1e-9)
    back = found.points @ found.photo_from_crop[:2, :2].T + found.photo_from_crop[:2, 2]
    np.testing.assert_allclose(back, points, atol=1e-3)
    scale = np.hypot(*found.crop_from_photo[:2, 0])
    np.testing.assert_allclose(found.sigma, 2 * scale, rtol=1e-5)
    np.testing.assert_allclose(found.view.principal, [32, 32])
    assert np.isinf(gather(image, answer, size=64).sigma).all()
    assert not inside(found.photo_from_crop, (10, 10), 64).any() and inside(np.eye(3), (64, 64), 64)[1:-1, 1:-1].all()
