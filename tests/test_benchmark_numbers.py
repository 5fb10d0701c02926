"""Numbers of the benchmark: slices that partition, intervals that cover, worse answers that score worse."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmark_parts import as_set, neutral

from likeness.assets import toy
from likeness.evaluate.benchmark import baselines, heads, measure, together
from likeness.evaluate.benchmark.items import Answer, Shape
from likeness.evaluate.scores import Scores
from likeness.geometry import cameras
from likeness.geometry.alignment import similarity
from likeness.geometry.rotation import from_axis_angle, from_euler
from likeness.types import View


def test_slices_partition_the_pictures(pictures):
    found = measure.slices_of(pictures)
    everyone = sorted(item.name for item in pictures)
    assert sorted(found["all", "all"]) == everyone
    kinds = {kind for kind, _ in found} - {"all"}
    assert kinds == {"yaw", "skin tone", "expression", "occlusion", "resolution"}
    for kind in kinds:
        members = [name for (k, _), names in found.items() if k == kind for name in names]
        assert sorted(members) == everyone


def test_a_worse_face_scores_worse(head, pictures):
    mean, surfaces = baselines.shape_of(head, head.mean), measure.Surfaces()
    measured = measure.head_measure(surfaces, mean)
    random = np.random.default_rng(1)
    item = pictures[0]
    rows = []
    for share in (1.0, 0.5, 0.0, -0.5):
        shift = (1 - share) * 4.0
        points = item.truth.points + shift
        turned = replace(
            item.truth.view, rotation=from_axis_angle(np.array([0, 0.1 * (1 - share), 0])) @ item.truth.view.rotation
        )
        rows.append(measured(item, Answer(None, points, None, turned)))
    skin = heads.Skin(np.full((8, 8, 3), 0.5, np.float32), "")
    person = heads.draw_person(head, skin, np.random.default_rng((heads.SEEDS["val"], 0)))
    for metric in ("points", "mouth", "pose"):
        values = [row[metric] for row in rows]
        assert values[0] == pytest.approx(0, abs=1e-5) and (np.diff(values) > 0.1).all()
    truth = neutral(head, person.identity)
    noisy = [Shape(truth.vertices + size * random.standard_normal(truth.vertices.shape), truth.triangles, truth.landmarks)
             for size in (0.0, 1.0, 3.0)]  # fmt: skip
    errors = [measured(item, Answer(shape))["shape"] for shape in noisy]
    assert errors[0] < 1e-6 < errors[1] < errors[2]
    large = replace(truth, vertices=1.03 * truth.vertices, landmarks=1.03 * truth.landmarks)
    numbers = measured(item, Answer(large))
    assert numbers["shape"] < 1e-6 and numbers["metrical"] > 0.1 and measured(item, Answer(truth))["metrical"] < 1e-6
    assert "metrical" not in measured(item, Answer(replace(large, in_mm=False)))
    assert numbers["cover"] > 90
    right = truth.triangles[(truth.vertices[truth.triangles][..., 0] < 0).all(1)]
    assert measured(item, Answer(replace(truth, triangles=right)))["cover"] < 60
    shares = [measured(item, Answer(neutral(head, share * person.identity)))["distinct"] for share in (1.0, 0.5, 0.0)]
    assert shares[0] == pytest.approx(1, abs=1e-6) and shares[2] == pytest.approx(0, abs=1e-6) and 0.3 < shares[1] < 0.7


def test_the_interval_of_a_ratio_covers_it():
    """Over 200 worlds of 30 people with two pictures each, the interval holds the true ratio about 95 times in 100."""
    random, held = np.random.default_rng(0), 0
    names = tuple(f"p{k}" for k in range(60))
    groups = tuple(f"person {k // 2}" for k in range(60))
    for _ in range(200):
        base = np.repeat(random.gamma(9, 0.2, 30), 2)
        ours = base * np.repeat(random.normal(0.8, 0.15, 30), 2) + random.normal(0, 0.05, 60)
        scores = [Scores("heads", "mm", names, {"shape": values}, {}, groups) for values in (ours, base)]
        found = measure.estimate("ratio", *scores, set(names))
        held += found.low <= 0.8 <= found.high
    assert 175 <= held <= 199


def test_ratios_pair_the_same_pictures():
    """A picture that only one of both answered does not count, however bad."""
    ours = Scores("heads", "mm", ("a", "b", "c"), {"shape": np.array([1.0, 1.0, 50.0])}, {}, ("p", "q", "r"))
    base = Scores("heads", "mm", ("b", "a"), {"shape": np.array([2.0, 4.0])}, {"c": "no"}, ("q", "p"))
    assert measure.estimate("ratio", ours, base, {"a", "b", "c"}).value == pytest.approx(2 / 6)
    assert measure.estimate("ratio", ours, base, {"b"}).value == pytest.approx(0.5)
    assert math.isnan(measure.estimate("ratio", ours, base, {"c"}).value)


def test_people_are_told_apart_by_their_shapes(head):
    random = np.random.default_rng(0)
    codes = random.standard_normal((4, toy.IDENTITY))
    people = [f"person {k}" for k in range(4) for _ in range(3)]
    sure = [neutral(head, codes[k]) for k in range(4) for _ in range(3)]
    found = together.shape_numbers(sure, people)
    assert all(row["apart"] == 1.0 and row["spread"] == pytest.approx(0, abs=1e-9) for row in found)
    same = together.shape_numbers([sure[0]] * 12, people)
    assert all(row["apart"] == 0.5 for row in same)
    noisy = [
        replace(shape, vertices=shape.vertices + 0.2 * random.standard_normal(shape.vertices.shape)) for shape in sure
    ]
    spread = np.sqrt(np.mean([row["spread"] ** 2 for row in together.shape_numbers(noisy, people)]))
    assert spread == pytest.approx(0.2 * math.sqrt(3), rel=0.05)
    rough = [
        replace(shape, vertices=shape.vertices + 4 * random.standard_normal(shape.vertices.shape)) for shape in sure
    ]
    rows = together.shape_numbers(rough, people, most=10**6)
    used = np.unique(rough[0].triangles)
    points = [similarity(shape.vertices[used], rough[0].vertices[used]).apply(shape.vertices[used]) for shape in rough]
    gap = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
    for i, person in enumerate(people):
        mine = [gap[i, j] for j in range(12) if people[j] == person and j != i]
        others = [gap[i, j] for j in range(12) if people[j] != person]
        assert rows[i]["apart"] == pytest.approx(np.mean([a < b for a in mine for b in others]))
    assert 0.5 < np.mean([row["apart"] for row in rows]) < 1
    assert together.shape_numbers([sure[0], None], ["a", "a"]) == [{}, {}]
    alone = together.shape_numbers(sure[::3], ["a", "b", "c", "d"])
    assert alone == [{}, {}, {}, {}]


def test_the_line_of_sight_is_what_counts():
    """A camera that turns about its own centre sees the same head in another corner; the head's pose has not changed."""
    rotation = from_euler(np.float64(0.4), np.float64(-0.2), np.float64(0.1))
    view = View(rotation, np.array([0, 0, -600.0]), np.float64(500), np.array([128.0, 128.0]), (256, 256))
    for axis in ([0, 0.3, 0], [0.25, 0, 0]):
        turn = from_axis_angle(np.array(axis, float))
        moved = replace(view, rotation=turn @ rotation, translation=turn @ view.translation)
        np.testing.assert_allclose(measure.sight(moved), measure.sight(view), atol=1e-12)
    assert np.abs(measure.sight(replace(view, rotation=turn @ rotation)) - measure.sight(view)).max() > 0.1


