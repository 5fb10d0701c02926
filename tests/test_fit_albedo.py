"""Learning albedo, on a toy head whose albedo and light are known."""

import numpy as np
import pytest

from likeness import color
from likeness.assets import toy
from likeness.errors import AssetError
from likeness.fit.albedo import components, delight, tones
from likeness.fit.albedo.charts import Charts, Unwrapper, _read, joined
from likeness.fit.albedo.delight import Face
from likeness.fit.albedo.gloss import gloss
from likeness.fit.albedo.transfer import transfer
from likeness.fit.albedo.zones import BAG, BALL_LEFT, SKIN, Zones
from likeness.geometry.harmonics import basis
from likeness.geometry.mesh import vertex_normals

SIZE = 64


@pytest.fixture(scope="module")
def face():
    return Face.of(toy.head(), np.zeros(51), SIZE)


@pytest.fixture(scope="module")
def zones():
    head = toy.head()
    return Zones.of(head.topology("base"), head.layout, SIZE)


def painted(seed=0):
    """An albedo (S, S, 3) relative to skin: 1 with red cheeks and a dark bar across the brows, symmetric."""
    albedo = np.ones((SIZE, SIZE, 3), np.float32)
    y, x = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE
    cheek = np.exp(-(((np.abs(x - 0.5) - 0.25) / 0.08) ** 2) - ((y - 0.55) / 0.08) ** 2)
    albedo *= 1 + cheek[..., None] * np.array([0.05, -0.15, -0.1])
    albedo[14:16, 14:50] = 0.3
    return albedo.astype(np.float32)


def lights(count, seed=0):
    """(count, 9, 3) lights: mostly even, a little coloured, from somewhere in front."""
    random = np.random.default_rng(seed)
    light = np.zeros((count, 9, 3))
    light[:, 0] = random.uniform(2.6, 3.4, (count, 3))
    light[:, 1:4] = random.normal(0, 0.35, (count, 3, 1)) + random.normal(0, 0.03, (count, 3, 3))
    light[:, 2] += 0.5
    light[:, 4:] = random.normal(0, 0.1, (count, 5, 1))
    return light


def photographed(face, albedo, tone, light):
    """Charts of a head of a tone (3,) in lights (n, 9, 3), without an error but that of 8 bits."""
    rows = face.rows(face.normals)
    colours = []
    for one in light:
        lit = np.stack([rows[c] @ one[:, c] for c in range(3)], -1)
        colours.append(color.encode(np.clip(albedo * tone * face.chart.to_texture(lit), 0, 1).astype(np.float32)))
    n = len(light)
    trust = np.full((n, SIZE, SIZE), 255, np.uint8)
    return Charts(
        np.stack(colours), trust, np.repeat(face.normals[None], n, 0), np.array([f"toy/{i}.jpg" for i in range(n)])
    )


def test_a_ball_throws_no_shadow_on_itself_and_a_wall_takes_half_of_the_sky():
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 48, endpoint=False), np.linspace(0.05, np.pi - 0.05, 24))
    ball = 80 * np.stack([np.sin(rise) * np.cos(turn), np.cos(rise), np.sin(rise) * np.sin(turn)], -1).reshape(-1, 3)
    ids = np.arange(24 * 48).reshape(24, 48)
    a, b = ids[:-1], ids[1:]
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    around = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (a, d, c))])
    free = basis(vertex_normals(ball, around))
    assert np.abs(transfer(ball, around, [0.0])[0] - free).max() < 0.05
    step = np.linspace(-100, 100, 41)
    floor = np.stack([*np.meshgrid(step, step, indexing="ij"), np.zeros((41, 41))], -1).reshape(-1, 3)
    wall = np.stack(
        [np.full((41, 41), -101.0), *np.meshgrid(step, np.linspace(0, 600, 41), indexing="ij")], -1
    ).reshape(-1, 3)
    ids = np.arange(41 * 41).reshape(41, 41)
    cell = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in (
        (ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:]), (ids[:-1, :-1], ids[1:, 1:], ids[:-1, 1:]))])  # fmt: skip
    both, triangles = np.concatenate([floor, wall]), np.concatenate([cell, cell + len(floor)])
    beside = 41 * 3 + 20  # on the floor, 15 mm from the wall, which is 600 mm high
    dark, half = transfer(both, triangles, [0.0, 0.5])[:, beside, 0] / basis(np.array([[0.0, 0, 1]]))[0, 0]
    assert dark == pytest.approx(0.5, abs=0.06) and half == pytest.approx((1 + dark) / 2, abs=1e-6)


