"""The command line: bad input ends in one line and the right code, batches go on, nothing heavy is imported in vain."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from likeness import errors
from likeness.cli import demo, inputs, main, models
from likeness.cli.reconstruct import Reconstruct, exit_code, reconstruct
from likeness.cli.sheet import Sheet, sheet

FACE_FILES = {"face.glb", "face.obj", "face.mtl", "face.jpg", "face.json", "overlay.png"}


@pytest.fixture(autouse=True)
def small_textures(monkeypatch):
    monkeypatch.setattr("likeness.runtime.reconstruct.TEXTURE_SIZE", 128)


@pytest.fixture
def shoot(photo, tmp_path):
    """Writes a photo with faces: `shoot("a.png", (x, y, side), ...)` -> its path."""

    def write(name, *faces, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(*faces, **options)).save(path)
        return path

    return write


@pytest.fixture
def go(toy_system, tmp_path, capsys):
    """Runs `likeness reconstruct` with the toy system -> (exit code, lines on stdout, lines on stderr)."""

    def run(*photos, system=toy_system, **options):
        config = Reconstruct(photos=tuple(photos), output=tmp_path / "out", **{"format": "json"} | options)
        try:
            code = reconstruct(config, system)
        except errors.LikenessError as error:
            main.complain(str(error))
            code = error.exit_code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def summary(tmp_path):
    return json.loads((tmp_path / "out" / "summary.json").read_text())


def test_a_photo_becomes_folders_of_files(shoot, go, tmp_path):
    code, out, err = go(shoot("Gruppe ü 'x'.png", (80, 100, 60), (220, 100, 80)), format="glb,obj,json,overlay")
    assert (code, err) == (0, [])
    folder = tmp_path / "out" / "Gruppe ü 'x'"
    assert everything(folder) == sorted(
        ["face-1", "face-2"] + [f"face-{i}/{name}" for i in (1, 2) for name in FACE_FILES]
    )
    assert "2 faces" in out[0] and str(folder) in out[0] and out[-1].startswith("1 photo, 2 faces, 0 failed, ")
    document = summary(tmp_path)
    assert document["faces"] == 2 and document["photos"][0]["faces"][1]["box"][0] == pytest.approx(180)
    assert set(document["photos"][0]["faces"][0]["files"]) == FACE_FILES and "error" not in document["photos"][0]
    record = json.loads((folder / "face-1" / "face.json").read_text())
    assert record["photo"]["file"] == "Gruppe ü 'x'.png" and record["detection"]["box"][0] == pytest.approx(50)
    with Image.open(folder / "face-1" / "overlay.png") as overlay:
        assert overlay.size == (320, 240)


def test_options_reach_the_work(shoot, go, tmp_path):
    photo = shoot("a.png", (80, 100, 60), (220, 100, 80))
    assert go(photo, max_faces=1, format="glb")[0] == 0
    assert everything(tmp_path / "out" / "a") == ["face-1", "face-1/face.glb"]
    assert summary(tmp_path)["photos"][0]["faces"][0]["box"][0] == pytest.approx(180)
    assert go(photo, min_score=0.6, overwrite=True)[0] == 0
    assert everything(tmp_path / "out" / "a") == ["face-1", "face-1/face.json"]
    code, _, err = go(photo, min_face=400, overwrite=True)
    assert code == errors.NoFaceError.exit_code and len(err) == 1


def test_existing_results_stay_without_overwrite(shoot, go, tmp_path, toy_system):
    photo = shoot("a.png", (80, 100, 60), (220, 100, 80))
    assert go(photo)[0] == 0
    before = (tmp_path / "out" / "a" / "face-1" / "face.json").read_bytes()
    (tmp_path / "out" / "a" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "a" / "face-2" / "mine.blend").write_text("mine")

    def refuse(*_):
        raise AssertionError("no work for a photo whose results are there")

    code, _, err = go(photo, system=replace(toy_system, find=refuse))
    assert code == errors.OutputError.exit_code and len(err) == 1 and "--overwrite" in err[0]
    assert (tmp_path / "out" / "a" / "face-1" / "face.json").read_bytes() == before
    code, _, err = go(photo, max_faces=1, format="glb", overwrite=True)
    assert code == 0
    expected = ["face-1", "face-1/face.glb", "face-2", "face-2/mine.blend", "notes.txt"]
    assert everything(tmp_path / "out" / "a") == expected


@pytest.fixture
def bad_photos(shoot, tmp_path):
    """Ways in which a photo can be no use: name -> exit code."""
    (tmp_path / "not a picture.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(tmp_path / "one pixel.png")
    whole = shoot("whole.jpg", (80, 100, 60)).read_bytes()
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    shoot('nobody "ü".png')
    return {
        "missing.jpg": 3,
        "not a picture.jpg": 3,
        "empty.jpg": 3,
        "one pixel.png": 3,
        "truncated.jpg": 3,
        'nobody "ü".png': 4,
    }


def test_every_bad_photo_gives_one_line_and_its_code(bad_photos, go, tmp_path):
    for name, expected in bad_photos.items():
        code, out, err = go(tmp_path / name)
        assert (code, len(err)) == (expected, 1) and name in err[0] and err[0].startswith("likeness: ")
        assert out == ["1 photo, 0 faces, 1 failed"]
        assert everything(tmp_path / "out") == ["summary.json"]
        assert summary(tmp_path)["photos"][0]["error"]["exit_code"] == expected


def test_a_batch_goes_on_over_failures(bad_photos, shoot, go, tmp_path):
    good = [shoot("first.png", (80, 100, 60)), shoot("last.png", (80, 100, 60))]
    code, out, err = go(good[0], *(tmp_path / name for name in bad_photos), good[1])
    assert code == errors.PARTIAL and len(err) == len(bad_photos)
    results = [f"{name}{rest}" for name in ("first", "last") for rest in ("", "/face-1", "/face-1/face.json")]
    assert everything(tmp_path / "out") == [*results, "summary.json"]
    assert out[-1].startswith("8 photos, 2 faces, 6 failed, ") and summary(tmp_path)["photos_done"] == 2


def test_a_fault_of_ours_stops_nothing_either(shoot, go, toy_system):
    def encode(image, face):
        if face.side > 70:
            raise ZeroDivisionError("a bug")
        return toy_system.encode(image, face)

    photos = [shoot("bug.png", (80, 100, 80)), shoot("good.png", (80, 100, 60))]
    code, _, err = go(*photos, system=replace(toy_system, encode=encode))
    assert code == errors.PARTIAL and len(err) == 1 and "ZeroDivisionError" in err[0] and "bug.png" in err[0]


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "RGBA", "LA", "CMYK", "1"])
def test_pictures_of_every_kind_find_their_way(mode, go, tmp_path, toy_system, photo):
    picture = Image.fromarray(photo((80, 100, 60)))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    picture.save(path)
    everywhere = replace(toy_system, find=lambda image, *limits: toy_system.find(photo((80, 100, 60)), *limits))
    assert go(path, system=everywhere)[0] == 0


def test_a_turned_photo_is_seen_upright(shoot, go, tmp_path):
    path = shoot("turned.jpg", (80, 60, 60))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif, quality=100, subsampling=0)
    assert go(path)[0] == 0
    record = json.loads((tmp_path / "out" / "turned" / "face-1" / "face.json").read_text())
    assert (record["photo"]["width"], record["photo"]["height"]) == (240, 320)
    assert record["detection"]["box"] == pytest.approx([150, 50, 210, 110], abs=1)


def test_a_disk_that_fills_up(shoot, go, tmp_path, monkeypatch):
    original = Path.write_bytes

    def write(self, data):
        if self.name == "face.glb" and "second" in str(self):
            original(self, data[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    photos = [shoot("first.png", (80, 100, 60)), shoot("second.png", (80, 100, 60))]
    code, _, err = go(*photos, format="glb,json")
    assert code == errors.PARTIAL and len(err) == 1 and "no space left" in err[0]
    assert everything(tmp_path / "out") == [
        "first", "first/face-1", "first/face-1/face.glb", "first/face-1/face.json", "summary.json",
    ]  # fmt: skip


def test_a_disk_without_any_room_is_said_once(shoot, go, tmp_path, monkeypatch):
    original = Path.open

    def full(self, mode="r", *args, **options):
        if mode[0] in "xw":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, mode, *args, **options)

    photo = shoot("a.png", (80, 100, 60))
    monkeypatch.setattr(Path, "open", full)
    code, out, err = go(photo)
    assert code == errors.OutputError.exit_code and out == ["1 photo, 0 faces, 1 failed"]
    assert len(err) == 1 and "no space left" in err[0] and not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_said_once(shoot, go, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, out, err = go(shoot("a.png", (80, 100, 60)), shoot("b.png", (80, 100, 60)))
    assert (code, out, len(err)) == (errors.OutputError.exit_code, [], 1) and "not a folder" in err[0]


def test_an_interruption_keeps_what_is_done(shoot, go, tmp_path, toy_system):
    def encode(image, face):
        if face.side > 70:
            raise KeyboardInterrupt
        return toy_system.encode(image, face)

    photos = [shoot("a.png", (80, 100, 60)), shoot("b.png", (80, 100, 80)), shoot("c.png", (80, 100, 60))]
    with pytest.raises(KeyboardInterrupt):
        go(*photos, system=replace(toy_system, encode=encode))
    assert everything(tmp_path / "out") == ["a", "a/face-1", "a/face-1/face.json", "summary.json"]
    assert summary(tmp_path)["photos_given"] == 3 and summary(tmp_path)["faces"] == 1


@pytest.fixture
def listening():
    """SIGINT raises KeyboardInterrupt here and in processes begun here, also where it is ignored, as in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_that_python_could_not_raise_comes_again(listening):
    with pytest.raises(KeyboardInterrupt):
        main._later(SimpleNamespace(exc_type=KeyboardInterrupt))
        for _ in range(400):
            time.sleep(0.05)


