"""The rasterizer for NVIDIA GPUs, compiled at run time by numba's CUDA target; no build step.

It draws what `rasterize_torch` defines. Edges are decided in float64, whatever the points are, so that its pixels are
the twin's; the z-buffer compares depths as float32. Forward and backward are deterministic: the z-buffer is a minimum
over (depth, id), and gradients are summed as integers.

All work is queued on PyTorch's current stream, without waiting for the GPU. Import this file only when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import config, cuda
from torch import Tensor

from likeness.render.rasterize_numba import NEAR

BLOCK = 128
"""Threads in a block."""
SMALL = 64
"""Pixels in the box of a triangle that one thread still draws alone; ours. Larger ones wait for a whole block."""
LARGE = 512 * BLOCK
"""Threads that share the large triangles; about four blocks for each multiprocessor of a large GPU."""
EMPTY = np.iinfo(np.int64).max
"""Value of the z-buffer where there is no triangle."""
RANGE = 2.0**60
"""The integers that gradients are summed in stay below this in magnitude; three bits are left for rounding and sign."""


def _kernel(function: Callable) -> Any:
    """Compile for the GPU on the first call, or load from the cache where there can be one."""
    try:
        return cuda.jit(cache=True)(function)
    except RuntimeError:  # numba finds no folder for its cache
        return cuda.jit(function)


@cuda.jit(device=True)
def _corners(points, triangles, picture, t):
    """(x, y, d) of the three corners, float64."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    return (
        np.float64(points[picture, a, 0]), np.float64(points[picture, a, 1]), np.float64(points[picture, a, 2]),
        np.float64(points[picture, b, 0]), np.float64(points[picture, b, 1]), np.float64(points[picture, b, 2]),
        np.float64(points[picture, c, 0]), np.float64(points[picture, c, 1]), np.float64(points[picture, c, 2]),
    )  # fmt: skip


@cuda.jit(device=True)
def _facing(corners, cull, perspective):
    """The sign that makes a triangle's inside positive, or 0 for one that is not drawn."""
    ax, ay, ad, bx, by, bd, cx, cy, cd = corners
    total = ax + ay + ad + bx + by + bd + cx + cy + cd
    if not (total - total == 0):  # a corner is not finite
        return 0.0
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if perspective:
        if not (ad >= NEAR or bd >= NEAR or cd >= NEAR):
            return 0.0
        # a corner behind the camera appears at the opposite pixel, which turns the triangle over
        if ad == 0 or bd == 0 or cd == 0:
            return 0.0
        if (ad < 0) != ((bd < 0) != (cd < 0)):
            area = -area
    if area < 0:
        return -1.0
    return 1.0 if area > 0 and not cull else 0.0


@cuda.jit(device=True)
def _box(corners, perspective, height, width):
    """First and last column and row whose centres a triangle may cover; all, for one that crosses the near plane."""
    ax, ay, ad, bx, by, bd, cx, cy, cd = corners
    if perspective and not (ad >= NEAR and bd >= NEAR and cd >= NEAR):
        return 0, width - 1, 0, height - 1
    left, right = max(min(ax, bx, cx) - 0.5, 0.0), min(max(ax, bx, cx) - 0.5, width - 1.0)
    top, bottom = max(min(ay, by, cy) - 0.5, 0.0), min(max(ay, by, cy) - 0.5, height - 1.0)
    if not (left <= right and top <= bottom):
        return 0, -1, 0, -1
    first, upper = int(left), int(top)  # of numbers that are not negative: rounded down
    first += first < left
    upper += upper < top
    return first, int(right), upper, int(bottom)


@cuda.jit(device=True)
def _cross(px, py, qx, qy):
    """Cross product of two points, the same number with the other sign when they change places, to the last bit."""
    if py > qy or (py == qy and px > qx):
        return -cuda.fma(qx, py, -(qy * px))
    return cuda.fma(px, qy, -(py * qx))


@cuda.jit(device=True)
def _weight(px, py, pd, qx, qy, qd, facing, perspective):
    """Weight, not normalised, of the corner opposite the edge p q, seen from a pixel; negative where that is out."""
    sign = facing
    scale = facing
    if perspective:
        scale = facing * pd * qd
        sign = scale
    value = _cross(px, py, qx, qy)
    if value == 0:  # the centre belongs to the triangle for which the edge is a left or a top one
        owner = py > qy if sign > 0 else py < qy
        if py == qy:
            owner = qx > px if sign > 0 else qx < px
        return 0.0 if owner else -1.0
    return value * scale


