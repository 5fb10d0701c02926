"""Colours, clips and identities of the benchmark: what is put in comes out, and what must not count does not."""

import benchmark_parts as parts
import numpy as np
import pytest
from benchmark_parts import as_set, grey

from likeness.evaluate.benchmark import appearance, heads, measure, motion, together
from likeness.evaluate.benchmark.items import Answer, Drawing, Item, Method, Truth


def test_textures_are_held_against_the_true_albedo(head, pictures):
    """A constant too much, a tint, and a texture of another size; eyes and the mouth's inside do not count."""
    topology, item = head.topology("base"), pictures[0]
    skin = appearance.skin_chart(topology, heads.face_triangles(topology), 128)
    inside = (topology.uv[topology.parts["skin"]] * 128).astype(int).clip(0, 127)
    assert skin[inside[:, 1], inside[:, 0]].mean() > 0.95 and 0.3 < skin.mean() < 1
    true = item.truth.albedo
    assert true.shape == (64, 64, 3) and 0 <= true.min() and true.max() <= 1 and true is pictures[1].truth.albedo

    def numbers(texture):
        return appearance.texture_numbers(Answer(texture=lambda: texture), item, skin)

    stored = np.rint(255 * true).astype(np.uint8)
    assert numbers(stored)["texture"] < 0.01
    large = np.repeat(np.repeat(stored, 2, 0), 2, 1)
    assert numbers(large)["texture"] < 0.01
    tinted = np.rint(255 * true * [0.5, 0.7, 0.9]).astype(np.uint8)
    assert numbers(tinted)["texture"] > 0.1 and numbers(tinted)["tint"] < 0.02
    outside = stored.copy()
    outside[~np.kron(skin[::2, ::2], np.ones((1, 1), bool))] = 0
    assert numbers(outside)["texture"] < 0.05
    assert appearance.texture_numbers(Answer(), item, skin) == {}
    noise = np.random.default_rng(0).integers(0, 255, stored.shape).astype(np.uint8)
    assert numbers(noise)["tint"] > numbers(tinted)["tint"] + 0.1


def test_drawings_are_held_against_the_picture(pictures):
    item = pictures[0]
    picture = item.picture() / 255.0
    covered = np.zeros(picture.shape[:2], bool)
    covered[10:20, 10:20] = True
    off = np.where(covered[..., None], np.clip(picture + [0, 0.1, 0], 0, 1), 0)

    def numbers(image, where):
        return appearance.photo_numbers(Answer(drawing=lambda: Drawing(image, where)), item)

    assert numbers(picture, covered) == {"photo": 0}
    assert numbers(off, covered)["photo"] == pytest.approx(0.1, abs=0.02)
    assert numbers(picture, ~covered | covered) == {"photo": 0} and numbers(picture, covered & False) == {}
    assert appearance.photo_numbers(Answer(), item) == {}


def moving(points, truth=None):
    """Frames of a clip, their answers' points, and their truths."""
    truths = [Truth()] * len(points) if truth is None else [Truth(points=row) for row in truth]
    items = [Item(f"f{k}", "clip 0", lambda: None, one) for k, one in enumerate(truths)]
    return items, [None if row is None else Answer(points=row) for row in points]


def test_clips_tremble_and_lag_by_what_was_put_in():
    random, t = np.random.default_rng(0), np.arange(60)
    face = random.uniform(50, 150, (68, 2))
    face[36], face[45] = [70, 80], [130, 80]
    way = np.where(t < 20, 0, 12 * np.sin((t - 20) / 5) * np.minimum(1, (t - 20) / 8))
    truth = face + way[:, None, None] * [1, 0.3]
    late = face + np.concatenate([np.zeros(2), way[:-2]])[:, None, None] * [1, 0.3]
    noisy = late + 0.6 * random.standard_normal(late.shape)
    found = together.clip_numbers(*moving(list(noisy), truth), 25.0)
    assert found[0]["lag"] == pytest.approx(80, abs=6) and found[0]["jitter"] == pytest.approx(1.0, rel=0.1)
    assert all(row == found[0] for row in found)
    still = together.clip_numbers(*moving(list(truth), truth), 25.0)[0]
    assert still == pytest.approx({"jitter": 0, "lag": 0}, abs=0.5)
    bare = together.clip_numbers(*moving(list(face + 0.6 * random.standard_normal((60, 68, 2)))), 25.0)[0]
    assert set(bare) == {"jitter"} and bare["jitter"] == pytest.approx(1.0, rel=0.1)
    gap = list(noisy)
    gap[25] = None
    rows = together.clip_numbers(*moving(gap, truth), 25.0)
    assert rows[0] == {} and rows[30]["lag"] == pytest.approx(80, abs=10)  # the longer run, behind the gap
    assert together.clip_numbers(*moving([None] * 60, truth), 25.0) == [{}] * 60