def test_an_interruption_from_outside(listening):
    code = "import os, signal, sys; from likeness.cli import main\n"
    code += "main.dispatch = lambda args: os.kill(os.getpid(), signal.SIGINT)\nmain.main([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (errors.INTERRUPTED, "likeness: interrupted\n")


@pytest.mark.parametrize("options", [
    {"format": "glb,usd"}, {"format": ""}, {"max_faces": 0}, {"min_face": 0.0}, {"min_score": 7.0},
    {"head": "ict"}, {"ict": Path("x")},
])  # fmt: skip
def test_options_that_make_no_sense(shoot, go, options, tmp_path):
    code, _, err = go(shoot("a.png", (80, 100, 60)), **options)
    assert (code, len(err)) == (errors.UsageError.exit_code, 1)
    assert not (tmp_path / "out").exists()


def test_folders_are_opened(shoot, tmp_path):
    expected = [shoot(f"album/{name}") for name in ("1.jpg", "2.PNG", "3 ü.webp")]
    (tmp_path / "album" / "notes.txt").write_text("")
    (tmp_path / "album" / "deeper.jpg").mkdir()
    assert inputs.photos([tmp_path / "album"]) == expected
    assert inputs.photos([expected[1], tmp_path / "album", expected[1]]) == [expected[1], expected[0], expected[2]]
    (tmp_path / "void").mkdir()
    with pytest.raises(errors.PhotoError, match="no picture"):
        inputs.photos([tmp_path / "void"])
    with pytest.raises(errors.UsageError, match="no photo"):
        inputs.photos([])


