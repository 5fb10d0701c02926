"""Binary glTF 2.0 (GLB) with morph targets, written directly: no library stands between the arrays and the file.

One mesh with one primitive and one material, so that a three.js `Mesh`, a Blender object or a Unity
`SkinnedMeshRenderer` carries all movements at once. Metres, +Y up, +Z out of the face.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from likeness.errors import LikenessError
from likeness.export.asset import Asset
from likeness.export.textures import mime_type
from likeness.geometry.mesh import triangulate, vertex_normals
from likeness.types import View

METRES = 0.001
"""Metres per millimetre."""
STILL = 0.03
"""mm; vertices that a movement shifts by less are left out of its sparse accessor. Ours: a third of the model's own
mean distance to the scans' model, and far below a texel (0.25 mm); the dense file is 13 MB with it and 17 MB without."""
ROUGHNESS = 0.7
"""Ours: skin without a specular map; shiny enough to show the shape, dull enough not to look wet."""

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
UINT16, UINT32, FLOAT32 = 5123, 5125, 5126
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


@dataclass(frozen=True)
class Animation:
    """Movement of a head through F frames, in the frame of the camera that saw it.

    Attributes:
        name: Shown by players.
        times: (F,) seconds, increasing, at least 0.
        weights: (F, K) of the asset's movements.
        rotation: (F, 4) unit quaternions x y z w, camera from model; neighbours have no jump of sign.
        translation: (F, 3) mm, camera from model.
    """

    name: str
    times: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


