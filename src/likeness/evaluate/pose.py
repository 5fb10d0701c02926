"""Errors of head rotations in degrees."""

from __future__ import annotations

import numpy as np

from likeness.geometry.rotation import from_axis_angle, from_euler

TOO_FAR = 99.0
"""AFLW2000 photos with an angle beyond this are left out by custom (Ruiz et al. 2018, "Hopenet", sec. 4.1)."""


def aflw_rotation(pitch: np.ndarray, yaw: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Our head rotation (..., 3, 3) of AFLW2000's angles, radians: Rx(-pitch) Ry(-yaw) Rz(-roll).

    `Pose_Para` of the .mat files has pitch, yaw and roll first. The order of the factors and their signs were found by
    laying a mean face onto the 68 3D points of sixteen photos: the two rotations differ by 0.7 to 2.8 degrees.
    """
    pitch, yaw, roll = (np.asarray(angle, float)[..., None] for angle in (pitch, yaw, roll))
    axes = np.eye(3)
    return from_axis_angle(-pitch * axes[0]) @ from_axis_angle(-yaw * axes[1]) @ from_axis_angle(-roll * axes[2])


def aflw_angles(rotation: np.ndarray) -> np.ndarray:
    """AFLW2000's (yaw, pitch, roll) (..., 3) in degrees of our rotations (..., 3, 3), for |yaw| < 90."""
    yaw = -np.arcsin(np.clip(rotation[..., 0, 2], -1, 1))
    pitch = np.arctan2(rotation[..., 1, 2], rotation[..., 2, 2])
    roll = np.arctan2(rotation[..., 0, 1], rotation[..., 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], -1))


def rotation_of(angles: np.ndarray, convention: str) -> np.ndarray:
    """Our rotations (..., 3, 3) of (yaw, pitch, roll) (..., 3) in degrees, "ours" (CONVENTIONS.md) or "aflw"."""
    yaw, pitch, roll = np.moveaxis(np.radians(np.asarray(angles, float)), -1, 0)
    if convention == "ours":
        return from_euler(yaw, pitch, roll)
    if convention == "aflw":
        return aflw_rotation(pitch, yaw, roll)
    raise ValueError(f"unknown convention {convention!r}; choose ours or aflw")


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle (...,) in degrees of the turn from one rotation (..., 3, 3) to another, exact for small ones too."""
    difference = np.swapaxes(first, -1, -2) @ second
    skew = np.stack([difference[..., i, j] - difference[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1)
    trace = np.trace(difference, axis1=-2, axis2=-1)
    return np.degrees(np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1))


def pose_error(predicted: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Errors in degrees: the angle between the rotations, and |yaw|, |pitch|, |roll| with their mean.

    The three angles are AFLW2000's, as published tables have them. They depend on the convention and wander where |yaw|
    nears 90; the angle between the rotations does neither.

    Args:
        predicted, truth: (..., 3, 3), camera from model, our frame.
    """
    gaps = np.abs((aflw_angles(predicted) - aflw_angles(truth) + 180) % 360 - 180)
    named = {"yaw": gaps[..., 0], "pitch": gaps[..., 1], "roll": gaps[..., 2]}
    return {"angle": angle_between(predicted, truth)} | named | {"mean of three": gaps.mean(-1)}
