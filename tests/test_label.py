"""Targets for learning: shards are complete or absent, a kill costs nothing that was done, training reads what is there."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from likeness.assets import builtin, correspondence
from likeness.data import targets
from likeness.data.folder import read_set, splits
from likeness.errors import AssetError, NoFaceError, PhotoError
from likeness.fit.landmarks.bases import builtin_bases
from likeness.fit.landmarks.label import Given, Labelled, Measured, label
from likeness.fit.landmarks.solver import FitConfig
from likeness.geometry import cameras
from likeness.geometry.rotation import from_euler
from likeness.types import Landmarks, View

QUICK = FitConfig(steps=3)
COUNT = 11


@pytest.fixture(scope="module")
def bases():
    return builtin_bases(builtin.load(), correspondence.read())


@pytest.fixture(scope="module")
def truth(bases):
    """Landmarks (COUNT, 478, 3) px of random faces in pictures of 256 x 200, z in pixels, smaller nearer."""
    random = np.random.default_rng(0)
    identity = random.standard_normal((COUNT, 100))
    rotation = from_euler(*(random.uniform(-0.3, 0.3, COUNT) for _ in range(3)))
    view = View(
        rotation,
        np.tile([0.0, 0, -900], (COUNT, 1)),
        np.full(COUNT, 600.0),
        np.full((COUNT, 2), [128.0, 100]),
        (200, 256),
    )
    shape = bases.mean + np.tensordot(identity, bases.identity, 1)
    depth = -(cameras.to_camera(shape, view)[..., 2:] + 900) * 600 / 900
    return np.concatenate([cameras.project(shape, view), depth], -1).astype(np.float32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory, truth):
    """A folder of photos with landmarks beside it: number 4 is damaged, 6 empty, 7 has no finite landmarks, 99 none."""
    folder = tmp_path_factory.mktemp("photos") / "few"
    folder.mkdir()
    names = [f"{i:05}.jpg" for i in range(COUNT)]
    for i, name in enumerate(names):
        Image.new("RGB", (256, 200), (i, 0, 0)).save(folder / name, quality=100)
    Image.new("RGB", (256, 200)).save(folder / "00099.jpg")
    (folder / names[4]).write_bytes((folder / names[5]).read_bytes()[:300])
    (folder / names[6]).write_bytes(b"")
    points = truth.copy()
    points[7, 3] = np.nan
    np.savez(
        folder.with_name("few.landmarks478.npz"), name=names, points=points.astype(np.float16), not_found=["00099.jpg"]
    )
    return folder


UNUSABLE = {"00004.jpg", "00006.jpg", "00007.jpg", "00099.jpg"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, photos, bases):
    output = tmp_path_factory.mktemp("undisturbed")
    assert label(Given(photos), output, bases, QUICK, size=3).new == COUNT + 1
    return output


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_the_faces_and_the_list_says_what_they_lack(undisturbed, truth):
    shards = targets.read_shards(undisturbed, tuple(targets.FIELDS))
    assert len(_contents(undisturbed)) == 4 + 2 and targets.read_index(undisturbed).photos == COUNT + 1
    assert shards["name"].tolist() == [f"{i:05}.jpg" for i in (0, 1, 2, 3, 5, 8, 9, 10)] and shards["ok"].all()
    assert (shards["size"] == [200, 256]).all() and shards["error"].max() < 0.03
    np.testing.assert_allclose(shards["points"][4], truth[5], atol=0.1)
    lines = dict(line.split("\t") for line in (undisturbed / "skipped.txt").read_text().splitlines())
    assert lines.keys() == UNUSABLE
    assert lines["00099.jpg"] == "no face was found by the landmark detector" and "damaged" in lines["00004.jpg"]
    assert "empty" in lines["00006.jpg"] and "not finite" in lines["00007.jpg"]


KILLED = """
import os, signal, sys
from pathlib import Path
from likeness.assets import builtin, correspondence
from likeness.fit.landmarks.bases import builtin_bases
from likeness.fit.landmarks.label import Given, label
from likeness.fit.landmarks.solver import FitConfig
import torch
torch.set_num_threads(int(sys.argv[4]))
replace, left = os.replace, [int(sys.argv[3])]
def killing(*names):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
os.replace = killing
label(Given(Path(sys.argv[1])), Path(sys.argv[2]), builtin_bases(builtin.load(), correspondence.read()), FitConfig(steps=3), size=3)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("writes", [1, 2, 4])
def test_a_killed_run_resumes_to_the_same_bytes_and_repeats_nothing(writes, tmp_path, photos, bases, undisturbed):
    command = [sys.executable, "-c", KILLED, str(photos), str(tmp_path), str(writes), str(torch.get_num_threads())]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    done = {name: (tmp_path / name).stat().st_mtime_ns for name in _contents(tmp_path) if name.endswith(".npz")}
    assert len(done) == max(0, writes - 2)  # the first write is the index's, and the last was killed
    assert any(name.endswith(".part") for name in _contents(tmp_path))
    if done:
        assert len(targets.read_shards(tmp_path, ("name",))["name"]) == 5, "what is done can be read"
    again = label(Given(photos), tmp_path, bases, QUICK, size=3)
    assert again.known == 3 * len(done) and again.new == COUNT + 1 - again.known
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in done} == done
    assert _contents(tmp_path) == _contents(undisturbed)
    assert {name for name, _ in again.skipped} == UNUSABLE, "of the killed run, too"


