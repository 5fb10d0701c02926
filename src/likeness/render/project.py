"""From the model to the screen, by either camera."""

from __future__ import annotations

from torch import Tensor

from likeness.geometry import cameras
from likeness.types import View, WeakView


def project(vertices: Tensor, view: View | WeakView) -> tuple[Tensor, Tensor]:
    """Vertices (..., V, 3) mm of the model frame, in the camera and on the screen.

    Returns:
        Positions (..., V, 3) mm in the camera frame, or in the axes of a weak-perspective camera; and points (..., V, 3)
        as `rasterize` takes them: x px, y px, depth mm.
    """
    if isinstance(view, WeakView):
        camera = cameras.turn(vertices, view)
        return camera, cameras.weak_with_depth(camera, view)
    camera = cameras.to_camera(vertices, view)
    return camera, cameras.with_depth(camera, view)