@cuda.jit(device=True)
def _draw_pixel(corners, facing, perspective, t, row, column, buffer):
    """Put a triangle into one pixel (row, column) of a picture's z-buffer where it covers the centre and is nearest."""
    ax, ay, ad, bx, by, bd, cx, cy, cd = corners
    x, y = column + 0.5, row + 0.5
    ax, bx, cx, ay, by, cy = ax - x, bx - x, cx - x, ay - y, by - y, cy - y
    wa = _weight(bx, by, bd, cx, cy, cd, facing, perspective)
    wb = _weight(cx, cy, cd, ax, ay, ad, facing, perspective)
    wc = _weight(ax, ay, ad, bx, by, bd, facing, perspective)
    if wa < 0 or wb < 0 or wc < 0:
        return
    depth = (wa * ad + wb * bd + wc * cd) / (wa + wb + wc)
    if not depth - depth == 0:  # an overflow
        return
    if perspective and depth < NEAR and (ad < NEAR or bd < NEAR or cd < NEAR):
        return
    bits = (np.float32(depth) + np.float32(0)).view(np.int32)  # + 0 makes one zero of two
    if bits < 0:  # integers in the order of the numbers
        bits ^= np.int32(0x7FFFFFFF)
    cuda.atomic.min(buffer, (row, column), (np.int64(bits) << np.int64(32)) | np.int64(t))


@_kernel
def _draw(points, triangles, cull, perspective, buffer, queue, length):
    """One thread a triangle: draw it, or queue it if it is large."""
    i = cuda.grid(1)
    count = triangles.shape[0]
    if i >= points.shape[0] * count:
        return
    picture, t = i // count, i % count
    for k in range(3):
        if not 0 <= triangles[t, k] < points.shape[1]:
            return
    corners = _corners(points, triangles, picture, t)
    left, right, top, bottom = _box(corners, perspective, buffer.shape[1], buffer.shape[2])
    if left > right or top > bottom:  # most triangles of a dense mesh lie between the centres
        return
    facing = _facing(corners, cull, perspective)
    if facing == 0:
        return
    if (right - left + 1) * (bottom - top + 1) > SMALL:
        queue[cuda.atomic.add(length, 0, 1)] = i
        return
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            _draw_pixel(corners, facing, perspective, t, row, column, buffer[picture])


