"""Arrays of an `.npz` archive without running pickles, also where one of them is an array of objects."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from likeness.assets import pickled
from likeness.errors import AssetError


def read(path: Path, wanted: Iterable[str] | None = None) -> dict[str, Any]:
    """Arrays by name, in this machine's byte order.

    Args:
        wanted: Names to read; the rest is passed over unread. None reads all.

    Raises:
        AssetError: When the file is missing, damaged or no archive, or holds objects other than arrays.
    """
    names = None if wanted is None else set(wanted)
    try:
        with zipfile.ZipFile(path) as file:
            members = {name.removesuffix(".npy"): name for name in file.namelist() if name.endswith(".npy")}
            chosen = {key: name for key, name in members.items() if names is None or key in names}
            return {key: _member(file.open(name), key) for key, name in chosen.items()}
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
        raise AssetError(f"{path}: not an .npz archive, or a damaged one ({error})") from None
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None


def names(path: Path) -> set[str]:
    """The names in an archive.

    Raises:
        AssetError: When the file is missing, or no archive.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return {name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")}
    except (zipfile.BadZipFile, OSError) as error:
        raise AssetError(f"{path}: not an .npz archive, or a damaged one ({error})") from None


def need(path: Path, arrays: Mapping[str, Any], keys: Iterable[str], what: str) -> None:
    """Refuse arrays that lack one of the keys.

    Raises:
        AssetError: With the names that were sought and those that were found.
    """
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise AssetError(
            f"{path}: not {what}: no {', '.join(missing)}, there are {', '.join(sorted(arrays)[:8]) or 'none'}"
        )


def _member(file: IO[bytes], key: str) -> Any:
    """One array; an array of objects is a pickle behind the usual header (numpy.lib.format)."""
    with file:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in header:
            raise ValueError(f"{key} has version {version} of the .npy format")
        shape, fortran, dtype = header[version](file)
        content = file.read()
    if dtype.hasobject:
        try:
            value = pickled.loads(content)
        except AssetError as error:
            raise AssetError(f"{key}: {error}") from None
        return value.item() if isinstance(value, np.ndarray) and value.shape == () else value
    if len(content) != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{key} has {len(content)} bytes where {shape} {dtype} needs more or less")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))
