"""A camera as numbers that a network can answer: each is about one apart between photos and means the same in every crop.

The crop's camera has its axis through the crop's centre. Its numbers belong to one fixed point of the head, the pivot:
`offset` (x, y), where the pivot appears, in half crop sides from the centre, y down; `size`, the logarithm of the crop
sides that `SPAN` mm cover at the pivot's depth; `distance`, the logarithm of the pivot's depth in units of `FAR`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from likeness.arrays import like, namespace
from likeness.geometry.cameras import to_pixels
from likeness.geometry.rotation import from_axis_angle
from likeness.types import View

PIVOT = (0.0, 20.0, 70.0)
"""mm, model frame: between the eyes and behind the nose, where turning the head moves the picture least. Ours."""
SPAN, FAR = 200.0, 900.0
"""mm; about a head's height, and the median distance of a camera from a head in photos."""


class CropCamera(NamedTuple):
    """See the module. rotation (..., 3, 3) camera from model, offset (..., 2), size (...), distance (...)."""

    rotation: Any
    offset: Any
    size: Any
    distance: Any


def to_view(camera: CropCamera, side: int) -> View:
    """The camera as a view of a crop of `side` pixels, principal point in the middle."""
    xp = namespace(camera.rotation)
    depth = FAR * xp.exp(camera.distance)
    focal = xp.exp(camera.size) * depth * (side / SPAN)
    reach = (side / 2) * depth / focal
    place = xp.stack([camera.offset[..., 0] * reach, -camera.offset[..., 1] * reach, -depth], -1)
    pivot = like(PIVOT, camera.rotation)
    translation = place - (camera.rotation * pivot).sum(-1)
    middle = xp.zeros_like(camera.offset) + side / 2
    return View(camera.rotation, translation, focal, middle, (side, side))


def from_view(view: View) -> CropCamera:
    """The numbers of a view of a square crop, after its axis was turned to the crop's centre."""
    xp = namespace(view.rotation)
    view, side = centred(view), view.size[0]
    place = (view.rotation * like(PIVOT, view.rotation)).sum(-1) + view.translation
    depth = -place[..., 2]
    seen = to_pixels(place[..., None, :], view)[..., 0, :]
    return CropCamera(
        view.rotation, seen / (side / 2) - 1, xp.log(view.focal * SPAN / (depth * side)), xp.log(depth / FAR)
    )


def centred(view: View) -> View:
    """The view turned so that its axis meets the picture's centre, as a lens behind a window cut out of the photo.

    What lies near the centre stays where it was; towards the borders a picture taken off the axis is stretched, which no
    turned camera can repeat, by about the square of the angle between the axes.
    """
    xp = namespace(view.rotation)
    middle = like([view.size[1] / 2, view.size[0] / 2], view.principal)
    off = (middle - view.principal) / view.focal[..., None]
    x, y = off[..., 0], -off[..., 1]
    length = xp.sqrt(x * x + y * y)
    angle = xp.arctan2(length, xp.ones_like(length))
    ratio = angle / xp.clip(length, 1e-12, None)
    # the axis (ray x forward) / |...| with ray = (x, y, -1) and forward = (0, 0, -1)
    turn = from_axis_angle(xp.stack([-y * ratio, x * ratio, xp.zeros_like(x)], -1))
    stretch = xp.sqrt(1 + length * length)
    return replace(
        view,
        rotation=turn @ view.rotation,
        translation=(turn * view.translation[..., None, :]).sum(-1),
        focal=view.focal * stretch * xp.sqrt(stretch),
        principal=xp.zeros_like(view.principal) + middle,
    )


def mirrored(camera: CropCamera) -> CropCamera:
    """The camera of the mirrored crop around the mirrored head."""
    flip = like([-1.0, 1.0, 1.0], camera.rotation)
    rotation = camera.rotation * flip * flip[:, None]
    return CropCamera(rotation, camera.offset * like([-1.0, 1.0], camera.offset), camera.size, camera.distance)


def of_row(targets: dict[str, np.ndarray], row: int, size: tuple[int, int]) -> View:
    """One row of fitted targets as a float64 view of its picture."""
    values = (np.asarray(targets[key][row], np.float64) for key in ("rotation", "translation", "focal", "principal"))
    return View(*values, size)
