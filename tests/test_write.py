"""Results are complete or absent: full disks, refused folders, interruptions; what is not ours stays."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from likeness.errors import OutputError
from likeness.runtime.write import folders, remove_results, write_file

KNOWN = ("face.glb", "face.json", "overlay.png")


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class FullDisk:
    """A file that takes a few bytes, and then the disk is full."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self):
        return self.file.read()

    def write(self, data):
        self.file.write(data[: self.room])
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: FullDisk(original(self, *a, **k), 1000))


def test_a_file_is_there_with_its_folders(tmp_path):
    write_file(tmp_path / "a b" / "ü" / "x.bin", b"123")
    write_file(tmp_path / "a b" / "ü" / "x.bin", b"45")
    assert everything(tmp_path) == ["a b", "a b/ü", "a b/ü/x.bin"]
    assert (tmp_path / "a b" / "ü" / "x.bin").read_bytes() == b"45"


def test_other_people_may_read_a_file_as_usual(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_file(tmp_path / "x", b"1")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_disk_leaves_the_old_file(tmp_path, full_disk):
    write_file(tmp_path / "x", b"old")
    with pytest.raises(OutputError, match="no space left") as caught:
        write_file(tmp_path / "x", bytes(2000))
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == ["x"] and (tmp_path / "x").read_bytes() == b"old"


def test_a_full_disk_leaves_no_new_folders(tmp_path, full_disk):
    with pytest.raises(OutputError, match="no space left"):
        write_file(tmp_path / "a" / "b" / "x", bytes(2000))
    assert everything(tmp_path) == []


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "x", b"1")
    assert everything(tmp_path) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a folder"):
        write_file(tmp_path / "file" / "x", b"1")
    with pytest.raises(OutputError, match="not a folder"):
        with folders(tmp_path / "file" / "deeper", KNOWN):
            raise AssertionError("no block without a folder")
    with pytest.raises(OutputError, match="not a folder"):
        with folders(tmp_path / "file", KNOWN):
            raise AssertionError("no block without a folder")


def test_a_folder_where_a_file_should_be(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_file(tmp_path / "x", b"1")
    assert everything(tmp_path) == ["x"]


def result(place, names=KNOWN, content=b"new"):
    place.mkdir()
    for name in names:
        (place / name).write_bytes(content)


def test_folders_appear_together(tmp_path):
    with folders(tmp_path / "out" / "photo", KNOWN) as temporary:
        result(temporary / "face-1")
        result(temporary / "face-2")
        assert temporary.parent == tmp_path / "out" / "photo"
        assert not list(temporary.parent.glob("face-*"))
    assert everything(tmp_path / "out" / "photo") == sorted(
        [f"face-{i}" for i in (1, 2)] + [f"face-{i}/{name}" for i in (1, 2) for name in KNOWN]
    )


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("bug"), KeyboardInterrupt()])
def test_after_a_failure_nothing_is_there(tmp_path, error):
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        with folders(tmp_path / "out" / "photo", KNOWN) as temporary:
            result(temporary / "face-1")
            raise error
    assert everything(tmp_path) == []


def test_after_a_failure_the_old_result_is_still_there(tmp_path):
    result(tmp_path / "face-1", content=b"old")
    with pytest.raises(OutputError):
        with folders(tmp_path, KNOWN) as temporary:
            result(temporary / "face-1")
            raise OSError(errno.ENOSPC, "full")
    assert everything(tmp_path) == ["face-1"] + [f"face-1/{name}" for name in KNOWN]
    assert (tmp_path / "face-1" / "face.glb").read_bytes() == b"old"


def test_overwriting_keeps_what_is_not_ours(tmp_path):
    result(tmp_path / "face-1", content=b"old")
    (tmp_path / "face-1" / "my.blend").write_bytes(b"work of weeks")
    with folders(tmp_path, KNOWN) as temporary:
        result(temporary / "face-1", ("face.glb",))
    assert everything(tmp_path) == ["face-1", "face-1/face.glb", "face-1/my.blend"]
    assert (tmp_path / "face-1" / "face.glb").read_bytes() == b"new"


def test_removing_results_keeps_what_is_not_ours(tmp_path):
    result(tmp_path / "face-2")
    remove_results(tmp_path / "face-2", KNOWN)
    result(tmp_path / "face-3")
    (tmp_path / "face-3" / "note.txt").write_bytes(b"")
    remove_results(tmp_path / "face-3", KNOWN)
    assert everything(tmp_path) == ["face-3", "face-3/note.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root and Windows write everywhere")
def test_folders_that_must_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        write_file(tmp_path / "x", b"1")
    tmp_path.chmod(0o700)


def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True) if (
        os.name == "posix" and os.geteuid() == 0) else None  # fmt: skip
    if done is None or done.returncode:
        pytest.skip("a small disk can only be made by root")
    try:
        write_file(disk / "small", b"fits")
        with pytest.raises(OutputError, match="no space left"):
            write_file(disk / "large", bytes(1_000_000))
        with pytest.raises(OutputError, match="no space left"):
            with folders(disk / "photo", KNOWN) as temporary:
                result(temporary / "face-1", content=bytes(30_000))
        assert everything(disk) == ["small"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
