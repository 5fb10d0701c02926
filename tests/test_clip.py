"""A clip's fit against a performance with known truth, as landmarks with noise: expression, head, blinks, lag, rest, gaps."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from likeness.assets import builtin, correspondence
from likeness.assets.arkit import EXPRESSIONS
from likeness.data.performance import perform
from likeness.evaluate import movement
from likeness.fit.clips import clip, clip_problem
from likeness.fit.clips.clip import ClipConfig, Evidence, fit_clip
from likeness.fit.clips.clip_problem import axis_angle
from likeness.fit.landmarks.bases import builtin_bases
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_axis_angle, from_euler
from likeness.types import View

SIZE, FOCAL = (480, 640), 900.0
LIPS_UPPER, LIPS_LOWER = [13, 82, 312, 81, 311], [14, 87, 317, 178, 402]
NOISE = 0.8
"""px of the landmarks in every frame, about 0.7 mm."""


@cache
def bases():
    return builtin_bases(builtin.load(), correspondence.read())


def surface(identity, expression):
    """Dense landmarks (F, 478, 3) mm, model frame."""
    known = bases()
    return (
        known.mean
        + np.einsum("k,knc->nc", identity, known.identity)
        + np.einsum("fk,knc->fnc", expression, known.expression)
    )


@cache
def scene(frames=75, seed=2):
    """What was played, the person, and what a regressor and a landmark network with independent errors would say of it."""
    rng = np.random.default_rng(seed)
    played, identity = perform(frames, 25, rng), 0.8 * rng.normal(size=100)
    shape = surface(identity, played.expression)
    principal = np.array([320.0, 240.0])
    points = np.stack([
        project(s, View(r, t, np.float64(FOCAL), principal, SIZE)) for s, r, t in zip(shape, played.rotation, played.translation)
    ])  # fmt: skip
    guess = np.clip(played.expression + rng.normal(0, 0.08, played.expression.shape), 0, 1)
    seen = Evidence(
        frame=np.arange(frames), stretch=np.zeros(frames, int), points=points + rng.normal(0, NOISE, points.shape),
        sigma=np.full(points.shape[:2], NOISE), identity=np.tile(0.5 * identity, (frames, 1)), expression=guess,
        rotation=from_axis_angle(rng.normal(0, 0.04, (frames, 3))) @ played.rotation,
        translation=played.translation * rng.normal(1, 0.03, (frames, 1)), focal=np.full(frames, FOCAL),
        principal=np.tile(principal, (frames, 1)), sharpness=np.ones(frames),
    )  # fmt: skip
    return played, identity, seen


def measure(fitted, config=None):
    played, identity, _ = scene()
    found, true = surface(fitted.identity, fitted.expression), surface(identity, played.expression)
    return movement.against_truth(
        found, true, fitted.rotation, played.rotation, played.rest, played.blinks, played.closures
    )


@cache
def solved(**changes):
    played, _, seen = scene()
    return fit_clip(bases(), seen, played.times, SIZE, ClipConfig(**changes))


def test_a_known_performance_is_caught_without_lag():
    smooth, raw = (measure(solved(smooth=s)) for s in (True, False))
    assert smooth["expression mm"] < 0.45 and smooth["rotation deg"] < 1.0
    assert abs(smooth["lag frames"]) < 0.1
    assert smooth["blinks kept"] > 0.8
    assert smooth["lip gap at closures mm"] < 0.8
    assert smooth["bend at rest mm"] < 0.4 * raw["bend at rest mm"]
    assert smooth["rotation deg"] <= raw["rotation deg"] + 0.02


def test_one_person_and_one_camera_for_the_clip():
    fitted, (played, identity, _) = solved(), scene()
    assert fitted.identity.shape == (100,) and np.isscalar(fitted.focal) and np.abs(fitted.identity).max() < 3
    error = np.linalg.norm(surface(fitted.identity, np.zeros((1, 51))) - surface(identity, np.zeros((1, 51))), axis=-1)
    mean = np.linalg.norm(surface(np.zeros(100), np.zeros((1, 51))) - surface(identity, np.zeros((1, 51))), axis=-1)
    assert error.mean() < 0.6 * mean.mean()
    distance = -fitted.translation[:, 2] / fitted.focal  # scale is seen, distance alone is not
    np.testing.assert_allclose(distance, -played.translation[:, 2] / FOCAL, rtol=0.05)
    assert len(fitted.keys) == 12 and (np.diff(fitted.keys) > 0).all()
    assert (fitted.expression >= 0).all() and (fitted.expression <= 1).all()
    close, jaw = (fitted.expression[:, EXPRESSIONS.index(name)] for name in ("mouthClose", "jawOpen"))
    assert (close <= jaw).all()


def test_lips_that_are_seen_closed_are_closed(monkeypatch):
    """The points of a shut mouth are hardly believed one by one, but their gap is."""
    played, _, seen = scene()
    points, frames = seen.points.copy(), slice(40, 44)
    points[frames, LIPS_UPPER] = points[frames, LIPS_LOWER] - [0, 0.3]
    sigma = np.where(np.isin(np.arange(478), LIPS_UPPER + LIPS_LOWER), 4.0, seen.sigma)

    def gap():
        fitted = fit_clip(bases(), replace(seen, points=points, sigma=sigma), played.times, SIZE)
        return movement.gaps(surface(fitted.identity, fitted.expression), movement.LIPS)[41:43].mean()

    with_pairs = gap()
    monkeypatch.setattr(clip_problem, "CONTACT", 1e3)
    assert with_pairs < 0.75 * gap() and with_pairs < 2.5


def without(seen, frames):
    """The evidence without some frames."""
    kept = ~np.isin(seen.frame, frames)
    return replace(seen, **{key: getattr(seen, key)[kept] for key in seen.__dataclass_fields__})


def test_short_gaps_are_filled_and_marked():
    played, _, seen = scene()
    missing = [20, 21, 22, 40]
    fitted = fit_clip(bases(), without(seen, missing), played.times, SIZE)
    np.testing.assert_array_equal(fitted.frame, np.arange(75))
    np.testing.assert_array_equal(np.flatnonzero(~fitted.seen), missing)
    whole = solved()
    turned = np.degrees(
        np.linalg.norm(axis_angle(fitted.rotation[missing] @ whole.rotation[missing].swapaxes(1, 2)), axis=-1)
    )
    assert turned.max() < 4 and np.abs(fitted.translation[missing, :2] - whole.translation[missing, :2]).max() < 6


def test_stretches_do_not_know_of_each_other():
    played, _, seen = scene()
    parted = replace(without(seen, range(30, 45)), stretch=np.repeat([0, 3], 30))
    fitted = fit_clip(bases(), parted, played.times, SIZE)
    np.testing.assert_array_equal(fitted.frame, [*range(30), *range(45, 75)])
    np.testing.assert_array_equal(np.unique(fitted.stretch), [0, 3])
    assert fitted.seen.all()


def test_long_clips_are_solved_in_windows_with_the_same_answer(monkeypatch):
    played, _, seen = scene()
    whole = solved()
    monkeypatch.setattr(clip, "WINDOW", 50)
    monkeypatch.setattr(clip, "MARGIN", 15)
    parts = fit_clip(bases(), seen, played.times, SIZE)
    np.testing.assert_array_equal(parts.frame, whole.frame)
    assert np.abs(parts.expression - whole.expression).mean() < 0.004
    assert np.abs(parts.translation - whole.translation)[:, :2].max() < 1.0


def test_occluded_and_missing_landmarks_do_not_pull():
    played, _, seen = scene()
    points, sigma = seen.points.copy(), seen.sigma.copy()
    points[30:34, :200] += 60
    sigma[30:34, :200] = np.inf
    fitted = fit_clip(bases(), replace(seen, points=points, sigma=sigma), played.times, SIZE)
    found, whole = (surface(f.identity, f.expression)[30:34] for f in (fitted, solved()))
    assert np.linalg.norm(found - whole, axis=-1).mean() < 1.0


def test_key_frames_are_sharp_and_from_all_sides():
    _, _, seen = scene()
    count = 40
    yaw = np.concatenate([np.zeros(30), [0.5, 0.5, -0.5, -0.5], np.zeros(6)])
    sharpness = np.ones(count)
    sharpness[[30, 33]] = 0.1
    rows = replace(
        without(seen, range(count, 75)), rotation=from_euler(yaw, 0 * yaw, 0 * yaw), sharpness=sharpness,
        expression=np.zeros((count, 51)),
    )  # fmt: skip
    keys = clip.key_frames(rows, 3)
    assert 31 in keys and 32 in keys and len(keys) == 3


@pytest.mark.parametrize("offset", [(0, 0), (150, -60)])
def test_a_camera_through_the_middle_sees_the_same_face(offset):
    rng = np.random.default_rng(0)
    middle = np.array([320.0, 240.0])
    view = View(
        from_axis_angle(rng.normal(0, 0.2, 3)), np.array([3.0, -2, -800]), np.float64(FOCAL), middle + offset, SIZE
    )
    other = clip.toward(view, middle)
    points = rng.uniform(-80, 80, (50, 3))
    before, after = project(points, view), project(points, other)
    reach, angle = np.abs(before - view.principal).max(), np.hypot(*offset) / FOCAL
    assert np.abs(before - after).max() <= 1e-9 + 2 * reach * angle**2
    ray = view.rotation.T @ (np.array([0, 0, -700.0]) - view.translation)[None].T  # a point on the old axis
    np.testing.assert_allclose(project(ray.T, view), project(ray.T, other), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(other.translation), np.linalg.norm(view.translation))


def test_turns_come_back_from_matrices():
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(axis_angle(from_axis_angle(vectors)), vectors, atol=1e-9)
    assert (axis_angle(np.eye(3)[None]) == 0).all()
