"""Rasterization with gradients: one call for all devices, `render.rasterize_*` hold the ways to compute it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from likeness.render import rasterize_numba
from likeness.render.operation import operation
from likeness.render.pool import each_row

_BACKENDS = {"numba": "cpu", "cuda": "cuda", "torch": None}
_in_range = WeakIdKeyDictionary()
"""Of triangles on a GPU that were looked at, by tensor: its version, and a number of vertices that they fit."""


class Fragments(NamedTuple):
    """What every pixel's centre sees.

    Attributes:
        triangle: (..., H, W) int32, -1 where empty.
        barycentric: (..., H, W, 3) weights of the triangle's corners, 0 where empty.
        depth: (..., H, W) mm in front of the camera, infinite where empty.
    """

    triangle: torch.Tensor
    barycentric: torch.Tensor
    depth: torch.Tensor


def rasterize(
    points: torch.Tensor,
    triangles: torch.Tensor | np.ndarray,
    size: tuple[int, int],
    *,
    cull: bool = True,
    perspective: bool = True,
    checked: bool = False,
    backend: str | None = None,
) -> Fragments:
    """Draw triangles into a z-buffer.

    A centre on an edge that two triangles share belongs to one of them (top-left rule), of equally near triangles the
    first wins, and what is nearer than 1 mm is cut off. Deterministic. Differentiable once in the points, by weights
    and by depth, each pixel keeping its triangle (Genova et al. 2018, sec. 3.2.1).

    Args:
        points: (..., V, 3) float32 or float64: x px, y px, depth mm in front of the camera
            (`geometry.cameras.project_with_depth`). A vertex behind the camera has a negative depth.
        triangles: (T, 3) int32, or int64 at the price of a copy, counter-clockwise seen from outside, the same for the
            whole batch.
        size: (height, width).
        cull: Whether triangles seen from behind are left out.
        perspective: Weights linear on the surface, as a perspective camera sees it. False: linear on the picture, as
            weak perspective does, and without a near plane.
        checked: Refuse vertices that are not finite and triangles without area; otherwise they are ignored.
        backend: "numba" (CPU), "cuda", or "torch", the readable twin; by default by the points' device.

    Raises:
        ValueError: When a shape, a dtype or the backend does not fit, or with `checked`.
        IndexError: When a triangle names a vertex that is not there.
    """
    triangles = torch.as_tensor(triangles, device=points.device)
    _refuse(points, triangles, size, backend)
    batch = points.shape[:-2]
    rows = points.reshape(math.prod(batch), *points.shape[-2:])
    if checked:
        _check(rows, triangles, perspective)
    if backend == "torch":
        from likeness.render import rasterize_torch

        _check_range(triangles, rows.shape[1])
        outputs = rasterize_torch.rasterize(rows, triangles, size, cull, perspective)
    else:
        barycentric, depth, triangle = _forward(rows, triangles, *size, cull, perspective)
        outputs = triangle, barycentric, depth
    return Fragments(*(output.reshape(*batch, *output.shape[1:]) for output in outputs))


def _refuse(points: torch.Tensor, triangles: torch.Tensor, size: tuple[int, int], backend: str | None) -> None:
    if points.ndim < 2 or points.shape[-1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        shapes = tuple(points.shape), tuple(triangles.shape)
        raise ValueError(f"points {shapes[0]}, triangles {shapes[1]}; give (..., V, 3) and (T, 3)")
    if points.dtype not in (torch.float32, torch.float64) or triangles.dtype not in (torch.int32, torch.int64):
        seen = f"points are {points.dtype}, triangles {triangles.dtype}"
        raise ValueError(f"{seen}; give float32 or float64, int32 or int64")
    if not all(0 < side <= rasterize_numba.LARGEST for side in size):
        raise ValueError(f"a picture of {tuple(size)} pixels; give two sides from 1 to {rasterize_numba.LARGEST}")
    if backend is not None and backend not in _BACKENDS:
        raise ValueError(f"backend {backend!r}; there are {', '.join(_BACKENDS)}")
    if backend is not None and _BACKENDS[backend] not in (None, points.device.type):
        raise ValueError(f"backend {backend!r} with points on {points.device}")


def _check(points: torch.Tensor, triangles: torch.Tensor, perspective: bool) -> None:
    """Raise ValueError for the first vertex that is not finite or triangle without area in space."""
    wrong = (~points.detach().isfinite().all(-1)).nonzero()
    if len(wrong):
        row, vertex = wrong[0].tolist()
        raise ValueError(f"vertex {vertex} of batch row {row} is not finite: {points[row, vertex].tolist()}")
    _check_range(triangles, points.shape[1])
    space = points.detach().double()
    if perspective:
        space = space * torch.cat([space[..., 2:], space[..., 2:], torch.ones_like(space[..., 2:])], -1)
    a, b, c = (space[:, triangles[:, i].long()] for i in range(3))
    wrong = (torch.linalg.cross(b - a, c - a) == 0).all(-1).nonzero()
    if len(wrong):
        row, triangle = wrong[0].tolist()
        names = triangles[triangle].tolist()
        places = points[row, names].tolist()
        raise ValueError(f"triangle {triangle} of batch row {row} has no area: vertices {names} at {places}")


def _check_range(triangles: torch.Tensor, count: int) -> None:
    wrong = ((triangles < 0) | (triangles >= count)).any(-1).nonzero()
    if len(wrong):
        row = wrong[0].item()
        raise IndexError(f"triangle {row} names the vertices {triangles[row].tolist()}; there are {count}")


@operation("likeness::rasterize")
def _forward(
    points: torch.Tensor, triangles: torch.Tensor, height: int, width: int, cull: bool, perspective: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points (B, V, 3) -> barycentric (B, H, W, 3), depth (B, H, W), triangle (B, H, W), which has no gradient."""
    outputs = _empty(points, height, width)
    corners, rows = rasterize_numba.corners(array(triangles), points.shape[1]), array(points)
    barycentric, depth, triangle = (output.numpy() for output in outputs)

    def work(row: int) -> None:
        rasterize_numba.draw(rows[row], corners, cull, perspective, triangle[row], barycentric[row], depth[row])

    each_row(work, len(rows), torch.get_num_threads())
    return outputs


