"""WebDataset shards as a data set: plain tar files in which files of one sample share a name up to the first dot.

`000017.image.jpg`, `000017.points.npy` and `000017.json` are the fields `image`, `points` and `json` of sample `000017`
(github.com/webdataset/webdataset, "The WebDataset Format"). Shards are indexed once, so that item i depends on i alone and
order, resumption and the split between processes are the loop's: every process reads from the shards only what is its share.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from likeness.errors import AssetError

IMAGES = ("jpg", "jpeg", "png", "webp")
"""Endings that are decoded as pictures: (H, W, 3) uint8 sRGB."""

_END = 1024
"""Zero bytes that end a tar file, at least."""


class Shards:
    """Samples of tar files as a map-style data set; a sample is a dict of its fields.

    Pictures become (H, W, 3) uint8 sRGB, `.npy` arrays, `.json` what it holds, `.txt` text, `.cls` and `.int` whole numbers;
    a field that ends otherwise is refused. Files stay open, one handle for each shard and process.
    """

    def __init__(self, paths: Sequence[str | Path], fields: Iterable[str] | None = None) -> None:
        """Index shards.

        Args:
            paths: Tar files, in the order of their items.
            fields: Names of the fields to decode; the rest is never read. None takes all.

        Raises:
            AssetError: When a shard is missing, damaged or compressed, or a sample lacks a field.
        """
        self.paths = [Path(path) for path in paths]
        self.keys: list[str] = []
        self._places: list[tuple[int, dict[str, tuple[str, int, int]]]] = []
        self._open: dict[int, Any] = {}
        self._process = -1
        wanted = None if fields is None else set(fields)
        for number, path in enumerate(self.paths):
            for key, places in _index(path).items():
                missing = sorted((wanted or set()) - set(places))
                if missing:
                    raise AssetError(f"{path}: sample {key} has no {', '.join(missing)}; it has {', '.join(places)}")
                chosen = {name: place for name, place in places.items() if wanted is None or name in wanted}
                self.keys.append(key)
                self._places.append((number, chosen))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> dict[str, Any]:
        number, places = self._places[i]
        return {name: self._field(number, self.keys[i], *place) for name, place in places.items()}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}, "_process": -1}

    def _field(self, number: int, key: str, kind: str, offset: int, size: int) -> Any:
        if self._process != os.getpid():  # a handle that came through a fork shares its place with the parent's
            self._open, self._process = {}, os.getpid()
        if number not in self._open:
            self._open[number] = self.paths[number].open("rb")
        file = self._open[number]
        file.seek(offset)
        try:
            return _decoded(file.read(size), kind)
        except ValueError as error:
            raise AssetError(f"{self.paths[number]}: sample {key}: a .{kind} file cannot be read ({error})") from None


def write(path: str | Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> int:
    """Write a shard, beside and renamed; the same samples give the same file.

    Args:
        samples: (key, fields): file contents by field with its ending, as in {"image.jpg": ..., "points.npy": ...}.

    Returns:
        How many samples there are.
    """
    path, count = Path(path), 0
    beside = path.with_name(path.name + ".part")
    with tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as file:
        for key, fields in samples:
            if "." in Path(key).name:
                raise ValueError(f"key {key!r} has a dot, which would end it")
            for name, content in fields.items():
                member = tarfile.TarInfo(f"{key}.{name}")
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


def _index(path: Path) -> dict[str, dict[str, tuple[str, int, int]]]:
    """Where every field of every sample lies: key -> field -> (ending, offset, size)."""
    samples: dict[str, dict[str, tuple[str, int, int]]] = {}
    try:
        whole = path.stat().st_size
        with path.open("rb") as raw:
            raw.seek(max(whole - _END, 0))
            ended = raw.read() == bytes(_END)
        with tarfile.open(path, "r:") as file:
            for member in file:
                if member.isfile():
                    key, name, kind = _split(member.name)
                    samples.setdefault(key, {})[name] = (kind, member.offset_data, member.size)
                    if member.offset_data + member.size > whole:
                        raise tarfile.ReadError(f"it ends within {member.name}")
            if not ended:  # tarfile takes a header that is cut off for the end
                raise tarfile.ReadError("it has no end")
    except FileNotFoundError:
        raise AssetError(f"{path}: no such shard") from None
    except (tarfile.TarError, OSError) as error:
        raise AssetError(f"{path}: not an uncompressed tar file, or a damaged one ({error})") from None
    return samples


def _split(name: str) -> tuple[str, str, str]:
    """"a/17.image.jpg" -> ("a/17", "image", "jpg"); "a/17.jpg" -> ("a/17", "jpg", "jpg")."""
    folder, base = os.path.split(name.removeprefix("./"))
    stem, _, field = base.partition(".")
    kind = field.rpartition(".")[2].lower()
    return os.path.join(folder, stem), field.rpartition(".")[0] or field, kind


def _decoded(content: bytes, kind: str) -> Any:
    """A file's content by its ending; ValueError where it is not that."""
    if kind in IMAGES:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
        if image is None:
            raise ValueError("no picture")
        return image
    if kind == "npy":
        return np.load(io.BytesIO(content), allow_pickle=False)
    if kind == "json":
        return json.loads(content)
    if kind == "txt":
        return content.decode()
    if kind in ("cls", "int"):
        return int(content)
    raise ValueError("no reader for this ending; name the fields to read, or convert it")