def test_equal_names_get_a_stable_number():
    paths = [Path("b/x.jpg"), Path("a/x.jpg"), Path("a/x.png"), Path("a/y.jpg"), Path("c/X.jpg"), Path("a/x-2.jpg")]
    names = dict(zip(paths, inputs.folder_names(paths)))
    backwards = dict(zip(paths[::-1], inputs.folder_names(paths[::-1])))
    assert names == backwards
    assert names[Path("a/x.jpg")] == "x" and names[Path("a/x-2.jpg")] == "x-2" and names[Path("a/y.jpg")] == "y"
    assert inputs.folder_names([Path("c/x-2.jpg"), Path("a/x.jpg"), Path("b/x.jpg")]) == ["x-2", "x", "x-3"]
    assert sorted(name.casefold() for name in names.values()) == ["x", "x-2", "x-3", "x-4", "x-5", "y"]


def test_exit_codes():
    photo, face = errors.PhotoError(""), errors.NoFaceError("")
    assert exit_code([None, None]) == 0 and exit_code([photo]) == exit_code([photo, photo]) == 3
    assert exit_code([None, face]) == exit_code([photo, face]) == errors.PARTIAL == 7
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = [c.exit_code for c in classes] + [errors.PARTIAL, errors.INTERRUPTED]
    assert len(set(codes)) == len(codes) and 0 not in codes


