"""Cameras, perspective and weak perspective: model to camera to pixels. Frames as in CONVENTIONS.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from likeness.arrays import like, namespace
from likeness.types import View, WeakView

NEAREST = 1e-6
"""mm; a depth nearer to zero than this counts as this when it divides, so that no pixel is infinite or NaN. Ours."""


def to_camera(points: Any, view: View) -> Any:
    """Model points (..., n, 3) in the camera frame, mm; the camera looks along -Z."""
    return points @ view.rotation.swapaxes(-1, -2) + view.translation[..., None, :]


def to_pixels(camera_points: Any, view: View) -> Any:
    """Camera points (..., n, 3) with negative z as pixels (..., n, 2), (x, y), y down."""
    xp = namespace(camera_points)
    scale = view.focal[..., None] / -camera_points[..., 2]
    x = view.principal[..., None, 0] + scale * camera_points[..., 0]
    y = view.principal[..., None, 1] - scale * camera_points[..., 1]
    return xp.stack([x, y], -1)


def project(points: Any, view: View) -> Any:
    """Model points (..., n, 3) mm as pixels (..., n, 2) of the view's picture."""
    return to_pixels(to_camera(points, view), view)


def project_with_depth(points: Any, view: View) -> Any:
    """Model points (..., n, 3) mm as (x px, y px, depth mm in front of the camera), (..., n, 3), always finite.

    A point behind the camera has a negative depth and the pixel that the division gives: (x d, y d, d) is its homogeneous
    position in pixels, which clipping needs. Depths within `NEAREST` of zero are moved to `NEAREST`, before the division.
    """
    return with_depth(to_camera(points, view), view)


def with_depth(camera_points: Any, view: View) -> Any:
    """As `project_with_depth`, of points (..., n, 3) in the camera frame."""
    xp = namespace(camera_points)
    z = camera_points[..., 2:]
    z = xp.where(abs(z) < NEAREST, xp.full_like(z, -NEAREST), z)
    camera_points = xp.concatenate([camera_points[..., :2], z], -1)
    return xp.concatenate([to_pixels(camera_points, view), -z], -1)


def project_weak_with_depth(points: Any, view: WeakView) -> Any:
    """Model points (..., n, 3) mm as (x px, y px, depth mm), (..., n, 3), by weak perspective (Tran et al. 2019, sec. 3.1).

    Depth is measured along the view from the model's origin, so that half of a face has a negative one; nearer is less.
    """
    return weak_with_depth(turn(points, view), view)


def weak_with_depth(camera_points: Any, view: WeakView) -> Any:
    """As `project_weak_with_depth`, of points (..., n, 3) in the camera's axes."""
    xp = namespace(camera_points)
    scale = view.scale[..., None]
    x = view.shift[..., None, 0] + scale * camera_points[..., 0]
    y = view.shift[..., None, 1] - scale * camera_points[..., 1]
    return xp.stack([x, y, -camera_points[..., 2]], -1)


def turn(points: Any, view: WeakView) -> Any:
    """Model points (..., n, 3) mm in the axes of a weak-perspective camera, whose origin is the model's."""
    return points @ view.rotation.swapaxes(-1, -2)


def weak_from(view: View, depth: Any) -> WeakView:
    """The weak-perspective camera that agrees with a perspective one for points at a depth.

    Args:
        view: Perspective camera.
        depth: (...,) mm in front of the camera, positive: where both have the same scale.
    """
    scale = view.focal / depth
    flip = like([1, -1], view.translation)
    return WeakView(
        view.rotation, view.principal + scale[..., None] * flip * view.translation[..., :2], scale, view.size
    )


def transform_view(view: View, similarity: Any, size: tuple[int, int]) -> View:
    """The same camera for a picture whose pixels were moved: scaled, turned and shifted.

    The turn goes into the pose, the scale into the focal length, so that
    `project(p, transform_view(view, s, size)) == s @ project(p, view)`.

    Args:
        view: Camera of the old picture.
        similarity: (..., 3, 3) homogeneous, new pixels from old pixels, without reflection.
        size: (height, width) of the new picture.
    """
    xp = namespace(view.rotation)
    similarity = like(similarity, view.rotation)
    scale = xp.sqrt(similarity[..., 0, 0] ** 2 + similarity[..., 1, 0] ** 2)
    cosine, sine = similarity[..., 0, 0] / scale, similarity[..., 1, 0] / scale
    zero, one = xp.zeros_like(cosine), xp.ones_like(cosine)
    turn = xp.stack([cosine, sine, zero, -sine, cosine, zero, zero, zero, one], -1)  # y is up in the camera
    turn = turn.reshape(*cosine.shape, 3, 3)
    return replace(
        view,
        rotation=turn @ view.rotation,
        translation=(turn @ view.translation[..., None])[..., 0],
        focal=view.focal * scale,
        principal=(similarity[..., :2, :2] @ view.principal[..., None])[..., 0] + similarity[..., :2, 2],
        size=size,
    )
