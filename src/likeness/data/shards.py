"""WebDataset shards as a data set: plain tar files in which files of one sample share a name up to the first dot.

`sfhq/000017.jpg` and `sfhq/000017.npy` are the fields `jpg` and `npy` of sample `sfhq/000017`
(github.com/webdataset/webdataset, "The WebDataset Format"). Shards are indexed once, in some 40 bytes a sample, so that item
i depends on i alone; what it holds is read when it is asked for, and not kept.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from likeness.errors import AssetError, one_line

PICTURE, ARRAY = ("jpg", "jpeg", "png", "webp"), ("npy",)
"""Endings of fields that are read as pictures, (H, W, 3) uint8 sRGB, and as arrays."""
_END = 1024
"""Zero bytes that end a tar file, at least."""
_BLOCK = 512
"""Bytes of a tar file's header, which lies before what it describes."""


class Shards:
    """Samples of tar files as a map-style data set.

    Attributes:
        paths: Tar files, in the order of their items.
        folders: Names of the folders in the samples' keys, "" for none.
        folder: (n,) each sample's among them.
    """

    def __init__(self, paths: Sequence[str | Path], fields: Mapping[str, Sequence[str]]) -> None:
        """Index shards.

        Args:
            fields: What of a sample is read: name -> endings of which a sample must have one, `PICTURE` or `ARRAY`. The rest
                is never read.

        Raises:
            AssetError: When a shard is missing, damaged or compressed, or a sample lacks a field.
        """
        self.paths, self.fields = [Path(path) for path in paths], {name: tuple(ends) for name, ends in fields.items()}
        folders: dict[str, int] = {}
        rows, groups = [], []
        for number, path in enumerate(self.paths):
            for key, places in _index(path).items():
                rows.append([number])
                for name, endings in self.fields.items():
                    ending = next((ending for ending in endings if ending in places), None)
                    if ending is None:
                        wanted, there = ", ".join(endings), ", ".join(places)
                        raise AssetError(f"{path}: sample {key} has no {name} ({wanted}); it has {there}")
                    rows[-1] += places[ending]
                groups.append(folders.setdefault(os.path.dirname(key), len(folders)))
        self._places = np.array(rows, np.int64).reshape(-1, 1 + 2 * len(self.fields))
        self.folders, self.folder = list(folders), np.array(groups, np.int32)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return self.read(i, tuple(self.fields))

    def read(self, i: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some fields of a sample.

        Raises:
            AssetError: When one of them is damaged, or the shard has gone.
        """
        path, places = self.path(i), self._places[i, 1:].tolist()
        contents = {}
        try:
            with path.open("rb") as file:  # anew: an open one would not survive a fork, nor would thousands
                for name, offset, size in zip(self.fields, places[::2], places[1::2]):
                    if name in names:
                        file.seek(offset)
                        contents[name] = file.read(size)
        except OSError as error:
            raise AssetError(f"{path}: cannot be read any more ({error})") from None
        found = {}
        for name, content in contents.items():
            try:
                found[name] = _decoded(content, self.fields[name] == ARRAY)
            except ValueError as error:
                raise AssetError(
                    f"{path}: sample {self.key(i)}: its {name} cannot be read ({one_line(error)})"
                ) from None
        return found

    def path(self, i: int) -> Path:
        """The shard in which a sample lies."""
        return self.paths[self._places[i, 0]]

    def key(self, i: int) -> str:
        """A sample's key, read from its shard."""
        with self.path(i).open("rb") as file:
            file.seek(int(self._places[i, 1]) - _BLOCK)
            header = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
        return _split(header.name)[0]


def write(path: str | Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> int:
    """Write a shard, beside and renamed; the same samples give the same file.

    Args:
        samples: (key, fields): file contents by ending, as in {"jpg": ..., "npy": ...}.

    Returns:
        How many samples there are.
    """
    path, count = Path(path), 0
    beside = path.with_name(path.name + ".part")
    with tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as file:
        for key, fields in samples:
            if "." in Path(key).name:
                raise ValueError(f"key {key!r} has a dot, which would end it")
            for ending, content in fields.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
            count += 1
    os.replace(beside, path)
    return count


def npy(array: np.ndarray) -> bytes:
    """An array as the content of a `.npy` file."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _index(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Where every field of every sample lies: key -> ending -> (offset, size)."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        whole = path.stat().st_size
        with path.open("rb") as raw:
            raw.seek(max(whole - _END, 0))
            ended = raw.read() == bytes(_END)
        with tarfile.open(path, "r:") as file:
            for member in file:
                if member.isfile():
                    key, ending = _split(member.name)
                    samples.setdefault(key, {})[ending] = (member.offset_data, member.size)
                    if member.offset_data + member.size > whole:
                        raise tarfile.ReadError(f"it ends within {member.name}")
            if not ended:  # tarfile takes a header that is cut off for the end
                raise tarfile.ReadError("it has no end")
    except FileNotFoundError:
        raise AssetError(f"{path}: no such shard") from None
    except (tarfile.TarError, OSError) as error:
        raise AssetError(f"{path}: not an uncompressed tar file, or a damaged one ({error})") from None
    return samples


def _split(name: str) -> tuple[str, str]:
    """Key and ending of a name in a shard: "./a/17.image.JPG" -> ("a/17", "image.jpg")."""
    folder, base = os.path.split(name.removeprefix("./"))
    stem, _, ending = base.partition(".")
    return os.path.join(folder, stem), ending.lower()


def _decoded(content: bytes, array: bool) -> np.ndarray:
    """A file's content; ValueError where it is damaged."""
    if array:
        try:
            return np.load(io.BytesIO(content), allow_pickle=False)
        except EOFError as error:
            raise ValueError(str(error)) from None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if image is None:
        raise ValueError("no picture")
    return image