def test_the_mean_face_gets_the_pose_of_its_points(head):
    places = head.topology("base").landmarks["68"].points(head.mean.astype(float))
    rotation = from_euler(np.float64(-0.7), np.float64(0.2), np.float64(0.3))
    view = View(rotation, np.array([30.0, -20.0, -700.0]), np.float64(560), np.array([160.0, 120.0]), (240, 320))
    found = baselines.fit_pose(places, cameras.project(places, view), (240, 320))
    np.testing.assert_allclose(cameras.project(places, found), cameras.project(places, view), atol=0.5)
    np.testing.assert_allclose(found.rotation, view.rotation, atol=0.03)


def test_nobody_beats_the_true_face(head, pictures):
    surfaces, mean = measure.Surfaces(), baselines.mean_face(head)
    chosen = as_set(pictures[:2], measure.head_measure(surfaces, mean.answer(pictures[0]).neutral))
    result = measure.run([chosen], [mean, baselines.true_face(head)])
    numbers = {row.method: row.numbers for row in result.rows if row.kind == "all"}
    assert numbers["true face"]["ratio"].value < 0.3 and numbers["true face"]["points"].value == 0
    assert numbers["mean face"]["ratio"].value == pytest.approx(1)
    assert numbers["mean face"]["distinct"].value == pytest.approx(0, abs=1e-9)
