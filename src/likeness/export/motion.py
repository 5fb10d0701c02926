"""motion.json: a face's movement through a clip, frame by frame; and the same as Live Link Face writes it, motion.csv.

Version 1. Every track is a list with one entry a frame, null where the face was lost. Pixels, poses and frames of reference
are those of CONVENTIONS.md; one camera serves the whole clip. Readers refuse a newer version and ignore fields that they
do not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets.arkit import EXPRESSIONS, WITHOUT_SHAPE
from likeness.assets.parts import LOOK_DEGREES
from likeness.errors import AssetError, LikenessError
from likeness.export.documents import numbers, opened
from likeness.export.gltf import Animation
from likeness.geometry.rotation import from_quaternion, to_euler, to_quaternion
from likeness.types import View

FORMAT = "likeness.motion"
VERSION = 1
STATES = ("lost", "tracked", "interpolated")
"""What a frame can be, by number: the face was not there; it was seen; it was missed for a moment between two frames."""
LOST, TRACKED, INTERPOLATED = range(3)

LIVE_LINK = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft", "EyeWideLeft",
    "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight",
    "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight",
    "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight", "MouthDimpleLeft",
    "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower",
    "MouthShrugUpper", "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight",
    "MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft",
    "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut",
)  # fmt: skip
"""The 52 weights in the order of the app's recordings; it is not quite that of Apple's documentation."""
ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip
"""The nine angles after them: radians about +Y, +X and +Z of the head's own frame, eyes relative to the head."""
HEADER = ("Timecode", "BlendshapeCount", *LIVE_LINK, *ANGLES)


@dataclass(frozen=True)
class Motion:
    """One face in a clip of F frames.

    Attributes:
        clip: Name of the clip's file.
        size: (height, width) of its frames, pixels.
        rate: Frames per second, on average.
        times: (F,) seconds since the first frame.
        state: (F,) int, one of `LOST`, `TRACKED`, `INTERPOLATED`.
        segment: (F,) int, number of the unbroken stretch that a frame belongs to, -1 where lost. Cuts and losses part them.
        identity: (n,) code of the one person, standard deviations.
        expression: (F, 51) in [0, 1], NaN where lost; ordered as `assets.arkit.EXPRESSIONS`.
        rotation: (F, 3, 3) camera from model, NaN where lost.
        translation: (F, 3) mm, NaN where lost.
        focal: Pixels, of the clip's one camera.
        principal: (2,) pixels.
        box: (F, 4) px (x0, y0, x1, y1) of the face, NaN where it was not seen.
        light: (F, 9, 3) spherical harmonics of the light, NaN where lost; None where nobody fitted it.
        albedo: (K,) code of the person's albedo, standard deviations; None where nobody fitted it.
        cuts: Frames with which a new scene begins.
        model: Names the face model, its version and level.
        licences: Whose work the result contains, one line each.
    """

    clip: str
    size: tuple[int, int]
    rate: float
    times: np.ndarray
    state: np.ndarray
    segment: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: float
    principal: np.ndarray
    box: np.ndarray
    light: np.ndarray | None = None
    albedo: np.ndarray | None = None
    cuts: tuple[int, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    licences: tuple[str, ...] = ()

    def view(self, frame: int) -> View:
        """The camera of a frame."""
        return View(self.rotation[frame], self.translation[frame], np.float64(self.focal), self.principal, self.size)

    def segments(self) -> list[np.ndarray]:
        """The frames of each unbroken stretch."""
        return [np.flatnonzero(self.segment == number) for number in range(int(self.segment.max(initial=-1)) + 1)]


def to_bytes(motion: Motion) -> bytes:
    """The text of motion.json, UTF-8.

    Raises:
        LikenessError: When a number of a frame that is not lost is not finite.
    """
    seen = motion.state != LOST
    if not all(np.isfinite(values[seen]).all() for values in (motion.expression, motion.rotation, motion.translation)):
        raise LikenessError(f"{motion.clip}: the motion holds numbers that are not finite")
    quaternion = continuous(motion.rotation, motion.segments())
    angles = np.degrees(np.stack(to_euler(motion.rotation), -1))
    weights = {name: _track(motion.expression[:, i], seen, 4) for i, name in enumerate(EXPRESSIONS)}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "clip": {
            "file": motion.clip, "width": int(motion.size[1]), "height": int(motion.size[0]), "rate": round(motion.rate, 4),
            "frames": len(motion.times), "cuts": [int(frame) for frame in motion.cuts],
        },
        "model": dict(motion.model),
        "licences": list(motion.licences),
        "identity": numbers(motion.identity, 5),
        "albedo": None if motion.albedo is None else numbers(motion.albedo, 5),
        "camera": {
            "focal_px": round(float(motion.focal), 4), "principal_px": numbers(motion.principal, 4),
            "convention": "camera = rotation @ model + translation; x = px + f X / -Z, y = py - f Y / -Z",
        },
        "segments": [{"first": int(frames[0]), "last": int(frames[-1])} for frames in motion.segments()],
        "time": numbers(motion.times, 6),
        "state": [STATES[number] for number in motion.state],
        "expression": weights | {name: _track(np.zeros(len(seen)), seen, 4) for name in WITHOUT_SHAPE},
        "head": {
            "quaternion_xyzw": _track(quaternion, seen, 7),
            "translation_mm": _track(motion.translation, seen, 3),
            "yaw_pitch_roll_degrees": _track(angles, seen, 3),
        },
        "box": _track(motion.box, np.isfinite(motion.box).all(1), 1),
        "light": None if motion.light is None else _track(motion.light, seen, 5),
    }  # fmt: skip
    return (_text(document) + "\n").encode()


