"""Meshes from anybody's method, checked: every fault that would make a score a lie gets one clear line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.mesh_files import parse

UNITS = {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "um": 0.001}
"""Millimetres in a unit. BFM comes in um, ICT in cm, FaceWarehouse in dm, FLAME in m."""
FACE_SIZE = (100.0, 1000.0)
"""Diagonal of the box around a face, a head, or a head with shoulders, mm. Ours."""
TANGLED = 0.01
"""Share of edges with three or more triangles from which a mesh is refused. Ours: raw scans have a few."""
FLAT = 1e-10
"""Double area, in squared diagonals of the mesh, up to which a triangle counts as one without area: 2 um by 2 um of a
face. Not nothing, because a text file of few digits turns nothing into a little."""
SUFFIXES = (".obj", ".ply", ".npz", ".npy", ".wrl")
"""In the order in which they are looked for."""


@dataclass(frozen=True)
class Mesh:
    """A checked mesh: finite, every index valid.

    Attributes:
        vertices: (V, 3) float64.
        triangles: (T, 3) int32; T = 0 for bare points.
        colors: (V, 3) as in the file, or None.
        uv: (T, 3, 2) as in the file, or None.
        remark: One line on a fault that does not forbid a score, or "".
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    remark: str = ""


def read(path: Path, unit: str | None = None, surface: bool = True) -> Mesh:
    """Read and check a mesh.

    Args:
        path: OBJ, PLY, WRL, NPZ or NPY file.
        unit: The file's unit; vertices come back in mm, and a size that is no face's in this unit is refused.
            None leaves the numbers as they are and asks nothing of the size, for protocols that align with scale.
        surface: Whether triangles are needed.

    Raises:
        AssetError: Missing, damaged, empty, not finite, with indices to nowhere, tangled, or of another unit.
    """
    path = Path(path)
    parsed = parse(path)
    mesh = checked(parsed.vertices, parsed.triangles, str(path), surface)
    mesh = replace(mesh, colors=parsed.colors, uv=parsed.uv if len(mesh.triangles) == len(parsed.triangles) else None)
    return mesh if unit is None else in_millimetres(mesh, unit, str(path))


