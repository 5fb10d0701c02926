"""Flattening, fitting and measuring: the mathematics on small sheets, the shipped file where ICT is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from likeness.assets import build, builtin, ict, toy
from likeness.assets.chart import Chart, Sheet, _energy, _sheet, _spread, border_loops, determinants, relax
from likeness.assets.regions import inside
from likeness.evaluate.model import distances, random_codes
from likeness.geometry.grid import refine

scipy = pytest.importorskip("scipy")


def make_sheet(n=7) -> tuple[Sheet, np.ndarray, np.ndarray]:
    """A bent n x n grid, its flat places and the coordinates of its border."""
    line = np.linspace(0, 1, n)
    u, v = (a.ravel() for a in np.meshgrid(line, line))
    ids = np.arange(n * n).reshape(n, n)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1).reshape(-1, 4)
    sheet = _sheet(np.stack([50 * u, -50 * v, 10 * u**2], -1), quads)
    places = np.stack([u, v], -1)
    border = (u % 1 == 0) | (v % 1 == 0)
    return sheet, places, np.where(border[:, None], places, np.nan)


def test_the_first_embedding_of_a_convex_border_has_no_folds():
    sheet, _, fixed = make_sheet()
    assert determinants(_spread(sheet, fixed), sheet).min() > 0


def test_a_folded_sheet_is_unfolded():
    sheet, places, fixed = make_sheet()
    folded = np.where(np.isnan(fixed), 1.3 - places, fixed)
    assert determinants(folded, sheet).min() < 0
    flat = relax(folded, sheet, fixed)
    assert determinants(flat, sheet).min() > 0.2
    np.testing.assert_allclose(flat, relax(places, sheet, fixed), atol=1e-3)


def test_gradient_of_the_distortion():
    sheet, places, _ = make_sheet(4)
    places = places + 0.1 * np.random.default_rng(0).normal(size=places.shape)
    _, gradient = _energy(places, sheet, 0.3)
    for k in range(places.size):
        step = np.zeros(places.size)
        step[k] = 1e-6
        step = step.reshape(places.shape)
        slope = (_energy(places + step, sheet, 0.3)[0] - _energy(places - step, sheet, 0.3)[0]) / 2e-6
        assert gradient.ravel()[k] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_border_loops_of_a_sheet_with_a_hole():
    ids = np.arange(16).reshape(4, 4)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1).reshape(-1, 4)
    assert sorted(map(len, border_loops(np.delete(quads, 4, axis=0)))) == [4, 12]


def test_the_sparse_refinement_is_the_grid_s():
    grid = np.random.default_rng(0).normal(size=(9, 9, 3))
    np.testing.assert_allclose(build._refinement(9) @ grid.reshape(-1, 3), refine(grid).reshape(-1, 3), atol=1e-12)


def test_stiffness_lets_quadratic_surfaces_be():
    layout = toy.head().layout
    n = layout.size
    v, u = np.mgrid[:n, :n] / n
    free = np.logical_or.reduce(list(layout.free("base").values())).ravel()
    bending = build._bending(layout) @ (u**2 + u * v - v**2).ravel()
    on_membrane = np.concatenate([~free, ~free, free, free])
    assert np.abs(bending[: 2 * n * n]).max() < 1e-9 and np.abs(bending[on_membrane.nonzero()[0]]).max() < 1


def test_points_inside_an_outline():
    outline = np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.9]])
    points = np.array([[0.5, 0.5], [0.1, 0.5], [0.5, 0.95], [0.75, 0.7]])
    assert inside(points, outline).tolist() == [True, False, False, False]


def toy_as_ict(shift: float) -> ict.IctModel:
    """The toy's own dense skin in ICT's place, moved by some mm along z."""
    head = toy.head()
    skin = head.topology("dense").parts["skin"]
    shapes = [head.refine(shape)[..., skin, :] for shape in (head.mean, head.identity, head.expression)]
    identity = np.zeros((100, *shapes[0].shape), np.float32)
    identity[: toy.IDENTITY] = shapes[1]
    faces = head.topology("dense").faces
    used, faces = np.unique(faces[(faces < skin.stop).all(1)], return_inverse=True)
    faces, identity = faces.reshape(-1, 4), identity[:, used]
    return ict.IctModel(
        shapes[0][used] + [0, 0, shift], identity, shapes[2][:, used], faces, np.zeros((0, 2)), np.zeros((0, 4))
    )


def test_distances_are_zero_to_itself_and_at_most_a_shift():
    head = toy.head()
    wide = np.zeros((100, *head.mean.shape), np.float32)
    wide[: toy.IDENTITY] = head.identity
    same = builtin.Builtin(**{**{f: getattr(head, f) for f in head.__dataclass_fields__}, "identity": wide})
    assert distances(same, toy_as_ict(0.0), faces=2).to_ict.max() < 1e-3
    moved = distances(same, toy_as_ict(1.0), faces=2).summary()
    assert all(0.3 < row["mean"] <= row["p99"] <= row["max"] <= 1.001 for row in moved.values())


def test_random_codes_hold_to_the_protocol():
    identity, expression = random_codes(50, seed=1)
    assert identity.shape == (50, 100) and 0.9 < identity.std() < 1.1
    used = (expression > 0).sum(1)
    assert used.min() == 1 and used.max() == 5 and expression.max() <= 1
    np.testing.assert_array_equal(random_codes(50, seed=1)[1], expression)


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs the ICT face model under LIKENESS_DATA")
def test_the_builder_writes_the_shipped_file(tmp_path):
    shipped = builtin.load()
    chart = Chart(shipped.ict_chart, shipped.layout.eye, shipped.layout.mouth, {})
    source = ict.read(Path(os.environ["LIKENESS_DATA"]) / "ict/ict_face_model.npz")
    builtin.save(build.build(source, shipped.layout.size, chart=chart), tmp_path / "again.safetensors")
    original = builtin.resources.files("likeness.assets") / "builtin.safetensors"
    assert (tmp_path / "again.safetensors").read_bytes() == original.read_bytes()
    found = distances(shipped, source, faces=2)
    for row in found.summary().values():
        assert row["mean"] <= 0.1 and row["p99"] <= 0.5
