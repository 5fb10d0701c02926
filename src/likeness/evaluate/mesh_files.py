"""The bytes of mesh files of other systems: OBJ, PLY, VRML, and numpy's own, as plain arrays. Nothing is repaired."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from likeness.errors import AssetError


class Parsed(NamedTuple):
    """What a file says, unchecked.

    Attributes:
        vertices: (V, 3) float64 in the file's unit.
        triangles: (T, 3) int64, polygons as fans; T = 0 where the file has points only.
        colors: (V, 3) as in the file, or None.
        uv: (T, 3, 2) texture coordinates of the triangles' corners, as in the file, or None.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colors: np.ndarray | None = None
    uv: np.ndarray | None = None


def parse(path: Path) -> Parsed:
    """Read a mesh file by its suffix.

    Raises:
        AssetError: The file is missing, of another format, or damaged.
    """
    formats = {".obj": obj, ".ply": ply, ".wrl": wrl, ".npy": _npy, ".npz": _npz}
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise AssetError(f"{path}: not a mesh file that can be read; use {', '.join(formats)}")
    try:
        return formats[path.suffix.lower()](path)
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, IndexError, KeyError, EOFError, OverflowError, BadZipFile) as error:
        raise AssetError(f"{path}: damaged, or not {path.suffix[1:].upper()}: {error}") from None


def obj(path: Path) -> Parsed:
    """Wavefront OBJ: `v` with or without colours behind the position, `vt`, and `f` with any number of corners."""
    places, charts, faces = [], [], []
    keys = {b"v": places, b"vt": charts, b"f": faces}
    for line in path.read_bytes().replace(b"\\\n", b" ").splitlines():
        key, _, rest = line.strip().partition(b" ")
        if key in keys:
            keys[key].append(rest.split())
    numbers = _table(places, "v")
    vertices = numbers[:, :3].copy()
    colors = numbers[:, 3:6].copy() if numbers.shape[1] >= 6 else None
    corners, chart_corners = [], []
    for words in faces:
        ids = [word.split(b"/") for word in words]
        first = [_index(word[0], len(vertices)) for word in ids]
        second = [_index(word[1], len(charts)) if len(word) > 1 and word[1] else -1 for word in ids]
        for k in range(1, len(first) - 1):
            corners.append((first[0], first[k], first[k + 1]))
            chart_corners.append((second[0], second[k], second[k + 1]))
    triangles = np.array(corners, np.int64).reshape(-1, 3)
    places_uv = np.array(chart_corners, np.int64).reshape(-1, 3)
    uv = None
    if charts and len(triangles) and (places_uv >= 0).all() and (places_uv < len(charts)).all():
        uv = _table(charts, "vt")[:, :2][places_uv]
    return Parsed(vertices, triangles, colors, uv)


def _table(rows: list[list[bytes]], key: str) -> np.ndarray:
    """Rows of numbers as one array; columns that not all rows have are left out."""
    width = min((len(row) for row in rows), default=3)
    if width < (3 if key == "v" else 2):
        raise ValueError(f"a `{key}` line has {width} numbers only")
    return np.array([row[:width] for row in rows], np.float64).reshape(-1, width)


def _index(word: bytes, count: int) -> int:
    """A zero-based row of OBJ's one-based index, negative ones from the end; 0 is no index."""
    number = int(word)
    if number == 0:
        raise ValueError("index 0 in a face, but OBJ counts from 1")
    return number - 1 if number > 0 else count + number


_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
Element = tuple[str, int, list[tuple[str, ...]]]
"""Name, number of rows, and properties: (name, type) of a scalar, (name, count type, entry type) of a list."""


def ply(path: Path) -> Parsed:
    """PLY, ascii or binary of either byte order; colours 0-255 or 0-1 as they are; polygons as fans."""
    data = path.read_bytes()
    end = re.search(rb"end_header\r?\n", data)
    if not data.startswith(b"ply") or end is None:
        raise ValueError("no PLY header")
    order, elements = _ply_header(data[: end.start()].decode("ascii", "replace"))
    body = data[end.end() :]
    tables = _ply_ascii(body.split(), elements) if order == "" else _ply_binary(body, order, elements)
    vertex = tables.get("vertex", {})
    if not {"x", "y", "z"} <= set(vertex):
        raise ValueError("no vertex x, y, z")
    vertices = np.stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"], -1).reshape(-1, 3)
    named = [vertex.get(name) for name in ("red", "green", "blue")]
    colors = None if any(channel is None for channel in named) else np.stack(named, -1)
    face = tables.get("face", {})
    polygons = face.get("vertex_indices", face.get("vertex_index", []))
    return Parsed(vertices, _fans(polygons), colors)