def test_moving_heads_rest_and_then_move_before_a_camera_that_stands(head):
    items = motion.items(head, parts.skins(), "val", 1, grey)
    assert len(items) == motion.RESTING + motion.MOVING and {item.person for item in items} == {"clip 0"}
    points = np.stack([item.truth.points for item in items])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1).max(1)
    assert steps[: motion.RESTING - 1].max() < 1e-9
    assert 0.5 < steps[motion.RESTING + 2 :].max() < 12
    first, second = (items[k].picture().astype(int) for k in (0, 1))
    assert 0 < np.abs(first - second).mean() < 6, "noise moves, and nothing else"
    views = [item.truth.view for item in items]
    pivots = np.stack([view.rotation @ motion.NECK + view.translation for view in views])
    np.testing.assert_allclose(pivots, pivots[:1].repeat(len(pivots), 0), atol=1e-9)
    assert np.ptp(points[0, :, 1]) < motion.SIDE and (points > 0).all() and (points < motion.SIZE).all()


def test_people_are_known_again_by_codes_and_by_embeddings():
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(5), 2)
    codes = random.standard_normal((5, 12))[people] + 0.1 * random.standard_normal((10, 12))
    items = [Item(f"i{k}", f"p{person}", lambda: None, Truth()) for k, person in enumerate(people)]
    answers = [Answer(codes=row) for row in codes]
    assert [row["known"] for row in together.code_numbers(items, answers)] == [100] * 10
    answers[3], answers[5] = None, Answer(codes=np.zeros(12))
    rows = together.code_numbers(items, answers)
    assert rows[3] == rows[5] == rows[2] == rows[4] == {} and rows[0]["known"] == 100  # 2 and 4 have nobody left
    photos = {item.name: row for item, row in zip(items, codes)}
    drawings = {item.name: codes[(k + 2) % 10] for k, item in enumerate(items[:4])}
    rows = together.recognised(items, photos, drawings)
    assert rows[9] == {} and rows[0]["found"] == 0 and rows[0]["alike"] < 0.9
    rows = together.recognised(items, photos, photos)
    assert all(row["alike"] == pytest.approx(1) and row["found"] == 100 for row in rows)
    assert together.recognised(items, photos, {}) == [{}] * 10
    photos["i1"] = -photos["i0"]  # the other picture of this person looks like nobody: only its own photo would be near
    assert together.recognised(items, photos, {"i0": photos["i0"]})[0] == pytest.approx({"alike": 1, "found": 0})


def test_a_recogniser_speaks_in_the_run(pictures):
    chosen = as_set(pictures[:4], lambda item, answer: {"shape": 1.0}, ("shape", "alike", "found"))
    vectors = {item.name: np.eye(2)[k // 2] for k, item in enumerate(pictures[:4])}
    recogniser = measure.Recogniser(vectors, {"drawn": vectors})
    result = measure.run(
        [chosen], [Method(name, lambda item: Answer(), "") for name in ("drawn", "other")], recogniser=recogniser
    )
    numbers = {row.method: row.numbers for row in result.rows if row.kind == "all"}
    assert numbers["drawn"]["alike"].value == 1 and numbers["drawn"]["found"].value == 100
    assert set(numbers["other"]) == {"shape"}


def test_a_slow_method_is_asked_about_some_pictures(pictures):
    asked = []

    def answer(item):
        asked.append(item.name)
        return Answer()

    chosen = as_set(pictures, lambda item, answer: {"shape": 2.0}, ("shape", "ratio"))
    base = Method(measure.BASE, lambda item: Answer(), "")
    result = measure.run([chosen], [Method("slow", answer, "", most=3), base])
    assert asked == [pictures[k].name for k in (0, 6, 11)] or asked == [pictures[k].name for k in (0, 5, 11)]
    row = next(row for row in result.rows if row.method == "slow" and row.kind == "all")
    assert (row.items, row.failed) == (3, 0) and row.numbers["ratio"].value == 1
    assert sum(row.items for row in result.rows if row.method == "slow" and row.kind == "yaw") == 3
