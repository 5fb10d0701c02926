"""The benchmark: heads whose truth is exact, slices that partition, intervals that cover, peers' files, an honest page."""

import csv
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from likeness import color
from likeness.assets import toy
from likeness.errors import AssetError, UsageError
from likeness.evaluate.benchmark import baselines, heads, measure, report, scene, views
from likeness.evaluate.benchmark.albedo import without_light
from likeness.evaluate.benchmark.chart import dots, nice
from likeness.evaluate.benchmark.items import Answer, Item, ItemSet, Method, Shape, Truth, typology_angle
from likeness.evaluate.benchmark.peers import peer, vertex_list
from likeness.evaluate.scans import LANDMARKS_OF_68, Scan
from likeness.evaluate.scores import Scores
from likeness.geometry import cameras, harmonics
from likeness.geometry.alignment import similarity
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_axis_angle, from_euler
from likeness.types import View


def grey(side, random):
    return np.full((side, side, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def head():
    return toy.head()


@pytest.fixture(scope="module")
def pictures(head):
    skins = [heads.painted_skin(head.topology("base"), np.random.default_rng(k), 64) for k in range(2)]
    return heads.items(head, skins, "val", 6, grey)


def neutral(head, codes):
    return baselines.shape_of(head, head.decode(codes, np.zeros(len(head.expression))))


def as_set(items, measured, metrics=("shape", "ratio", "distinct", "points"), **more):
    return ItemSet("heads", "Heads", "Of the test.", tuple(items), measured, metrics, **more)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_follow_from_split_and_number(head, pictures):
    skins = [heads.painted_skin(head.topology("base"), np.random.default_rng(k), 64) for k in range(2)]
    again = heads.items(head, skins, "val", 2, grey)
    for one, other in zip(again, pictures):
        np.testing.assert_array_equal(one.picture(), other.picture())
    plans = {split: heads.items(head, skins, split, 1, grey)[0].truth.view for split in heads.SEEDS}
    assert np.abs(plans["val"].rotation - plans["test"].rotation).max() > 0.01


def test_true_points_lie_on_the_head(head):
    """Blue skin with red dots at the places of four landmarks is red at the true points of these, and only there."""
    import cv2

    random, size, dots = np.random.default_rng(3), 256, (19, 27, 33, 8)
    texture = np.zeros((size, size, 3), np.float32)
    texture[..., 2] = 0.5
    for u, v in head.places_68[list(dots)]:
        cv2.circle(texture, (int(u * size), int(v * size)), 6, (1.0, 0.0, 0.0), -1)
    person = replace(heads.draw_person(head, heads.Skin(texture, "dots"), random), identity=np.zeros(toy.IDENTITY))
    plan = heads.Plan(-0.2, 0.1, 0.2, "neutral", "none", 200.0, 700.0, 400, np.array([220.0, 190.0]))
    image, points, dense, view = heads.photograph(head, person, plan, grey(400, random), random)
    for k in (*dots, 29, 3):
        x, y = points[k].astype(int)
        red, _, blue = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int).sum(0)
        assert (red > 2 * blue) == (k in dots), k
    skin = head.topology("base").parts["skin"]
    shown = cameras.project(head.mean[skin].astype(float), view)
    assert np.ptp(shown, axis=0).max() == pytest.approx(200, rel=0.01)
    np.testing.assert_allclose(shown.mean(0), plan.place, atol=12)
    assert (dense > 0).all() and (dense < 400).all()


def test_a_lamp_lights_its_side_and_casts_shadows():
    """A small plate above a large one keeps the lamp from a patch of it, opposite to the lamp."""
    low = np.array([[-100, -100, 0], [100, -100, 0], [100, 100, 0], [-100, 100, 0]], float)
    fine = np.stack(np.meshgrid(np.linspace(-100, 100, 41), np.linspace(-100, 100, 41)), -1).reshape(-1, 2)
    floor = np.concatenate([fine, np.zeros((len(fine), 1))], 1)
    grid = np.arange(41 * 41).reshape(41, 41)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    plate = low * 0.2 + [0, 0, 40]
    vertices = np.concatenate([floor, plate])
    triangles = np.concatenate([triangles, len(floor) + np.array([[0, 1, 2], [0, 2, 3]])]).astype(np.int32)
    count = len(vertices)
    surface = scene.Surface(vertices, triangles, np.zeros((count, 2)), np.full((count, 3), 0.5), np.zeros(count),
                            np.zeros((4, 4, 3), np.float32))  # fmt: skip
    lamp = np.array([-1.0, 0, 1.0]) / math.sqrt(2)
    lighting = scene.Lighting(lamp, np.ones(3), np.zeros(3), np.zeros(3), 0.0, 10.0)
    view = View(np.eye(3), np.array([0, 0, -2000.0]), np.float64(900), np.array([50.0, 50.0]), (100, 100))
    image = scene.shoot(surface, view, lighting, grey(100, None))[..., 0]
    shadow, beside = image[50, 50 + 18], image[50, 50 - 18]  # 40 mm to the right and to the left of the middle
    assert beside == pytest.approx(0.5 * math.cos(math.pi / 4), rel=0.02)
    assert shadow < 0.05 * beside


def test_a_scan_is_seen_from_all_sides():
    """A large ball, one half of its chart red and the other blue: views from the left show more of the one."""
    rows, columns = 80, 81
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    ball = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1).reshape(-1, 3) * 90
    grid = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]).astype(np.int32)
    assert triangles.size > 2**15, "the test is there for scans of many corners too"
    chart = np.stack([around / (2 * np.pi), polar / np.pi], -1).reshape(-1, 2)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:, :32, 0] = texture[:, 32:, 2] = 200
    marks = np.tile([0.0, 0, 90], (7, 1))
    scan = Scan(ball, triangles, marks, chart[triangles], texture)
    items = views.items(scan, lambda side, random: np.zeros((side, side, 3), np.uint8), 12)
    assert len({item.name for item in items}) == 12 and all(item.truth.neutral is scan for item in items)
    left, right = (item.picture().reshape(-1, 3).astype(float).sum(0) for item in (items[0], items[-1]))
    assert left[0] > 2 * left[2] and right[2] > 2 * right[0]


