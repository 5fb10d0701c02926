"""Pictures of people: cut out, kept, spoiled; and drawn by the renderer."""

import numpy as np
import pytest

from likeness import color
from likeness.assets import albedo, builtin
from likeness.assets.correspondence import OUTLINE
from likeness.data import casting, identities
from likeness.encoders.recognition.templates import DENSE_OF_5, wide
from likeness.errors import AssetError
from likeness.geometry import cameras


def face(turn=0.4, scale=2.1):
    """Dense landmarks (478, 3) whose five points lie as a template has them, turned and enlarged, in a photo (400, 400, 3)."""
    random = np.random.default_rng(1)
    motion = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.zeros((478, 3))
    points[:, :2] = random.uniform(100, 300, (478, 2))
    points[list(DENSE_OF_5), :2] = (identities.template() - 64) @ motion.T + 200
    image = np.zeros((400, 400, 3), np.uint8)
    for x, y in points[list(DENSE_OF_5), :2]:
        image[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 255
    return image, points


def test_the_five_points_come_to_the_template_and_the_outline_with_them():
    image, points = face()
    picture, outline = identities.cut(image, points)
    bright = picture.max(-1)
    for x, y in identities.template():
        assert bright[int(y), int(x)] > 120
    assert bright[bright > 40].size < 5 * 60  # and nothing else
    x, y = points[OUTLINE[3], :2] - 200
    back = np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]]) @ [x, y] / 2.1 + 64
    np.testing.assert_allclose(outline[3], back, atol=1e-3)


@pytest.mark.parametrize("size", [96, 112])
def test_a_networks_crop_shows_the_five_points_where_it_expects_them(size):
    picture, _ = identities.cut(*face(turn=0))
    bright = identities.middle(picture, size).max(-1)
    for x, y in wide(size):
        assert bright[int(y), int(x)] > 120


def album(tmp_path, count=5, name="a", codes=None):
    random = np.random.default_rng(count)
    outline = np.array([[64 + 30 * np.cos(t), 64 + 40 * np.sin(t)] for t in np.linspace(0, 6.2, len(OUTLINE))])
    rows = []
    for person in range(count):
        picture = np.full((128, 128, 3), 40 * person + 20, np.uint8)
        picture[..., 1] = random.integers(0, 255)
        rows.append(identities.Row(picture, 10 * person, identities.PHOTO, outline))
        rows += [identities.Row(picture, 10 * person, identities.MODEL, codes=codes and np.full(codes, person))] * 5
    identities.write(tmp_path / f"{name}-0.npz", identities.packed(rows))
    return tmp_path / f"{name}-0.npz"


def test_shards_hold_what_was_written_and_people_of_two_are_different_people(tmp_path):
    paths = [album(tmp_path, 3, "a"), album(tmp_path, 2, "b")]
    both = identities.read(paths)
    assert len(both) == 30 and sorted(set(both.people.tolist())) == [0, 1, 2, 3, 4]
    assert both.people[17] == 2 and both.people[18] == 3
    for place, value in ((0, 20), (6, 60), (18, 20), (24, 60)):
        assert abs(int(both.picture(place)[64, 64, 0]) - value) < 6
    assert (both.kinds == identities.PHOTO).sum() == 5 and both.outlines[0, 0, 0] == pytest.approx(94, abs=0.1)


def test_codes_stay_with_their_pictures_and_are_unknown_elsewhere(tmp_path):
    kept = identities.read([album(tmp_path, 2, "films"), album(tmp_path, 2, "made", codes=3)])
    assert kept.codes.shape == (24, 3) and np.isnan(kept.codes[:13]).all() and np.isnan(kept.codes[18]).all()
    assert (kept.codes[13:18] == 0).all() and (kept.codes[19:] == 1).all()
    data = identities.Identities(kept, 32, 0, 40)
    item = next(item for item in map(data.__getitem__, range(40)) if item["person"] == 3)
    assert np.isnan(item["codes"][0]).all() and (item["codes"][1] == 1).all()  # of the photo, and of the render


