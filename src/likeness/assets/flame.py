"""Reader for FLAME 2020 and 2023 (Li et al. 2017, "Learning a model of facial shape and expression from 4D scans").

A pickle (`generic_model.pkl`, `flame2023.pkl`), read without running it, or an `.npz` of the same names: v_template (V, 3),
shapedirs (V, 3, 300 + 100: identity, then expression, per standard deviation), posedirs (V, 3, 36), J_regressor (5, V),
weights (V, 5), kintree_table (2, 5), f (F, 3); as its users' public code reads them (smplx, FLAME_PyTorch). Metres; the
axes are ours. Joints: root, neck, jaw, left eye, right eye.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets import archive, pickled
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import OutsideModel, Skeleton, checked, first_bytes, triangles_of, vertices_of
from likeness.errors import AssetError
from likeness.types import Embedding

JOINTS = ("root", "neck", "jaw", "eye_left", "eye_right")
_METRES = np.float32(1000)
_IDENTITY = 300
"""Columns of `shapedirs` that are identity; expression follows."""
_KEYS = ("v_template", "shapedirs", "f")
_RIG = ("posedirs", "J_regressor", "weights", "kintree_table")


def read(path: str | Path, identity: int = _IDENTITY) -> OutsideModel:
    """Read FLAME.

    Args:
        identity: How many of the file's shape directions are identity; the rest is expression.

    Raises:
        AssetError: When the file is missing, damaged, of another layout, or a pickle of more than arrays.
    """
    path = Path(path)
    zipped = first_bytes(path).startswith(b"PK")
    data: Any = archive.read(path, _KEYS + _RIG) if zipped else pickled.read(path)
    if not isinstance(data, dict):
        raise AssetError(f"{path}: not FLAME: the pickle holds a {type(data).__name__}, a dict is expected")
    data = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in data.items()}
    archive.need(path, data, _KEYS, "FLAME")
    arrays = {key: _numbers(path, key, data[key]) for key in _KEYS + _RIG if key in data}
    mean = _METRES * vertices_of(path, "v_template", arrays["v_template"])
    directions = arrays["shapedirs"]
    if directions.ndim != 3 or directions.shape[:2] != mean.shape:
        raise AssetError(f"{path}: shapedirs has shape {directions.shape}; ({len(mean)}, 3, K) is expected")
    modes = _METRES * np.moveaxis(directions, -1, 0).astype(np.float32)
    rigged = all(key in arrays for key in _RIG)
    notes = () if rigged else ("no joints in this file: the head stays in rest",)
    return checked(path, OutsideModel(
        "FLAME", READABLE["flame"].licence, mean, modes[:identity], modes[identity:], triangles_of(path, arrays["f"]),
        skeleton=_skeleton(path, arrays, len(mean)) if rigged else None, notes=notes,
    ))  # fmt: skip


def landmarks(path: str | Path, model: OutsideModel) -> tuple[np.ndarray, Embedding]:
    """FLAME's landmarks without the jaw line: `flame_static_embedding.pkl` with lmk_face_idx (51,) and lmk_b_coords (51, 3).

    Returns:
        Numbers (51,) of the Multi-PIE points, 17 to 67, and where they lie on the model's triangles.

    Raises:
        AssetError: When the file is missing, damaged, of another layout or for another mesh.
    """
    path = Path(path)
    data = pickled.read(path)
    if not isinstance(data, dict):
        raise AssetError(f"{path}: not FLAME's landmarks: the pickle holds a {type(data).__name__}")
    archive.need(path, data, ("lmk_face_idx", "lmk_b_coords"), "FLAME's landmarks")
    faces, weights = (_numbers(path, key, data[key]) for key in ("lmk_face_idx", "lmk_b_coords"))
    if faces.shape != (51,) or weights.shape != (51, 3) or faces.max() >= len(model.faces):
        raise AssetError(
            f"{path}: {faces.shape} faces and {weights.shape} weights; 51 points of {len(model.faces)} faces expected"
        )
    return np.arange(17, 68), Embedding(model.faces[faces.astype(int), :3], weights.astype(np.float32))


def _numbers(path: Path, key: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise AssetError(f"{path}: {key} of FLAME should be numbers and is {array.dtype}")
    return array


def _skeleton(path: Path, arrays: dict[str, np.ndarray], vertices: int) -> Skeleton:
    regressor, weights = (arrays[key].astype(np.float32) for key in ("J_regressor", "weights"))
    joints = len(regressor)
    correctives = np.moveaxis(arrays["posedirs"], -1, 0).astype(np.float32)
    parents = arrays["kintree_table"][0].astype(np.uint32).astype(np.int32)
    parents[0] = -1  # files have 2 ** 32 - 1 there, or 0
    shapes = {
        "J_regressor": (regressor.shape, (joints, vertices)),
        "weights": (weights.shape, (vertices, joints)),
        "posedirs": (correctives.shape, (9 * (joints - 1), vertices, 3)),
        "kintree_table": (parents.shape, (joints,)),
    }
    for key, (found, wanted) in shapes.items():
        if found != wanted:
            raise AssetError(f"{path}: {key} of FLAME gives {found} where {wanted} is expected")
    names = JOINTS if joints == len(JOINTS) else tuple(f"joint{k}" for k in range(joints))
    return Skeleton(names, parents, regressor, weights, _METRES * correctives)