def test_covers_hide_what_they_say(head):
    image, random = np.full((200, 200, 3), 0.5, np.float32), np.random.default_rng(0)
    points = cameras.project(
        head.topology("base").landmarks["68"].points(head.mean.astype(float)),
        View(np.eye(3), np.array([0, 0, -900.0]), np.float64(900), np.array([100.0, 100.0]), (200, 200)),
    )
    for kind, rows in (("eyes", slice(36, 48)), ("mouth", slice(48, 68))):
        changed = np.abs(scene.cover(image, points, kind, random) - image).max(-1) > 0.05
        x, y = points[rows].round().astype(int).T
        assert changed[y, x].mean() > 0.9
        assert changed.mean() < 0.5
    with pytest.raises(ValueError, match="hat"):
        scene.cover(image, points, "hat", random)


def test_light_is_divided_out(head):
    topology, grid = head.topology("base"), head.layout.size
    vertices = head.mean.astype(np.float64)
    radiance = np.zeros((9, 1))
    radiance[0], radiance[3] = 1.0, 0.5  # from the left
    shade = harmonics.shade(vertex_normals(vertices, topology.triangles), harmonics.from_radiance(radiance))
    from scipy.interpolate import NearestNDInterpolator

    size = 96
    skin = topology.parts["skin"]
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    lit = NearestNDInterpolator(topology.uv[skin], shade[skin, 0])(columns / size, rows / size)
    texture = (lit[..., None] * np.array([0.5, 0.35, 0.3])).astype(np.float64)
    albedo = without_light(texture, vertices, topology, grid)
    inside = topology.regions["cheeks"] | topology.regions["forehead"]
    x, y = (topology.uv[inside] * size).astype(int).clip(0, size - 1).T
    before, after = (np.log(picture[y, x, 0]).std() for picture in (texture, albedo))
    assert after < 0.4 * before
    np.testing.assert_allclose(albedo[y, x, 1] / albedo[y, x, 0], 0.7, rtol=1e-3)