def test_nothing_is_done_twice_and_new_photos_get_shards_of_their_own(tmp_path, truth, bases):
    folder, seen = tmp_path / "photos", []
    (folder / "below").mkdir(parents=True)

    def add(*numbers):
        for i in numbers:
            Image.new("RGB", (256, 200), (10 * i, 0, 0)).save(folder / "below" / f"photo {i}.png")

    def look(image):
        seen.append(int(image[0, 0, 0]) // 10)
        if seen[-1] == 2:
            raise NoFaceError("no face was found")
        return Landmarks(truth[seen[-1], :, :2], np.full(478, 0.5, np.float32))

    def run():
        return label(Measured(folder, look, "toy"), tmp_path / "out", bases, QUICK, size=2)

    add(1, 2, 3)
    assert run() == Labelled(3, 0, [("below/photo 2.png", "no face was found")]) and seen == [1, 2, 3]
    assert run().new == 0 and len(seen) == 3
    before = _contents(tmp_path / "out")
    add(0, 4)
    assert run() == Labelled(2, 3, [("below/photo 2.png", "no face was found")]) and seen[3:] == [0, 4]
    after = _contents(tmp_path / "out")
    assert {name for name in after if before.get(name) != after[name]} == {"index.json", "00002.npz"}
    rows = targets.read_shards(tmp_path / "out", ("name", "sigma", "points", "ok"))
    assert rows["name"].tolist() == [f"below/photo {i}.png" for i in (1, 3, 0, 4)] and rows["ok"].all()
    assert (rows["sigma"] == 0.5).all()
    np.testing.assert_allclose(
        rows["points"][0, :, 2], truth[1, :, 2] - truth[1, :, 2].mean() + rows["points"][0, :, 2].mean(), atol=8
    )
    # training reads a folder that has no landmarks beside it
    chosen = read_set(tmp_path, "photos", "train", _renamed(tmp_path))
    numbers = [i for i in (1, 3, 0, 4) if f"below/photo {i}.png" in chosen.files]
    assert 0 < len(numbers) and chosen.targets["known"].all()
    np.testing.assert_array_equal(chosen.points[0], rows["points"][[1, 3, 0, 4].index(numbers[0])])


def _renamed(folder: Path) -> Path:
    (folder / "targets").mkdir()
    (folder / "out").rename(folder / "targets" / "photos")
    return folder / "targets"


def test_photos_of_which_none_can_be_fitted_are_done_all_the_same(tmp_path, bases):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")

    def blind(image):
        raise PhotoError("nothing to see")

    for expected in (1, 0):
        done = label(Measured(tmp_path, blind, "blind"), tmp_path / "out", bases, QUICK)
        assert done.new == expected and done.skipped == [("a.png", "nothing to see")]
    rows = targets.read_shards(tmp_path / "out", tuple(targets.FIELDS))
    assert rows["points"].shape == (0, 478, 3) and rows["ok"].dtype == bool


def test_threads_change_nothing(tmp_path, photos, bases, undisturbed):
    label(Given(photos), tmp_path, bases, QUICK, size=3, threads=3)
    assert _contents(tmp_path) == _contents(undisturbed)


def test_other_settings_and_damaged_files_are_refused(tmp_path, photos, bases):
    label(Given(photos), tmp_path, bases, QUICK, size=6)
    with pytest.raises(AssetError, match="choose another folder"):
        label(Given(photos), tmp_path, bases, FitConfig(steps=4))
    shard = tmp_path / "00001.npz"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(AssetError, match="00001.npz: not a shard"):
        targets.read_shards(tmp_path, ("name",))
    shard.unlink()
    assert label(Given(photos), tmp_path, bases, QUICK).new == 6
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(AssetError, match="not an index"):
        label(Given(photos), tmp_path, bases, QUICK)
    with pytest.raises(AssetError, match="no targets"):
        targets.read_shards(tmp_path / "none", ("name",))
    targets.write_index(tmp_path / "begun", targets.Index({}, (("a.jpg",),)))
    with pytest.raises(AssetError, match="no shard of targets is finished"):
        targets.read_shards(tmp_path / "begun", ("name",))
    for make in (
        lambda: Measured(tmp_path / "none", None, ""),
        lambda: Measured(tmp_path / "begun", None, ""),
        lambda: Given(tmp_path),
    ):
        with pytest.raises(AssetError):
            make()


def test_names_without_numbers_are_split_by_what_they_are(tmp_path):
    names = [f"{word}{i}x.jpg" for word in ("one", "two", "three") for i in range(200)]
    first = splits(tmp_path, names, "any")
    assert (splits(tmp_path, names[::-1], "any")[::-1] == first).all()
    assert 0.06 < (first == "test").mean() < 0.14 and 0.06 < (first == "validation").mean() < 0.14
    assert splits(tmp_path, ["a/00010.jpg", "00015.png", "7.jpg"], "any").tolist() == ["test", "validation", "train"]


def test_the_command_labels_what_it_is_given_and_says_what_it_skipped(tmp_path, photos, monkeypatch, capsys):
    from likeness.cli.landmarks import Label
    from likeness.cli.landmarks import label as run
    from likeness.errors import UsageError

    monkeypatch.delenv("LIKENESS_DATA", raising=False)
    run(Label((photos,), tmp_path, shard=8))
    said = capsys.readouterr().out
    assert "few: 12 done now, 0 before; 4 have no fit" in said and "00099.jpg: no face was found" in said
    index = json.loads((tmp_path / "few/index.json").read_text())
    assert index["made"]["landmarks"] == "given" and [len(shard) for shard in index["shards"]] == [8, 4]
    for folders in ((), (photos, tmp_path / "few")):
        with pytest.raises(UsageError):
            run(Label(folders, tmp_path))


def test_any_folder_is_measured_by_finder_and_network(tmp_path, truth, monkeypatch):
    from likeness.cli import landmarks as command
    from likeness.photos.detect import Detection
    from likeness.runtime import detect
    from likeness.runtime import landmarks as runtime

    faces = [Detection((0, 0, 50, 50), 0.0, 0.9), Detection((60, 60, 90, 90), 0.0, 0.5)]
    measured = Landmarks(truth[0, :, :2], np.ones(478, np.float32))
    (tmp_path / "points.onnx").write_bytes(b"a network")
    monkeypatch.setattr(detect, "find_faces", lambda image: faces if image.any() else [])
    monkeypatch.setattr(runtime, "Landmarker", lambda path: lambda image, face: measured if face is faces[0] else None)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    source = command.source(tmp_path, tmp_path / "points.onnx")
    assert source.names == ["a.png"] and source.kind.startswith("measured by ")
    assert source.landmarks("a.png", np.ones((64, 64, 3), np.uint8)) is measured
    with pytest.raises(NoFaceError):
        source.landmarks("a.png", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "points.onnx").write_bytes(b"another network")
    assert command.source(tmp_path, tmp_path / "points.onnx").kind != source.kind
