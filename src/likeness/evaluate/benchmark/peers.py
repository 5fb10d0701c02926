"""Other systems in the same run: their output files, read as they are.

A peer is a folder:

    meshes/<item>.obj | .ply | .npz | .wrl   the neutral face of the item's largest face, any unit, any topology
    points/<item>.txt | .npy | .pts          68 Multi-PIE points (68, 2), pixels of the item's picture
    landmarks.txt                            vertex ids on the meshes: 68 in Multi-PIE order, or seven:
                                             (right eye outer, inner, left eye inner, outer, nose tip, mouth right, left)
    keep.txt                                 vertex ids to keep of each mesh, as the face crop of BFM or FLAME; may be missing
    about.txt                                one sentence for the report; may be missing

Meshes or points may be missing: what they would say is then not measured. `likeness benchmark --pictures DIR` writes the
pictures to run a peer on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate import meshes
from likeness.evaluate.benchmark.items import Answer, Item, Method, Shape
from likeness.evaluate.scans import LANDMARKS_OF_68


def peer(name: str, folder: Path) -> Method:
    """A row made of a folder of files.

    Raises:
        AssetError: The folder is missing, or holds neither meshes nor points, or its lists of vertices are damaged.
    """
    folder = Path(folder)
    with_meshes, with_points = (folder / "meshes").is_dir(), (folder / "points").is_dir()
    if not (with_meshes or with_points):
        raise AssetError(f"{folder}: neither meshes/ nor points/ is in this folder of {name}")
    marks = vertex_list(folder / "landmarks.txt") if with_meshes else None
    if marks is not None and len(marks) not in (7, 68):
        seven = "seven (corners of the eyes, tip of the nose, corners of the mouth)"
        raise AssetError(f"{folder / 'landmarks.txt'}: {len(marks)} vertex ids; give 68, or {seven}")
    if marks is not None and len(marks) == 68:
        marks = marks[list(LANDMARKS_OF_68)]
    keep = vertex_list(folder / "keep.txt") if (folder / "keep.txt").is_file() else None

    def answer(item: Item) -> Answer:
        neutral = read_shape(meshes.find(folder / "meshes", item.name), marks, keep) if with_meshes else None
        points = None
        if with_points:
            points = meshes.read_points(meshes.find(folder / "points", item.name, meshes.POINT_SUFFIXES), 68)[:, :2]
        return Answer(neutral, points)

    about = folder / "about.txt"
    return Method(name, answer, about.read_text().strip() if about.is_file() else f"Files of {folder.name}.")


def vertex_list(path: Path) -> np.ndarray:
    """Vertex ids (n,), counted from 0: whole numbers by blanks, commas or lines; what follows # is a remark.

    Raises:
        AssetError: Missing, empty, or something else in it.
    """
    try:
        lines = [line.partition("#")[0].replace(",", " ") for line in path.read_text().splitlines()]
        ids = np.array([int(word) for word in " ".join(lines).split()])
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise AssetError(f"{path}: not a list of vertex ids: {error}") from None
    if not len(ids) or ids.min() < 0:
        raise AssetError(f"{path}: vertex ids count from 0, and there must be some")
    return ids


def read_shape(path: Path, marks: np.ndarray, keep: np.ndarray | None) -> Shape:
    """A mesh file, cut to the vertices to keep; landmarks (7,) are vertex ids of the whole mesh.

    Raises:
        AssetError: See `meshes.read`; or an id is beyond the mesh.
    """
    mesh = meshes.read(path)
    beyond = max(int(marks.max()), -1 if keep is None else int(keep.max()))
    if beyond >= len(mesh.vertices):
        raise AssetError(f"{path}: a list names vertex {beyond}, but there are {len(mesh.vertices)}")
    triangles = mesh.triangles
    if keep is not None:
        kept = np.zeros(len(mesh.vertices), bool)
        kept[keep] = True
        triangles = triangles[kept[triangles].all(1)]
    if not len(triangles):
        raise AssetError(f"{path}: no triangle is left within keep.txt")
    return Shape(mesh.vertices, triangles, mesh.vertices[marks])