def test_typology_angle_of_known_colours():
    """L*a*b* of sRGB (200, 150, 120) is (66.0, 15.7, 23.4) by colorimetry's tables: arctan(16.0 / 23.4)."""
    srgb = np.array([[[200, 150, 120]]], np.uint8)
    assert typology_angle(color.decode(srgb)[0]) == pytest.approx(34.4, abs=0.6)
    tones = [typology_angle(color.linear_from_srgb(red * np.array([[1, 0.8, 0.65]]))) for red in (0.25, 0.5, 0.75, 0.95)]
    assert tones == sorted(tones)


# --- numbers ----------------------------------------------------------------------------------------------------------


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
        turned = replace(item.truth.view, rotation=from_axis_angle(np.array([0, 0.1 * (1 - share), 0])) @ item.truth.view.rotation)
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
    found = measure.steadiness(sure, people)
    assert all(row["apart"] == 1.0 and row["spread"] == pytest.approx(0, abs=1e-9) for row in found)
    same = measure.steadiness([sure[0]] * 12, people)
    assert all(row["apart"] == 0.5 for row in same)
    noisy = [replace(shape, vertices=shape.vertices + 0.2 * random.standard_normal(shape.vertices.shape)) for shape in sure]
    spread = np.sqrt(np.mean([row["spread"] ** 2 for row in measure.steadiness(noisy, people)]))
    assert spread == pytest.approx(0.2 * math.sqrt(3), rel=0.05)
    rough = [replace(shape, vertices=shape.vertices + 4 * random.standard_normal(shape.vertices.shape)) for shape in sure]
    rows = measure.steadiness(rough, people, most=10**6)
    used = np.unique(rough[0].triangles)
    points = [similarity(shape.vertices[used], rough[0].vertices[used]).apply(shape.vertices[used]) for shape in rough]
    gap = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
    for i, person in enumerate(people):
        mine = [gap[i, j] for j in range(12) if people[j] == person and j != i]
        others = [gap[i, j] for j in range(12) if people[j] != person]
        assert rows[i]["apart"] == pytest.approx(np.mean([a < b for a in mine for b in others]))
    assert 0.5 < np.mean([row["apart"] for row in rows]) < 1
    assert measure.steadiness([sure[0], None], ["a", "a"]) == [{}, {}]
    alone = measure.steadiness(sure[::3], ["a", "b", "c", "d"])
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


# --- peers ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def peer_folder(head, pictures, tmp_path):
    """What another system writes: OBJ in metres, vertices in another order, something to be cut off, points."""
    folder, topology = tmp_path / "peer", head.topology("base")
    (folder / "meshes").mkdir(parents=True)
    (folder / "points").mkdir()
    shape = neutral(head, np.full(toy.IDENTITY, 0.5))
    order = np.random.default_rng(0).permutation(len(shape.vertices))
    place = np.argsort(order)
    before = shape.vertices[:, 2].max() - 10  # something that is no skin, among it: a lens, a lock of hair
    vertices = np.concatenate([shape.vertices[order], [[-40, -40, before], [40, -40, before], [0, 40, before]]]) / 1000
    triangles = np.concatenate([place[shape.triangles], len(order) + np.array([[0, 1, 2]])])
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in vertices] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]
    for item in pictures[:3]:
        (folder / "meshes" / f"{item.name}.obj").write_text("\n".join(lines) + "\n")
        np.savetxt(folder / "points" / f"{item.name}.txt", item.truth.points + 1)
    marks = topology.landmarks["68"]
    nearest = place[marks.vertices[np.arange(68), np.asarray(marks.weights).argmax(1)]]
    (folder / "landmarks.txt").write_text("# Multi-PIE\n" + "\n".join(map(str, nearest)))
    shape = replace(shape, landmarks=vertices[nearest[list(LANDMARKS_OF_68)]] * 1000)
    (folder / "keep.txt").write_text(" ".join(map(str, range(len(order)))))
    (folder / "about.txt").write_text("A system of the test.\n")
    return folder, shape


