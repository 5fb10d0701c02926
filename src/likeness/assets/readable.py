"""The one door for outside face models: looks at a file's content, not at its name, and calls the reader it is for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from likeness.assets import archive, bfm, flame, gnm, hdf5, ict, pca, sfm
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import OutsideModel, first_bytes
from likeness.errors import AssetError


def read(path: str | Path) -> OutsideModel:
    """Read a face model of any known kind: a file, or a checkout of ICT-FaceKit.

    Raises:
        AssetError: When nothing is there, or it is of no known kind.
    """
    path = Path(path)
    return _reader(path)(path)


def from_ict(model: ict.IctModel) -> OutsideModel:
    """ICT-FaceKit's model in the form of all the others."""
    return OutsideModel(
        READABLE["ict"].name, READABLE["ict"].licence, model.mean, model.identity, model.expression, model.faces, "weight", EXPRESSIONS,
        ict.landmark_table(len(model.mean)),
    )  # fmt: skip


def _reader(path: Path) -> Callable[[Path], OutsideModel]:
    """Which reader a file is for, by its first bytes and, in an archive, by its names."""
    if path.is_dir():
        return lambda path: from_ict(ict.read(path))
    start = first_bytes(path)
    if start.startswith((hdf5.MAGIC, b"MATLAB")):
        return bfm.read
    if start.startswith(b"PK\x03\x04"):
        return _in_archive(path)
    if len(start) >= 4 and struct.unpack("<I", start[:4])[0] in sfm.VERSIONS:
        return sfm.read
    if start[:1] == b"\x80" or start[:1] in (b"(", b"}"):  # protocols from 2 on, and the text of protocol 0
        return flame.read
    raise AssetError(f"{path}: no face model of a known kind; `likeness models` lists those that can be read")


def _in_archive(path: Path) -> Callable[[Path], OutsideModel]:
    names = archive.names(path)
    for reader, needed in (
        (gnm.read, {"template_vertex_positions"}), (flame.read, {"v_template", "shapedirs"}),
        (lambda path: from_ict(ict.read(path)), {"v", "ids", "ex"}), (pca.read, {"mean"}),
    ):  # fmt: skip
        if needed <= names and not {"tex_dir"} & names:
            return reader
    if {"MU", "PC"} <= names or "tex_dir" in names:
        raise AssetError(f"{path}: has colours but no shape; read it with `albedomm.read` beside FLAME")
    raise AssetError(f"{path}: no face model of a known kind: it holds {', '.join(sorted(names)[:8]) or 'nothing'}")
