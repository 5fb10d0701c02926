"""Codes go from model to model: exactly where the target can make the face, with an honest error where it cannot."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likeness.assets import builtin, conversion, readable, toy
from likeness.assets.outside import OutsideModel
from likeness.geometry.codes import solve_codes
from likeness.geometry.rotation import from_axis_angle

FACES = np.zeros((0, 4), np.int32)


def target(unit="standard deviation"):
    """A model with 40 vertices, 8 identity and 4 expression modes."""
    random = np.random.default_rng(0)
    mean = random.uniform(-1, 1, (40, 3)) * [60, 90, 50]
    return OutsideModel(
        "b", "", mean, 3 * random.normal(size=(8, 40, 3)), 5 * random.normal(size=(4, 40, 3)), FACES, unit
    )


def spanned(model, keep=slice(None)):
    """A model whose faces `model` can make: other mean, mixed modes; and the codes (I', I), (I,), (E', E) behind them."""
    random = np.random.default_rng(1)
    mix, shift, moves = 0.4 * random.normal(size=(5, 8)), random.normal(size=8), 0.5 * random.normal(size=(3, 4))
    mean = model.mean + np.tensordot(shift, model.identity, 1)
    source = OutsideModel(
        "a", "", mean[keep], np.tensordot(mix, model.identity, 1)[:, keep], np.tensordot(moves, model.expression, 1)[:, keep],
        FACES,
    )  # fmt: skip
    return source, mix, shift, moves


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_codes_of_a_model_that_the_target_spans_come_back_exactly(batch):
    model = target()
    source, mix, shift, moves = spanned(model)
    random = np.random.default_rng(2)
    identity, expression = random.normal(size=(*batch, 5)), random.normal(size=(*batch, 3))
    found = conversion.convert(identity, expression, source, model, conversion.same_vertices(source, model), sigma=1e-4)
    np.testing.assert_allclose(found.identity, identity @ mix + shift, atol=1e-5)
    np.testing.assert_allclose(found.expression, expression @ moves, atol=1e-5)
    assert found.error.shape == (*batch, 40) and found.rms.max() < 1e-4


def test_another_frame_changes_nothing():
    model = target()
    source, mix, shift, moves = spanned(model)
    turn = from_axis_angle(np.array([0.2, -0.1, 0.3]))
    turned = replace(
        source,
        mean=source.mean @ turn.T + [5, -200, 30],
        identity=source.identity @ turn.T,
        expression=source.expression @ turn.T,
    )
    identity, expression = np.linspace(-1, 1, 5), np.array([0.5, 1, -0.3])
    found = conversion.convert(identity, expression, turned, model, conversion.same_vertices(turned, model), sigma=1e-4)
    np.testing.assert_allclose(found.identity, identity @ mix + shift, atol=1e-4)
    np.testing.assert_allclose(found.expression, expression @ moves, atol=1e-4)
    assert found.rms < 1e-3


def test_a_crop_is_enough_and_its_vertices_may_be_in_any_order():
    model = target()
    crop = np.random.default_rng(3).permutation(40)[:25]
    small = replace(
        model, mean=model.mean[crop], identity=model.identity[:, crop], expression=model.expression[:, crop]
    )
    code = np.linspace(-2, 2, 8)
    found = conversion.convert(
        code, np.zeros(4), model, small, conversion.same_vertices(model, small, crop), sigma=1e-4
    )
    np.testing.assert_allclose(found.identity, code, atol=1e-5)


def test_what_the_target_cannot_make_is_told_in_millimetres():
    model = target()
    source, *_ = spanned(model)
    bump = np.zeros((1, 40, 3))
    bump[0, 7, 2] = 6.0
    source = replace(source, identity=np.concatenate([source.identity, bump]))
    found = conversion.convert(
        np.append(np.zeros(5), 1.0), np.zeros(3), source, model, conversion.same_vertices(source, model)
    )
    assert 1 < found.error[7] <= 6 and found.error.argmax() == 7


def test_the_prior_holds_codes_back_where_places_are_uncertain():
    """One mode, one known spread: the answer is the shrunk one of textbooks, s / (s + sigma^2)."""
    modes = np.zeros((1, 4, 3))
    modes[0, 0, 0] = 2.0
    points = np.random.default_rng(0).normal(size=(4, 3))
    codes = solve_codes(points + 3 * modes[0], points, modes, sigma=1.5)
    np.testing.assert_allclose(codes, [3 * 4 / (4 + 1.5**2)], rtol=1e-12)


def test_blendshape_weights_stay_between_nothing_and_all():
    model = target("weight")
    source = replace(model, expression=2 * model.expression)
    wanted = np.array([0.4, 0.1, 0, 0.25])
    found = conversion.convert(np.zeros(8), wanted, source, model, conversion.same_vertices(source, model), sigma=1e-3)
    np.testing.assert_allclose(found.expression, 2 * wanted, atol=1e-4)
    found = conversion.convert(
        np.zeros(8), np.array([0.9, 0, -0.2, 0]), source, model, conversion.same_vertices(source, model)
    )
    assert found.expression.min() >= 0 and found.expression.max() <= 1 and found.expression[0] == 1 and found.rms > 1


def test_bounded_answers_are_the_best_within_the_bounds():
    """No better point lies near: the gradient points outwards where a bound holds, and vanishes elsewhere (KKT)."""
    model, random = target(), np.random.default_rng(4)
    points = model.mean + np.tensordot(random.normal(size=8), model.identity, 1) + random.normal(size=(40, 3))
    low, high = np.full(8, -0.5), np.full(8, 0.7)
    codes = solve_codes(points, model.mean, model.identity, 1.0, bounds=(low, high))
    basis = model.identity.reshape(8, -1)
    gradient = basis @ (model.mean + np.tensordot(codes, model.identity, 1) - points).ravel() + codes
    assert (gradient[codes == low] > 0).all() and (gradient[codes == high] < 0).all() and (codes == high).any()
    np.testing.assert_allclose(gradient[(codes > low) & (codes < high)], 0, atol=1e-3)


def test_landmarks_alone_give_a_plausible_face_and_an_error():
    head = toy.head()
    outside = OutsideModel(
        "toy", "", head.mean, head.identity, head.expression, FACES, "weight",
        landmarks68=head.topology("base").landmarks["68"].vertices[:, 0],
    )  # fmt: skip
    pairs = conversion.landmark_pairs(outside, outside)
    code = np.array([1.0, -1, 0.5, 0.8, 0, 0])
    found = conversion.convert(code, np.zeros(51), outside, outside, pairs, sigma=0.01)
    np.testing.assert_allclose(found.identity, code, atol=0.05)
    assert conversion.landmark_pairs(head, outside).source.vertices.shape == (68, 3)


def test_pairs_that_do_not_fit_are_refused():
    model = target()
    with pytest.raises(ValueError, match="not one topology"):
        conversion.same_vertices(model, replace(model, mean=model.mean[:30]), np.arange(20))
    with pytest.raises(ValueError, match="share 0 of the 68"):
        conversion.landmark_pairs(model, model)
    with pytest.raises(ValueError, match="no places of ICT"):
        conversion.ict_pairs(toy.head())


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs the ICT face model under LIKENESS_DATA")
def test_ict_and_the_model_that_ships_speak_of_the_same_people():
    """Identity modes are ICT's own, only redrawn: codes must come back as they were, over most of the face within 0.3 mm."""
    ict = readable.read(Path(os.environ["LIKENESS_DATA"]) / "ict/ict_face_model.npz")
    model = builtin.load()
    pairs = conversion.ict_pairs(model)
    random = np.random.default_rng(0)
    identity = random.normal(size=(2, 100))
    expression = np.zeros((2, 51))
    expression[0, 17] = 0.5
    found = conversion.convert(identity, expression, ict, model, pairs)
    assert np.median(found.error) < 0.3
    away = found.identity @ np.sign(np.eye(100)) - identity
    assert np.sqrt((away**2).mean()) < 0.35 and abs(found.expression[0, 17] - 0.5) < 0.1
