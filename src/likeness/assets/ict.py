"""Reader for the ICT Face Model Light (ICT-FaceKit, MIT): identity modes from light-stage scans, ARKit-like expressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.assets.arkit import EXPRESSIONS, from_ict
from likeness.errors import AssetError

NARROW = 6706
"""The first vertices of the model: the face without ears and neck."""
FACE = 9409
"""The first vertices of the model: the whole face area; eyes, teeth and gums follow."""
MILLIMETRES = 10.0
"""ICT's files are in centimetres."""

MULTI_PIE_68: tuple[int, ...] = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509,
    978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841,
    5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
"""Vertices of the 68 Multi-PIE points, in their order: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth."""


@dataclass(frozen=True)
class IctModel:
    """The full ICT head.

    Attributes:
        mean: (26719, 3) mm.
        identity: (100, 26719, 3) mm offset per standard deviation.
        expression: (51, 26719, 3) mm offset at weight 1, in the order of `arkit.EXPRESSIONS`.
        faces: (F, 4) int32 quads, -1 pads triangles.
        uv: (n, 2) texture coordinates, v up, as in ICT's files.
        uv_faces: (F, 4) int32 into `uv`.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray

    def decode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) mm from codes (100,) in standard deviations and (51,) in [0, 1]."""
        offsets = np.tensordot(identity, self.identity[: len(identity)], 1)
        return self.mean + offsets + np.tensordot(expression, self.expression, 1)


def read(path: str | Path) -> IctModel:
    """Read the model from an `.npz` file that holds `v`, `ids`, `ex`, `names`, `f`, `vt`, `ft`.

    Raises:
        AssetError: When the file is missing or has another layout.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in ("v", "ids", "ex", "names", "f", "vt", "ft")}
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file; give the path of the ICT face model") from None
    except (KeyError, ValueError, OSError) as error:
        raise AssetError(f"{path}: not an ICT face model archive ({error})") from None
    return _join(data["v"], data["ids"], data["ex"], [str(n) for n in data["names"]], data["f"], data["vt"], data["ft"])


def _join(mean, identity, expression, names, faces, uv, uv_faces) -> IctModel:
    """Bring ICT's arrays to millimetres and its expressions to Apple's list, left and right joined where Apple has one."""
    joined = np.zeros((len(EXPRESSIONS), *mean.shape), np.float32)
    order = {name: i for i, name in enumerate(EXPRESSIONS)}
    for name, offsets in zip(names, expression):
        joined[order[from_ict(name)]] += MILLIMETRES * offsets
    scale = np.float32(MILLIMETRES)
    return IctModel(scale * mean, scale * identity, joined, faces.astype(np.int32), uv, uv_faces.astype(np.int32))
