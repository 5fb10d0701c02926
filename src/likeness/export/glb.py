"""A GLB file that is there already, ours or another program's: read, and given movement by Apple's names of expressions.

What the file holds otherwise (mesh, chart, texture, its own shapes for the names) stays as it is.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets.arkit import EXPRESSIONS, from_ict
from likeness.errors import AssetError
from likeness.export import gltf
from likeness.types import View

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@dataclass(frozen=True)
class Glb:
    """A GLB file's two parts.

    Attributes:
        document: The JSON.
        binary: The one buffer that it points into.
        name: Of the file, for messages.
    """

    document: dict[str, Any]
    binary: bytes
    name: str = "the GLB file"

    @classmethod
    def of(cls, data: bytes, name: str = "the GLB file") -> Glb:
        """Take a file apart.

        Raises:
            AssetError: When it is no GLB 2.0, is damaged, or keeps its numbers in other files.
        """
        try:
            magic, version, length = struct.unpack_from("<4sII", data)
            size, kind = struct.unpack_from("<I4s", data, 12)
            if (magic, version, kind) != (b"glTF", 2, b"JSON") or length > len(data):
                raise ValueError("another header")
            document = json.loads(data[20 : 20 + size])
            binary = data[28 + size : length]
            buffers = document.get("buffers", [])
            outside = len(buffers) != 1 or "uri" in buffers[0]
        except (struct.error, ValueError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise AssetError(f"{name}: not a GLB file, or damaged ({error})") from None
        if outside:
            raise AssetError(f"{name}: its numbers are in other files; export it as one GLB")
        return cls(document, binary, name)

    @classmethod
    def read(cls, path: Path) -> Glb:
        """A file; raises AssetError as `of` does, and when it cannot be read."""
        try:
            return cls.of(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise AssetError(f"{path}: cannot be read ({error.strerror})") from None

    def faces(self) -> dict[int, list[int]]:
        """Nodes whose mesh moves by Apple's names: for each of its morph targets the row in `EXPRESSIONS`, -1 for other names."""
        found = {}
        meshes = self.document.get("meshes", [])
        for number, node in enumerate(self.document.get("nodes", [])):
            mesh = meshes[node["mesh"]] if "mesh" in node else {}
            rows = [_row(name) for name in _target_names(mesh)]
            if any(row >= 0 for row in rows):
                found[number] = rows
        return found

    def numbers(self, accessor: int) -> np.ndarray:
        """An accessor's numbers (n, width), sparse ones filled in.

        Raises:
            AssetError: When they are compressed, or not all there.
        """
        try:
            entry = self.document["accessors"][accessor]
            count, width, component = entry["count"], WIDTHS[entry["type"]], entry["componentType"]
            values = np.zeros((count, width), COMPONENTS[component])
            if "bufferView" in entry:
                values = self._part(entry, count, width, component).copy()
            if "sparse" in entry:
                sparse = entry["sparse"]
                rows = self._part(sparse["indices"], sparse["count"], 1, sparse["indices"]["componentType"])[:, 0]
                values[rows] = self._part(sparse["values"], sparse["count"], width, component)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            told = f"{self.name}: the numbers of accessor {accessor} cannot be read ({error!r}); export it uncompressed"
            raise AssetError(told) from None
        return values

    def _part(self, where: dict[str, Any], count: int, width: int, component: int) -> np.ndarray:
        view = self.document["bufferViews"][where["bufferView"]]
        start = view.get("byteOffset", 0) + where.get("byteOffset", 0)
        item = np.dtype(COMPONENTS[component]).itemsize
        stride = view.get("byteStride", item * width)
        raw = np.frombuffer(self.binary, np.uint8, stride * (count - 1) + item * width if count else 0, start)
        rows = np.lib.stride_tricks.as_strided(raw, (count, item * width), (stride, 1))
        return np.ascontiguousarray(rows).view(COMPONENTS[component]).reshape(count, width)

    def can_turn(self) -> bool:
        """Whether the head can be moved as one: the file has one mesh, and nothing is bound to bones."""
        return len(self.document.get("meshes", [])) == 1 and len(self.faces()) == 1 and not self.document.get("skins")