def test_a_damaged_shard_and_no_shard_are_named(tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no")
    with pytest.raises(AssetError, match="broken.npz: not a shard of people"):
        identities.read([broken])
    with pytest.raises(AssetError, match="likeness train people"):
        identities.read([])


def test_items_depend_on_seed_and_number_alone(tmp_path):
    kept = identities.read([album(tmp_path)])
    data, other = (identities.Identities(kept, 48, seed, 40) for seed in (1, 2))
    for i in (0, 7):
        a, b = data[i], data[i]
        assert (a["image"] == b["image"]).all() and a["person"] == b["person"] and a["image"].shape == (2, 48, 48, 3)
    assert any((data[i]["image"] != other[i]["image"]).any() for i in range(3))


def test_an_item_has_a_photo_and_a_render_of_its_person_where_there_are_both(tmp_path):
    kept = identities.read([album(tmp_path)])
    data, random = identities.Identities(kept, 32, 0, 40), np.random.default_rng(0)
    for person in range(5):
        one, two = data._two(data.rows[person], random)
        assert (kept.kinds[one], kept.kinds[two]) == (identities.PHOTO, identities.MODEL)
        assert kept.people[one] == kept.people[two] == person
    assert set(data._two(data.rows[0][1:4], random)) < {1, 2, 3}  # two different renders
    assert data._two(data.rows[0][:1], random) == (0, 0)


def drawn(kinds, **shares):
    """How often each person is drawn whose pictures are of these kinds."""
    picture = np.full((128, 128, 3), 100, np.uint8)
    rows = [identities.Row(picture, person, kind) for person, own in enumerate(kinds) for kind in own]
    data = identities.Identities(identities.Album(**identities.packed(rows)), 48, 3, 150, **shares)
    return np.bincount([data[i]["person"] for i in range(150)], minlength=len(kinds)) / 150


def test_people_with_photos_and_with_several_are_drawn_as_often_as_asked():
    filmed, portrait, made_up = (identities.PHOTO,) * 2, (identities.PHOTO, identities.OWN), (identities.MODEL,)
    often = drawn([filmed, portrait, portrait, made_up, made_up], photos=0.8, filmed=0.5)
    assert often[0] == pytest.approx(0.4, abs=0.1) and often[3:].sum() == pytest.approx(0.2, abs=0.1)
    assert drawn([portrait, made_up], photos=0.8, filmed=0.5)[0] == pytest.approx(0.8, abs=0.1)
    assert drawn([filmed, portrait], photos=0.1, filmed=0.7)[0] == pytest.approx(0.7, abs=0.1)


def test_surroundings_are_exchanged_and_the_face_stays():
    outline = np.array([[64 + 30 * np.cos(t), 64 + 40 * np.sin(t)] for t in np.linspace(0, 6.2, 36)], np.float32)
    picture, behind = np.full((128, 128, 3), 200, np.uint8), np.full((128, 128, 3), 20, np.uint8)
    result = identities.before(picture, outline, behind, np.random.default_rng(0))
    assert (result[50:78, 50:78] == 200).all() and (result[:8] == 20).all()


@pytest.fixture(scope="module")
def cast():
    return casting.Casting(builtin.load(), albedo.load(), np.zeros((1, 51)), [])


def people(count=4, seed=0):
    random = np.random.default_rng(seed)
    return casting.made_up(count, 100, 60, random)


def test_made_up_people_share_shapes_and_skins_by_two_but_never_both():
    four = people(8)[4:]
    pairs = {(a.identity.tobytes(), a.albedo.tobytes()) for a in four}
    assert len(pairs) == 4
    assert len({a.identity.tobytes() for a in four}) == 2 and len({a.albedo.tobytes() for a in four}) == 2


def test_relatives_are_those_who_share_a_shape_or_a_skin():
    parts = people(12)
    shape, skin = casting.relatives(np.arange(12))
    for i, a in enumerate(parts):
        for j, b in enumerate(parts):
            assert (shape[i] == shape[j]) == (a.identity is b.identity or bool((a.identity == b.identity).all()))
            assert (skin[i] == skin[j]) == bool((a.albedo == b.albedo).all())


def test_views_show_the_five_points_near_the_template(cast):
    random = np.random.default_rng(0)
    away = []
    for part in people(40):
        view = cast.view(part.identity, random)
        points = cast.mean + np.tensordot(part.identity, cast.modes, 1)
        away.append(np.abs(cameras.project(points, view) - identities.template()).mean())
    assert np.median(away) < 4 and max(away) < 14  # px of 128; a turned face cannot lie where one does that is not


def test_renders_are_pictures_of_faces_by_their_own_colours(cast):
    part = people(1)[0]
    red, green = (np.zeros((16, 16, 3), np.uint8) for _ in range(2))
    red[..., 0], green[..., 1] = 200, 200
    drawn = cast.draw(
        [casting.Part(part.identity, part.albedo, skin) for skin in (red, green)], np.random.default_rng(2)
    )
    assert drawn.shape == (2, 128, 128, 3) and drawn.dtype == np.uint8
    inner = color.decode(drawn[:, 48:80, 48:80]).mean((1, 2))
    assert inner[0, 0] > 3 * inner[0, 1] and inner[1, 1] > 3 * inner[1, 0]


def test_drawing_depends_on_the_generator_alone(cast):
    parts = people(3)
    one, two = (cast.draw(parts, np.random.default_rng(5)) for _ in range(2))
    assert (one == two).all() and (one != cast.draw(parts, np.random.default_rng(6))).any()


def test_a_faceless_cutout_has_its_surroundings_and_no_face():
    outline = np.array([[64 + 30 * np.cos(t), 64 + 40 * np.sin(t)] for t in np.linspace(0, 6.2, 36)])
    picture = np.full((128, 128, 3), 90, np.uint8)
    picture[44:84, 44:84] = 255
    result = casting.faceless(picture, outline)
    assert (result[:20] == 90).all() and abs(int(result[64, 64, 0]) - 90) < 12