def test_a_peers_files_score_like_its_arrays(head, pictures, peer_folder):
    folder, shape = peer_folder
    surfaces = measure.Surfaces()
    base = baselines.mean_face(head)
    measured = measure.head_measure(surfaces, baselines.shape_of(head, head.mean))
    other = Method("arrays", lambda item: Answer(shape), "")
    result = measure.run([as_set(pictures[:4], measured)], [peer("files", folder), other, base])
    files, arrays = (result.scores["heads", name] for name in ("files", "arrays"))
    assert files.names == tuple(item.name for item in pictures[:3]) and "missing" in files.failures[pictures[3].name]
    np.testing.assert_allclose(files.values["shape"], arrays.values["shape"][:3], atol=2e-3)
    unit = [item.truth.unit for item in pictures[:3]]
    np.testing.assert_allclose(files.values["points"], 100 * math.sqrt(2) / np.array(unit), rtol=1e-6)
    row = next(row for row in result.rows if row.method == "files" and row.kind == "all")
    assert (row.items, row.failed) == (4, 1)


def test_without_the_crop_everything_counts(pictures, peer_folder):
    folder, shape = peer_folder
    (folder / "keep.txt").unlink()
    whole = peer("files", folder).answer(pictures[0]).neutral
    assert len(whole.triangles) == len(shape.triangles) + 1


def test_faults_of_a_peer_are_named(pictures, peer_folder, tmp_path):
    folder, _ = peer_folder
    with pytest.raises(AssetError, match="neither meshes/ nor points/"):
        peer("nobody", tmp_path / "nothing")
    (folder / "landmarks.txt").write_text("1 2 3")
    with pytest.raises(AssetError, match="3 vertex ids"):
        peer("files", folder)
    (folder / "landmarks.txt").write_text("0 1 2 3 4 5 99999")
    with pytest.raises(AssetError, match="99999"):
        peer("files", folder).answer(pictures[0])
    (folder / "landmarks.txt").write_text("0 1 2.5")
    with pytest.raises(AssetError, match="not a list of vertex ids"):
        vertex_list(folder / "landmarks.txt")


# --- page -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_run(pictures):
    """Two methods on four pictures, made-up numbers; one picture without an answer."""
    reason = "no <face> was found"
    size = {item.name: 1.0 + k for k, item in enumerate(pictures[:4])}

    def hopeful(item: Item) -> Answer:
        if item is pictures[0]:
            raise AssetError(reason)
        return Answer(points=np.full((68, 2), size[item.name]))

    chosen = as_set(pictures[:4], lambda item, answer: {"shape": answer.points[0, 0]}, ("shape", "ratio"), shown=True)
    hidden = replace(chosen, name="secret", title="Secret photos", shown=False)
    mean = Method(measure.BASE, lambda item: Answer(points=np.full((68, 2), 2.0)), "The mean.")
    result = measure.run([chosen, hidden], [Method("hopeful", hopeful, "Tries.", ours=True), mean])
    result.missing = ["The far side of the moon."]
    return result


def test_the_page_says_failures_first_and_what_is_missing(small_run, pictures, tmp_path):
    asked = []

    def draw(chosen, method, item):
        asked.append((chosen.name, item.name))
        return [("picture", item.picture())]

    report.write(small_run, report.Heading("Board", {"date": "today"}, ["A note."]), tmp_path, draw)
    text = (tmp_path / report.PAGE).read_text()
    assert (tmp_path / report.SUMMARY).read_text().startswith("Board: date today.")
    places = [text.index(part) for part in ("Failures first", "<h2>Numbers", "<h2>Slices", "<h2>Not measured")]
    assert places == sorted(places)
    assert "The far side of the moon." in text and "no &lt;face&gt; was found" in text and "<face>" not in text
    assert text.index("no &lt;face&gt;") < text.index("4.00 mm, 2.00 of the mean face")  # no answer before a bad one
    assert {name for name, _ in asked} == {"heads"}, "pictures of a set that may not be shown were drawn"
    assert asked[0][1] == pictures[0].name
    assert not re.search(r"(src|href)=\"(?!data:)", text), "the page needs another file"


