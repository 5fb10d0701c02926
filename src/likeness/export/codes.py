"""face.json: everything about a reconstruction that is a number with a name. Written and read back here.

Version 1. Pixels are those of the original photo, (x, y), y down, centre of the first pixel at (0.5, 0.5); poses and
frames are those of CONVENTIONS.md. Readers refuse a newer version and ignore fields that they do not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from likeness.assets.arkit import EXPRESSIONS, WITHOUT_SHAPE
from likeness.errors import AssetError, LikenessError
from likeness.export.documents import numbers, opened
from likeness.geometry.rotation import to_euler
from likeness.types import View

FORMAT = "likeness.face"
VERSION = 1


@dataclass(frozen=True)
class FaceFile:
    """What face.json holds.

    Attributes:
        codes: Arrays by code: "identity" (n,) in standard deviations, "expression" (51,) in [0, 1], and others (n,).
        view: Camera in pixels of the photo.
        photo: Name of the photo's file.
        photo_from_crop: (3, 3) similarity, photo pixels from homogeneous crop pixels.
        crop_pixels: Side of the crop.
        box: (x0, y0, x1, y1) px of the found face; None where nobody looked for one.
        roll: Radians, clockwise in the picture, of the found face.
        score: Of the face finder, in [0, 1]; None for a given box.
        landmarks: (n, 2) px by name of the set.
        model: Names the face model, its version and level.
        licences: Whose work the result contains, one line each.
        timings: Milliseconds by step.
    """

    codes: Mapping[str, np.ndarray]
    view: View
    photo: str
    photo_from_crop: np.ndarray
    crop_pixels: int
    box: tuple[float, float, float, float] | None = None
    roll: float = 0.0
    score: float | None = None
    landmarks: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    licences: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


def to_bytes(face: FaceFile) -> bytes:
    """The text of face.json, UTF-8.

    Raises:
        LikenessError: When a number is not finite.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "photo": {"file": face.photo, "width": int(face.view.size[1]), "height": int(face.view.size[0])},
        "model": dict(face.model),
        "licences": list(face.licences),
        "codes": {name: _named(name, values) for name, values in face.codes.items()},
        "pose": _pose(face.view),
        "camera": _camera(face.view),
        "detection": {
            "box": None if face.box is None else numbers(face.box, 3),
            "roll_degrees": _number(math.degrees(face.roll), 3),
            "score": None if face.score is None else _number(face.score, 4),
        },
        "crop": {"pixels": int(face.crop_pixels), "photo_from_crop": numbers(face.photo_from_crop, 6)},
        "landmarks": {name: numbers(points, 3) for name, points in face.landmarks.items()},
        "timings_ms": {name: _number(value, 3) for name, value in face.timings.items()},
    }
    try:
        return (_text(document, 3) + "\n").encode()
    except ValueError:
        raise LikenessError(f"{face.photo}: the reconstruction holds numbers that are not finite") from None


def from_bytes(data: bytes) -> FaceFile:
    """Read face.json back; the inverse of `to_bytes` up to its rounding.

    Raises:
        AssetError: When it is no face.json, is damaged, or was written by a newer version.
    """
    try:
        document = opened(data, "face.json", FORMAT, VERSION)
        found, crop = document["detection"], document["crop"]
        return FaceFile(
            codes={name: _array(values) for name, values in document["codes"].items()},
            view=_view(document),
            photo=document["photo"]["file"],
            photo_from_crop=np.array(crop["photo_from_crop"], np.float64).reshape(3, 3),
            crop_pixels=int(crop["pixels"]),
            box=None if found["box"] is None else tuple(float(x) for x in found["box"]),
            roll=math.radians(found["roll_degrees"]),
            score=found["score"],
            landmarks={name: np.array(p, np.float64).reshape(-1, 2) for name, p in document["landmarks"].items()},
            model=document["model"],
            licences=tuple(document["licences"]),
            timings=document["timings_ms"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AssetError(f"this is not a face.json of Likeness, or it is damaged ({error!r})") from None


def _text(value: Any, depth: int, indent: str = "") -> str:
    """JSON with one line an entry down to `depth` levels of objects, and everything below on that line."""
    if not isinstance(value, dict) or depth == 0 or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + "  "
    names = [json.dumps(str(name), ensure_ascii=False) for name in value]
    entries = [f"{inner}{name}: {_text(v, depth - 1, inner)}" for name, v in zip(names, value.values())]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def _number(value: Any, digits: int) -> float:
    return round(float(value), digits)


def _named(code: str, values: np.ndarray) -> Any:
    """Expression weights under Apple's names, with those that have no shape as 0; other codes as a list."""
    if code != "expression":
        return numbers(values, 5)
    if len(values) != len(EXPRESSIONS):
        raise LikenessError(f"{len(values)} expression weights were given; the model has {len(EXPRESSIONS)}")
    weights = dict(zip(EXPRESSIONS, numbers(values, 5)))
    return weights | {name: 0.0 for name in WITHOUT_SHAPE}


def _array(values: Any) -> np.ndarray:
    if isinstance(values, dict):
        values = [values[name] for name in EXPRESSIONS]
    return np.array(values, np.float32)


def _pose(view: View) -> dict[str, Any]:
    yaw, pitch, roll = (math.degrees(float(angle)) for angle in to_euler(np.asarray(view.rotation, np.float64)))
    return {
        "yaw_degrees": _number(yaw, 3),
        "pitch_degrees": _number(pitch, 3),
        "roll_degrees": _number(roll, 3),
        "rotation": numbers(view.rotation, 8),
        "translation_mm": numbers(view.translation, 4),
    }


def _camera(view: View) -> dict[str, Any]:
    return {
        "focal_px": _number(view.focal, 4),
        "principal_px": numbers(view.principal, 4),
        "convention": "camera = rotation @ model + translation; x = px + f X / -Z, y = py - f Y / -Z",
    }


def _view(document: dict[str, Any]) -> View:
    pose, camera, photo = document["pose"], document["camera"], document["photo"]
    return View(
        rotation=np.array(pose["rotation"], np.float64).reshape(3, 3),
        translation=np.array(pose["translation_mm"], np.float64).reshape(3),
        focal=np.float64(camera["focal_px"]),
        principal=np.array(camera["principal_px"], np.float64).reshape(2),
        size=(int(photo["height"]), int(photo["width"])),
    )
