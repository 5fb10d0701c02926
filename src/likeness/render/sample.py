"""The point-based image formation: no pixel is drawn; the photo is read where visible vertices project."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likeness.render.interpolate import sample_texture
from likeness.render.project import project
from likeness.render.shade import towards_viewer
from likeness.types import View, WeakView


class Samples(NamedTuple):
    """What a photo shows at the vertices.

    Attributes:
        colors: (..., V, C) values of the photo, meaningless where not visible.
        visible: (..., V) bool: faces the viewer, lies in front of the camera and inside the picture.
    """

    colors: Tensor
    visible: Tensor


def sample(photo: Tensor, vertices: Tensor, normals: Tensor, view: View | WeakView) -> Samples:
    """Read a photo at the projections of vertices, differentiable in the photo, the vertices and the camera.

    Tewari et al. 2018, sec. 5. Visibility is by facing alone (sec. 6, "back-face culling; an approximation, since faces are
    almost convex"): the normal against the ray to the viewer, so that perspective counts. It has no gradient.

    Args:
        photo: (..., H, W, C), as large as the view says.
        vertices: (..., V, 3) mm, model frame.
        normals: (..., V, 3), model frame; of any length.
        view: Camera.
    """
    camera, points = project(vertices, view)
    with torch.no_grad():
        facing = (normals @ view.rotation.mT * towards_viewer(camera, view)).sum(-1) > 0
        size = points.new_tensor([view.size[1], view.size[0]])
        inside = ((points[..., :2] >= 0) & (points[..., :2] <= size)).all(-1)
        visible = facing & inside & (points[..., 2] > 0 if isinstance(view, View) else True)
    return Samples(bilinear(photo, points[..., :2]), visible)


def bilinear(photo: Tensor, pixels: Tensor) -> Tensor:
    """Values (..., n, C) of a picture (..., H, W, C) at pixels (..., n, 2), (x, y).

    The centre of the first pixel is (0.5, 0.5). Between centres values are bilinear; beyond the outermost centres they stay.
    """
    batch = torch.broadcast_shapes(photo.shape[:-3], pixels.shape[:-2])
    size = pixels.new_tensor([photo.shape[-2], photo.shape[-3]])
    return sample_texture(photo.expand(*batch, *photo.shape[-3:]), (pixels / size).expand(*batch, *pixels.shape[-2:]))