def test_a_sheet_shows_the_good_photos(shoot, toy_system, tmp_path, capsys):
    photos = tuple(shoot(f"{i}.png", (80, 100, 60)) for i in range(3)) + (tmp_path / "missing.jpg",)
    config = Sheet(photos=photos, output=tmp_path / "sheet.png", tile=48, columns=2)
    assert sheet(config, toy_system) == errors.PARTIAL
    assert "missing.jpg" in capsys.readouterr().err
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (2 * 48 + 6, 2 * 5 * 48 + 6, 3)
    tiles = picture[:48, : 5 * 48].reshape(48, 5, 48, 3).transpose(1, 0, 2, 3)
    assert all(np.abs(a.astype(int) - b).mean() > 1 for a, b in zip(tiles, tiles[1:]))
    with pytest.raises(errors.UsageError, match="picture"):
        sheet(replace(config, output=tmp_path / "sheet.pdf"), toy_system)


def test_the_demo_photo_is_found_without_its_package():
    pytest.importorskip("skimage")
    assert demo.photo().name == "astronaut.png" and demo.photo().is_file()


def test_models_are_listed_with_their_licences(capsys):
    assert models.models(models.Models(digests=True)) in (0, errors.AssetError.exit_code)
    text = capsys.readouterr().out
    assert "builtin.safetensors" in text and "regressor.onnx" in text and "MIT" in text and "sha256" in text


def command(*args, **options):
    return subprocess.run([sys.executable, "-m", "likeness", *args], capture_output=True, text=True, **options)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from likeness.cli.main import dispatch; dispatch(['--help']);"
        "heavy = ('torch', 'onnxruntime', 'numba', 'cv2', 'numpy', 'PIL', 'tyro', 'rich');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and all(name in done.stdout for name in main.COMMANDS)


def test_help_of_a_command_imports_nothing_heavy():
    code = (
        "import sys; from likeness.cli.main import main\ntry: main(['reconstruct', '--help'])\n"
        "finally: print([m for m in ('torch', 'onnxruntime', 'numba', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--overwrite" in done.stdout and done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("args", "words"), [
    (["bogus"], "no command 'bogus'"), (["train", "bogus"], "no command 'train bogus'"), (["demo", "--bogus"], "bogus"),
])  # fmt: skip
def test_commands_that_do_not_exist(args, words):
    done = command(*args)
    assert done.returncode == errors.UsageError.exit_code and words in done.stderr and "Traceback" not in done.stderr


def test_a_missing_photo_from_outside(tmp_path):
    environment = os.environ | {"LC_ALL": "C"}
    done = command("reconstruct", str(tmp_path / "no\nbody ü.jpg"), "-o", str(tmp_path / "out"), env=environment)
    assert done.returncode == errors.PhotoError.exit_code, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "no such file" in done.stderr


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_is_where_the_table_says(name):
    entry = main.COMMANDS[name]
    module = import_module(f"likeness.cli.{entry.module}")
    assert fields(getattr(module, entry.config)) is not None and callable(getattr(module, entry.run))
    assert getattr(module, entry.config).__doc__