def _ply_header(text: str) -> tuple[str, list[Element]]:
    """Byte order ("<", ">" or "" for ascii) and the elements of a PLY header."""
    order, elements = None, []
    orders = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
    for words in (line.split() for line in text.splitlines()):
        if words[:1] == ["format"]:
            order = orders[words[1]]
        elif words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:
            elements[-1][2].append((words[4], _TYPES[words[2]], _TYPES[words[3]]))
        elif words[:1] == ["property"]:
            elements[-1][2].append((words[2], _TYPES[words[1]]))
    if order is None:
        raise ValueError("no format line")
    return order, elements


def _ply_ascii(words: list[bytes], elements: list[Element]) -> dict[str, dict]:
    tables, at = {}, 0
    for name, count, properties in elements:
        if all(len(each) == 2 for each in properties):
            width = len(properties)
            rows = np.array(words[at : at + count * width], np.float64).reshape(count, width)
            tables[name] = {each[0]: rows[:, k] for k, each in enumerate(properties)}
            at += count * width
            continue
        table: dict[str, list] = {each[0]: [] for each in properties}
        for _ in range(count):
            for each in properties:
                many = int(words[at]) if len(each) == 3 else 1
                at += len(each) == 3
                table[each[0]].append(np.array(words[at : at + many], np.float64))
                at += many
        tables[name] = table
    return tables


def _ply_binary(body: bytes, order: str, elements: list[Element]) -> dict[str, dict]:
    tables, at = {}, 0
    for name, count, properties in elements:
        size = _row(properties, order, body, at) if count else None
        if size is not None and at + count * size.itemsize <= len(body):
            rows = np.frombuffer(body, size, count, at)
            if all((rows[f"#{p[0]}"] == rows[f"#{p[0]}"][0]).all() for p in properties if len(p) == 3):
                tables[name] = {each[0]: rows[each[0]] for each in properties}
                at += count * size.itemsize
                continue
        tables[name], at = _ply_rows(body, order, properties, count, at)
    return tables


def _row(properties: list[tuple[str, ...]], order: str, body: bytes, at: int) -> np.dtype:
    """The type of a row if all lists are as long as those of the first row."""
    fields, place = [], at
    for each in properties:
        if len(each) == 2:
            fields.append((each[0], order + each[1]))
            place += np.dtype(each[1]).itemsize
            continue
        many = int(np.frombuffer(body, order + each[1], 1, place)[0])
        fields += [(f"#{each[0]}", order + each[1]), (each[0], order + each[2], (many,))]
        place += np.dtype(each[1]).itemsize + many * np.dtype(each[2]).itemsize
    return np.dtype(fields)


def _ply_rows(body: bytes, order: str, properties: list, count: int, at: int) -> tuple[dict, int]:
    """Rows whose lists differ in length, one by one."""
    table: dict[str, list] = {each[0]: [] for each in properties}
    for _ in range(count):
        for each in properties:
            many = 1
            if len(each) == 3:
                many = int(np.frombuffer(body, order + each[1], 1, at)[0])
                at += np.dtype(each[1]).itemsize
            table[each[0]].append(np.frombuffer(body, order + each[-1], many, at))
            at += many * np.dtype(each[-1]).itemsize
    return table, at


def _fans(polygons) -> np.ndarray:
    """Triangles (T, 3) of polygons: rows of equal or different length."""
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2 and polygons.shape[1] == 3:
        return polygons.astype(np.int64)
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


def wrl(path: Path) -> Parsed:
    """VRML 2 with one indexed face set, as the scans of BU-3DFE: `point [...]` and `coordIndex [...]`."""
    text = path.read_text(errors="replace")
    points = re.search(r"\bpoint\s*\[([^\]]*)\]", text)
    if points is None:
        raise ValueError("no point [...]")
    numbers = np.array(points[1].replace(",", " ").split(), np.float64)
    faces = re.search(r"\bcoordIndex\s*\[([^\]]*)\]", text)
    ids = np.array(faces[1].replace(",", " ").split() if faces else [], np.int64)
    ends = np.flatnonzero(ids == -1)
    polygons = [part[part >= 0] for part in np.split(ids, ends + 1)]
    return Parsed(numbers.reshape(-1, 3), _fans(polygons))


def _npy(path: Path) -> Parsed:
    """Vertices (V, 3) alone; the topology must come from elsewhere."""
    vertices = np.asarray(np.load(path, allow_pickle=False), np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"an array {vertices.shape}, where vertices (V, 3) are wanted")
    return Parsed(vertices, np.zeros((0, 3), np.int64))


def _npz(path: Path) -> Parsed:
    """`vertices` or `v`, and `triangles`, `faces` or `f`."""
    with np.load(path, allow_pickle=False) as file:
        vertices = next((file[name] for name in ("vertices", "v") if name in file), None)
        faces = next((file[name] for name in ("triangles", "faces", "f") if name in file), np.zeros((0, 3)))
        colors = file["colors"] if "colors" in file else None
    if vertices is None or vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError("no array `vertices` (V, 3)")
    return Parsed(vertices.astype(np.float64), _fans(faces), colors)
