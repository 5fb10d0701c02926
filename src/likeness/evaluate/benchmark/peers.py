"""Other systems in the same run: their output files, read as they are.

A peer is a folder:

    meshes/<item>.obj | .ply | .npz | .wrl   the neutral face of the item's largest face, any unit, any topology; or as some
                                             systems name it: <item>_obj.obj, <item>_ply.ply (3DDFA_V2), <item>/<item>.obj (DECA)
    points/<item>.txt | .npy | .pts          68 Multi-PIE points (68, 2), pixels of the item's picture
    landmarks.txt                            vertex ids on the meshes: 68 in Multi-PIE order, or seven:
                                             (right eye outer, inner, left eye inner, outer, nose tip, mouth right, left);
                                             not needed for topologies that `evaluate.topologies` knows by their size
    keep.txt                                 vertex ids to keep of each mesh, as the face crop of BFM or FLAME; may be missing
    unit.txt                                 mm, cm, dm, m or um, where the size of the faces is meant; may be missing
    about.txt                                one sentence for the report; may be missing

Meshes or points may be missing: what they would say is then not measured. A system that writes faces with expression
(DECA and 3DDFA_V2 do, by default) is compared with neutral faces all the same: let it leave its expression out, or say so
in about.txt. `likeness benchmark --pictures DIR` writes the pictures to run a peer on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate import keypoints, meshes
from likeness.evaluate.benchmark.items import Answer, Item, Method, Shape
from likeness.evaluate.scans import LANDMARKS_OF_68
from likeness.types import Embedding

NAMES = ("{0}", "{0}_obj", "{0}_ply", "{0}/{0}")
"""What a system may call the mesh of an item."""


def peer(name: str, folder: Path) -> Method:
    """A row made of a folder of files.

    Raises:
        AssetError: The folder is missing, or holds neither meshes nor points, or its lists of vertices are damaged.
    """
    folder = Path(folder)
    with_meshes, with_points = (folder / "meshes").is_dir(), (folder / "points").is_dir()
    if not (with_meshes or with_points):
        raise AssetError(f"{folder}: neither meshes/ nor points/ is in this folder of {name}")
    marks = _marks(folder / "landmarks.txt") if (folder / "landmarks.txt").is_file() else None
    keep = vertex_list(folder / "keep.txt") if (folder / "keep.txt").is_file() else None
    unit = _unit(folder / "unit.txt") if (folder / "unit.txt").is_file() else None

    def answer(item: Item) -> Answer:
        neutral = read_shape(find_mesh(folder / "meshes", item.name), marks, keep, unit) if with_meshes else None
        points = None
        if with_points:
            points = meshes.read_points(meshes.find(folder / "points", item.name, meshes.POINT_SUFFIXES), 68)[:, :2]
        return Answer(neutral, points)

    about = folder / "about.txt"
    return Method(name, answer, about.read_text().strip() if about.is_file() else f"Files of {folder.name}.")


def find_mesh(folder: Path, item: str) -> Path:
    """The mesh of an item, by any of `NAMES`.

    Raises:
        AssetError: There is none.
    """
    for pattern in NAMES:
        for suffix in meshes.SUFFIXES:
            path = folder / (pattern.format(item) + suffix)
            if path.is_file():
                return path
    return meshes.find(folder, item)  # says what is missing


def _marks(path: Path) -> np.ndarray:
    """The seven landmarks' vertex ids of a list of 68 or seven."""
    marks = vertex_list(path)
    if len(marks) not in (7, 68):
        seven = "seven (corners of the eyes, tip of the nose, corners of the mouth)"
        raise AssetError(f"{path}: {len(marks)} vertex ids; give 68, or {seven}")
    return marks[list(LANDMARKS_OF_68)] if len(marks) == 68 else marks


def _unit(path: Path) -> str:
    unit = path.read_text().strip()
    if unit not in meshes.UNITS:
        raise AssetError(f"{path}: unknown unit {unit!r}; choose {', '.join(meshes.UNITS)}")
    return unit


def vertex_list(path: Path) -> np.ndarray:
    """Vertex ids (n,), counted from 0: whole numbers by blanks, commas or lines; what follows # is a remark.

    Raises:
        AssetError: Missing, empty, or something else in it.
    """
    try:
        lines = [line.partition("#")[0].replace(",", " ") for line in path.read_text().splitlines()]
        ids = np.array([int(word) for word in " ".join(lines).split()])
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error}") from None
    except ValueError as error:
        raise AssetError(f"{path}: not a list of vertex ids: {error}") from None
    if not len(ids) or ids.min() < 0:
        raise AssetError(f"{path}: vertex ids count from 0, and there must be some")
    return ids


def read_shape(path: Path, marks: np.ndarray | None, keep: np.ndarray | None, unit: str | None = None) -> Shape:
    """A mesh file, cut to the vertices to keep.

    Args:
        path: The file.
        marks: (7,) vertex ids of the landmarks on the whole mesh; None to know them by the mesh's size.
        keep: Vertex ids of what is kept; None: all.
        unit: The file's unit where the size is meant; vertices then come back in mm.

    Raises:
        AssetError: See `meshes.read`; or an id is beyond the mesh, or nobody knows the landmarks.
    """
    mesh = meshes.read(path, unit)
    count = len(mesh.vertices)
    beyond = max(-1 if rows is None else int(rows.max()) for rows in (marks, keep))
    if beyond >= count:
        raise AssetError(f"{path}: a list names vertex {beyond}, but there are {count}")
    places: Embedding | None = (
        keypoints.of_68(count, LANDMARKS_OF_68) if marks is None else keypoints.at_vertices(marks)
    )
    if places is None:
        raise AssetError(f"{path}: {count} vertices tell no known topology; put landmarks.txt beside meshes/")
    triangles = mesh.triangles
    if keep is not None:
        kept = np.zeros(count, bool)
        kept[keep] = True
        triangles = triangles[kept[triangles].all(1)]
    if not len(triangles):
        raise AssetError(f"{path}: no triangle is left within keep.txt")
    return Shape(mesh.vertices, triangles, places.points(mesh.vertices), unit is not None)
