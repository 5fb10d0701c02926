"""Vertex normals with a fused forward and backward pass, for rendering: in plain torch they cost more than rasterizing.

The readable twin, and what other devices than the CPU use, is `geometry.mesh.vertex_normals`.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from likeness.geometry.mesh import SMALLEST
from likeness.geometry.mesh import vertex_normals as vertex_normals_twin
from likeness.kernels import kernel
from likeness.render.operation import operation
from likeness.render.pool import each_row
from likeness.render.rasterize import array

_FUSED = (torch.float32, torch.float64)


def vertex_normals(vertices: torch.Tensor, triangles: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Unit normals (..., V, 3), the mean over a vertex's triangles weighted by area; zero where there is none.

    Differentiable in the vertices, once; where the sum vanishes the gradient is zero. The same bits on every call.

    Args:
        vertices: (..., V, 3) any unit.
        triangles: (T, 3) int32 or int64, counter-clockwise seen from outside, the same for the whole batch.

    Raises:
        ValueError: When a shape or dtype is another.
        IndexError: When a triangle names a vertex that is not there.
    """
    triangles = torch.as_tensor(triangles, device=vertices.device)
    if vertices.ndim < 2 or vertices.shape[-1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(
            f"vertices {tuple(vertices.shape)}, triangles {tuple(triangles.shape)}; give (..., V, 3) and (T, 3)"
        )
    if triangles.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"triangles are {triangles.dtype}; give int32 or int64")
    if vertices.device.type != "cpu" or vertices.dtype not in _FUSED:
        return vertex_normals_twin(vertices, triangles)
    normals, _ = _forward(vertices, triangles)
    return normals


@operation("likeness::vertex_normals")
def _forward(vertices: torch.Tensor, triangles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Normals (..., V, 3), and one over the length (..., V) of what was normalised, 0 where that vanishes."""
    normals = torch.empty(vertices.shape, dtype=vertices.dtype)
    inverse = torch.empty(vertices.shape[:-1], dtype=vertices.dtype)
    corners = array(triangles)
    points, means, lengths = _rows(vertices, 2), _rows(normals, 2), _rows(inverse, 1)

    def work(row: int) -> None:
        if not _sum_and_normalise(points[row], corners, SMALLEST, means[row], lengths[row]):
            raise IndexError(f"a triangle names a vertex outside the {vertices.shape[-2]} that there are")

    each_row(work, len(points), torch.get_num_threads())
    return normals, inverse


@operation("likeness::vertex_normals_backward")
def _backward(
    gradient: torch.Tensor,
    normals: torch.Tensor,
    inverse: torch.Tensor,
    vertices: torch.Tensor,
    triangles: torch.Tensor,
) -> torch.Tensor:
    """Gradient (..., V, 3) with respect to the vertices."""
    result = torch.empty(vertices.shape, dtype=vertices.dtype)
    corners = array(triangles)
    pulls, means, points, moves = (_rows(tensor, 2) for tensor in (gradient, normals, vertices, result))
    lengths = _rows(inverse, 1)

    def work(row: int) -> None:
        _pull_back(pulls[row], means[row], lengths[row], points[row], corners, moves[row])

    each_row(work, len(points), torch.get_num_threads())
    return result


@torch.library.register_fake("likeness::vertex_normals")
def _(vertices, triangles):
    return vertices.new_empty(vertices.shape), vertices.new_empty(vertices.shape[:-1])


@torch.library.register_fake("likeness::vertex_normals_backward")
def _(gradient, normals, inverse, vertices, triangles):
    return vertices.new_empty(vertices.shape)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*output, *inputs)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _differentiate(ctx, gradient, _):
    return (None if gradient is None else _backward(gradient, *ctx.saved_tensors)), None


torch.library.register_autograd("likeness::vertex_normals", _differentiate, setup_context=_save)


def _rows(tensor: torch.Tensor, dimensions: int) -> np.ndarray:
    """The batch flattened into one axis; a new output, contiguous, stays the same memory."""
    batch, row = tensor.shape[: tensor.ndim - dimensions], tensor.shape[tensor.ndim - dimensions :]
    return array(tensor).reshape(math.prod(batch), *row)


def _compiled(function):
    return kernel(function, fastmath={"contract"})  # fused multiply-add: a quarter faster; no other liberty


@_compiled
def _sum_and_normalise(vertices, triangles, smallest, normals, inverse):
    """Writes normals and inverse lengths; False when a triangle names a vertex that is not there."""
    count = np.uint64(len(vertices))
    normals[:] = 0
    for t in range(len(triangles)):
        # unsigned: a negative number is large, and numba need not ask whether to count from the end
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        if a >= count or b >= count or c >= count:
            return False
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        wx, wy, wz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    real = vertices.dtype.type  # plain numbers would turn the arithmetic to float64
    zero, one, least = real(0), real(1), real(smallest * smallest)
    for i in range(len(vertices)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        square = x * x + y * y + z * z
        scale = one / np.sqrt(square) if square > least else zero
        inverse[i] = scale
        normals[i, 0] = x * scale
        normals[i, 1] = y * scale
        normals[i, 2] = z * scale
    return True


@_compiled
def _pull_back(gradient, normals, inverse, vertices, triangles, result):
    """Writes d loss / d vertices. With s = sum of u x w and n = s / |s|: ds = (g - n (n . g)) / |s|, and for every
    triangle, d the sum of its corners' ds, du = w x d and dw = d x u."""
    pulls = np.empty_like(vertices)
    for i in range(len(vertices)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        along = x * gradient[i, 0] + y * gradient[i, 1] + z * gradient[i, 2]
        pulls[i, 0] = (gradient[i, 0] - x * along) * inverse[i]
        pulls[i, 1] = (gradient[i, 1] - y * along) * inverse[i]
        pulls[i, 2] = (gradient[i, 2] - z * along) * inverse[i]
    result[:] = 0
    for t in range(len(triangles)):
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        dx = pulls[a, 0] + pulls[b, 0] + pulls[c, 0]
        dy = pulls[a, 1] + pulls[b, 1] + pulls[c, 1]
        dz = pulls[a, 2] + pulls[b, 2] + pulls[c, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        wx, wy, wz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        bx, by, bz = wy * dz - wz * dy, wz * dx - wx * dz, wx * dy - wy * dx
        cx, cy, cz = dy * uz - dz * uy, dz * ux - dx * uz, dx * uy - dy * ux
        result[a, 0] -= bx + cx
        result[a, 1] -= by + cy
        result[a, 2] -= bz + cz
        result[b, 0] += bx
        result[b, 1] += by
        result[b, 2] += bz
        result[c, 0] += cx
        result[c, 1] += cy
        result[c, 2] += cz
