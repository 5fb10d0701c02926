"""The sliding contour: which vertex of a row is seen as the face's outline depends on how the head is turned.

The one owner of this rule (after Bas et al. 2016, "Fitting a 3D morphable model to edges", and the contour rows of eos).
It is for sparse jaw points whose model brings rows of candidates (`types.Topology.contour`). Dense landmarks have a ring of
points that slides along itself instead: `losses.landmark.sliding_distance`, in fits as in training.

A row holds candidate vertices from the front of the cheek outwards. On a turned head the outline on the far side is where
the surface bends away from the camera, somewhere along the row; on the near side, as on a frontal head, it is where the
face ends, the row's last vertex.

`slide` is for landmarks whose outline is a path on the skin: a point may be anywhere along it.
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
    return (
        xp.where(hidden, index, xp.full_like(index, count - 1)).min(-1)[0]
        if xp.__name__ == "torch"
        else (xp.where(hidden, index, count - 1).min(-1))
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


def slide(points: Any, path: Any) -> Any:
    """For each point the nearest place on a path, the sliding feature points of Tewari et al. 2018, eq. 10: torch only.

    The paper takes the vertex nearest to the ray through the point, and holds it fixed for a step. Here it is a place
    between two points of the path, nearest in the picture; which two, and the share of each, are constants.

    Args:
        points: (..., n, 2) px.
        path: (..., J, 2) px, J >= 2 points in order, an open line.

    Returns:
        (..., n, 2) px, differentiable in the path alone.
    """
    start, end = path[..., None, :-1, :], path[..., None, 1:, :]
    step, offset = (end - start).detach(), (points[..., None, :] - start).detach()
    share = ((offset * step).sum(-1) / (step**2).sum(-1).clip(min=1e-12)).clip(0, 1)
    nearest = ((offset - share[..., None] * step) ** 2).sum(-1).argmin(-1, keepdim=True)
    share = share.gather(-1, nearest)
    index = nearest.expand(*nearest.shape[:-1], 2)
    return (1 - share) * path[..., :-1, :].gather(-2, index) + share * path[..., 1:, :].gather(-2, index)