class Buffer:
    """The binary chunk and the tables that point into it."""

    def __init__(
        self, data: bytes = b"", views: Sequence[dict[str, Any]] = (), accessors: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.data = bytearray(data)
        self.views: list[dict[str, Any]] = list(views)
        self.accessors: list[dict[str, Any]] = list(accessors)

    def view(self, data: bytes | bytearray, target: int | None = None) -> int:
        """Append bytes, aligned to four; returns the number of their buffer view."""
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(entry | ({} if target is None else {"target": target}))
        self.data += data
        return len(self.views) - 1

    def accessor(self, count: int, kind: str, component: int = FLOAT32, **entry: Any) -> int:
        """Append an accessor; returns its number."""
        self.accessors.append({"componentType": component, "count": count, "type": kind} | entry)
        return len(self.accessors) - 1

    def vectors(self, values: np.ndarray, bounds: bool = False, target: int | None = ARRAY_BUFFER) -> int:
        """Append float vectors (n, 2) or (n, 3); returns the number of their accessor."""
        values = np.ascontiguousarray(values, "<f4")
        entry = {"bufferView": self.view(values.tobytes(), target)} | (_bounds(values) if bounds else {})
        return self.accessor(len(values), f"VEC{values.shape[1]}", **entry)

    def numbers(self, values: np.ndarray, bounds: bool = False) -> int:
        """Append float numbers (n,); returns the number of their accessor."""
        values = np.ascontiguousarray(values, "<f4").ravel()
        entry = {"bufferView": self.view(values.tobytes())} | (_bounds(values[:, None]) if bounds else {})
        return self.accessor(len(values), "SCALAR", **entry)


def _bounds(values: np.ndarray) -> dict[str, list[float]]:
    return {"min": [float(x) for x in values.min(0)], "max": [float(x) for x in values.max(0)]}


def to_bytes(asset: Asset, animations: Sequence[Animation] = (), camera: View | None = None) -> bytes:
    """The GLB file of a rigged face, perhaps with movement.

    The base pose is the person without expression; `mesh.weights` holds the expression of the photo and
    `mesh.extras.targetNames` the names, where Blender, three.js and Unity's importers look for them. Vertices that no
    face uses are left out. Movements are sparse: only vertices that move are stored (`STILL`), and a movement that
    moves nothing takes no bytes.

    Args:
        asset: The face.
        animations: The face then hangs on a node "head", which they turn and move; the scene's origin is the head's
            middle place in the first of them.
        camera: The camera that saw the movement, of which focal length and size are used; it is put where it stood, and
            looks straight ahead.

    Raises:
        LikenessError: When numbers are not finite, or shapes do not fit.
    """
    _check(asset, animations)
    movements, used = asset, asset.used
    asset = asset.still().compacted()
    triangles = triangulate(asset.faces)
    buffer = Buffer()
    primitive = {
        "attributes": _attributes(buffer, asset, triangles),
        "indices": _indices(buffer, triangles, len(asset.positions)),
        "material": 0,
        "mode": 4,
    }
    mesh: dict[str, Any] = {"name": asset.name, "primitives": [primitive]}
    if len(movements.target_names):
        primitive["targets"] = _targets(buffer, movements.targets, used)
        mesh["weights"] = [round(float(weight), 6) for weight in movements.weights]
        mesh["extras"] = {"targetNames": list(movements.target_names)}
    document = {
        "asset": _provenance(asset),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": asset.name, "mesh": 0}],
        "meshes": [mesh],
    }
    if animations:
        document |= moving(buffer, asset.name, animations, camera)
    document |= _material(buffer, asset.texture)
    document |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return container(document, buffer.data)


def _check(asset: Asset, animations: Sequence[Animation]) -> None:
    count, movements = len(asset.positions), len(asset.target_names)
    if asset.targets.shape != (movements, count, 3) or len(asset.weights) != movements:
        raise LikenessError(
            f"{movements} names, {len(asset.weights)} weights and targets of shape {asset.targets.shape} do not fit "
            f"{count} vertices"
        )
    arrays = {"positions": asset.positions, "movements": asset.targets, "weights": asset.weights, "chart": asset.uv}
    for name, values in arrays.items():
        if values is not None and not np.isfinite(values).all():
            raise LikenessError(f"the {name} of {asset.name!r} are not all finite numbers; nothing was written")
    check_movement(animations, movements)


def check_movement(animations: Sequence[Animation], movements: int) -> None:
    """Refuse movement that does not fit a face of so many morph targets.

    Raises:
        LikenessError: When shapes do not fit, numbers are not finite, or times do not increase.
    """
    for entry in animations:
        frames = len(entry.times)
        values = np.concatenate([entry.weights.reshape(frames, -1), entry.rotation, entry.translation], 1)
        if not frames or entry.weights.shape != (frames, movements) or not np.isfinite(values).all():
            raise LikenessError(f"the movement {entry.name!r} does not fit the face, or is not all finite numbers")
        if entry.times[0] < 0 or (np.diff(entry.times) <= 0).any():
            raise LikenessError(f"the times of the movement {entry.name!r} do not increase from 0 on")


HEAD, FACE, CAMERA = 1, 2, 3
"""Nodes of a moving face; node 0 brings the camera's frame to where the head is the origin."""


def moving(
    buffer: Buffer, name: str, animations: Sequence[Animation], camera: View | None
) -> dict[str, Any]:  # fmt: skip
    """Nodes, camera and animations of a moving face."""
    first = animations[0]
    origin = METRES * np.median(first.translation, 0)
    nodes: list[dict[str, Any]] = [
        {"name": "scene", "children": [HEAD], "translation": [round(float(-x), 6) for x in origin]},
        {
            "name": "head", "children": [FACE], "rotation": [float(x) for x in first.rotation[0]],
            "translation": [round(float(METRES * x), 6) for x in first.translation[0]],
        },
        {"name": name, "mesh": 0},
    ]  # fmt: skip
    tables: dict[str, Any] = {"nodes": nodes, "animations": [_animation(buffer, entry) for entry in animations]}
    if camera is not None:
        height, width = camera.size
        lens = {"aspectRatio": width / height, "yfov": 2 * math.atan(height / 2 / float(camera.focal)), "znear": 0.01}
        nodes[0]["children"].append(CAMERA)
        nodes.append({"name": "camera", "camera": 0})
        tables["cameras"] = [{"type": "perspective", "perspective": lens}]
    return tables


def _animation(buffer: Buffer, entry: Animation) -> dict[str, Any]:
    times = buffer.numbers(entry.times, bounds=True)
    outputs = {
        "rotation": (HEAD, buffer.vectors(entry.rotation, target=None)),
        "translation": (HEAD, buffer.vectors(METRES * entry.translation, target=None)),
        "weights": (FACE, buffer.numbers(entry.weights)),
    }
    samplers = [{"input": times, "interpolation": "LINEAR", "output": output} for _, output in outputs.values()]
    channels = [
        {"sampler": i, "target": {"node": node, "path": path}} for i, (path, (node, _)) in enumerate(outputs.items())
    ]
    return {"name": entry.name, "samplers": samplers, "channels": channels}


def _attributes(buffer: Buffer, asset: Asset, triangles: np.ndarray) -> dict[str, int]:
    normals = vertex_normals(asset.positions.astype(np.float64), triangles)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0.5, normals, [0.0, 0.0, 1.0])  # a vertex of triangles without area
    attributes = {
        "POSITION": buffer.vectors(METRES * asset.positions, bounds=True),
        "NORMAL": buffer.vectors(normals),
    }
    if asset.uv is not None:
        attributes["TEXCOORD_0"] = buffer.vectors(asset.uv)
    return attributes


