"""A clip's movement on another face: gains, lids and lips that close, files of ours and of other programs, the command."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from test_gltf import parse, report, sheet
from test_gltf_motion import CAMERA, movement
from test_motion import example

from likeness.assets import builtin
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.person import Person
from likeness.assets.person import to_bytes as person_bytes
from likeness.cli.retarget import Retarget, openings_in, retarget
from likeness.edit.openings import EYE_LEFT, MOUTH, Openings
from likeness.edit.retarget import closing, gained, retargeted
from likeness.errors import AssetError, OutputError, UsageError
from likeness.export import gltf, motion
from likeness.export.asset import from_builtin
from likeness.export.glb import Glb, animated

MODEL = builtin.load()
ROW = {name: row for row, name in enumerate(EXPRESSIONS)}


def weights(frames=1, **values):
    result = np.zeros((frames, 51))
    for name, value in values.items():
        result[:, ROW[name]] = value
    return result


def person(seed, size=1.0):
    identity = (size * np.random.default_rng(seed).standard_normal(100)).astype(np.float32)
    return identity, Openings.of(MODEL.mean + np.tensordot(identity, MODEL.identity, 1), MODEL.expression, MODEL.layout)


def extremes(opening):
    """The people of a few with the smallest and the largest opening at rest."""
    people = [person(seed)[1] for seed in range(12)]
    order = np.argsort([one.at(opening, weights())[0] for one in people])
    return people[order[0]], people[order[-1]]


def test_gains_are_by_name_or_its_beginning_and_stay_in_range():
    given = weights(
        browInnerUp=0.5, browDownLeft=0.2, mouthSmileLeft=0.6, mouthSmileRight=0.1, jawOpen=0.4, mouthClose=0.3
    )
    found = gained(given, {"brow": 1.5, "browInnerUp": 0.5, "mouthSmile": 2, "jawOpen": 0.5})
    expected = given.copy()
    for name, value in dict(
        browInnerUp=0.25, browDownLeft=0.3, mouthSmileLeft=1, mouthSmileRight=0.2, jawOpen=0.2, mouthClose=0.2
    ).items():
        expected[:, ROW[name]] = value
    np.testing.assert_allclose(found, expected)
    for wrong in ({"smile": 1.0}, {"jawOpen": -1.0}, {"jawOpen": float("nan")}):
        with pytest.raises(UsageError):
            gained(given, wrong)


def test_openings_are_those_of_the_face():
    face = Openings.of(MODEL.mean, MODEL.expression, MODEL.layout)
    assert 7 < face.at(EYE_LEFT, weights())[0] < 10 and abs(face.at(MOUTH, weights())[0]) < 1.5
    assert abs(face.at(EYE_LEFT, weights(eyeBlinkLeft=1))[0]) < 0.5 < 7 < face.at(EYE_LEFT, weights(eyeBlinkRight=1))[0]
    assert face.at(MOUTH, weights(jawOpen=0.5))[0] > 10
    fine = Openings.of(MODEL.refine(MODEL.mean), MODEL.refine(MODEL.expression), MODEL.layout, "dense")
    for e in (weights(), weights(eyeBlinkLeft=0.5, jawOpen=0.3)):
        for opening in range(3):
            assert abs(fine.at(opening, e)[0] - face.at(opening, e)[0]) < 0.4


def test_lids_are_open_by_the_same_share():
    narrow, wide = extremes(EYE_LEFT)
    blink = np.linspace(0, 0.8, 9)
    given = np.concatenate([weights(eyeBlinkLeft=w, eyeSquintLeft=0.1, jawOpen=0.1) for w in blink])
    found = closing(given, narrow, wide)
    share = [
        np.maximum(face.at(EYE_LEFT, e) / face.at(EYE_LEFT, weights()), 0)
        for face, e in ((narrow, given), (wide, found))
    ]
    plain = wide.at(EYE_LEFT, given) / wide.at(EYE_LEFT, weights())
    reached = found[:, ROW["eyeBlinkLeft"]] < 0.999
    np.testing.assert_allclose(share[1][reached], share[0][reached], atol=1e-3)
    assert reached.sum() >= 5 and np.abs(plain - share[0]).max() > 0.15
    other = [row for row in range(51) if row not in (ROW["eyeBlinkLeft"], ROW["eyeBlinkRight"], ROW["mouthClose"])]
    np.testing.assert_array_equal(found[:, other], given[:, other])


def test_lips_that_touch_touch_on_a_face_that_moves_otherwise():
    _, source = person(3, 0.5)
    more = np.where(np.arange(51) == ROW["jawOpen"], 1.1, 1)[:, None, None, None]
    stronger = replace(source, change=tuple(c * more for c in source.change))
    jaw = np.linspace(0.1, 0.6, 6)
    for face in (source, stronger):
        given = np.concatenate([weights(jawOpen=j, mouthClose=0.85 * j) for j in jaw])
        found = closing(given, source, face)
        beyond = source.at(MOUTH, given) - source.at(MOUTH, weights())
        assert np.abs(beyond).max() < 1.5  # they touch, nearly
        after = face.at(MOUTH, found) - face.at(MOUTH, weights())
        touching = 1 - np.clip(beyond / 2, 0, 1)
        before = face.at(MOUTH, given) - face.at(MOUTH, weights())
        np.testing.assert_allclose(after, beyond + (1 - touching) * (before - beyond), atol=0.1)
        assert (found[:, ROW["mouthClose"]] <= found[:, ROW["jawOpen"]] + 1e-9).all()
    wide_open = weights(jawOpen=0.6)
    np.testing.assert_allclose(closing(wide_open, source, stronger)[:, ROW["mouthClose"]], 0)


def test_the_same_person_moves_the_same():
    _, face = person(1)
    given = np.random.default_rng(0).uniform(0, 0.6, (20, 51))
    given[:, ROW["mouthClose"]] = 0.5 * given[:, ROW["jawOpen"]]
    np.testing.assert_allclose(closing(given, face, face), given, atol=1e-3)


def test_a_still_head_looks_at_the_camera_and_lost_frames_stay_lost():
    source = example()
    _, narrow = person(0)
    _, wide = person(5)
    moved = retargeted(source, narrow, wide, head=False)
    lost = source.state == motion.LOST
    assert np.isnan(moved.rotation[lost]).all() and np.isnan(moved.expression[lost]).all()
    np.testing.assert_array_equal(moved.rotation[~lost], np.broadcast_to(np.eye(3), (int((~lost).sum()), 3, 3)))
    assert np.ptp(moved.translation[~lost], 0).max() == 0 and moved.albedo is None and not np.isfinite(moved.box).any()
    back = motion.from_bytes(motion.to_bytes(moved))
    np.testing.assert_allclose(back.expression, moved.expression, atol=1e-4)


def test_a_file_of_ours_gets_movement_and_keeps_the_rest(tmp_path):
    face = sheet()
    plain = gltf.to_bytes(face)
    entry = movement()
    moved = animated(Glb.of(plain), [entry], CAMERA, ["a clip's licence"])
    assert report(moved, tmp_path)["issues"]["numErrors"] == 0
    document, _ = parse(plain)
    after, read = parse(moved)
    same = gltf.to_bytes(face, [entry], CAMERA)
    expected, read_expected = parse(same)
    assert (
        after["meshes"] == document["meshes"]
        and after["materials"] == document["materials"]
        and after["nodes"] == expected["nodes"]
    )
    for mine, theirs in zip(after["animations"][0]["samplers"], expected["animations"][0]["samplers"], strict=True):
        np.testing.assert_array_equal(
            _wide(after, read, mine["output"]), _wide(expected, read_expected, theirs["output"])
        )
    assert after["asset"]["extras"]["notices"][-1] == "a clip's licence"
    again, _ = parse(animated(Glb.of(moved), [entry], None))
    assert len(again["animations"]) == 1 and "cameras" not in again and len(again["nodes"]) == 3


def _wide(document, read, index):
    entry = document["accessors"][index]
    if entry["type"] == "VEC4":
        document["accessors"].append(dict(entry, type="SCALAR", count=4 * entry["count"]))
        index = len(document["accessors"]) - 1
    return read(index)


def foreign(names, nodes, skins=()):
    """A file as other programs write it: several meshes, nodes of their own, names spelled otherwise."""
    data = gltf.to_bytes(replace(sheet(level_names=EXPRESSIONS[: len(names)]), target_names=names))
    document, _ = parse(data)
    document["meshes"].append(document["meshes"][0])
    document |= {"nodes": nodes, "scenes": [{"nodes": [0]}]} | ({"skins": list(skins)} if skins else {})
    size = struct.unpack_from("<I", data, 12)[0]
    return gltf.container(document, bytearray(data[28 + size :]))


def test_other_programs_files_move_by_names_however_spelled(tmp_path):
    names = ("jawOpen", "EyeBlinkLeft", "mouthSmile_R", "head.eyeBlink_R", "bigNose", "browInnerUp_L")
    data = foreign(names, [{"children": [1, 2]}, {"mesh": 0, "name": "skin"}, {"mesh": 1, "name": "teeth"}])
    glb = Glb.of(data)
    rows = [ROW["jawOpen"], ROW["eyeBlinkLeft"], ROW["mouthSmileRight"], ROW["eyeBlinkRight"], -1, ROW["browInnerUp"]]
    assert glb.faces() == {1: rows, 2: rows} and not glb.can_turn()
    entry = movement()
    document, read = parse(animated(glb, [entry]))
    assert document["nodes"] == [{"children": [1, 2]}, {"mesh": 0, "name": "skin"}, {"mesh": 1, "name": "teeth"}]
    for channel in document["animations"][0]["channels"]:
        assert channel["target"]["path"] == "weights"
        found = read(document["animations"][0]["samplers"][channel["sampler"]]["output"]).reshape(-1, 6)
        np.testing.assert_allclose(
            found[:, [0, 1, 2, 3, 5]], entry.weights[:, [row for row in rows if row >= 0]], atol=1e-6
        )
        assert np.ptp(found[:, 4]) == 0
    assert report(animated(glb, [entry]), tmp_path)["issues"]["numErrors"] == 0


def test_what_is_no_face_is_refused():
    good = gltf.to_bytes(sheet())
    for data in (b"", b"PK" + good, good[:200], good[:15] + b"x" + good[16:]):
        with pytest.raises(AssetError):
            Glb.of(data)
    with pytest.raises(AssetError, match="Apple"):
        animated(Glb.of(foreign(("a", "b"), [{"mesh": 0}])), [movement()])
    glb = Glb.of(good)
    glb.document["bufferViews"][0]["byteLength"] = glb.document["bufferViews"][0]["byteOffset"] = 10**9
    with pytest.raises(AssetError, match="accessor"):
        glb.numbers(0)


@pytest.fixture
def places(tmp_path):
    """A folder of a clip's result, one of a photo's, and a personal face model."""
    clip, photo = tmp_path / "clip", tmp_path / "photo" / "face-1"
    clip.mkdir()
    photo.mkdir(parents=True)
    source = replace(example(), identity=person(0)[0])
    (clip / "motion.json").write_bytes(motion.to_bytes(source))
    (photo / "face.glb").write_bytes(gltf.to_bytes(from_builtin(MODEL, person(5)[0], np.zeros(51), "base")))
    someone = Person("Ada", person(5)[0], np.zeros_like(MODEL.mean), 0.1 * MODEL.expression, licence="Ada's")
    (tmp_path / "ada.safetensors").write_bytes(person_bytes(someone, MODEL))
    return source, clip, photo.parent, tmp_path / "ada.safetensors", tmp_path


def test_the_command(places, capsys):
    source, clip, photo, ada, folder = places
    for onto, name in ((photo, "a.glb"), (ada, "b.glb")):
        assert retarget(Retarget(clip, onto, folder / name, level="base")) == 0
        document, read = parse((folder / name).read_bytes())
        assert [entry["name"] for entry in document["animations"]] == ["ein Film 1", "ein Film 2"]
        channels = {c["target"]["path"]: c["sampler"] for c in document["animations"][0]["channels"]}
        found = read(document["animations"][0]["samplers"][channels["weights"]]["output"]).reshape(-1, 51)
        changed = np.abs(found - source.expression[:3]).max(0) > 1e-3
        assert changed[ROW["eyeBlinkLeft"]] and {EXPRESSIONS[i] for i in np.flatnonzero(changed)} <= {
            "eyeBlinkLeft", "eyeBlinkRight", "mouthClose"
        }  # fmt: skip
    assert retarget(Retarget(clip / "motion.json", photo, folder / "c.csv", gain={"jaw": 0.0}, head=False)) == 0
    rows = (folder / "c.csv").read_text().splitlines()
    assert float(rows[1].split(",")[2 + motion.LIVE_LINK.index("JawOpen")]) == 0 and len(rows) == 1 + len(source.times)
    with pytest.raises(OutputError):
        retarget(Retarget(clip, photo, folder / "a.glb"))
    for motion_of, onto in ((photo, photo), (clip, clip), (clip, folder / "x")):
        with pytest.raises(AssetError):
            retarget(Retarget(motion_of, onto, folder / "d.glb"))
    with pytest.raises(UsageError):
        retarget(Retarget(clip, photo, folder / "d.obj"))
    assert not (folder / "d.glb").exists() and "9 frames" in capsys.readouterr().out


def test_openings_are_read_from_a_file():
    identity, face = person(5)
    glb = Glb.of(gltf.to_bytes(from_builtin(MODEL, identity, np.zeros(51), "base")))
    found = openings_in(glb, MODEL)
    for opening in range(3):
        for e in (weights(), weights(eyeBlinkLeft=0.7, jawOpen=0.3)):
            assert abs(found.at(opening, e)[0] - face.at(opening, e)[0]) < 0.05
    assert openings_in(Glb.of(gltf.to_bytes(sheet())), MODEL) is None
    assert json.dumps(glb.document)  # still what it was