def checked(vertices: np.ndarray, triangles: np.ndarray, name: str, surface: bool = True) -> Mesh:
    """A mesh of arrays that were looked at.

    Triangles without area are dropped: they have no normal and hold no point that their neighbours lack.

    Raises:
        AssetError: As `read`.
    """
    vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
    if not len(vertices):
        raise AssetError(f"{name}: empty, no vertices")
    wrong = np.flatnonzero(~np.isfinite(vertices).all(1))
    if len(wrong):
        count = f"{len(wrong)} of {len(vertices)}"
        raise AssetError(f"{name}: {count} vertices are NaN or infinite, the first is {wrong[0]}")
    if surface and not len(triangles):
        raise AssetError(f"{name}: {len(vertices)} points without triangles, but a surface is needed")
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        bad = int(np.flatnonzero(((triangles < 0) | (triangles >= len(vertices))).any(1))[0])
        raise AssetError(f"{name}: triangle {bad} names vertex {triangles[bad].max()}, but there are {len(vertices)}")
    triangles = triangles.astype(np.int32).reshape(-1, 3)
    corners = vertices[triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    solid = areas > FLAT * diagonal(vertices) ** 2
    if surface and not solid.any():
        raise AssetError(f"{name}: all {len(triangles)} triangles are without area")
    triangles = np.ascontiguousarray(triangles[solid])
    share = tangled(triangles)
    if share > TANGLED:
        raise AssetError(f"{name}: non-manifold, {100 * share:.1f} % of its edges have three or more triangles")
    remarks = [] if solid.all() else [f"{int((~solid).sum())} triangles without area dropped"]
    remarks += [f"non-manifold: {100 * share:.2g} % of its edges have three or more triangles"] if share else []
    return Mesh(vertices, triangles, remark="; ".join(remarks))


def tangled(triangles: np.ndarray) -> float:
    """Share of the edges that belong to three triangles or more."""
    if not len(triangles):
        return 0.0
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    _, counts = np.unique(sides.min(1) * (sides.max() + 1) + sides.max(1), return_counts=True)
    return float((counts > 2).mean())


def diagonal(vertices: np.ndarray) -> float:
    """Length of the diagonal of the box around points (V, 3), in their unit."""
    return float(np.linalg.norm(np.ptp(vertices, axis=0)))


def unit_of(vertices: np.ndarray) -> str | None:
    """The unit in which points (V, 3) have the size of a face or head, or None where there is none."""
    size = diagonal(vertices)
    return next((unit for unit, factor in UNITS.items() if FACE_SIZE[0] <= size * factor < FACE_SIZE[1]), None)


def in_millimetres(mesh: Mesh, unit: str, name: str) -> Mesh:
    """The mesh in mm, if its size is a face's in the unit that it is said to have.

    Raises:
        AssetError: Naming the unit that its size speaks for, as metres given for millimetres.
    """
    if unit not in UNITS:
        raise AssetError(f"{name}: unknown unit {unit!r}; choose {', '.join(UNITS)}")
    guess = unit_of(mesh.vertices)
    if guess != unit:
        looks = f"looks like {guess}" if guess else "no face has this size in any unit"
        size = f"{diagonal(mesh.vertices):.3g} {unit} across"
        raise AssetError(f"{name}: said to be in {unit}, but it is {size}: {looks}")
    return replace(mesh, vertices=mesh.vertices * UNITS[unit])


def find(folder: Path, stem: str, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The file of an item in a folder, whatever its format.

    Raises:
        AssetError: There is none.
    """
    for suffix in suffixes:
        path = Path(folder) / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise AssetError(f"{Path(folder) / stem}: missing (none of {', '.join(suffixes)})")


def read_points(path: Path, count: int | None = None) -> np.ndarray:
    """Points (n, 2 or 3) of a landmark file: .npy, .txt (a row a point), .pts (300-W), .pp (MeshLab's picked points).

    Raises:
        AssetError: Missing, damaged, not finite, or not `count` rows.
    """
    path = Path(path)
    try:
        points = np.asarray(_POINTS.get(path.suffix.lower(), _rows)(path), np.float64)
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise AssetError(f"{path}: damaged: {error}") from None
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise AssetError(f"{path}: an array {points.shape}, where points (n, 2) or (n, 3) are wanted")
    if count is not None and len(points) != count:
        raise AssetError(f"{path}: {len(points)} points, but {count} are wanted")
    if not np.isfinite(points).all():
        raise AssetError(f"{path}: point {int(np.flatnonzero(~np.isfinite(points).all(1))[0])} is NaN or infinite")
    return points


def _rows(path: Path) -> list[list[str]]:
    """Numbers of a text file, rows of equal length, by blanks or commas; what follows # is a remark."""
    lines = (line.partition("#")[0].replace(",", " ").split() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def _pts(path: Path) -> list[list[str]]:
    """300-W: `version: 1`, `n_points: 68`, and the points in braces."""
    text = path.read_text()
    inner = text.partition("{")[2].partition("}")[0]
    return [line.split() for line in inner.splitlines() if line.strip()]


def _pp(path: Path) -> list[list[str]]:
    """MeshLab's XML of picked points, in the order of the file."""
    from xml.etree import ElementTree

    try:
        return [[entry.attrib[axis] for axis in "xyz"] for entry in ElementTree.parse(path).getroot().iter("point")]
    except (ElementTree.ParseError, KeyError) as error:
        raise ValueError(f"no picked points: {error}") from None


def _npy(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


_POINTS = {".npy": _npy, ".txt": _rows, ".csv": _rows, ".pts": _pts, ".pp": _pp}
POINT_SUFFIXES = tuple(_POINTS)
