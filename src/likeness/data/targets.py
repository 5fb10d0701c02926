"""Targets fitted to a folder of photos, in shards: `<targets>/<set>/index.json` says which photos each shard holds, and
every shard, `00000.npz` and so on, is complete or absent. `likeness label` writes them, training reads what is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from likeness.errors import AssetError

TARGETS = ("identity", "expression", "rotation", "translation", "focal", "principal")
"""Codes and camera (photo pixels) of a fit, (n, ...) each, float32."""
FIELDS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "name": ((), "U"), "identity": ((100,), "f4"), "expression": ((51,), "f4"), "rotation": ((3, 3), "f4"),
    "translation": ((3,), "f4"), "focal": ((), "f4"), "principal": ((2,), "f4"), "size": ((2,), "i4"),
    "points": ((478, 3), "f4"), "sigma": ((478,), "f4"), "error": ((), "f4"), "trusts": ((478,), "f2"), "ok": ((), "?"),
}  # fmt: skip
"""A shard's arrays, their shape and type for each photo with a fit: the photo's name in its folder; its targets; height and
width; the dense landmarks (px) that were fitted and their spread (px), 0 where none is known; the mean distance of landmark
and fit over the 3D distance of the outer eye corners; the fit's trust in each landmark; whether the fit is believed."""
SKIPPED = ("skipped", "reason")
"""A shard's two other arrays: names of its photos without a fit, and why."""
INDEX = "index.json"


@dataclass(frozen=True)
class Index:
    """Which photos the shards of a set hold.

    Attributes:
        made: How the targets are made; equal for all shards.
        shards: Names of photos by shard.
    """

    made: Mapping[str, Any]
    shards: tuple[tuple[str, ...], ...]

    @staticmethod
    def shard(folder: Path, number: int) -> Path:
        """The file of a shard."""
        return folder / f"{number:05}.npz"

    @property
    def photos(self) -> int:
        return sum(map(len, self.shards))

    def extended(self, names: Sequence[str], size: int) -> Index:
        """With those of the names that no shard holds yet in new shards of `size` photos."""
        held = {name for shard in self.shards for name in shard}
        new = [name for name in names if name not in held]
        return Index(self.made, self.shards + tuple(tuple(new[i : i + size]) for i in range(0, len(new), size)))


def read_index(folder: Path) -> Index | None:
    """The index of a set's targets, or None where there is none.

    Raises:
        AssetError: When it is damaged.
    """
    path = folder / INDEX
    try:
        content = json.loads(path.read_text())
        return Index(content["made"], tuple(tuple(map(str, shard)) for shard in content["shards"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(f"{path}: not an index of targets ({error}); remove the folder to start afresh") from None


def write_index(folder: Path, index: Index) -> None:
    """Put an index in the place of the one before, at once."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / (INDEX + ".part")
    beside.write_text(json.dumps({"made": index.made, "shards": index.shards}, indent=1) + "\n")
    os.replace(beside, folder / INDEX)


def write_shard(path: Path, rows: Mapping[str, np.ndarray], skipped: Sequence[tuple[str, str]]) -> None:
    """Write a shard; until all of it is on disk, the file has another name.

    Args:
        rows: The arrays of `FIELDS`; nothing where no photo has a fit.
        skipped: Name and reason of each photo without one.
    """
    arrays = {
        key: np.asarray(rows.get(key, np.zeros((0, *shape))), dtype=kind).reshape(-1, *shape)
        for key, (shape, kind) in FIELDS.items()
    }
    arrays |= {key: np.array([entry[i] for entry in skipped], dtype=np.str_) for i, key in enumerate(SKIPPED)}
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(beside, path)


def read_shards(folder: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of all shards that are there, one after the other.

    Raises:
        AssetError: When there is no index or no shard, or when a shard is damaged.
    """
    index = read_index(folder)
    if index is None:
        raise AssetError(f"{folder}: no targets; fit them with `likeness label`")
    paths = [path for path in (Index.shard(folder, i) for i in range(len(index.shards))) if path.exists()]
    shards = [_read(path, keys) for path in paths]
    if not shards:
        raise AssetError(f"{folder}: no shard of targets is finished; go on with `likeness label`")
    return {key: np.concatenate([shard[key] for shard in shards]) for key in keys}


def _read(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise AssetError(f"{path}: not a shard of targets ({error}); remove it, and label the folder again") from None
