"""Seven numbers for a camera about a face, and how pixels move with them and with the codes.

The turn and the place belong to the pivot, a point within the head that turning moves least: `camera = rotation (model - pivot) +
(x, y, -distance)`. Unknowns are small turns (3, axis-angle, applied from the left), x and y in mm, the logarithm of the scale
(px per mm at the pivot's depth) and the logarithm of the distance.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from likeness.encoders.camera import PIVOT
from likeness.fit.photo.scene import Scene
from likeness.geometry.rotation import from_axis_angle

COUNT = 7


def of_scene(scene: Scene) -> Tensor:
    """(F, 4): x and y of the pivot in mm, log scale, log distance."""
    place = scene.rotation @ scene.rotation.new_tensor(PIVOT) + scene.translation
    distance = -place[:, 2]
    return torch.cat([place[:, :2], (scene.focal / distance).log()[:, None], distance.log()[:, None]], 1)


def moved(scene: Scene, step: Tensor) -> Scene:
    """The scene with its cameras moved by steps (F, 7)."""
    rotation = from_axis_angle(step[:, :3]) @ scene.rotation
    x, y, scale, distance = (of_scene(scene) + step[:, 3:]).unbind(1)
    place = torch.stack([x, y, -distance.exp()], 1)
    translation = place - rotation @ rotation.new_tensor(PIVOT)
    return replace(scene, rotation=rotation, translation=translation, focal=(scale + distance).exp())


def turned(points: Tensor, rotation: Tensor) -> Tensor:
    """Model points (..., n, 3) about the pivot in the camera's axes, mm."""
    return (points - points.new_tensor(PIVOT)) @ rotation.mT


def pixels(about: Tensor, pose: Tensor, principal: Tensor) -> Tensor:
    """Pixels (..., n, 2) of turned points (..., n, 3) under poses (..., 4) and principal points (..., 2)."""
    x, y, scale, distance = (pose[..., i, None] for i in range(4))
    ratio = scale.exp() / (1 - about[..., 2] * (-distance).exp())
    across, up = (about[..., 0] + x) * ratio, (about[..., 1] + y) * ratio
    return torch.stack([principal[..., 0, None] + across, principal[..., 1, None] - up], -1)


def motion(about: Tensor, modes: Tensor, rotation: Tensor, pose: Tensor) -> Tensor:
    """How pixels of n points of one frame move: (n, 2, M + 7) px per unit of the codes and of the pose.

    Args:
        about: (n, 3) turned points.
        modes: (n, 3, M) mm per unit of each code, model frame.
        rotation: (3, 3).
        pose: (4,).
    """
    x, y, z = about.unbind(-1)
    near = (-pose[3]).exp()
    ratio = pose[2].exp() / (1 - z * near)
    across, up, zero = x + pose[0], y + pose[1], torch.zeros_like(x)
    by_camera = torch.stack([
        torch.stack([ratio, zero, across * ratio**2 * (-pose[2]).exp() * near], -1),
        torch.stack([zero, -ratio, -up * ratio**2 * (-pose[2]).exp() * near], -1),
    ], -2)  # fmt: skip
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))  # d(turn about)/d turn
    flat = torch.stack([across, -up], -1) * ratio[:, None]
    far = -flat * (z * near / (1 - z * near))[:, None]
    return torch.cat([
        by_camera @ (rotation @ modes), by_camera @ turn, by_camera[..., :2], flat[..., None], far[..., None],
    ], -1)  # fmt: skip
