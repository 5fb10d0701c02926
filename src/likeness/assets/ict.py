"""Reader for the ICT Face Model Light (ICT-FaceKit, MIT): identity modes from light-stage scans, ARKit-like expressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.assets.arkit import EXPRESSIONS, from_ict, ict_names
from likeness.errors import AssetError

NARROW = 6706
"""The first vertices of the model: the face without ears and neck."""
FACE = 9409
"""The first vertices of the model: the whole face area; eyes, teeth and gums follow."""
VERTICES = 26719
"""All of them."""
MILLIMETRES = 10.0
"""ICT's files are in centimetres."""

MULTI_PIE_68: tuple[int, ...] = (
    1225,
    1888,
    1052,
    367,
    1719,
    1722,
    2199,
    1447,
    966,
    3661,
    4390,
    3927,
    3924,
    2608,
    3272,
    4088,
    3443,
    268,
    493,
    1914,
    2044,
    1401,
    3615,
    4240,
    4114,
    2734,
    2509,
    978,
    4527,
    4942,
    4857,
    1140,
    2075,
    1147,
    4269,
    3360,
    1507,
    1542,
    1537,
    1528,
    1518,
    1511,
    3742,
    3751,
    3756,
    3721,
    3725,
    3732,
    5708,
    5695,
    2081,
    0,
    4275,
    6200,
    6213,
    6346,
    6461,
    5518,
    5957,
    5841,
    5702,
    5711,
    5533,
    6216,
    6207,
    6470,
    5517,
    5966,
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


def landmark_table(vertices: int) -> np.ndarray | None:
    """(68,) int32 vertices of the Multi-PIE points, for the model's own topology only; None for another one."""
    return np.array(MULTI_PIE_68, np.int32) if vertices == VERTICES else None


def read(path: str | Path) -> IctModel:
    """Read the model from a checkout of ICT-FaceKit, or from an `.npz` file made of it.

    A checkout is the repository's folder, or its `FaceXModel`: OBJ meshes `generic_neutral_mesh`, `identity000` and on, and
    one for each expression (`browDown_L`). An archive holds `v`, `ids`, `ex`, `names`, `f`, `vt`, `ft`. Both in centimetres.

    Raises:
        AssetError: When files are missing or have another layout.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in ("v", "ids", "ex", "names", "f", "vt", "ft")}
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file; give the path of the ICT face model") from None
    except (KeyError, ValueError, OSError) as error:
        raise AssetError(f"{path}: not an ICT face model archive ({error})") from None
    return _join(data["v"], data["ids"], data["ex"], [str(n) for n in data["names"]], data["f"], data["vt"], data["ft"])


def _read_folder(path: Path) -> IctModel:
    """The model from OBJ meshes: identity and expression meshes are whole heads, from which the neutral one is taken off."""
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral = folder / "generic_neutral_mesh.obj"
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    names = [name for expression in EXPRESSIONS for name in ict_names(expression)]
    missing = [f"{name}.obj" for name in names if not (folder / f"{name}.obj").is_file()]
    missing += [] if neutral.is_file() else [neutral.name]
    missing += [] if identities else ["identity000.obj"]
    if missing:
        raise AssetError(f"{path}: not a checkout of ICT-FaceKit, {', '.join(missing[:3])} is missing")
    mean, uv, faces, uv_faces = _read_obj(neutral)

    def offsets(files: list[Path]) -> np.ndarray:
        shapes = np.zeros((len(files), *mean.shape), np.float32)
        for shape, file in zip(shapes, files):
            vertices = _obj_rows(file.read_text(), "v ", 3)
            if vertices.shape != mean.shape:
                raise AssetError(f"{file}: {len(vertices)} vertices where {neutral.name} has {len(mean)}")
            shape[:] = vertices - mean
        return shapes

    expressions = offsets([folder / f"{name}.obj" for name in names])
    return _join(
        mean.astype(np.float32), offsets(identities), expressions, names, faces, uv.astype(np.float32), uv_faces
    )


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), texture coordinates (n, 2) and faces into both (F, 4), -1 pads triangles, of an OBJ file."""
    text = path.read_text()
    corners = [
        [corner.split("/") for corner in line.split()[1:]] for line in text.splitlines() if line.startswith("f ")
    ]
    if any(len(face) not in (3, 4) or len(face[0]) < 2 for face in corners):
        raise AssetError(f"{path}: faces must be triangles or quads with texture coordinates")
    pads = [face + [["0", "0"]] * (4 - len(face)) for face in corners]
    faces, uv_faces = (np.array([[int(corner[k]) - 1 for corner in face] for face in pads], np.int32) for k in (0, 1))
    return _obj_rows(text, "v ", 3), _obj_rows(text, "vt ", 2), faces, uv_faces


def _obj_rows(text: str, key: str, width: int) -> np.ndarray:
    """(n, width) float64 of the lines that begin with a key."""
    rows = [line.split()[1 : 1 + width] for line in text.splitlines() if line.startswith(key)]
    return np.array(rows, np.float64).reshape(-1, width)


def _join(mean, identity, expression, names, faces, uv, uv_faces) -> IctModel:
    """Bring ICT's arrays to millimetres and its expressions to Apple's list, left and right joined where Apple has one."""
    joined = np.zeros((len(EXPRESSIONS), *mean.shape), np.float32)
    order = {name: i for i, name in enumerate(EXPRESSIONS)}
    for name, offsets in zip(names, expression):
        joined[order[from_ict(name)]] += MILLIMETRES * offsets
    scale = np.float32(MILLIMETRES)
    return IctModel(scale * mean, scale * identity, joined, faces.astype(np.int32), uv, uv_faces.astype(np.int32))