def test_a_known_light_is_divided_out(face, zones):
    albedo, tone = painted(), np.array([0.35, 0.2, 0.14])
    charts = photographed(face, albedo, tone, lights(4))
    seen = (zones.part == SKIN) & (zones.learned > 0.9)
    for row in range(4):
        found, _ = delight.relative(face, charts, row, albedo)
        ratio = found / albedo / np.median(found[zones.bare] / albedo[zones.bare], 0)
        assert np.abs(ratio[seen] - 1).mean() < 0.012 and np.quantile(np.abs(ratio[seen] - 1), 0.99) < 0.06
        raw = color.decode(charts.colours[row]) / albedo
        assert np.abs(raw[seen] / np.median(raw[seen], 0) - 1).mean() > 0.025  # there was a light


def test_an_unknown_albedo_is_found_from_several_lights(face, zones):
    from likeness.fit.albedo.learning import Config, mean_relative

    albedo = painted()
    charts = photographed(face, albedo, np.array([0.35, 0.2, 0.14]), lights(12, 3))
    found = mean_relative(face, zones, charts, Config(few=12, rounds=3), lambda line: None)
    seen = (zones.part == SKIN) & (zones.learned > 0.9)
    ratio = found / albedo
    error = np.abs(ratio / np.median(ratio[seen], 0) - 1)[seen]
    assert error.mean() < 0.03 and np.quantile(error, 0.95) < 0.09
    np.testing.assert_allclose(found, found[:, ::-1], atol=1e-4)


def test_hair_over_bare_skin_is_a_stranger_and_a_beard_is_not(zones):
    albedo, trust = np.ones((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE), np.float32)
    found = albedo.copy()
    found[:6] = 0.2  # a fringe
    found[52:58] = 0.3  # a beard
    kept = zones.trust(found, albedo, trust)
    bare = zones.bare.copy()
    bare[5:] = False
    assert bare.sum() > 100 and kept[bare].max() < 0.1 and zones.bare[56].sum() == 0
    assert kept[54:57, 24:40].mean() > 0.6
    assert zones.foreign(kept, trust) > zones.foreign(np.ones_like(kept), trust) == 0


def test_what_photos_do_not_show_is_continued_part_by_part(zones):
    colours = np.zeros((SIZE, SIZE, 3), np.float32)
    colours[zones.part == SKIN] = 0.5
    colours[zones.part == BALL_LEFT] = 0.9
    mass = np.ones((SIZE, SIZE), np.float32)
    mass[:, :10] = 0
    result = zones.continued(colours, mass)
    np.testing.assert_allclose(result[:, :10], 0.5, atol=1e-3)
    np.testing.assert_allclose(result[zones.part == BALL_LEFT], 0.9, atol=1e-3)
    np.testing.assert_allclose(result[zones.part == BAG], 0.5, atol=1e-3)


def test_planted_modes_are_found_though_a_third_is_missing():
    random = np.random.default_rng(0)
    n, side = 300, 16
    planted = random.standard_normal((4, side, side, 3))
    signs = np.array([1, 1, -1, -1])
    planted = planted + signs[:, None, None, None] * planted[:, :, ::-1]
    basis_, _ = np.linalg.qr(planted.reshape(4, -1).T)
    planted = basis_.T * np.array([4.0, 3.0, 2.0, 1.5])[:, None]
    codes = random.standard_normal((n, 4))
    values = (codes @ planted).reshape(n, side, side, 3) + 0.01 * random.standard_normal((n, side, side, 3))
    trust = (random.uniform(size=(n, side, side)) > 0.33).astype(np.float32)
    values[trust == 0] = 50.0  # what is missing must not matter
    found = components.principal(values.astype(np.float32), trust, np.ones(n), 4, 60)
    np.testing.assert_array_equal(found.symmetry, signs)
    for mode, truth in zip(found.modes.reshape(4, -1), planted):
        cosine = abs(mode @ truth) / np.linalg.norm(mode) / np.linalg.norm(truth)
        assert cosine > 0.99 and np.linalg.norm(mode) == pytest.approx(np.linalg.norm(truth), rel=0.2)
    for mode, sign in zip(found.modes, found.symmetry):
        np.testing.assert_allclose(mode, sign * mode[:, ::-1], atol=1e-6)
    np.testing.assert_allclose((found.codes**2).mean(0), 1, atol=0.1)


