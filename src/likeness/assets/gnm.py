"""Reader for Google's GNM Head, version 3 (2026, arXiv 2607.23687): `gnm_head.npz`.

Names and shapes as in its own `gnm_xnp.py` and `gnm_data_loader.py`: template_vertex_positions (V, 3),
vertex_identity_basis (253, V, 3), expression_basis (383, V, 3), expression_names, quads (Q, 4), joint_names,
template_joint_positions (J, 3), skinning_weights (J, V). Metres, by its renderer's and its tests' docstrings. Axes are ours,
which is checked by its eye joints. The mesh holds skin, eyes, teeth and tongue; joints are not read, the head stays in rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets import archive
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import OutsideModel, checked, triangles_of, vertices_of
from likeness.errors import AssetError

_METRES = np.float32(1000)
_KEYS = ("template_vertex_positions", "vertex_identity_basis", "expression_basis")
_MORE = ("quads", "triangles", "expression_names", "joint_names", "template_joint_positions")


def read(path: str | Path) -> OutsideModel:
    """Read GNM Head.

    Raises:
        AssetError: When the file is missing, damaged or of another layout.
    """
    path = Path(path)
    data = archive.read(path, _KEYS + _MORE)
    archive.need(path, data, _KEYS, "GNM Head")
    if "quads" not in data and "triangles" not in data:
        raise AssetError(f"{path}: not GNM Head: neither quads nor triangles are in it")
    mean, identity, expression = (_METRES * np.asarray(data[key], np.float32) for key in _KEYS)
    _check_joints(path, data)
    names = tuple(str(name) for name in data.get("expression_names", ()))
    if names and len(names) != len(expression):
        raise AssetError(
            f"{path}: {len(names)} expression names for {len(expression)} expressions; the file is damaged"
        )
    return checked(path, OutsideModel(
        "GNM Head", READABLE["gnm"].licence, vertices_of(path, _KEYS[0], mean), identity, expression,
        triangles_of(path, data["quads"] if "quads" in data else data["triangles"]), expression_names=names,
        notes=("joints are not read: head and eyes stay in rest",),
    ))  # fmt: skip


def _check_joints(path: Path, data: dict[str, Any]) -> None:
    """Refuse a head whose left eye is not at +X of the right one, or whose eyes are not in front of and above the neck."""
    names = [str(name) for name in data.get("joint_names", ())]
    if not {"neck", "left_eye", "right_eye"} <= set(names) or "template_joint_positions" not in data:
        return
    places = dict(zip(names, np.asarray(data["template_joint_positions"], np.float64)))
    left, right, neck = places["left_eye"], places["right_eye"], places["neck"]
    if not (left[0] > right[0] and min(left[2], right[2]) > neck[2] and min(left[1], right[1]) > neck[1]):
        raise AssetError(f"{path}: GNM's axes are not as expected (left eye {left}, right eye {right}, neck {neck})")
