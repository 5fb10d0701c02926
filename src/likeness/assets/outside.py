"""Face models made by others, as arrays in our units and axes: what every reader of an outside file answers.

Readers: `bfm`, `flame`, `sfm`, `gnm`, `albedomm`, `pca`, `ict`; `readable` tells which one a file is for. Scale factors
and axis flips of outside models exist only in those files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from likeness.color import linear_from_srgb
from likeness.errors import AssetError

EXTENT = (80.0, 700.0)
"""Millimetres between which the longest side of a mean face, or head with neck and shoulders, must lie. Ours: it is there
to notice a file in another unit than its format's."""


@dataclass(frozen=True)
class Colors:
    """A linear model of vertex colours, in the encoding of its file.

    Attributes:
        mean: (V, 3) RGB, 1 is white.
        modes: (K, V, 3) RGB per standard deviation.
        encoding: "linear", or "srgb" where the model was learned from pictures as they are stored.
    """

    mean: np.ndarray
    modes: np.ndarray
    encoding: str

    def decode(self, code: np.ndarray) -> np.ndarray:
        """Linear RGB (..., V, 3) in [0, 1] of codes (..., K) in standard deviations."""
        color = np.clip(self.mean + np.tensordot(code, self.modes, 1), 0.0, 1.0)
        return linear_from_srgb(color) if self.encoding == "srgb" else color


@dataclass(frozen=True)
class Skeleton:
    """Joints that turn parts of a head, by linear blend skinning (Loper et al. 2015, "SMPL", sec. 3).

    Attributes:
        names: One for each of the J joints; the first is the root.
        parents: (J,) int32 joint that carries each; -1 for the root. Parents come before their children.
        regressor: (J, V) float32: joints are this times the vertices in rest.
        weights: (V, J) float32 share of each joint in a vertex, rows summing to 1.
        correctives: (9 (J - 1), V, 3) mm per unit of the entries of (rotation - identity), row by row, joints in order
            without the root; empty where the model has none.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    correctives: np.ndarray


@dataclass(frozen=True)
class OutsideModel:
    """A linear face model: `vertices = mean + identity . codes + expression . codes`, in rest where it has a skeleton.

    Attributes:
        name: As its makers call it.
        licence: One line under which its makers give it; what is made from the model is bound by it.
        mean: (V, 3) float32 mm, model frame: +X to the subject's left, +Y up, +Z out of the face.
        identity: (I, V, 3) float32 mm per standard deviation.
        expression: (E, V, 3) float32 mm per unit of `expression_unit`.
        expression_unit: "standard deviation" for statistical modes, "weight" for blendshapes in [0, 1].
        expression_names: One for each expression, or empty.
        faces: (F, 4) int32, counter-clockwise seen from outside; -1 in the last place marks a triangle.
        landmarks68: (68,) int32 vertex of each Multi-PIE point, -1 where none is known; None without any.
        albedo: Diffuse colours, where the model has them.
        specular: Specular colours, where the model has them.
        skeleton: Joints, where the model has them and the reader knows them.
        notes: What a user should know, one line each: what was assumed, what was left out.
    """

    name: str
    licence: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    faces: np.ndarray
    expression_unit: str = "standard deviation"
    expression_names: tuple[str, ...] = ()
    landmarks68: np.ndarray | None = None
    albedo: Colors | None = None
    specular: Colors | None = None
    skeleton: Skeleton | None = None
    notes: tuple[str, ...] = ()

    def decode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices (..., V, 3) mm in rest, of codes (..., I) in standard deviations and (..., E)."""
        return self.mean + np.tensordot(identity, self.identity, 1) + np.tensordot(expression, self.expression, 1)

    def first(self, identity: int | None = None, expression: int | None = None) -> OutsideModel:
        """The same model with only its first modes; None keeps all."""
        names = self.expression_names[:expression]
        return replace(
            self, identity=self.identity[:identity], expression=self.expression[:expression], expression_names=names
        )


