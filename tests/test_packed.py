"""Photos in WebDataset shards: packed as they are, read as those in memory are, and each process its own."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tones import places, run

from likeness.cli import genova2018
from likeness.cli.genova2018 import Genova2018
from likeness.cli.main import main, said
from likeness.cli.pack import files, made_from
from likeness.cli.tewari2018 import Tewari2018, look
from likeness.data import packed, shards, targets
from likeness.data.folder import Listing, Photos, read_set
from likeness.data.landmarked import LandmarkedCrops, believed
from likeness.data.packed import PackedCrops, pack
from likeness.errors import AssetError
from likeness.geometry.rotation import from_euler
from likeness.train import checkpoint
from likeness.train.processes import shares
from likeness.train.settings import Settings

COUNTS = {"stylegan": 7, "own": 12}


def seen(yaw):
    """Landmarks (478, 3) of the mean head, turned, in pixels of a photo of 128 px."""
    turned = places() @ from_euler(np.float64(yaw), np.float64(0), np.float64(0)).T
    return np.float32(0.55 * turned * [1, -1, -1] + [64, 70, 0])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two sets of photos with landmarks, all for training; one is a PNG."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, count in COUNTS.items():
        (root / name).mkdir()
        named = [f"{10 * i + 1}.{'png' if i == 3 else 'jpg'}" for i in range(count)]
        for file in named:
            cv2.imwrite(str(root / name / file), cv2.resize(random.integers(0, 255, (8, 8, 3), np.uint8), (128, 128)))
        points = np.stack([seen(yaw) for yaw in random.uniform(-0.7, 0.7, count)])
        np.savez(root / f"{name}.landmarks478.npz", name=named, points=points)
    return root


@pytest.fixture(scope="module")
def listings(root):
    return [read_set(root, name, "train") for name in COUNTS]


@pytest.fixture(scope="module")
def folder(listings, tmp_path_factory):
    """19 photos in 4 shards."""
    folder = tmp_path_factory.mktemp("shards")
    assert list(pack(listings, folder, 5)) == [4] * 4
    return folder


def members(path):
    """Contents of a tar file by name, read by Python alone."""
    with tarfile.open(path) as file:
        return {member.name: file.extractfile(member).read() for member in file}


def test_photos_and_points_come_out_as_they_went_in(root, listings, folder):
    found, sizes = {}, []
    for path in sorted(folder.glob("*.tar")):
        content = members(path)
        keys = list(dict.fromkeys(name.partition(".")[0] for name in content))
        sizes.append(len(keys))
        assert [name.partition(".")[0] for name in content] == [
            key for key in keys for _ in range(3)
        ]  # lie side by side
        assert len({key.partition("/")[0] for key in keys}) == 2  # all sets in every shard
        for key in keys:
            file = json.loads(content[f"{key}.json"])["file"]
            assert content[key + Path(file).suffix] == (root / file).read_bytes()
            found[file] = np.load(io.BytesIO(content[f"{key}.npy"]))
    assert sizes == [5, 5, 5, 4] and len(found) == sum(COUNTS.values())
    for listing in listings:
        for file, points in zip(listing.files, listing.points):
            np.testing.assert_array_equal(found[f"{listing.name}/{file}"], points)


def test_a_run_that_was_killed_is_gone_on_with(listings, folder, tmp_path):
    steps = pack(listings, tmp_path, 5)
    assert next(steps) == next(steps) == 4
    steps.close()
    (tmp_path / "000002.tar.part").write_bytes(b"half")
    before = (tmp_path / "000001.tar").stat().st_mtime_ns
    assert len(list(pack(listings, tmp_path, 5))) == 4 and (tmp_path / "000001.tar").stat().st_mtime_ns == before
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_shards_of_other_photos_are_not_mixed_with_those_that_are_there(listings, folder, tmp_path):
    moved = replace(listings[0], points=listings[0].points + 1)
    for others, size in ((listings[:1], 5), ([moved, listings[1]], 5), (listings, 6)):
        with pytest.raises(AssetError, match="holds shards of other photos, landmarks or size"):
            list(pack(others, folder, size))
    shards.write(tmp_path / "mine.tar", [])
    with pytest.raises(AssetError, match="holds shards of other photos"):
        list(pack(listings, tmp_path, 5))


def test_items_are_those_of_the_same_photos_in_memory(listings, folder):
    order = [json.loads(content)["file"] for path in sorted(folder.glob("*.tar"))
             for name, content in members(path).items() if name.endswith(".json")]  # fmt: skip
    known = {
        f"{listing.name}/{file}": points for listing in listings for file, points in zip(listing.files, listing.points)
    }
    photos = Photos([Listing(listings[0].root, ".", order, np.stack([known[file] for file in order]))])
    photos.sets[:] = [list(COUNTS).index(file.partition("/")[0]) for file in order]
    kept = LandmarkedCrops(photos, list(COUNTS), 3, 40, believed(photos.points, places()))
    read = PackedCrops(files([str(folder)]), 3, 40, places())
    np.testing.assert_allclose(read.parts[0].chances, kept.chances, rtol=1e-12)
    for i in (7, 0, 21, 7):
        for key, value in kept[i].items():
            np.testing.assert_allclose(read[i][key], value, atol=1e-6)
    assert len(read) == 40


def test_a_part_of_a_batch_shows_photos_of_its_own_shards_alone(folder):
    """Whether one process has both parts, or each has one."""
    paths = files([str(folder / "*.tar")])
    both = PackedCrops(paths, 0, 40, places(), 2)
    numbers = [3, 17, 5, 30]
    whole = both.__getitems__(numbers)
    for part in (0, 1):
        alone = PackedCrops(paths, 0, 40, places(), 2, range(part, part + 1))
        assert {path for own in alone.parts for path in own.shards.paths} == set(paths[part::2])
        for item, again in zip(whole[2 * part :], alone.__getitems__(numbers[2 * part : 2 * part + 2])):
            assert all(np.array_equal(item[key], again[key]) for key in item)
        assert np.array_equal(alone[17]["image"], alone.__getitems__([17])[0]["image"])
    assert not np.array_equal(both.__getitems__([3, 3])[0]["image"], both.__getitems__([3, 3])[1]["image"])


def test_two_processes_open_disjoint_shards_and_do_what_one_does_that_cuts_its_batches_in_two(folder, tmp_path):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        named = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(place.getsockname()[1])}
    command = [sys.executable, "tones.py", str(folder), str(tmp_path / "two")]
    running = [
        subprocess.Popen(
            command, cwd=Path(__file__).parent, env=os.environ | {"OMP_NUM_THREADS": "1", "RANK": rank} | named,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    assert [json.loads(out) for out, _ in said] == [["000000.tar", "000002.tar"], ["000001.tar", "000003.tar"]]
    one = run(folder, tmp_path / "one", accumulate=2)
    a, b = (checkpoint.load(path)[0] for path in (one, tmp_path / "two" / one.name))
    assert a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=0, atol=1e-6) for k in a)
    rows = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("one", "two")]
    assert len(rows[0]) == 9 and [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]


@pytest.mark.parametrize("stop", [3, 4, 6])
def test_a_run_that_is_resumed_is_the_one_that_was_not_interrupted(folder, tmp_path, stop):
    whole = checkpoint.load(run(folder, tmp_path / "whole", accumulate=2))[0]
    run(folder, tmp_path / "resumed", stop, accumulate=2, workers=2)
    resumed = checkpoint.load(run(folder, tmp_path / "resumed", accumulate=2, workers=1))[0]
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_fewer_shards_than_parts_and_shards_without_photos_are_refused(folder, tmp_path):
    with pytest.raises(AssetError, match=r"4 shards for 5 parts of a batch \(processes x accumulate\)"):
        PackedCrops(files([str(folder)]), 0, 4, places(), 5)
    shards.write(tmp_path / "empty.tar", [])
    with pytest.raises(AssetError, match=r"empty\.tar: no photos in it"):
        PackedCrops([tmp_path / "empty.tar"], 0, 4, places())


def test_photos_without_usable_landmarks_are_refused(tmp_path):
    picture = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    missing, few = np.full((478, 3), np.nan, np.float32), np.zeros((68, 2), np.float32)
    for fields, what in (({}, r"has no points \(npy\); it has jpg"), ({"npy": shards.npy(few)}, r"points are of shape \(68, 2\)"),
                         ({"npy": shards.npy(missing)}, "points are not finite")):  # fmt: skip
        shards.write(tmp_path / "x.tar", [("a", {"jpg": picture} | fields)])
        with pytest.raises(AssetError, match=rf"x\.tar: sample a:? .*{what}"):
            PackedCrops([tmp_path / "x.tar"], 0, 4, places())


def test_each_process_of_genova2018_looks_at_its_own_shards(folder, tmp_path, monkeypatch):
    """With a stand-in for the look, which is tested where it is."""

    def looked(place, recogniser, listings, *rest, **more):
        return place, [(listing, i) for listing in listings for i in range(len(listing.files))]

    monkeypatch.setattr("likeness.data.observed.seen_photos", looked)
    monkeypatch.setattr("likeness.data.observed.seen_faces", lambda place, *rest, **more: place)
    monkeypatch.setenv("WORLD_SIZE", "2")
    config, names = Genova2018(shards=(str(folder),), output=tmp_path), []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        (place, photos), faces = genova2018.look(config, None, None, None)
        assert place == tmp_path / f"observed/photos-{rank}-of-2" and faces == tmp_path / "observed"
        assert {listing.path(i) for listing, i in photos} == set(sorted(folder.glob("*.tar"))[rank::2])
        for listing, i in photos:
            content = members(listing.path(i))
            key = listing.files[i].partition(" ")[0]
            assert key.partition("/")[0] == listing.name
            np.testing.assert_array_equal(np.load(io.BytesIO(content[f"{key}.npy"])), listing.points[i])
            image = next(value for name, value in content.items() if name in (f"{key}.jpg", f"{key}.png"))
            np.testing.assert_array_equal(
                cv2.imdecode(np.frombuffer(image, np.uint8), 1)[..., ::-1], listing.picture(i)
            )
            names.append(key)
    assert len(set(names)) == len(names) == 19


def command(*args):
    """Run a command; -> exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return ended.value.code