def from_bytes(data: bytes) -> Motion:
    """Read motion.json back; the inverse of `to_bytes` up to its rounding.

    Raises:
        AssetError: When it is no motion.json, is damaged, or was written by a newer version.
    """
    try:
        document = opened(data, "motion.json", FORMAT, VERSION)
        clip, head, camera = document["clip"], document["head"], document["camera"]
        state = np.array([STATES.index(name) for name in document["state"]])
        segment = np.full(len(state), -1)
        for number, ends in enumerate(document["segments"]):
            segment[ends["first"] : ends["last"] + 1] = number
        light = document["light"]
        return Motion(
            clip=clip["file"], size=(int(clip["height"]), int(clip["width"])), rate=float(clip["rate"]),
            times=np.array(document["time"], float), state=state, segment=segment,
            identity=np.array(document["identity"], np.float32),
            expression=np.stack([_array(document["expression"][name], ()) for name in EXPRESSIONS], -1),
            rotation=from_quaternion(_array(head["quaternion_xyzw"], (4,))),
            translation=_array(head["translation_mm"], (3,)), focal=float(camera["focal_px"]),
            principal=np.array(camera["principal_px"], float), box=_array(document["box"], (4,)),
            light=None if light is None else _array(light, (9, 3)),
            albedo=None if document["albedo"] is None else np.array(document["albedo"], np.float32), cuts=tuple(clip["cuts"]),
            model=document["model"], licences=tuple(document["licences"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AssetError(f"this is not a motion.json of Likeness, or it is damaged ({error!r})") from None


def continuous(rotation: np.ndarray, segments: list[np.ndarray]) -> np.ndarray:
    """Quaternions (F, 4) xyzw of rotations (F, 3, 3), each on the side of the one before it, so that none jumps.

    A quaternion and its negative are the same rotation, but what lies between two of them is not.
    """
    quaternion = to_quaternion(rotation)
    for frames in segments:
        steps = (quaternion[frames[1:]] * quaternion[frames[:-1]]).sum(1)
        quaternion[frames[1:]] *= np.cumprod(np.where(steps < 0, -1.0, 1.0))[:, None]
    return quaternion


def animations(motion: Motion) -> list[Animation]:
    """The movement as glTF has it, one animation for each unbroken stretch; weights are ordered as `EXPRESSIONS`."""
    segments = motion.segments()
    quaternion = continuous(motion.rotation, segments)
    name = Path(motion.clip).stem or "face"
    return [
        Animation(
            name if len(segments) == 1 else f"{name} {number}", motion.times[frames] - motion.times[0], motion.expression[frames],
            quaternion[frames], motion.translation[frames],
        )
        for number, frames in enumerate(segments, 1)
    ]  # fmt: skip


def to_live_link(motion: Motion) -> bytes:
    """motion.csv: the columns of a recording of Epic's Live Link Face app, as animation programs import it.

    A lost frame has a count of 0 and empty columns. Angles are radians: yaw turns the face towards the subject's left, pitch
    lowers the chin, roll tips the head towards the subject's right shoulder.
    """
    column = {name[0].upper() + name[1:]: i for i, name in enumerate(EXPRESSIONS)}
    order = [column.get(name, -1) for name in LIVE_LINK]
    weights = np.concatenate([motion.expression, np.zeros((len(motion.times), 1))], 1)[:, order]
    angles = np.concatenate([np.stack(to_euler(motion.rotation), -1), eye_angles(motion.expression)], 1)
    lines = [",".join(HEADER)]
    for time, state, row in zip(motion.times, motion.state, np.concatenate([weights, angles], 1)):
        if state == LOST:
            lines.append(f"{timecode(time, motion.rate)},0" + "," * len(row))
        else:
            lines.append(f"{timecode(time, motion.rate)},{len(row)}," + ",".join(f"{value:.6f}" for value in row))
    return ("\n".join(lines) + "\n").encode()


def timecode(time: float, rate: float) -> str:
    """Hours, minutes, seconds, frames of the nominal rate and thousandths of a frame: 3.52 s at 25 -> 00:00:03:13.000."""
    nominal = max(1, round(rate))
    thousandths = round(time * nominal * 1000)
    seconds, rest = divmod(thousandths, nominal * 1000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def eye_angles(expression: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of the left and the right eye (F, 6), radians, as the eyeLook weights (F, 51) turn them."""
    columns = []
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        pitch, yaw = (
            sum(
                expression[:, EXPRESSIONS.index(name + side)] * math.radians(turn[axis])
                for name, turn in LOOK_DEGREES.items()
            )
            for axis in (0, 1)
        )
        columns += [sign * yaw, pitch, np.zeros(len(expression))]
    return np.stack(columns, -1)


def _text(document: Mapping[str, Any]) -> str:
    """JSON with one line an entry, and one an entry of `expression` and `head`."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for name, value in document.items():
        if name in ("expression", "head"):
            inner = ",\n".join(f"  {line(key)}: {line(track)}" for key, track in value.items())
            entries.append(f" {line(name)}: {{\n{inner}\n }}")
        else:
            entries.append(f" {line(name)}: {line(value)}")
    return "{\n" + ",\n".join(entries) + "\n}"


def _track(values: np.ndarray, there: np.ndarray, digits: int) -> list[Any]:
    """One entry a frame, None where there is nothing."""
    return [value if known else None for value, known in zip(numbers(values, digits), there)]


def _array(track: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.array([np.full(shape, np.nan) if value is None else value for value in track], float).reshape(-1, *shape)
