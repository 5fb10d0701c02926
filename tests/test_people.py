"""`likeness train people`, on photos that were drawn: what is unwrapped from them, and which pictures come out."""

import cv2
import numpy as np
import pytest

from likeness import color
from likeness.assets import albedo, builtin
from likeness.cli import people as command
from likeness.cli.people import People, people
from likeness.data import casting, identities
from likeness.data.targets import Index, write_index, write_shard
from likeness.fit.albedo import delight
from likeness.fit.albedo.charts import Charts
from likeness.fit.albedo.portraits import Painter
from likeness.geometry import cameras

SIZE = 64


@pytest.fixture(scope="module")
def painter():
    return Painter.of(albedo.load(), builtin.load(), np.zeros(51), SIZE)


def charts_of(codes, painter):
    """Faces with these albedo codes, in light from one side, as a photo shows them that shows everything."""
    light = np.zeros((9, 3))
    light[0], light[3] = 0.8 / 0.282, 0.8
    shade, _ = delight.shade(painter.face, painter.face.rows(painter.face.normals), light)
    shade = 0.8 * shade
    maps = [
        color.linear_from_srgb(np.clip(painter.mean + np.tensordot(code, painter.modes, 1), 0, 1)) for code in codes
    ]
    colours = np.stack([color.encode(np.clip(found * shade, 0, 1)) for found in maps])
    count = len(codes)
    trust = np.full((count, SIZE, SIZE), 255, np.uint8)
    turned = np.repeat(painter.face.normals[None], count, 0)
    return Charts(colours, trust, turned, np.arange(count).astype(str)), np.stack(maps)


def test_albedo_comes_back_from_lit_charts_and_so_does_who_is_who(painter):
    codes = np.random.default_rng(0).standard_normal((6, 60)).astype(np.float32) * 0.8
    charts, true = charts_of(codes, painter)
    rows, found, maps = painter(charts)
    assert rows.tolist() == list(range(6)) and maps.shape == (6, SIZE, SIZE, 3)
    bare = painter.zones.bare
    shares = []
    for k in range(6):
        everybody = color.linear_from_srgb(painter.mean)
        mine, wanted, mean = (
            values[bare] / np.median(values[bare], 0) for values in (color.decode(maps[k]), true[k], everybody)
        )
        shares.append(np.abs(mine - wanted).mean() / np.abs(mean - wanted).mean())
    assert np.mean(shares) < 0.7  # nearer than the mean face is
    # the last modes: tone and tint, which come first, are told from the light by convention
    alike = np.corrcoef(found[:, 3:30], codes[:, 3:30])[:6, 6:]
    assert (alike.argmax(1) == np.arange(6)).all()


def test_photos_that_show_no_skin_are_left_out(painter):
    charts, _ = charts_of(np.zeros((2, 60), np.float32), painter)
    charts.colours[1] = np.random.default_rng(0).integers(0, 255, charts.colours[1].shape)
    assert painter(charts)[0].tolist() == [0]
    charts.colours[0] = 0
    assert len(painter(charts.take(np.array([0])))[0]) == 0


def drawn_photos(root, count=3):
    """A data folder with a set "toy" of renders, whose codes and cameras are the targets."""
    model, random, rows = builtin.load(), np.random.default_rng(2), []
    cast = casting.Casting(model, albedo.load(), np.zeros((1, 51)), [])
    dense = model.topology("base").landmarks["dense"]
    (root / "photos/toy").mkdir(parents=True)
    for i in range(count):
        part = casting.Part(
            random.standard_normal(100) * 0.7, random.standard_normal(60) * 0.5, expression=np.zeros(51)
        )
        view = cast.view(part.identity, np.random.default_rng(7 + i))
        cast.view = lambda identity, random, view=view: view
        image = cast.draw([part], random)[0]
        del cast.view
        cv2.imwrite(str(root / f"photos/toy/{i + 1:05d}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        points = dense.points(model.decode(part.identity, np.zeros(51)))
        places = np.concatenate([cameras.project(points, view), points[:, 2:]], 1)
        rows.append({
            "name": f"{i + 1:05d}.jpg", "identity": part.identity, "expression": np.zeros(51), "rotation": view.rotation,
            "translation": view.translation, "focal": view.focal, "principal": view.principal, "size": (128, 128),
            "points": places, "sigma": np.zeros(478), "error": 0.0, "trusts": np.ones(478), "ok": True,
        })  # fmt: skip
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    np.savez(
        root / "photos/toy.landmarks478.npz",
        name=columns["name"],
        points=columns["points"],
        not_found=np.array([], str),
    )
    write_index(root / "targets/toy", Index({}, (tuple(columns["name"].tolist()),)))
    write_shard(Index.shard(root / "targets/toy", 0), columns, [])
    return root


def test_each_photo_stands_beside_renders_of_itself_and_nothing_is_drawn_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SURROUNDINGS", 2)
    root = drawn_photos(tmp_path)
    config = People(root / "out", root / "targets", root, ("toy",), own=2, model=1, made_up=4, shots=2)
    people(config)
    shard = root / "out/train/toy-00000.npz"
    album = identities.read([shard])
    kinds = [album.kinds[album.people == person].tolist() for person in range(3)]
    photo = [identities.PHOTO]
    assert all(kind in (photo, photo + [identities.OWN] * 2 + [identities.MODEL]) for kind in kinds)
    assert sum(len(kind) for kind in kinds) >= 3 + 2 * 3
    for place in np.flatnonzero(album.kinds == identities.PHOTO):
        assert (album.outlines[place] > 0).all() and album.picture(int(place)).std() > 5
        drawn = album.codes[album.people == album.people[place]]
        assert (drawn == drawn[:1]).all() or np.isnan(drawn).all()  # of its fit, in photo and renders
    np.testing.assert_allclose(album.codes[0, :100], 0.7 * np.random.default_rng(2).standard_normal(100), atol=2e-3)
    made = identities.read([root / "out/train/made-up-00000.npz"])
    assert made.codes.shape == (8, 160) and np.isfinite(made.codes).all()
    assert (made.codes[0, :100] == made.codes[2, :100]).all() and (
        made.codes[0, 100:] == made.codes[4, 100:]
    ).all()  # fours
    assert np.bincount(made.people).tolist() == [2] * 4 and (made.kinds == identities.MODEL).all()
    before = shard.stat().st_mtime_ns
    people(config)
    assert shard.stat().st_mtime_ns == before


def test_made_up_people_need_no_photos(tmp_path):
    config = People(tmp_path / "out", tmp_path, tmp_path, (), made_up=4, shots=1)
    people(config)
    first = (tmp_path / "out/train/made-up-00000.npz").read_bytes()
    assert len(identities.read([tmp_path / "out/train/made-up-00000.npz"])) == 4
    (tmp_path / "out/train/made-up-00000.npz").unlink()
    people(config)
    again = identities.read([tmp_path / "out/train/made-up-00000.npz"])
    (tmp_path / "first.npz").write_bytes(first)
    assert (again.pictures == identities.read([tmp_path / "first.npz"]).pictures).all()