def test_the_command_packs_folders_and_tewari2018_reads_them(root, tmp_path, monkeypatch, capsys):
    assert command("train", "pack", root / "stylegan", root / "own", "-o", tmp_path / "a", "--shard-size", 5) == 0
    assert "19 photos in 4 shards; 0 left out" in capsys.readouterr().err.replace("\n", " ")
    config = Tewari2018(shards=(str(tmp_path / "a/*.tar"),), settings=Settings(batch=4))
    assert [len(part.shards) for part in look(config).parts] == [19]
    assert look(config)[0]["image"].shape == (128, 128, 3) and packed.sets_of(files(config.shards)) == [
        "own",
        "stylegan",
    ]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert shares(2) == (4, range(2, 4))
    assert [path.name for part in look(config).parts for path in part.shards.paths] == ["000001.tar", "000003.tar"]


def test_the_command_packs_what_was_labelled_and_says_what_it_leaves_out(root, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(1, 5):
        (folder / f"{i}.jpg").write_bytes((root / f"own/{i}1.jpg" if i != 3 else root / "own/31.png").read_bytes())
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:400])
    assert command("train", "pack", folder, "-o", tmp_path / "out") == 6
    assert "no landmarks, for there is no mine.landmarks478.npz beside it" in capsys.readouterr().err
    rows = {
        "name": ["1.jpg", "2.jpg", "3.jpg"],
        "points": np.stack([seen(0.1)] * 2 + [np.full((478, 3), np.nan)]),
        "ok": [True] * 3,
    }
    rows |= {key: np.zeros((3, *shape)) for key, (shape, _) in targets.FIELDS.items() if key not in rows}
    targets.write_index(tmp_path / "targets/mine", targets.Index({}, (("1.jpg", "2.jpg", "3.jpg", "4.jpg"),)))
    targets.write_shard(tmp_path / "targets/mine/00000.npz", rows, [("4.jpg", "no face was found")])
    assert command("train", "pack", folder, "-o", tmp_path / "out", "--targets", tmp_path / "targets") == 0
    told = capsys.readouterr().err
    assert "mine: 1 photos have no landmarks" in told and "2 left out" in told
    assert "mine/2.jpg" in told and "mine/3.jpg: its landmarks are not finite" in told
    assert [name.rpartition(".")[2] for name in members(tmp_path / "out/000000.tar")] == ["jpg", "npy", "json"]


