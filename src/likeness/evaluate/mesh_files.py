"""The bytes of mesh files of other systems: OBJ, PLY, VRML, and numpy's own, as plain arrays. Nothing is repaired."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from likeness.errors import AssetError
from likeness.kernels import kernel


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
    text = path.read_bytes().replace(b"\\\n", b" ")
    numbers = _table(re.findall(rb"^[ \t]*v[ \t](.*)", text, re.MULTILINE), 3)
    charts = _table(re.findall(rb"^[ \t]*vt[ \t](.*)", text, re.MULTILINE), 2)
    faces = re.findall(rb"^[ \t]*f([ \t].*)", text, re.MULTILINE)
    corners = _polygons(faces)
    triangles = _rows_of(corners[..., 0], len(numbers))
    chart_corners = _rows_of(corners[..., 1], len(charts)) if len(charts) and corners.any(axis=(0, 1))[1] else None
    uv = None
    if chart_corners is not None and (chart_corners >= 0).all() and (chart_corners < len(charts)).all():
        uv = charts[:, :2][chart_corners]
    return Parsed(numbers[:, :3].copy(), triangles, numbers[:, 3:6].copy() if numbers.shape[1] >= 6 else None, uv)


def _table(rows: list[bytes], least: int) -> np.ndarray:
    """Rows of numbers as one array; columns that not all rows have are left out."""
    if not rows:
        return np.zeros((0, least))
    width = len(rows[0].split())
    flat = _numbers(b" ".join(rows))
    if len(flat) != len(rows) * width:  # rows of different length
        words = [row.split() for row in rows]
        width = min(map(len, words))
        flat = _numbers(b" ".join(word for row in words for word in row[:width]))
    if width < least:
        raise ValueError(f"a line with {width} of {least} coordinates")
    return flat.reshape(-1, width)


def _numbers(text: bytes) -> np.ndarray:
    """Numbers (n,) float64 of a text, by blanks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy says so in a warning where it stops before the end
        try:
            return np.fromstring(text, np.float64, sep=" ")
        except DeprecationWarning:
            raise ValueError("something that is no number") from None


def _polygons(faces: list[bytes]) -> np.ndarray:
    """Fans (T, 3, 2) of the one-based indices of vertices and charts of face lines; 0 where a corner has no chart."""
    text = np.frombuffer(b"\n".join(faces) + b"\n", np.uint8)
    count = sum(len(face) for face in faces) // 2 + 1  # a corner has a digit and a blank at least
    corners, lines = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    used = _corners(text, corners, lines)
    if used < 0:
        raise ValueError("a face with something that is no index")
    corners, lines = corners[:used], lines[:used]
    starts = np.flatnonzero(np.diff(lines, prepend=-1))
    first = np.repeat(starts, np.diff(np.append(starts, used)))
    apex = np.flatnonzero(np.arange(used) >= first + 2)  # corner k of a polygon closes the triangle (0, k - 1, k)
    return corners[np.stack([first[apex], apex - 1, apex], -1)]


@kernel
def _corners(text, corners, lines):
    """Write (vertex, chart) and the line of every corner of face lines; return how many, or -1 at what is no index."""
    used, line, part, number, sign, digits = 0, 0, 0, 0, 1, 0
    for letter in text:
        if 48 <= letter <= 57:
            number = 10 * number + letter - 48
            digits += 1
            continue
        if letter == 45 and digits == 0 and sign == 1:
            sign = -1
            continue
        if letter not in (9, 10, 13, 32, 47):
            return -1
        if digits and part < 2:
            corners[used, part] = sign * number
        ended = letter != 47
        if ended and (digits or part):
            lines[used] = line
            used += 1
        part = 0 if ended else part + 1
        number, sign, digits = 0, 1, 0
        if letter == 10:
            line += 1
    return used


def _rows_of(index: np.ndarray, count: int) -> np.ndarray:
    """Zero-based rows of OBJ's one-based indices, negative ones from the end; 0 is no index."""
    if (index == 0).any():
        raise ValueError("index 0 in a face, but OBJ counts from 1")
    return np.where(index > 0, index - 1, count + index)


_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
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
