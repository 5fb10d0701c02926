"""Reader for the Surrey Face Model as eos stores it: `sfm_shape_3448.bin` and `expression_blendshapes_3448.bin`.

Huber et al. 2016, "A Multiresolution 3D Morphable Face Model and Fitting Framework". The layout is that of cereal's binary
archives (little-endian, lengths in 64 bits) for the members that eos' `MorphableModel.hpp`, `PcaModel.hpp`,
`Blendshape.hpp` and `eigen_cerealisation.hpp` list: a version in 32 bits, then PCA models of shape and colour, each a
mean, a basis column by column, eigenvalues (matrices: rows, columns, float32) and triangles. Millimetres; the axes are ours.
Any other model that eos stores so is read as well.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from likeness.assets.catalogue import READABLE
from likeness.assets.outside import (
    Colors,
    OutsideModel,
    checked,
    landmark_table,
    modes_of,
    no_modes,
    triangles_of,
    vertices_of,
)  # fmt: skip
from likeness.errors import AssetError

VERSIONS = (1, 2, 3, 4)
_SIZE = 3448
_POINTS = {
    9: 33, 18: 225, 19: 229, 20: 233, 21: 2086, 22: 157, 23: 590, 24: 2091, 25: 666, 26: 662, 27: 658, 28: 2842, 29: 379,
    30: 272, 31: 114, 32: 100, 33: 2794, 34: 270, 35: 2797, 36: 537, 37: 177, 38: 172, 39: 191, 40: 181, 41: 173, 42: 174,
    43: 614, 44: 624, 45: 605, 46: 610, 47: 607, 48: 606, 49: 398, 50: 315, 51: 413, 52: 329, 53: 825, 54: 736, 55: 812,
    56: 841, 57: 693, 58: 411, 59: 264, 60: 431, 62: 416, 63: 423, 64: 828, 66: 817, 67: 442, 68: 404,
}  # fmt: skip
"""Multi-PIE point from 1 -> vertex (eos, share/ibug_to_sfm.txt); the jaw line has none but the chin."""


class _Pca(NamedTuple):
    """A PCA model: mean (3V,), basis (3V, K), eigenvalues (K,), triangles (F, 3); all empty where there is none."""

    mean: np.ndarray
    basis: np.ndarray
    eigenvalues: np.ndarray
    triangles: np.ndarray


class _Bytes:
    """A cereal binary archive, read from its start on."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, 0
        try:
            self.data = path.read_bytes()
        except OSError as error:
            raise AssetError(f"{path}: cannot be read ({error.strerror})") from None

    def take(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.data):
            left = len(self.data) - self.place
            raise AssetError(f"{self.path}: ends early or is no model of eos: {count} bytes wanted, {left} left")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self, code: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def table(self, dtype: str, width: int) -> np.ndarray:
        """A vector of arrays of `width` numbers."""
        rows = self.number("Q")
        return np.frombuffer(self.take(rows * width * np.dtype(dtype).itemsize), dtype).reshape(rows, width)

    def matrix(self) -> np.ndarray:
        """A float32 matrix, stored column by column."""
        rows, columns = self.number("i"), self.number("i")
        if rows < 0 or columns < 0:
            raise AssetError(f"{self.path}: has a matrix of {rows} x {columns}; it is damaged or no model of eos")
        return np.frombuffer(self.take(4 * rows * columns), "<f4").reshape(rows, columns, order="F")

    def pca(self) -> _Pca:
        mean, basis, eigenvalues = self.matrix().ravel(), self.matrix(), self.matrix().ravel()
        return _Pca(mean, basis, eigenvalues, self.table("<i4", 3))

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def blendshapes(self) -> dict[str, np.ndarray]:
        """Offsets (3V,) by name."""
        shapes = {}
        for _ in range(self.number("Q")):
            name = self.text()
            shapes[name] = self.matrix().ravel()
        return shapes

    def end(self) -> None:
        if self.place != len(self.data):
            raise AssetError(f"{self.path}: {len(self.data) - self.place} bytes are left over; it is no model of eos")


def read(path: str | Path, blendshapes: str | Path | None = None) -> OutsideModel:
    """Read a model that eos stored.

    Args:
        blendshapes: A file of expressions beside it, such as `expression_blendshapes_3448.bin`.

    Raises:
        AssetError: When a file is missing, damaged or of another layout.
    """
    path = Path(path)
    archive = _Bytes(path)
    version = archive.number("I")
    if version not in VERSIONS:
        raise AssetError(f"{path}: not a model of eos: its version would be {version}, known are 1 to 4")
    shape, color = archive.pca(), archive.pca()
    expression = _optional_expression(archive) if version >= 2 else None
    if version >= 3 and not archive.number("?"):
        for _ in range(archive.number("Q")):
            archive.text(), archive.number("i")
    archive.table("<f8", 2)
    if version >= 4:
        archive.table("<i4", 3)
    archive.end()
    if blendshapes is not None:
        extra = _Bytes(Path(blendshapes))
        expression = extra.blendshapes()
        extra.end()
    return checked(path, _model(path, shape, color, expression))


def _optional_expression(archive: _Bytes) -> _Pca | dict[str, np.ndarray] | None:
    """A std::optional (a true byte: nothing) of a std::variant (its index in 32 bits) of a PCA model or blendshapes."""
    if archive.number("?"):
        return None
    which = archive.number("i")
    if which not in (0, 1):
        raise AssetError(f"{archive.path}: has expressions of unknown kind {which}; it is damaged or no model of eos")
    return archive.pca() if which == 0 else archive.blendshapes()


def _model(path: Path, shape: _Pca, color: _Pca, expression: _Pca | dict[str, np.ndarray] | None) -> OutsideModel:
    mean = vertices_of(path, "the shape's mean", shape.mean)
    count, names, unit = len(mean), (), "standard deviation"
    modes, notes = no_modes(count), []
    if isinstance(expression, _Pca):
        mean = mean + vertices_of(path, "the expressions' mean", expression.mean)
        modes = modes_of(path, "the expressions", expression.basis, _deviations(path, expression))
    elif expression:
        modes = np.stack([vertices_of(path, name, values) for name, values in expression.items()])
        names, unit = tuple(expression), "weight"
    else:
        notes.append("no expressions in this file; eos keeps blendshapes in one of its own")
    albedo = None
    if color.mean.size:
        colors = modes_of(path, "the colours", color.basis, _deviations(path, color))
        albedo = Colors(vertices_of(path, "the colours' mean", color.mean), colors, "srgb")
        notes.append("colours taken for sRGB")
    known = count == _SIZE
    name = "Surrey Face Model" if known else f"eos model with {count} vertices"
    licence = READABLE["sfm"].licence if known else "not stated in the file"
    return OutsideModel(
        name, licence, mean, modes_of(path, "the shape", shape.basis, _deviations(path, shape)), modes,
        triangles_of(path, shape.triangles), unit, names, landmark_table(_POINTS, count, _SIZE), albedo, notes=tuple(notes),
    )  # fmt: skip


def _deviations(path: Path, model: _Pca) -> np.ndarray:
    if (model.eigenvalues < 0).any():
        raise AssetError(f"{path}: has a negative eigenvalue; it is damaged or no model of eos")
    return np.sqrt(model.eigenvalues.astype(np.float64))