@_kernel
def _draw_large(points, triangles, cull, perspective, buffer, queue, length):
    """One block a triangle of the queue, one thread a pixel of its box."""
    count = triangles.shape[0]
    for k in range(cuda.blockIdx.x, length[0], cuda.gridDim.x):
        picture, t = queue[k] // count, queue[k] % count
        corners = _corners(points, triangles, picture, t)
        left, right, top, bottom = _box(corners, perspective, buffer.shape[1], buffer.shape[2])
        facing = _facing(corners, cull, perspective)
        width = right - left + 1
        for j in range(cuda.threadIdx.x, width * (bottom - top + 1), cuda.blockDim.x):
            _draw_pixel(corners, facing, perspective, t, top + j // width, left + j % width, buffer[picture])


@cuda.jit(device=True)
def _locate(corners, x, y, perspective):
    """Barycentric weights of a pixel's centre and their sum before they were normalised."""
    ax, ay, ad, bx, by, bd, cx, cy, cd = corners
    ax, bx, cx, ay, by, cy = ax - x, bx - x, cx - x, ay - y, by - y, cy - y
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    if perspective:
        wa, wb, wc = wa * bd * cd, wb * cd * ad, wc * ad * bd
    total = wa + wb + wc
    return wa / total, wb / total, wc / total, total


@_kernel
def _resolve(points, triangles, perspective, buffer, triangle, barycentric, depth):
    """One thread a pixel: from the z-buffer to ids, weights and depth."""
    i = cuda.grid(1)
    height, width = buffer.shape[1], buffer.shape[2]
    if i >= buffer.size:
        return
    picture, row, column = i // (height * width), i // width % height, i % width
    key = buffer[picture, row, column]
    if key == EMPTY:
        triangle[picture, row, column] = -1
        depth[picture, row, column] = np.inf
        for k in range(3):
            barycentric[picture, row, column, k] = 0
        return
    t = np.int32(key & np.int64(0x7FFFFFFF))
    corners = _corners(points, triangles, picture, t)
    a, b, c, _ = _locate(corners, column + 0.5, row + 0.5, perspective)
    triangle[picture, row, column] = t
    barycentric[picture, row, column, 0] = a
    barycentric[picture, row, column, 1] = b
    barycentric[picture, row, column, 2] = c
    depth[picture, row, column] = a * corners[2] + b * corners[5] + c * corners[8]


@cuda.jit(device=True)
def _gradient(corners, x, y, perspective, ga, gb, gc, gd):
    """Gradient by the corners' nine coordinates, for gradients by a pixel's weights (ga, gb, gc) and depth (gd)."""
    ax, ay, ad, bx, by, bd, cx, cy, cd = corners
    a, b, c, total = _locate(corners, x, y, perspective)
    ax, bx, cx, ay, by, cy = ax - x, bx - x, cx - x, ay - y, by - y, cy - y
    ga, gb, gc = ga + gd * ad, gb + gd * bd, gc + gd * cd
    mean = a * ga + b * gb + c * gc
    wa, wb, wc = (ga - mean) / total, (gb - mean) / total, (gc - mean) / total  # to the weights before normalising
    da, db, dc = gd * a, gd * b, gd * c
    if perspective:
        ca, cb, cc = wa * (bx * cy - by * cx), wb * (cx * ay - cy * ax), wc * (ax * by - ay * bx)
        da, db, dc = da + cb * cd + cc * bd, db + cc * ad + ca * cd, dc + ca * bd + cb * ad
        wa, wb, wc = wa * bd * cd, wb * cd * ad, wc * ad * bd
    return (
        wc * by - wb * cy, wb * cx - wc * bx, da,
        wa * cy - wc * ay, wc * ax - wa * cx, db,
        wb * ay - wa * by, wa * bx - wb * ax, dc,
    )  # fmt: skip


@_kernel
def _backward(points, triangles, perspective, triangle, by_barycentric, by_depth, measure, largest, total):
    """One thread a pixel: with `measure`, the largest gradient of a picture; without, the sums in units of it.

    Genova et al. 2018, sec. 3.2.1, as in the twin.
    """
    i = cuda.grid(1)
    height, width = triangle.shape[1], triangle.shape[2]
    if i >= triangle.size:
        return
    picture, row, column = i // (height * width), i // width % height, i % width
    t = triangle[picture, row, column]
    if t < 0:
        return
    gradient = _gradient(
        _corners(points, triangles, picture, t), column + 0.5, row + 0.5, perspective,
        np.float64(by_barycentric[picture, row, column, 0]), np.float64(by_barycentric[picture, row, column, 1]),
        np.float64(by_barycentric[picture, row, column, 2]), np.float64(by_depth[picture, row, column]),
    )  # fmt: skip
    if measure:
        for g in gradient:
            bits = np.float32(abs(g)).view(np.int32)  # in the order of the numbers, what is not a number last
            if bits > largest[picture]:  # spares nearly all of the atomic operations
                cuda.atomic.max(largest, picture, bits)
        return
    unit = np.float64(largest[picture].view(np.float32)) * (height * width / RANGE)
    if not 0 < unit < np.inf:  # nothing to add, or no number, which `_finish` spreads
        return
    k = 0
    for g in gradient:
        cuda.atomic.add(total, (picture, triangles[t, k // 3], k % 3), np.int64(round(g / unit)))
        k += 1


@_kernel
def _finish(total, largest, pixels, gradient):
    """One thread a coordinate: from integers to the gradient."""
    i = cuda.grid(1)
    if i >= total.size:
        return
    picture, vertex, k = i // (3 * total.shape[1]), i // 3 % total.shape[1], i % 3
    unit = np.float64(largest[picture].view(np.float32)) * (pixels / RANGE)
    gradient[picture, vertex, k] = total[picture, vertex, k] * unit


@cache
def _stream(index: int, pointer: int) -> Any:
    """Numba's name for a stream of PyTorch's; one object for one stream, by which numba finds its launches."""
    return cuda.external_stream(pointer) if pointer else cuda.default_stream()


@contextmanager
def _queue(device: torch.device) -> Iterator[Callable]:
    """Yields `launch(kernel, threads, *arguments)`: at least so many threads, on the device's current stream."""
    if config.ENABLE_CUDASIM:
        yield lambda kernel, threads, *arguments: kernel[-(-threads // BLOCK), BLOCK](*arguments)
        return
    with cuda.gpus[device.index]:
        stream = _stream(device.index, torch.cuda.current_stream(device).cuda_stream)
        yield lambda kernel, threads, *arguments: kernel[-(-threads // BLOCK), BLOCK, stream](*arguments)


def _arrays(*tensors: Tensor) -> list[Any]:
    """The same memory as numba's arrays; once for all launches, since this takes longer than a small kernel."""
    if config.ENABLE_CUDASIM:
        return [tensor.detach().numpy() for tensor in tensors]
    return [cuda.as_cuda_array(tensor.detach(), sync=False) for tensor in tensors]


def forward(
    points: Tensor, triangles: Tensor, size: tuple[int, int], cull: bool, perspective: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What each pixel's centre sees; as `rasterize_torch.rasterize`, without gradient.

    Triangles that name a vertex which is not there are ignored.

    Args:
        points: (B, V, 3) contiguous float32 or float64, on a GPU (or anywhere under numba's simulator).
        triangles: (T, 3) int32 or int64.

    Returns:
        triangle (B, H, W) int32, barycentric (B, H, W, 3), depth (B, H, W); the latter two in the points' dtype.
    """
    triangles, shape = triangles.int().contiguous(), (points.shape[0], *size)
    triangle = torch.full(shape, -1, dtype=torch.int32, device=points.device)
    barycentric, depth = points.new_zeros(*shape, 3), points.new_full(shape, torch.inf)
    work = points.shape[0] * triangles.shape[0]
    if not (work and points.shape[1] and triangle.numel()):
        return triangle, barycentric, depth
    buffer = torch.full(shape, EMPTY, dtype=torch.int64, device=points.device)
    queue = torch.empty(work, dtype=torch.int32, device=points.device)
    length = torch.zeros(1, dtype=torch.int32, device=points.device)
    with _queue(points.device) as launch:
        mesh, results = _arrays(points, triangles), _arrays(triangle, barycentric, depth)
        scratch = _arrays(buffer, queue, length)
        launch(_draw, work, *mesh, cull, perspective, *scratch)
        launch(_draw_large, LARGE, *mesh, cull, perspective, *scratch)
        launch(_resolve, buffer.numel(), *mesh, perspective, scratch[0], *results)
    return triangle, barycentric, depth


def backward(
    points: Tensor, triangles: Tensor, triangle: Tensor, by_barycentric: Tensor, by_depth: Tensor, perspective: bool
) -> Tensor:
    """Gradient (B, V, 3) by the points, for gradients by weights and depth: as autograd's of `rasterize_torch.locate`.

    Sums are exact in units of (pixels of a picture) / 2^60 times its largest term, and so do not depend on the order of
    threads. A gradient that is not finite makes all of its picture's NaN.

    Args:
        points: (B, V, 3) contiguous, as in `forward`.
        triangles: (T, 3) as in `forward`.
        triangle: (B, H, W) int32 contiguous, from `forward`.
        by_barycentric: (B, H, W, 3) contiguous.
        by_depth: (B, H, W) contiguous; not read where empty.
    """
    triangles, gradient = triangles.int().contiguous(), torch.zeros_like(points)
    if not (triangles.numel() and triangle.numel() and points.numel()):
        return gradient
    largest = torch.zeros(points.shape[0], dtype=torch.int32, device=points.device)
    total = torch.zeros(points.shape, dtype=torch.int64, device=points.device)
    with _queue(points.device) as launch:
        mesh, pixels = _arrays(points, triangles), _arrays(triangle, by_barycentric, by_depth)
        largests, totals, result = _arrays(largest, total, gradient)
        for measure in (True, False):
            launch(_backward, triangle.numel(), *mesh, perspective, *pixels, measure, largests, totals)
        launch(_finish, total.numel(), totals, largests, triangle[0].numel(), result)
    return gradient