def test_many_pictures_without_an_answer_leave_room_for_bad_answers(pictures, tmp_path):
    def answer(item):
        if item is not pictures[-1]:
            raise AssetError("no face was found")
        return Answer()

    chosen = as_set(pictures, lambda item, answer: {"shape": 7.0}, ("shape",), shown=True)
    result = measure.run([chosen], [Method("shy", answer, "", ours=True)])
    text = report.page(result, report.Heading("Board", {}, []), lambda *of: [])
    assert text.count("no face was found") == report.FAILURES // 2 and "shape 7.00 mm" in text


def test_the_table_has_a_line_for_every_method_and_slice(small_run, tmp_path):
    report.write_table(small_run.rows, tmp_path / "scores.csv")
    rows = list(csv.DictReader(open(tmp_path / "scores.csv", newline="")))
    whole = {(row["set"], row["method"]): row for row in rows if row["kind"] == "all"}
    assert whole["heads", "hopeful"]["failed"] == "1" and whole["heads", "hopeful"]["pictures"] == "4"
    assert float(whole["heads", "hopeful"]["shape"]) == pytest.approx(3)
    assert float(whole["heads", "hopeful"]["ratio"]) == pytest.approx(1.5)
    assert float(whole["heads", "hopeful"]["ratio_low"]) <= 1.5 <= float(whole["heads", "hopeful"]["ratio_high"])
    for method in ("hopeful", measure.BASE):
        mine = [row for row in rows if row["set"] == "heads" and row["kind"] == "yaw" and row["method"] == method]
        assert sum(int(row["pictures"]) for row in mine) == 4
    assert "| hopeful | 3.00" in report.markdown(small_run)


def test_charts_leave_out_what_was_not_measured(small_run):
    rows = [row for row in small_run.rows if row.set == "heads"]
    assert dots(rows, "pose", ["hopeful", measure.BASE], "yaw") == ""
    drawn = dots(rows, "ratio", ["hopeful", measure.BASE], "yaw")
    assert drawn.count("<circle") == sum("ratio" in row.numbers for row in rows if row.kind == "yaw")
    assert [nice(value) for value in (0.0, 0.11, 1.0, 1.2, 7.0, 95)] == pytest.approx([1, 0.15, 1, 1.5, 8, 100])


# --- command ----------------------------------------------------------------------------------------------------------


def test_a_smoke_run_without_data_says_so(toy_system, tmp_path, monkeypatch, capsys, peer_folder):
    from likeness.cli.benchmark import NEVER, Benchmark, benchmark

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    config = Benchmark(output=tmp_path / "out", quick=True, threads=1, peer=(f"other={peer_folder[0]}",))
    assert benchmark(config, toy_system) == 0
    text = (tmp_path / "out" / "index.html").read_text()
    assert "LIKENESS_DATA names no folder" in text and "smoke run" in text
    assert all(line.split(":")[0] in text for line in NEVER if "`" not in line.split(":")[0])
    rows = list(csv.DictReader(open(tmp_path / "out" / "scores.csv", newline="")))
    whole = {row["method"]: row for row in rows if row["kind"] == "all"}
    assert set(whole) == {"likeness", "likeness, box given", "other", "mean face", "true face"}
    assert int(whole["likeness"]["failed"]) + (whole["likeness"]["shape"] != "") >= 1
    assert float(whole["likeness, box given"]["ratio"]) > 0 and whole["likeness, box given"]["failed"] == "0"
    assert "A system of the test." in text
    assert "| mean face |" in capsys.readouterr().out


def test_pictures_are_written_for_peers(toy_system, tmp_path, monkeypatch):
    from likeness.cli.benchmark import Benchmark, benchmark

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    assert benchmark(Benchmark(quick=True, pictures=tmp_path / "for-peers"), toy_system) == 0
    names = sorted(path.name for path in (tmp_path / "for-peers").iterdir())
    assert names[:2] == ["heads-000-0.png", "heads-000-1.png"]


def landmarks_of_a_face(random, count):
    """Dense landmarks (count, 478, 3) of a face that looks ahead, well apart, in a picture of 64 px."""
    return (random.uniform(16, 48, (count, 478, 3)) * [1, 1, 0]).astype(np.float32)


