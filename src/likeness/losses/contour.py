"""The sliding contour: which vertex of a row is seen as the face's outline depends on how the head is turned.

The one owner of this rule (after Bas et al. 2016, "Fitting a 3D morphable model to edges", and the contour rows of eos).
It is for sparse jaw points whose model brings rows of candidates (`types.Topology.contour`). Dense landmarks have a ring of
points that slides along itself instead: `losses.landmark.sliding_distance`, in fits as in training.

A row holds candidate vertices from the front of the cheek outwards. On a turned head the outline on the far side is where
the surface bends away from the camera, somewhere along the row; on the near side, as on a frontal head, it is where the
face ends, the row's last vertex.
"""

from __future__ import annotations

from typing import Any

from likeness.arrays import namespace


def outline_choice(positions: Any, normals: Any) -> Any:
    """For each row the first candidate, from the front outwards, whose skin no longer faces the camera.

    Args:
        positions: (..., J, K, 3) candidates in the camera frame (the camera at the origin looks along -Z), mm.
        normals: (..., J, K, 3) outward normals there, camera frame, any length.

    Returns:
        (..., J) index into K. The last candidate where all face the camera. Not differentiable.
    """
    xp = namespace(positions)
    facing = -(positions * normals).sum(-1)  # the view direction is -position
    count = positions.shape[-2]
    index = xp.arange(count)
    hidden = facing <= 0
    return xp.where(hidden, index, xp.full_like(index, count - 1)).min(-1)[0] if xp.__name__ == "torch" else (
        xp.where(hidden, index, count - 1).min(-1)
    )


def outline(points: Any, choice: Any) -> Any:
    """The chosen points of each row: points (..., J, K, d) of any kind and choice (..., J) -> (..., J, d).

    Differentiable in the points.
    """
    xp = namespace(points)
    if xp.__name__ == "torch":
        index = choice[..., None, None].expand(*choice.shape, 1, points.shape[-1])
        return xp.gather(points, -2, index)[..., 0, :]
    return xp.take_along_axis(points, choice[..., None, None], -2)[..., 0, :]