@operation("likeness::rasterize_backward")
def _backward(
    by_barycentric: torch.Tensor | None,
    by_depth: torch.Tensor | None,
    points: torch.Tensor,
    triangles: torch.Tensor,
    triangle: torch.Tensor,
    barycentric: torch.Tensor,
    perspective: bool,
) -> torch.Tensor:
    """Gradient (B, V, 3) with respect to the points; a gradient that is None is zero."""
    result = torch.empty(points.shape, dtype=points.dtype)
    by_barycentric = torch.zeros_like(barycentric) if by_barycentric is None else by_barycentric
    by_depth = torch.zeros(triangle.shape, dtype=points.dtype) if by_depth is None else by_depth
    rows, corners = array(points), array(triangles).astype(np.int32, copy=False)
    inputs = [array(tensor) for tensor in (triangle, barycentric, by_barycentric, by_depth, result)]

    def work(row: int) -> None:
        rasterize_numba.pull_back(rows[row], corners, perspective, *(values[row] for values in inputs))

    each_row(work, len(rows), torch.get_num_threads())
    return result


def _forward_on_gpu(points, triangles, height, width, cull, perspective):
    from likeness.render import rasterize_cuda

    version = None if triangles.is_inference() else triangles._version
    seen = _in_range.get(triangles)
    if version is None or seen is None or seen[0] != version or seen[1] > points.shape[1]:
        _check_range(triangles, points.shape[1])  # waits for the GPU, and therefore once
        _in_range[triangles] = version, points.shape[1]
    inputs = points.contiguous(), triangles.contiguous()
    triangle, barycentric, depth = rasterize_cuda.forward(*inputs, (height, width), cull, perspective)
    return barycentric, depth, triangle


def _backward_on_gpu(by_barycentric, by_depth, points, triangles, triangle, barycentric, perspective):
    from likeness.render import rasterize_cuda

    by_barycentric = torch.zeros_like(barycentric) if by_barycentric is None else by_barycentric.contiguous()
    by_depth = points.new_zeros(triangle.shape) if by_depth is None else by_depth.contiguous()
    inputs = points.contiguous(), triangles.contiguous(), triangle.contiguous(), by_barycentric, by_depth
    return rasterize_cuda.backward(*inputs, perspective)


torch.library.impl("likeness::rasterize", "cuda", _forward_on_gpu)
torch.library.impl("likeness::rasterize_backward", "cuda", _backward_on_gpu)


@torch.library.register_fake("likeness::rasterize")
def _(points, triangles, height, width, cull, perspective):
    return _empty(points, height, width)


@torch.library.register_fake("likeness::rasterize_backward")
def _(by_barycentric, by_depth, points, triangles, triangle, barycentric, perspective):
    return points.new_empty(points.shape)


def _save(ctx, inputs, output):
    points, triangles, _, _, _, ctx.perspective = inputs
    barycentric, _, triangle = output
    ctx.save_for_backward(points, triangles, triangle, barycentric)
    ctx.mark_non_differentiable(triangle)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, by_barycentric, by_depth, _):
    nothing = by_barycentric is None and by_depth is None
    points = None if nothing else _backward(by_barycentric, by_depth, *ctx.saved_tensors, ctx.perspective)
    return points, None, None, None, None, None


torch.library.register_autograd("likeness::rasterize", _differentiate, setup_context=_save)


def _empty(points: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = points.shape[0], height, width
    return points.new_empty(*shape, 3), points.new_empty(shape), points.new_empty(shape, dtype=torch.int32)


def array(tensor: torch.Tensor) -> np.ndarray:
    """The same memory for a kernel, made contiguous."""
    return tensor.detach().contiguous().numpy()
