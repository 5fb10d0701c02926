"""Arrays of an HDF5 file by their paths. Needs h5py (the `learn` extra), which is imported when a file is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from likeness.errors import AssetError, one_line

MAGIC = b"\x89HDF\r\n\x1a\n"
"""How such a file begins."""


def read(path: Path, groups: Iterable[str]) -> dict[str, np.ndarray]:
    """Every array below some groups, by its path ("shape/model/mean"), in this machine's byte order; text is left out.

    Raises:
        AssetError: When h5py is not installed, or the file is missing, damaged or of another format.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise AssetError(f"{path}: reading HDF5 needs h5py: pip install 'likeness[learn]'") from None
    found: dict[str, np.ndarray] = {}

    def keep(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu":
            values = np.asarray(node[()])
            found[name] = values.astype(values.dtype.newbyteorder("="))

    try:
        with h5py.File(path, "r") as file:
            for group in groups:
                if group in file:
                    file[group].visititems(lambda name, node, group=group: keep(f"{group}/{name}", node))
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file") from None
    except (OSError, RuntimeError) as error:
        raise AssetError(f"{path}: not an HDF5 file, or a damaged one ({one_line(error)[:120]})") from None
    return found
