"""Key points on meshes of known topologies, and the parts of the face they mark out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from likeness.assets import builtin, ict
from likeness.errors import AssetError
from likeness.evaluate import topologies
from likeness.evaluate.meshes import POINT_SUFFIXES, find, read_points
from likeness.types import Embedding

SEVEN_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""NoW's seven among the Multi-PIE 68: outer and inner corner of the right eye, inner and outer of the left, the bottom
of the nose (not its tip), right and left corner of the mouth (Sanyal et al. 2019; in the order of its files)."""
NOSE_TIP_68 = 30
ICT_WHOLE = 26719
"""Vertices of the whole ICT head."""
TOPOLOGIES = ("builtin", "ict", *topologies.NAMES)
"""Known by name; key points of all others come from a file."""
REGIONS: dict[str, tuple[int, ...]] = {
    "nose": tuple(range(27, 36)),
    "mouth": (*range(48, 61), 64),
    "forehead": (*range(17, 27), *range(36, 48)),
    "cheek": (*range(48, 61), 64, 36, 39, 40, 41, 42, 45, 46, 47, 7, 8, 9),
}
"""Key points that lay each region in place, rows of the 68: those of REALY (Chai et al. 2022, public evaluation) that
are among them. It has 85, and adds two beside the nose's wings to the nose and two on the cheeks to the cheek."""


@cache
def _topologies() -> dict[str, dict[int, Embedding]]:
    """The 68 on our own topologies and ICT's, by name and number of vertices: heads, and their skin alone."""
    model, ours = builtin.load(), {}
    for topology in (model.topology(level) for level in ("base", "dense")):
        ours |= {count: topology.landmarks["68"] for count in (len(topology.uv), topology.parts["skin"].stop)}
    marks = at_vertices(np.array(ict.MULTI_PIE_68))
    return {"builtin": ours, "ict": dict.fromkeys((ICT_WHOLE, ict.FACE, ict.NARROW), marks)}


def at_vertices(rows: np.ndarray) -> Embedding:
    """Points that lie on vertices (k,)."""
    rows = np.asarray(rows, np.int32)
    return Embedding(np.repeat(rows[:, None], 3, 1), np.tile(np.float64([1, 0, 0]), (len(rows), 1)))


def of_68(count: int, rows: tuple[int, ...], name: str | None = None) -> Embedding | None:
    """Where some of the 68 lie on a mesh of `count` vertices; None where the number tells no topology, or it lacks them.

    Args:
        rows: Which of the 68.
        name: One of `TOPOLOGIES`, where the number alone would not tell: 9,409 vertices are the skin of the builtin model
            and the face of ICT's.
    """
    found = [counts[count] for key, counts in _topologies().items() if count in counts and name in (None, key)]
    peer = topologies.table(count)
    if peer is not None and name in (None, peer[0]):
        wanted = peer[1][list(rows)]
        return at_vertices(wanted) if (wanted >= 0).all() else None
    if len(found) != 1:
        return None
    return Embedding(found[0].vertices[list(rows)], found[0].weights[list(rows)])


def known(count: int, name: str | None = None) -> Embedding | None:
    """The 68 on a mesh of `count` vertices if that number tells the topology; of one whose jaw is not known NoW's seven.

    Args:
        name: As `of_68`.
    """
    whole = of_68(count, tuple(range(68)), name)
    return of_68(count, SEVEN_OF_68, name) if whole is None else whole


def read(path: Path) -> Embedding:
    """Key points of any other topology.

    The file has a row a key point, in Multi-PIE order (68, or 51 without the jaw, or NoW's seven): a vertex number,
    from 0, or three vertex numbers and three weights. A model's own face-and-weights embedding becomes such rows by
    `triangles[face]`.

    Raises:
        AssetError: Missing or of another form.
    """
    try:
        rows = np.loadtxt(path, comments="#", delimiter=None, ndmin=2)
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: no key points: {error}") from None
    if rows.shape[1] == 1 or len(rows) == 1:
        ids = rows.reshape(-1)
        vertices, weights = np.repeat(ids[:, None], 3, 1), np.tile([1.0, 0, 0], (len(ids), 1))
    elif rows.shape[1] == 6:
        vertices, weights = rows[:, :3], rows[:, 3:]
    else:
        raise AssetError(f"{path}: {rows.shape[1]} numbers a row; give a vertex, or three vertices and three weights")
    if (vertices != np.round(vertices)).any() or (vertices < 0).any() or np.abs(weights.sum(1) - 1).max() > 1e-3:
        raise AssetError(f"{path}: vertex numbers must be whole and not negative, weights must sum to 1")
    return Embedding(vertices.astype(np.int32), weights)


def locate(path: Path, vertices: np.ndarray, given: Embedding | str | None = None) -> np.ndarray:
    """Key points (k, 3) of a mesh: from the file of its name beside it, else as given, else by its topology.

    Args:
        path: The mesh's file.
        vertices: (V, 3) of the mesh, in the unit of the file beside it.
        given: Key points of all meshes of the set, or the name of their topology, or None to tell it by the vertices.

    Raises:
        AssetError: There are none, or they lie on vertices that the mesh does not have.
    """
    try:
        beside = find(path.parent, path.stem, tuple(s for s in POINT_SUFFIXES if path.with_suffix(s) != path))
    except AssetError:
        embedding = known(len(vertices), given) if given is None or isinstance(given, str) else given
        if embedding is None:
            raise AssetError(
                f"{path}: no key points: put {path.stem}.txt beside it or give --keypoints; its {len(vertices)} "
                f"vertices tell none of the topologies {', '.join(TOPOLOGIES)}"
            ) from None
        last = embedding.vertices.max()
        if last >= len(vertices):
            raise AssetError(f"{path}: a key point on vertex {last}, but there are {len(vertices)}") from None
        return embedding.points(vertices)
    points = read_points(beside)
    if points.shape[1] != 3:
        raise AssetError(f"{beside}: key points of a mesh have x, y and z")
    return points


def rows_of_68(points: np.ndarray, rows: tuple[int, ...], name: str) -> np.ndarray:
    """Some of the 68, from 68 points or from the 51 without the jaw.

    Raises:
        AssetError: They are not among the points.
    """
    first = {68: 0, 51: 17}.get(len(points))
    if first is None or min(rows) < first:
        raise AssetError(f"{name}: {len(points)} key points, but rows {min(rows)} to {max(rows)} of the 68 are wanted")
    return points[np.array(rows) - first]


def seven(points: np.ndarray, name: str, rows: tuple[int, ...] = SEVEN_OF_68) -> np.ndarray:
    """NoW's seven points (7, 3), of the seven, the 51 or the 68; `rows` says which of the 68 they are."""
    return points if len(points) == 7 else rows_of_68(points, rows, name)


def shared(
    first: np.ndarray, second: np.ndarray, name: str, rows: tuple[int, ...] = SEVEN_OF_68
) -> tuple[np.ndarray, np.ndarray]:
    """The key points that two meshes both have: all, the 51 without the jaw, or the seven."""
    if 7 in (len(first), len(second)):
        return seven(first, name, rows), seven(second, name, rows)
    if {len(first), len(second)} == {51, 68}:
        return first[-51:], second[-51:]
    return first, second