def test_fine_modes_follow_from_coarse_codes():
    random = np.random.default_rng(1)
    n, side = 200, 12
    truth = random.standard_normal((3, side, side, 2)).astype(np.float32)
    signs = np.array([1, -1, 1], np.int8)
    truth = truth + signs[:, None, None, None] * truth[:, :, ::-1]
    codes = random.standard_normal((n, 3))
    values = np.tensordot(codes, truth, 1).astype(np.float32)
    trust = (random.uniform(size=(n, side, side)) > 0.2).astype(np.float32)
    values[trust == 0] = -9

    def row(number):
        return values[:, number], trust[:, number]

    found = components.loadings(row, side, codes, signs, np.ones(n), ridge=1e-5)
    np.testing.assert_allclose(found, truth, atol=1e-3)
    np.testing.assert_allclose(found, signs[:, None, None, None] * found[:, :, ::-1], atol=1e-6)
    trust[:, 3] *= 0.02  # a row that hardly any photo shows: what is known of it counts in full
    np.testing.assert_allclose(
        components.loadings(row, side, codes, signs, np.ones(n), ridge=1e-6)[:, 3], truth[:, 3], atol=1e-2
    )


def test_tones_keep_their_brightness_and_half_of_their_colour_is_called_light():
    random = np.random.default_rng(0)
    bright = np.where(random.uniform(size=800) < 0.1, -1.2, 0) + 0.15 * random.standard_normal(800)
    seen = np.exp(bright)[:, None] * 1.7 * np.array([0.4, 0.25, 0.18])
    skin = tones.skin(seen)
    np.testing.assert_allclose(np.ptp(np.log(skin) @ tones.AXES[0]), np.ptp(bright), rtol=1e-6)
    fair = np.log(skin) @ tones.AXES[0]
    assert np.quantile(fair, tones.FAIR_SHARE) == pytest.approx(np.log(tones.PATCHES[0]) @ tones.AXES[0])
    dim = tones.PATCHES * np.array([[1.0], [0.5]])  # what is the light patch stays it, whatever the dark one's exposure
    np.testing.assert_allclose(tones.skin(np.repeat(dim, [9, 1], 0))[0], tones.PATCHES[0], rtol=1e-6)
    warm = seen.copy()
    warm[:100] *= [1.2, 1.0, 0.8]
    moved = np.log(tones.skin(warm)[:100] / skin[:100]) @ tones.AXES.T
    share = tones.PEOPLE**2 / (tones.PEOPLE**2 + tones.BALANCE**2)
    assert moved[:, 1].mean() == pytest.approx(share * np.log(1.2), abs=0.02)
    assert moved[:, 2].mean() == pytest.approx(share * np.log(0.8), abs=0.02)


def test_rare_tones_count_more():
    random = np.random.default_rng(0)
    own = np.exp(np.where(random.uniform(size=800) < 0.1, -1.2, 0) + 0.15 * random.standard_normal(800))
    weights, dark = tones.rarity(own[:, None] * np.array([0.4, 0.25, 0.18])), own < 0.5
    assert weights[dark].mean() > 2 * weights[~dark].mean() and weights.mean() == pytest.approx(1)


def test_one_side_is_not_lighter_than_the_other(zones):
    albedo = painted()
    sided = albedo * np.linspace(0.8, 1.2, SIZE, dtype=np.float32)[None, :, None]
    even = zones.balanced(sided, np.ones((SIZE, SIZE), np.float32))
    middle = zones.bare.copy()
    middle[:, :12] = middle[:, -12:] = False  # a smooth difference is not followed all the way to the border
    before, after = (np.abs(np.log(values[..., 1] / albedo[..., 1]))[middle] for values in (sided, even))
    assert after.mean() < 0.35 * before.mean()
    mole = albedo.copy()
    mole[30:32, 20:22] *= 0.3
    kept = zones.balanced(mole, np.ones((SIZE, SIZE), np.float32))
    assert kept[30:32, 20:22].mean() < 0.45 * kept[30:32, 42:44].mean()


def test_authored_gloss_is_symmetric_and_orders_the_regions():
    topology = toy.head().topology("base")
    drawn = gloss(topology, SIZE)
    np.testing.assert_allclose(drawn, drawn[:, ::-1], atol=1e-6)
    places = (topology.uv * SIZE).astype(int).clip(0, SIZE - 1)
    mean = {name: drawn[places[mask, 1], places[mask, 0]].mean() for name, mask in topology.regions.items()}
    assert mean["lower_lip"] > mean["forehead"] > mean["brow_left"] and mean["nose"] > mean["cheeks"]