def test_a_damaged_photo_takes_a_line_though_a_worker_met_it(tmp_path):
    shards.write(tmp_path / "x.tar", [("a", {"jpg": b"no picture", "npy": shards.npy(seen(0.0))})])
    data = PackedCrops([tmp_path / "x.tar"], 0, 4, places())
    with pytest.raises(AssetError) as met:
        list(torch.utils.data.DataLoader(data, 2, num_workers=1))
    assert "\n" in str(met.value)
    assert said(met.value) == f"{tmp_path / 'x.tar'}: sample a: its image cannot be read (no picture)"
    assert said(AssetError("a: b")) == "a: b"


def test_a_run_on_other_shards_is_another_run(listings, folder, tmp_path):
    fact = made_from((str(folder),), ("sfhq",))
    assert fact == made_from((str(folder / "*.tar"),), ()) and fact["shards"].startswith("4 (")
    list(pack(listings[:1], tmp_path, 2))
    assert len(files([str(tmp_path)])) == 4 and made_from((str(tmp_path),), ()) != fact
    assert made_from((), ("sfhq",)) == {"sets": ["sfhq"]}


@pytest.mark.parametrize(("args", "code", "what"), [
    (["pack", "none", "-o", "x"], 6, "none: no such folder"),
    (["pack", "a/own", "b/own", "-o", "x"], 2, "two of the folders have one name"),
    (["tewari2018", "--shards", "none/*.tar"], 6, "none/*.tar: no such shard"),
    (["genova2018", "--shards", "x.tar", "--data", "."], 2, "--shards are instead of photo sets"),
    (["tewari2018", "--shards", "x.tar", "--sets", "sfhq"], 2, "--shards are instead of photo sets"),
])  # fmt: skip
def test_bad_input_takes_a_line(args, code, what, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("train", *args) == code
    told = capsys.readouterr().err
    assert what in told and told.count("\n") == 1
