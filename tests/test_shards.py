"""WebDataset shards: what goes in comes out, in any order and from any process; what is damaged is named."""

from __future__ import annotations

import io
import tarfile

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from likeness.data import shards
from likeness.data.shards import ARRAY, PICTURE, Shards
from likeness.errors import AssetError

FIELDS = {"image": PICTURE, "points": ARRAY}


def sample(number):
    """A picture (kept without loss), an array, and something that is not read."""
    image = np.full((4, 6, 3), [200, 10 * number, 30], np.uint8)
    content = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    return f"{'ab'[number % 2]}/{number:06}", {
        "png": content, "npy": shards.npy(np.float32([[number, 1], [2, 3]])), "json": b"{}"
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Two shards of three and two samples."""
    assert shards.write(tmp_path / "a-000000.tar", map(sample, range(3))) == 3
    shards.write(tmp_path / "a-000001.tar", map(sample, range(3, 5)))
    return tmp_path


def test_samples_come_out_as_they_went_in(folder):
    data = Shards(sorted(folder.glob("*.tar")), FIELDS)
    assert len(data) == 5 and data.folders == ["a", "b"] and data.folder.tolist() == [0, 1, 0, 1, 0]
    assert data.key(3) == "b/000003" and data.path(3) == folder / "a-000001.tar"
    for k in (4, 0, 3, 0):
        item = data[k]
        assert set(item) == {"image", "points"}
        assert (item["image"] == [200, 10 * k, 30]).all() and item["image"].dtype == np.uint8
        np.testing.assert_array_equal(item["points"], np.float32([[k, 1], [2, 3]]))
    assert set(data.read(1, ("points",))) == {"points"}


def test_workers_read_what_the_training_process_reads(folder):
    data = Shards(sorted(folder.glob("*.tar")), FIELDS)
    alone = [data[k]["points"][0, 0] for k in range(5)]
    for _ in range(2):
        loader = DataLoader(data, batch_size=1, num_workers=2, shuffle=True)
        assert sorted(float(batch["points"][0, 0, 0]) for batch in loader) == sorted(alone) == [0, 1, 2, 3, 4]


def test_the_same_samples_give_the_same_file(folder):
    shards.write(folder / "again.tar", map(sample, range(3)))
    assert (folder / "again.tar").read_bytes() == (folder / "a-000000.tar").read_bytes()
    with pytest.raises(ValueError, match="has a dot"):
        shards.write(folder / "x.tar", [("a.b", {})])


def test_archives_of_others_with_folders_and_strange_endings(tmp_path):
    """As `tar` makes them: folders, names with ./, dots in folder names, endings in capitals, fields that are not wanted."""
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        entry = tarfile.TarInfo("./v1.0")
        entry.type = tarfile.DIRTYPE
        file.addfile(entry)
        for name, content in (
            ("./v1.0/7.JPG", cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()),
            ("./v1.0/7.depth.exr", b"?"),
            ("./v1.0/7.npy", shards.npy(np.ones(3))),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    data = Shards([tmp_path / "x.tar"], FIELDS)
    assert data.folders == ["v1.0"] and data[0]["image"].shape == (8, 8, 3) and data[0]["points"].sum() == 3
    assert data.key(0) == "v1.0/7"


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_truncated_shard_is_named(folder, share):
    path = folder / "a-000000.tar"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size) // 512 * 512 + 5])
    with pytest.raises(AssetError, match=r"a-000000\.tar: not an uncompressed tar file, or a damaged one"):
        Shards([path], FIELDS)


def test_a_shard_that_was_cut_within_zeros_is_named_too(tmp_path):
    path = tmp_path / "x.tar"
    shards.write(path, [("a", {"npy": shards.npy(np.zeros(2000))})])
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(AssetError, match="it ends within a.npy"):
        Shards([path], {"points": ARRAY})


def test_what_is_no_shard_or_lacks_a_field_is_named(folder):
    with pytest.raises(AssetError, match="no such shard"):
        Shards([folder / "none.tar"], FIELDS)
    with tarfile.open(folder / "x.tar.gz", "w:gz"):
        pass
    with pytest.raises(AssetError, match="not an uncompressed tar"):
        Shards([folder / "x.tar.gz"], FIELDS)
    with pytest.raises(AssetError, match=r"sample a/000000 has no mask \(mask\.npy\); it has png, npy, json"):
        Shards([folder / "a-000000.tar"], FIELDS | {"mask": ("mask.npy",)})


def test_a_shard_that_goes_while_it_is_read_is_named(folder):
    data = Shards([folder / "a-000000.tar"], FIELDS)
    (folder / "a-000000.tar").unlink()
    with pytest.raises(AssetError, match=r"a-000000\.tar: cannot be read any more"):
        data[0]


def test_a_picture_that_is_none_and_a_pickled_array_are_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, np.array([print], object), allow_pickle=True)
    for fields in ({"jpg": b"no picture"}, {"jpg": b""}, {"npy": content.getvalue()}, {"npy": b""}):
        shards.write(tmp_path / "x.tar", [("a", fields)])
        wanted = {"thing": PICTURE if "jpg" in fields else ARRAY}
        with pytest.raises(AssetError, match=r"x\.tar: sample a: its thing cannot be read"):
            Shards([tmp_path / "x.tar"], wanted)[0]