def test_unwrapping_reads_the_photo_where_the_head_is(zones):
    from likeness.runtime import draw

    head = toy.head()
    topology = head.topology("base")
    vertices = head.decode(np.zeros(6), np.zeros(51))
    texture = color.encode(0.3 * painted())
    view = draw.portrait(vertices, (200, 200))
    image = draw.textured(vertices, topology, texture, view)
    colours, trust, normals = Unwrapper(head, SIZE)(image, np.zeros(6), np.zeros(51), view, None)
    sure = (trust > 200) & zones.bare
    assert sure.sum() > 200
    assert np.abs(colours[sure].astype(int) - texture[sure]).mean() < 3
    used = np.unique(topology.triangles)
    np.testing.assert_allclose(np.linalg.norm(normals[used] / 127, axis=1), 1, atol=0.02)
    assert (trust[zones.part == BAG] == 0).all()


def test_a_broken_shard_is_one_clear_line(tmp_path):
    path = tmp_path / "gan-000.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(AssetError, match="remove it to start afresh"):
        _read(path)


def test_sets_are_joined_in_order(face):
    charts = photographed(face, painted(), np.array([0.3, 0.2, 0.1]), lights(3))
    both = joined([charts, charts.take(np.array([2, 0]))])
    assert both.names.tolist() == ["toy/0.jpg", "toy/1.jpg", "toy/2.jpg", "toy/2.jpg", "toy/0.jpg"]
    np.testing.assert_array_equal(both.colours[4], charts.colours[0])


def people(face, count, seed=0):
    """Charts of people who differ in tone and in a mark on both cheeks, each in a light of their own; and the mark."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE
    mark = np.exp(-(((np.abs(x - 0.5) - 0.25) / 0.08) ** 2) - ((y - 0.55) / 0.08) ** 2).astype(np.float32)
    strength, bright = random.standard_normal(count), 0.25 * random.standard_normal(count)
    charts = [
        photographed(
            face, painted() * (1 - 0.1 * s * mark[..., None]), np.exp(b) * np.array([0.34, 0.2, 0.15]), light[None]
        )
        for s, b, light in zip(strength, bright, lights(count, seed + 1))
    ]
    return joined(charts), mark


def test_the_whole_way_finds_what_people_differ_in_and_no_light(face):
    from likeness.fit.albedo.learning import Config, learn

    charts, mark = people(face, 40)
    model, notes = learn(
        charts, toy.head(), np.zeros(51), Config(modes=4, few=20, imputations=5), "toy", lambda line: None
    )
    assert notes["photos"] >= 36 and model.size == SIZE and model.codes == 4
    mean = model.texture(np.zeros(4))
    np.testing.assert_allclose(mean, mean[:, ::-1], atol=1e-6)
    modes = np.concatenate([model.half_modes, model.symmetry[:, None, None, None] * model.half_modes[:, :, ::-1]], 2)
    bare = Zones.of(toy.head().topology("base"), toy.head().layout, SIZE).bare
    skin = (mark > 0.02) | bare
    planted = (mark - mark[skin].mean())[skin]  # a tone that differs all over is another mode
    basis_, _ = np.linalg.qr((modes[..., 1][:, skin] - modes[..., 1][:, skin].mean(1, keepdims=True)).T)
    assert np.linalg.norm(basis_.T @ planted) > 0.9 * np.linalg.norm(planted)
    one_sided = np.abs(modes[model.symmetry < 0][:, bare])
    assert (
        not one_sided.size or one_sided.mean() < 0.004
    )  # lights came from all sides: hardly any of it is in the model


def test_more_modes_come_nearer_to_a_face_in_the_span(face, zones):
    from likeness.assets.albedo import AlbedoModel
    from likeness.fit.albedo.span import Span

    _, mark = people(face, 1)
    tone = np.array([0.34, 0.2, 0.15], np.float32)
    mean = color.srgb_from_linear(painted() * tone)
    modes = np.stack([np.full_like(mean, 0.05), -0.1 * np.repeat(mark[..., None], 3, -1)])
    model = AlbedoModel.of(mean, modes, np.ones(2), np.full((32, 32), 0.1))
    shown = model.texture(np.array([0.5, 1.0]))
    charts = photographed(face, shown, np.ones(3), lights(1, 5))
    errors, angle = Span.of(model, face, zones).errors(charts, 0, (0, 1, 2))
    assert errors[2] < 0.4 * errors[0] and errors[2] < 0.01 and errors[1] <= errors[0] + 1e-4
    assert -90 < angle < 90
    hidden = Charts(charts.colours, 0 * charts.trust, charts.normals, charts.names)
    assert Span.of(model, face, zones).errors(hidden, 0, (0,)) is None