@pytest.fixture
def data_folder(tmp_path):
    """Photos of noise in the layout of the data folder."""
    import cv2

    random, root = np.random.default_rng(0), tmp_path / "data"
    sets = {
        "landmarks_lfpw/images": [f"image_{k:04d}.png" for k in range(6)],
        "photos/sfhq": [f"{k:05d}.png" for k in range(20)],
        "video_frames/frames": [f"{name}_{v}{f}.png" for name in ("Mary_Doe", "Jane_Roe", "Mo_Xu") for v in "01" for f in "01"],
    }
    for folder, names in sets.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(root / folder / name), random.integers(0, 255, (64, 64, 3), np.uint8))
    np.savez(root / "landmarks_lfpw/landmarks68.npz", name=sets["landmarks_lfpw/images"],
             points=random.uniform(16, 48, (6, 68, 2)).astype(np.float32))  # fmt: skip
    places = {"landmarks_lfpw/images": "landmarks_lfpw/landmarks478", "photos/sfhq": "photos/sfhq.landmarks478",
              "video_frames/frames": "video_frames/landmarks478"}  # fmt: skip
    for folder, names in sets.items():
        np.savez(root / f"{places[folder]}.npz", name=names, points=landmarks_of_a_face(random, len(names)))
    return root


def test_photo_sets_keep_to_their_split(data_folder):
    from likeness.cli.benchmark_sets import photo_sets

    found = {}
    for split in ("val", "test"):
        sets, missing = photo_sets(data_folder, split, 100, 100)
        found[split] = {chosen.name: [item.name for item in chosen.items] for chosen in sets}
        assert len(missing) == (split == "test"), missing
    assert missing[0].startswith("aflw2000_16")
    assert found["val"]["lfpw"] == ["lfpw-image_0000", "lfpw-image_0002", "lfpw-image_0004"]
    assert found["test"]["lfpw"] == ["lfpw-image_0001", "lfpw-image_0003", "lfpw-image_0005"]
    assert found["val"]["sfhq"] == ["sfhq-00005", "sfhq-00015"] and found["test"]["sfhq"] == ["sfhq-00000", "sfhq-00010"]
    assert len(found["val"]["frames"]) == 8 and len(found["test"]["frames"]) == 4
    people = [item.person for chosen in sets for item in chosen.items if chosen.name == "frames"]
    assert set(people) == {"person 0"} and not any("Roe" in name for name in found["test"]["frames"])


def test_photos_score_nothing_for_the_truth_itself(data_folder):
    from likeness.cli.benchmark_sets import photo_sets

    (data_folder / "video_frames/landmarks478.npz").unlink()
    sets, missing = photo_sets(data_folder, "val", 100, 100)
    assert [line.split(":")[0] for line in missing] == ["video_frames"]
    lfpw, sfhq = sets
    for item in lfpw.items:
        assert lfpw.measure(item, Answer(points=item.truth.points)) == {"points68": 0, "mouth": 0}
        off = lfpw.measure(item, Answer(points=item.truth.points + [3.0, 4.0]))
        assert off["points68"] == pytest.approx(500 / item.truth.unit) and lfpw.measure(item, Answer()) == {}
    for item in sfhq.items:
        assert sfhq.measure(item, Answer(dense=item.truth.dense[:, :2]))["dense"] == pytest.approx(0, abs=1e-4)
        assert sfhq.measure(item, Answer(points=np.zeros((68, 2)))) == {}
        assert item.slices["resolution"] == "< 64 px" and "occlusion" not in item.slices


def test_wrong_arguments_are_named(tmp_path):
    from likeness.cli.benchmark import Benchmark, benchmark

    with pytest.raises(UsageError, match="NAME=DIR"):
        benchmark(Benchmark(peer=("nothing",)))
    with pytest.raises(UsageError, match="at least 1"):
        benchmark(Benchmark(people=0))
    with pytest.raises(AssetError, match="no such folder"):
        benchmark(Benchmark(data=tmp_path / "nowhere", quick=True))


def test_truths_of_a_person_are_one_object(pictures):
    assert pictures[0].truth.neutral is pictures[1].truth.neutral
    assert pictures[0].truth.neutral is not pictures[2].truth.neutral
    assert isinstance(pictures[0].truth, Truth) and isinstance(pictures[0], Item)