def animated(
    source: Glb, animations: Sequence[gltf.Animation], camera: View | None = None, notices: Sequence[str] = ()
) -> bytes:
    """The file with movement instead of what it had.

    Args:
        source: Has at least one of Apple's names.
        animations: Weights (F, 51) in the order of `EXPRESSIONS`; expressions that the file lacks are left out. Where
            the head cannot be turned (`Glb.can_turn`) only weights move.
        camera: As for `gltf.to_bytes`.
        notices: Lines about others' work that must travel with the movement.

    Raises:
        AssetError: When the file has no expression of Apple's name.
        LikenessError: When the movement is not finite.
    """
    faces = source.faces()
    if not faces:
        raise AssetError(f"{source.name}: no morph target has one of Apple's names, such as jawOpen")
    gltf.check_movement(animations, len(EXPRESSIONS))
    document = json.loads(json.dumps(source.document))
    buffer = gltf.Buffer(source.binary, document.get("bufferViews", []), document.get("accessors", []))
    ordered = {
        node: [replace(one, weights=_ordered(document, node, rows, one.weights)) for one in animations]
        for node, rows in faces.items()
    }
    if source.can_turn():
        node = next(iter(faces))
        old = document["nodes"][node]
        tables = gltf.moving(buffer, old.get("name", "face"), ordered[node], camera)
        tables["nodes"][gltf.FACE]["mesh"] = old["mesh"]
        document.pop("cameras", None)
        document |= tables | {"scene": 0, "scenes": [{"nodes": [0]}]}
    else:
        document["animations"] = [
            _weights_only(buffer, name, {node: entries[i] for node, entries in ordered.items()})
            for i, name in enumerate(one.name for one in animations)
        ]
    extras = document["asset"].setdefault("extras", {})
    extras["notices"] = list(dict.fromkeys([*extras.get("notices", []), *notices]))
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return gltf.container(document, buffer.data)


def _weights_only(buffer: gltf.Buffer, name: str, entries: dict[int, gltf.Animation]) -> dict[str, Any]:
    times = buffer.numbers(next(iter(entries.values())).times, bounds=True)
    outputs = {node: buffer.numbers(entry.weights) for node, entry in entries.items()}
    samplers = [{"input": times, "interpolation": "LINEAR", "output": output} for output in outputs.values()]
    channels = [{"sampler": i, "target": {"node": node, "path": "weights"}} for i, node in enumerate(outputs)]
    return {"name": name, "samplers": samplers, "channels": channels}


def _ordered(document: dict[str, Any], node: int, rows: list[int], weights: np.ndarray) -> np.ndarray:
    """Weights (F, K) in the order of a node's morph targets; targets of other names keep what the file says."""
    mesh = document["meshes"][document["nodes"][node]["mesh"]]
    still = np.asarray(document["nodes"][node].get("weights", mesh.get("weights", [0.0] * len(rows))), np.float64)
    columns = [weights[:, row] if row >= 0 else np.full(len(weights), rest) for row, rest in zip(rows, still)]
    return np.stack(columns, 1)


def _target_names(mesh: dict[str, Any]) -> list[str]:
    """Names of a mesh's morph targets, where Blender and other programs write them."""
    extras = mesh.get("extras")
    names = extras.get("targetNames", []) if isinstance(extras, dict) else []
    targets = mesh.get("primitives", [{}])[0].get("targets", [])
    return [str(name) for name in names] if len(names) == len(targets) else []


def _row(name: str) -> int:
    """Of a name in `EXPRESSIONS`, however it is spelled: EyeBlinkLeft, eyeBlink_L; -1 where it is none of them."""
    plain = name.rsplit(".", 1)[-1]
    return _ROWS.get((from_ict(plain) if plain.endswith(("_L", "_R")) else plain).casefold(), -1)


_ROWS = {name.casefold(): row for row, name in enumerate(EXPRESSIONS)}