def _indices(buffer: Buffer, triangles: np.ndarray, count: int) -> int:
    kind, component = ("<u2", UINT16) if count <= 0xFFFF else ("<u4", UINT32)  # 0xFFFF itself restarts primitives
    view = buffer.view(triangles.astype(kind).tobytes(), ELEMENT_ARRAY_BUFFER)
    return buffer.accessor(triangles.size, "SCALAR", component, bufferView=view)


def _targets(buffer: Buffer, targets: np.ndarray, used: np.ndarray) -> list[dict[str, int]]:
    """Morph targets of the vertices that are used; all sparse indices share one buffer view and all sparse values another."""
    count = int(used.sum())
    kind, component = ("<u2", UINT16) if count <= 0x10000 else ("<u4", UINT32)
    width = np.dtype(kind).itemsize
    indices, values = bytearray(), bytearray()
    accessors: list[dict[str, Any]] = []
    for offsets in (shape[used] for shape in targets):
        moved = np.flatnonzero((offsets**2).sum(-1) > STILL**2)
        metres = (METRES * offsets).astype("<f4")
        if len(moved) * (width + 12) >= 12 * count:
            accessors.append({"values": metres} | _bounds(metres))
            continue
        kept = np.zeros_like(metres)
        kept[moved] = metres[moved]
        entry: dict[str, Any] = _bounds(kept)
        if len(moved):
            indices += b"\0" * (-len(indices) % 4)
            entry["sparse"] = {
                "count": len(moved),
                "indices": {"byteOffset": len(indices), "componentType": component},
                "values": {"byteOffset": len(values)},
            }
            indices += moved.astype(kind).tobytes()
            values += metres[moved].tobytes()
        accessors.append(entry)
    if indices:
        index_view, value_view = buffer.view(indices), buffer.view(values)
    numbers = []
    for entry in accessors:
        if "values" in entry:
            numbers.append(buffer.vectors(entry["values"], bounds=True))
            continue
        if "sparse" in entry:
            entry["sparse"]["indices"]["bufferView"] = index_view
            entry["sparse"]["values"]["bufferView"] = value_view
        numbers.append(buffer.accessor(count, "VEC3", **entry))
    return [{"POSITION": number} for number in numbers]


def _material(buffer: Buffer, texture: bytes | None) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    tables: dict[str, Any] = {}
    if texture is None:
        surface["baseColorFactor"] = [0.6, 0.45, 0.38, 1.0]
    else:
        surface["baseColorTexture"] = {"index": 0}
        sampler = {"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR}
        sampler |= {"wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}
        tables["textures"] = [{"sampler": 0, "source": 0}]
        tables["images"] = [{"name": "face", "mimeType": mime_type(texture), "bufferView": buffer.view(texture)}]
        tables["samplers"] = [sampler]
    # a face is an open surface: seen from behind it should show its inside, not vanish
    return {"materials": [{"name": "face", "pbrMetallicRoughness": surface, "doubleSided": True}]} | tables


def _provenance(asset: Asset) -> dict[str, Any]:
    try:
        generator = f"Likeness {version('likeness')}"
    except PackageNotFoundError:
        generator = "Likeness"
    entry: dict[str, Any] = {"version": "2.0", "generator": generator}
    extras: dict[str, Any] = dict(asset.extras)
    if asset.notices:
        entry["copyright"] = asset.notices[0]
        extras["notices"] = list(asset.notices)
    return entry | ({"extras": extras} if extras else {})


def container(document: dict[str, Any], binary: bytearray) -> bytes:
    """The GLB container: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary
    return b"".join([struct.pack("<4sII", b"glTF", 2, 12 + sum(map(len, chunks))), *chunks])