def checked(path: Path, model: OutsideModel) -> OutsideModel:
    """The model, if its arrays belong together and lie as a face does in our frame.

    Raises:
        AssetError: With what was seen.
    """
    vertices, name = len(model.mean), model.name
    parts = {"identity": model.identity, "expression": model.expression}
    parts |= {key: colors.modes for key, colors in (("albedo", model.albedo), ("specular", model.specular)) if colors}
    for key, modes in parts.items():
        if modes.ndim != 3 or modes.shape[1:] != (vertices, 3):
            raise AssetError(f"{path}: {key} modes have shape {modes.shape}, but {name} has {vertices} vertices here")
    for key, values in {"mean": model.mean, **parts}.items():
        if not np.isfinite(values).all():
            raise AssetError(f"{path}: {key} of {name} holds numbers that are not finite; the file is damaged")
    if model.faces.size and not 0 <= model.faces[:, :3].min() <= model.faces.max() < vertices:
        raise AssetError(f"{path}: faces of {name} speak of vertex {model.faces.max()}, there are {vertices}")
    extent = float(np.ptp(model.mean, axis=0).max())
    if not EXTENT[0] <= extent <= EXTENT[1]:
        raise AssetError(f"{path}: the mean face of {name} would be {extent:.4g} mm large; the file is in another unit")
    _check_axes(path, model)
    return model


def _check_axes(path: Path, model: OutsideModel) -> None:
    """Refuse a face that does not look along +Z with its left eye at +X."""
    known = model.landmarks68
    places = {"nose": 30, "right": 36, "left": 45, "mouth": 57}
    if known is None or any(known[k] < 0 for k in places.values()):
        return
    nose, right, left, mouth = (model.mean[known[k]] for k in places.values())
    if not (left[0] > right[0] and nose[2] > (left[2] + right[2]) / 2 and mouth[1] < min(left[1], right[1])):
        raise AssetError(
            f"{path}: the mean face of {model.name} does not lie as expected (left {left}, nose {nose} mm)"
        )


def first_bytes(path: Path, count: int = 16) -> bytes:
    """How a file begins.

    Raises:
        AssetError: When it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise AssetError(f"{path}: cannot be read ({error.strerror})") from None


def vertices_of(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """(V, 3) float32 from a flat list x y z x y z ... or from (V, 3); any number type and byte order."""
    flat = np.ravel(values)
    if flat.size == 0 or flat.size % 3:
        raise AssetError(f"{path}: {name} has {flat.size} numbers; three for each vertex are expected")
    return flat.reshape(-1, 3).astype(np.float32)


def modes_of(path: Path, name: str, basis: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """(K, V, 3) float32 modes per standard deviation, from columns (3V, K) and their standard deviations (K,).

    Columns are brought to length one first: some writers of a format store them so, others scaled.
    """
    basis, deviations = np.asarray(basis, np.float64), np.ravel(deviations).astype(np.float64)
    if basis.ndim != 2 or basis.shape[0] % 3 or basis.shape[1] != deviations.size:
        raise AssetError(
            f"{path}: {name} has shape {basis.shape} beside {deviations.size} variances; (3 V, K) is expected"
        )
    if (deviations < 0).any() or not np.isfinite(deviations).all():
        raise AssetError(f"{path}: {name} has a variance that is negative or not finite; the file is damaged")
    length = np.linalg.norm(basis, axis=0)
    scaled = basis * (deviations / np.where(length > 0, length, 1))
    return scaled.T.reshape(len(deviations), -1, 3).astype(np.float32)


def triangles_of(path: Path, values: np.ndarray, first: int = 0) -> np.ndarray:
    """(F, 4) int32 faces from triangles (F, 3) or (3, F), or quads (F, 4), numbered from `first`; -1 pads triangles."""
    table = np.asarray(values)
    if table.ndim == 2 and table.shape[1] not in (3, 4) and table.shape[0] == 3:
        table = table.T
    if table.ndim != 2 or table.shape[1] not in (3, 4):
        raise AssetError(f"{path}: faces have shape {np.shape(values)}; three or four corners each are expected")
    faces = table.astype(np.int64) - first
    pad = np.full((len(faces), 4 - faces.shape[1]), -1)
    return np.concatenate([faces, pad], 1).astype(np.int32)


def no_modes(vertices: int) -> np.ndarray:
    """(0, V, 3): the modes of what a model does not have."""
    return np.zeros((0, vertices, 3), np.float32)


def landmark_table(known: dict[int, int], vertices: int, total: int) -> np.ndarray | None:
    """(68,) int32 from {number from 1: vertex}, for the topology of `total` vertices only; None for another one."""
    if vertices != total:
        return None
    table = np.full(68, -1, np.int32)
    table[[number - 1 for number in known]] = list(known.values())
    return table
