"""`likeness evaluate`: tables on the screen and in a file; the real rows where the data is."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from likeness.cli import evaluate
from likeness.errors import AssetError


def test_tables_join_in_one_file(tmp_path, capsys):
    output = tmp_path / "numbers" / "all.json"
    evaluate.show("first", {"a": {"mm": 1.25}, "b": {"mm": 2.0}}, output)
    evaluate.show("second", {"a": {"%": 3.0}}, output)
    assert json.loads(output.read_text()) == {
        "first": {"a": {"mm": 1.25}, "b": {"mm": 2.0}},
        "second": {"a": {"%": 3.0}},
    }
    assert "1.25" in capsys.readouterr().out


def test_a_photo_that_is_none_is_named(tmp_path):
    with pytest.raises(AssetError, match="no.jpg"):
        evaluate.picture(tmp_path / "no.jpg")


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="the bench needs LIKENESS_DATA (ICT's model)")
def test_decoding_the_teachers_codes_gives_its_landmarks():
    bench = evaluate.Bench(Path(os.environ["LIKENESS_DATA"]))
    with np.load(Path(os.environ["LIKENESS_DATA"]) / "photos/stylegan.landmarks478.npz") as file:
        points = file["points"][:2].astype(np.float32)
    fits = bench.fitted(points)[0]
    view = evaluate.View(
        *(getattr(fits, k)[0].numpy() for k in ("rotation", "translation", "focal", "principal")), (256, 256)
    )
    codes = {"identity": fits.identity[0].numpy(), "expression": fits.expression[0].numpy()}
    np.testing.assert_allclose(bench.decode(codes, view), fits.points[0].numpy(), atol=0.05)
    still = bench.fitted(points, moving=False)[0]
    assert (still.points[0] - fits.points[0]).norm(dim=-1).mean() > 0.5


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs photos and ICT's model under LIKENESS_DATA")
def test_spreads_are_measured_against_photos_and_renders(tmp_path, monkeypatch, capsys):
    from likeness.assets.correspondence import OUTLINE
    from likeness.cli import evaluate_spread
    from likeness.geometry.rotation import from_euler
    from likeness.runtime import landmarks
    from likeness.types import Landmarks

    class Oracle:
        """Answers the truth, each point 3 px off to the right, with a spread of 4 px; the outline 100 px off."""

        def __init__(self, path):
            assert path == tmp_path / "points.onnx"

        def __call__(self, image, face):
            points = truth.pop(0)[:, :2] + np.array([3.0, 0])
            points[list(OUTLINE)] += 100 * ("renders" not in state)
            return Landmarks(points, np.full(478, 4.0))

    class Renders:
        def __init__(self, paths):
            state["renders"] = paths
            turned = from_euler(*(np.float64(angle) for angle in (0.7, 0, 0)))
            view = {"rotation": turned[None], "translation": np.array([[0, 0, -900.0]]), "focal": np.array([450.0])}
            self.targets = view | {
                "principal": np.full((1, 2), 80.0),
                "identity": np.zeros((1, 100)),
                "expression": np.zeros((1, 51)),
            }
            self.images = np.zeros((1, 160, 160, 3), np.uint8)

        def __len__(self):
            return 1

    folder, state, truth = Path(os.environ["LIKENESS_DATA"]), {}, []
    config = evaluate_spread.EvaluateSpread(
        (Path("few.npz"),), sets=("stylegan",), points=tmp_path / "points.onnx", limit=2, output=tmp_path / "table.json"
    )
    monkeypatch.setattr(landmarks, "Landmarker", Oracle)
    monkeypatch.setattr("likeness.data.synthetic.Renders", Renders)
    truth += [points for _, points in evaluate_spread._photos(folder, "stylegan", config)]
    truth += [points for _, points in evaluate_spread._renders(folder, Path("few.npz"), 2)]
    eyes = [np.linalg.norm(points[33] - points[263]) for points in truth]
    state.clear()
    evaluate_spread.evaluate_spread(config)
    (table,) = json.loads((tmp_path / "table.json").read_text()).values()
    assert table["stylegan"]["mean"] == pytest.approx(np.mean([300 / eye for eye in eyes[:2]]), rel=1e-4)
    assert table["few"]["mean"] == pytest.approx(300 / eyes[2], rel=1e-4)
    assert table["few"]["sigma"] == pytest.approx(400 / eyes[2], rel=1e-4)
    assert table["few"]["within_1"] == 100 and table["few"]["factor"] == pytest.approx(0.75, rel=1e-3)
    assert 40 < eyes[2] < 53, "half a pixel for a mm, turned or not"


def test_rows_of_the_landmark_network_and_of_the_regressor_look_at_given_and_at_found_boxes(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from likeness.photos.detect import Detection
    from likeness.runtime import landmarks
    from likeness.types import Landmarks

    points = np.zeros((1, 478, 3))
    points[0, :, 0], points[0, :, 1] = np.linspace(20, 60, 478), 30
    found = Detection((0, 0, 10, 10), 0.0, 1.0)
    image = np.zeros((4, 4, 3), np.uint8)

    def answer(image, face):
        return np.full((478, 2), face.side)

    monkeypatch.setattr(evaluate, "picture", lambda path: image)
    monkeypatch.setattr(evaluate, "found_face", lambda image, points: found)
    monkeypatch.setattr(landmarks, "Landmarker", lambda path: lambda image, face: Landmarks(answer(image, face), None))
    monkeypatch.setattr(evaluate, "encoder", lambda model: lambda image, face: SimpleNamespace(codes=face, view=image))
    bench = SimpleNamespace(decode=lambda codes, view: 2 * answer(view, codes))
    predict = evaluate._predictors(bench, evaluate.EvaluateLandmarks(), [tmp_path / "a.jpg"], points)
    sides = {name: act(0)[0, 0] for name, act in predict.items()}
    assert sides == pytest.approx({
        "landmark network": 40, "landmark network, boxes found": 10, "regressor": 80, "regressor, boxes found": 20,
    })  # fmt: skip
