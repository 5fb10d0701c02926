"""Renders to learn from: what is drawn, and that it is written and read back."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.toy import head
from likeness.data import synthetic
from likeness.data.crops import from_renders
from likeness.errors import AssetError
from likeness.geometry import cameras, harmonics
from likeness.photos.detect import face_frame
from likeness.types import View


def _dense(identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    model = head()
    return model.topology().landmarks["dense"].points(model.decode(identity[..., : len(model.identity)], expression))


def test_expressions_are_possible():
    random = np.random.default_rng(0)
    drawn = np.stack([synthetic.draw_expression(random, np.full((3, 51), 0.9)) for _ in range(300)])
    row = {name: i for i, name in enumerate(EXPRESSIONS)}
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn[:, row["mouthClose"]] <= drawn[:, row["jawOpen"]]).all()
    closed = (drawn[:, row["eyeBlinkLeft"]] > 0.7) & (drawn[:, row["eyeBlinkRight"]] > 0.7)
    assert 0.05 < closed.mean() < 0.7


def test_a_render_shows_the_face_in_its_middle():
    points = _dense(np.zeros(6), np.zeros(51))
    random = np.random.default_rng(1)
    for _ in range(10):
        view = synthetic.draw_view(points, random)
        seen = cameras.project(points, view)
        center, side, _ = face_frame(seen)
        assert np.abs(center - synthetic.SIZE / 2).max() < 8
        assert side == pytest.approx(synthetic.SIZE / synthetic.MARGIN, rel=0.2)
        assert (cameras.to_camera(points, view)[:, 2] < -100).all()


def test_light_is_neither_dark_nor_blinding():
    random = np.random.default_rng(2)
    normals = random.standard_normal((200, 3))
    normals = normals[normals[:, 2] > 0] / np.linalg.norm(normals[normals[:, 2] > 0], axis=1, keepdims=True)
    means = [harmonics.shade(normals, synthetic.draw_light(random)).mean() for _ in range(100)]
    assert 0.2 < np.median(means) < 1.2


class _Shooting:
    """A shooting without a studio."""

    def shoot(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        identity, expression = random.standard_normal(100), synthetic.draw_expression(random)
        view = synthetic.draw_view(_dense(identity, expression), random)
        grey = np.full((synthetic.SIZE, synthetic.SIZE, 3), random.integers(255), np.uint8)
        return {"image": grey, "identity": identity, "expression": expression, "rotation": view.rotation,
                "translation": view.translation, "focal": np.asarray(view.focal), "principal": view.principal}  # fmt: skip


def test_shards_are_read_back_and_continue_each_other(tmp_path):
    whole, first, second = (tmp_path / name for name in ("whole.npz", "first.npz", "second.npz"))
    for path, start, count in ((whole, 0, 3), (first, 0, 2), (second, 2, 1)):
        assert list(synthetic.write_shard(path, _Shooting(), "train", start, count)) == list(
            range(start, start + count)
        )
    one, two = synthetic.Renders([whole]), synthetic.Renders([first, second])
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.targets["identity"], two.targets["identity"])
    source = from_renders(one, lambda identity, expression: _dense(identity, expression))
    view = View(*(one.targets[key][1] for key in ("rotation", "translation", "focal", "principal")), (160, 160))
    expected = cameras.project(_dense(one.targets["identity"][1], one.targets["expression"][1]), view)
    np.testing.assert_allclose(source.points[1], expected, atol=0.01)
    with pytest.raises(AssetError, match="not a shard"):
        synthetic.Renders([tmp_path / "none.npz"])


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs the ICT face model under LIKENESS_DATA")
def test_the_studio_draws_a_head_with_the_skin_it_was_given():
    from likeness.assets import ict
    from likeness.data.studio import HEAD, Look, Studio

    studio = Studio(ict.read(Path(os.environ["LIKENESS_DATA"]) / "ict/ict_face_model.npz"))
    skin = np.full((HEAD, 3), [0.5, 0.25, 0.1], np.float32)
    light = harmonics.from_radiance(np.eye(9, 3)[:, :1] * np.sqrt(4 * np.pi) * np.ones(3))
    look = Look(skin, np.array([0.1, 0.1, 0.1]), np.zeros(3), 1000.0, 0.0, light)
    view = View(np.eye(3), np.array([0.0, 0, -900]), np.float64(500.0), np.array([80.0, 80]), (160, 160))
    background = np.zeros((160, 160, 3), np.uint8)
    codes = np.zeros(100), np.zeros(51)
    image = studio.render(*codes, view, look, background, np.random.default_rng(0))
    from likeness import color

    np.testing.assert_allclose(color.decode(image[60, 80]), [0.5, 0.25, 0.1], atol=0.02)
    assert not image[5, 5].any()
    looking = codes[1].copy()
    looking[EXPRESSIONS.index("eyeLookOutLeft")] = looking[EXPRESSIONS.index("eyeLookInRight")] = 1.0
    turned = studio.render(codes[0], looking, view, look, background, np.random.default_rng(0))
    changed = np.argwhere((image != turned).any(-1))
    assert 5 < len(changed) < 400, "only the eyes move"
