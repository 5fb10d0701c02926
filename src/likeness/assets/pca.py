"""Reader and writer for any linear face model as an `.npz` archive of documented names.

| name | what | where it is missing |
|---|---|---|
| `mean` | (V, 3), or a flat list x y z x y z ... | refused |
| `identity` | (I, V, 3) offsets per standard deviation | see `basis` |
| `basis`, and `stddev` or `variance` | (3V, I) columns, and (I,) | no identity modes |
| `expression` | (E, V, 3) offsets | none |
| `expression_names`, `expression_unit` | text (E,); "weight" or "standard deviation" | none; "weight" |
| `faces` | (F, 3) or (F, 4), from 0, -1 pads triangles | none |
| `unit` | "um", "mm", "cm" or "m" | "mm" |
| `axes` | which of the file's axes are our X, Y, Z, as in "+x +y +z" or "-x +z +y" | "+x +y +z" |
| `name`, `licence` | text | "PCA model", "not stated in the file" |
| `landmarks68` | (68,) vertices of the Multi-PIE points, -1 where unknown | none |
| `albedo_mean`, `albedo`, `albedo_encoding` | (V, 3), (K, V, 3) RGB; "linear" or "srgb" | none; "srgb" |

An axes line that mirrors the face is refused. Standard deviations are those of the training set, so that codes are N(0, 1).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets import archive
from likeness.assets.outside import Colors, OutsideModel, checked, modes_of, no_modes, triangles_of, vertices_of
from likeness.errors import AssetError

UNITS = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres in each."""


def read(path: str | Path) -> OutsideModel:
    """Read an archive of the names above.

    Raises:
        AssetError: When the file is missing, damaged or of another layout.
    """
    path = Path(path)
    data = archive.read(path)
    archive.need(path, data, ("mean",), "a PCA archive")
    unit, axes = _text(data, "unit", "mm"), _text(data, "axes", "+x +y +z")
    if unit not in UNITS:
        raise AssetError(f"{path}: unit is {unit!r}; choose one of {', '.join(UNITS)}")
    motion = (UNITS[unit] * _axes(path, axes)).astype(np.float32)
    mean = vertices_of(path, "mean", data["mean"]) @ motion.T
    faces = triangles_of(path, data["faces"]) if "faces" in data else np.zeros((0, 4), np.int32)
    names = tuple(str(name) for name in np.ravel(data.get("expression_names", ())))
    albedo = None
    if "albedo_mean" in data:
        modes = data.get("albedo", no_modes(len(mean)))
        albedo = Colors(vertices_of(path, "albedo_mean", data["albedo_mean"]), np.asarray(modes, np.float32),
                        _one_of(path, data, "albedo_encoding", ("srgb", "linear")))  # fmt: skip
    landmarks = data.get("landmarks68")
    if landmarks is not None and (np.shape(landmarks) != (68,) or np.max(landmarks) >= len(mean)):
        raise AssetError(
            f"{path}: landmarks68 should be 68 of {len(mean)} vertices and has shape {np.shape(landmarks)}"
        )
    return checked(path, OutsideModel(
        _text(data, "name", "PCA model"), _text(data, "licence", "not stated in the file"), mean,
        _identity(path, data, len(mean)) @ motion.T, _modes(path, data, "expression", len(mean)) @ motion.T, faces,
        _one_of(path, data, "expression_unit", ("weight", "standard deviation")), names,
        None if landmarks is None else np.asarray(landmarks, np.int32), albedo,
    ))  # fmt: skip


def write(path: str | Path, model: OutsideModel) -> None:
    """Write a model as such an archive; a skeleton and specular colours have no names there and are left out."""
    path = Path(path)
    content: dict[str, Any] = {
        "mean": model.mean, "identity": model.identity, "expression": model.expression, "faces": model.faces,
        "expression_unit": model.expression_unit, "expression_names": np.array(model.expression_names, str),
        "unit": "mm", "axes": "+x +y +z", "name": model.name, "licence": model.licence,
    }  # fmt: skip
    if model.landmarks68 is not None:
        content["landmarks68"] = model.landmarks68
    if model.albedo is not None:
        content |= {"albedo_mean": model.albedo.mean, "albedo": model.albedo.modes,
                    "albedo_encoding": model.albedo.encoding}  # fmt: skip
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        np.savez_compressed(file, **content)
    os.replace(beside, path)


def _axes(path: Path, line: str) -> np.ndarray:
    """(3, 3): our vector from the file's."""
    rows = []
    for word in line.lower().split():
        row = np.zeros(3)
        if len(word) != 2 or word[0] not in "+-" or word[1] not in "xyz":
            break
        row["xyz".index(word[1])] = 1 if word[0] == "+" else -1
        rows.append(row)
    matrix = np.array(rows)
    if matrix.shape != (3, 3) or np.linalg.det(matrix) < 0.5:
        raise AssetError(
            f"{path}: axes {line!r} are no turn; name the file's axes that are our X, Y, Z, as in '+x +y +z'"
        )
    return matrix


def _identity(path: Path, data: dict[str, Any], vertices: int) -> np.ndarray:
    if "basis" not in data:
        return _modes(path, data, "identity", vertices)
    if "stddev" not in data and "variance" not in data:
        raise AssetError(f"{path}: has a basis but neither stddev nor variance, so nobody knows how far people differ")
    known = "stddev" in data
    deviations = data["stddev"] if known else np.sqrt(np.maximum(np.asarray(data["variance"], np.float64), 0))
    return modes_of(path, "basis", data["basis"], deviations)


def _modes(path: Path, data: dict[str, Any], name: str, vertices: int) -> np.ndarray:
    modes = np.asarray(data.get(name, no_modes(vertices)), np.float32)
    if modes.ndim != 3 or modes.shape[-1] != 3:
        raise AssetError(f"{path}: {name} has shape {modes.shape}; (modes, vertices, 3) is expected")
    return modes


def _text(data: dict[str, Any], key: str, usual: str) -> str:
    return str(data[key]) if key in data else usual


def _one_of(path: Path, data: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """One of some words; the first where nothing is said."""
    value = _text(data, key, choices[0])
    if value not in choices:
        raise AssetError(f"{path}: {key} is {value!r}; choose one of {', '.join(choices)}")
    return value
