"""Rasterization on the CPU: which triangle each pixel's centre sees, where in the triangle, and the way back.

One formula serves every triangle. Relative to a pixel's centre the corners are a, b, c on the screen, d their depths.
The edge function opposite to corner a is the determinant E_a = b x c, and the weights are proportional to

    w_a = E_a / d_a   (perspective)        w_a = E_a   (weak perspective).

These are the homogeneous edge functions of Olano and Greer 1997: with signed depths they hold for triangles that reach
behind the camera too. Exchanging the ends of an edge flips the sign of its determinant exactly, so that of two
triangles at an edge exactly one gets a centre on it, whatever the rounding; float32 input is computed in float64, where
the sign is that of exact arithmetic.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from likeness.kernels import kernel

NEAR = 1.0
"""mm in front of the camera; what is nearer is not drawn, and a triangle that crosses this plane in part."""
LARGEST = 32767
"""Pixels along a side: the cells of the pixel grid are packed by two into 32 bits."""
NOT_THERE = "a pixel sees a triangle that is not there; give the triangles that were drawn"
_fast = partial(kernel, error_model="numpy")  # a division by zero gives infinity, and no test for it is compiled


def rasterize(
    points: np.ndarray, triangles: np.ndarray, size: tuple[int, int], cull: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw triangles into a z-buffer, one picture, without PyTorch; `render.rasterize` has batches and gradients.

    Args:
        points: (V, 3) x px, y px, depth mm in front of the camera (`geometry.cameras.project_with_depth`).
        triangles: (T, 3) int, counter-clockwise seen from outside.
        size: (height, width).
        cull: Whether triangles seen from behind are left out.

    Returns:
        triangle (H, W) int32, -1 where empty; barycentric (H, W, 3) float32, perspective-correct; depth (H, W) float32
        mm, infinite where empty. Edges shared by two triangles are drawn once (top-left rule), what is nearer than
        `NEAR` is cut off, and bad triangles are ignored. Not differentiable.

    Raises:
        IndexError: When a triangle names a vertex that is not there.
    """
    triangle, depth = np.empty(size, np.int32), np.empty(size, np.float32)
    barycentric = np.empty((*size, 3), np.float32)
    points, triangles = np.ascontiguousarray(points, np.float32), corners(triangles, len(points))
    draw(points, triangles, cull, True, triangle, barycentric, depth)
    return triangle, barycentric, depth


def interpolate(
    attributes: np.ndarray, triangles: np.ndarray, triangle: np.ndarray, barycentric: np.ndarray
) -> np.ndarray:
    """Attributes (V, C) at pixels: ids (...,) and weights (..., 3) -> (..., C), zero where empty.

    Raises:
        IndexError: When a triangle names a vertex, or a pixel a triangle, that is not there.
    """
    attributes = np.ascontiguousarray(attributes)
    if attributes.dtype != np.float64:
        attributes = attributes.astype(np.float32, copy=False)
    weights = np.ascontiguousarray(barycentric, attributes.dtype).reshape(-1, 3)
    result = np.empty((triangle.size, attributes.shape[1]), attributes.dtype)
    ids = np.ascontiguousarray(triangle, np.int32).ravel()
    if not mix(attributes, corners(triangles, len(attributes)), ids, weights, result):
        raise IndexError(NOT_THERE)
    return result.reshape(*triangle.shape, -1)


def corners(triangles: np.ndarray, count: int) -> np.ndarray:
    """Triangles (T, 3) as the kernels take them, contiguous int32, after a look that every vertex is there.

    Raises:
        IndexError: When a triangle names a vertex outside the `count` that there are.
    """
    triangles = np.ascontiguousarray(triangles)
    if triangles.dtype == np.int32:
        wrong = triangles.size and _largest(triangles.ravel()) >= count
    else:
        wrong = triangles.size and (triangles.min() < 0 or triangles.max() >= count)
    if wrong:
        row = int(np.flatnonzero(((triangles < 0) | (triangles >= count)).any(1))[0])
        raise IndexError(f"triangle {row} names the vertices {triangles[row].tolist()}; there are {count}")
    return triangles.astype(np.int32, copy=False)


@kernel
def _largest(numbers):
    """The largest of int32 numbers (n,) read without sign: a negative one is larger than any that is not."""
    largest = np.uint32(0)
    for i in range(len(numbers)):
        largest = max(largest, np.uint32(numbers[i]))
    return largest


@kernel
def _cells(flat, height, width, near, cells):
    """The first column and row whose centres are not before a vertex, packed; -1 where it needs a closer look.

    The centres that a triangle can cover run from its least cell up to the one before its greatest (top-left rule).
    """
    real = flat.dtype.type
    half, zero, far, near = real(0.5), real(0), real(np.inf), real(near)
    right, bottom = real(width), real(height)
    for i in range(len(cells)):
        # one axis: the compiler does not know the stride of a second one, and would not load by vector instructions
        x, y, d = flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]
        plain = (abs(x) < far) & (abs(y) < far) & (d > near) & (d < far)
        column, row = np.ceil(x - half), np.ceil(y - half)
        # written out, for these become vector instructions and min and max, which mind NaN, do not
        column = column if column > zero else zero
        column = column if column < right else right
        row = row if row > zero else zero
        row = row if row < bottom else bottom
        cell = (np.int32(row) << np.int32(16)) | np.int32(column)
        cells[i] = cell if plain else np.int32(-1)


@kernel
def _candidates(cells, triangles, found):
    """Lists the triangles whose box holds a pixel's centre, or that need a closer look; returns how many."""
    count = 0
    for t in range(len(triangles)):
        a = cells[np.uint64(triangles[t, 0])]
        b = cells[np.uint64(triangles[t, 1])]
        c = cells[np.uint64(triangles[t, 2])]
        spread = (a ^ b) | (a ^ c)
        found[count] = t
        count += (((spread & 0xFFFF) != 0) & ((spread >> 16) != 0)) | ((a | b | c) < 0)
    return count


@_fast
def _clipped_box(points, triangle, height, width):
    """Columns and rows (left, right, top, bottom), ends excluded, of the part of a triangle beyond the near plane."""
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for k in range(3):
        i, j = triangle[k], triangle[(k + 1) % 3]
        x, y, d = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        u, v, e = np.float64(points[j, 0]), np.float64(points[j, 1]), np.float64(points[j, 2])
        if not (abs(x) < np.inf and abs(y) < np.inf and abs(d) < np.inf):
            return 0, 0, 0, 0
        if d >= NEAR:
            left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
        if (d >= NEAR) != (e >= NEAR):
            share = (NEAR - d) / (e - d)
            x, y = ((1 - share) * x * d + share * u * e) / NEAR, ((1 - share) * y * d + share * v * e) / NEAR
            left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
    if not (left < width and right > 0 and top < height and bottom > 0):
        return 0, 0, 0, 0
    # one pixel more on every side: the ends of the cut are rounded, and the edge functions decide
    return (
        int(max(np.floor(left) - 1, 0)), int(min(np.ceil(right) + 1, width)),
        int(max(np.floor(top) - 1, 0)), int(min(np.ceil(bottom) + 1, height)),
    )  # fmt: skip


@_fast
def draw(points, triangles, cull, perspective, triangle, barycentric, depth):
    """One picture: points (V, 3) and triangles (T, 3) int32, all in range, into (H, W), (H, W, 3) and (H, W)."""
    height, width = triangle.shape
    triangle[:] = -1
    barycentric[:] = 0
    depth[:] = np.inf
    cells, found = np.empty(len(points), np.int32), np.empty(len(triangles) + 1, np.int32)
    _cells(points.ravel(), height, width, NEAR if perspective else -np.inf, cells)
    real = points.dtype.type
    for n in range(_candidates(cells, triangles, found)):
        t = found[n]
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        ax, ay, az = np.float64(points[a, 0]), np.float64(points[a, 1]), np.float64(points[a, 2])
        bx, by, bz = np.float64(points[b, 0]), np.float64(points[b, 1]), np.float64(points[b, 2])
        cx, cy, cz = np.float64(points[c, 0]), np.float64(points[c, 1]), np.float64(points[c, 2])
        # counter-clockwise from outside in a y-up frame is clockwise in pixels: front faces have negative area
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        p, q, r = cells[a], cells[b], cells[c]
        nearest = -np.inf
        if (p | q | r) >= 0:
            left, right = min(p & 0xFFFF, q & 0xFFFF, r & 0xFFFF), max(p & 0xFFFF, q & 0xFFFF, r & 0xFFFF)
            top, bottom = min(p, q, r) >> 16, max(p, q, r) >> 16
        else:
            if not perspective:
                continue
            left, right, top, bottom = _clipped_box(points, triangles[t], height, width)
            if left >= right:
                continue
            nearest = NEAR
            area *= np.sign(az) * np.sign(bz) * np.sign(cz)
        if not (area < 0 or (area > 0 and not cull)):
            continue
        sign = 1.0 if area > 0 else -1.0
        ka = kb = kc = sign
        if perspective:
            ka, kb, kc = sign * bz * cz, sign * az * cz, sign * az * bz
        for row in range(top, bottom):
            y = row + 0.5
            ya, yb, yc = ay - y, by - y, cy - y
            for column in range(left, right):
                x = column + 0.5
                xa, xb, xc = ax - x, bx - x, cx - x
                wa, wb, wc = ka * (xb * yc - yb * xc), kb * (xc * ya - yc * xa), kc * (xa * yb - ya * xb)
                if not ((wa >= 0) & (wb >= 0) & (wc >= 0)):
                    continue
                if (wa == 0) | (wb == 0) | (wc == 0):
                    # top-left rule: a centre on an edge belongs to the triangle that lies to the right of it or below
                    if wa == 0 and not (ka * (by - cy) > 0 or (by == cy and ka * (cx - bx) > 0)):
                        continue
                    if wb == 0 and not (kb * (cy - ay) > 0 or (cy == ay and kb * (ax - cx) > 0)):
                        continue
                    if wc == 0 and not (kc * (ay - by) > 0 or (ay == by and kc * (bx - ax) > 0)):
                        continue
                share = 1 / (wa + wb + wc)
                wa, wb, wc = wa * share, wb * share, wc * share
                z = wa * az + wb * bz + wc * cz
                if not z > nearest:
                    continue
                z, best = real(z), depth[row, column]
                # of equally near triangles the first wins; a sum that overflowed makes z no number
                if z < best or (z == best and t < triangle[row, column]):
                    depth[row, column] = z
                    triangle[row, column] = t
                    barycentric[row, column, 0] = wa
                    barycentric[row, column, 1] = wb
                    barycentric[row, column, 2] = wc


@_fast
def pull_back(points, triangles, perspective, triangle, barycentric, by_weight, by_depth, result):
    """Writes d loss / d points (V, 3) for gradients by weight (H, W, 3) and by depth (H, W), triangle ids held.

    With depth = sum beta_i d_i, g_i the whole gradient by beta_i and m = sum g_i beta_i, the gradient by w_i is
    (g_i - m) / sum w; by a corner of a determinant it is the other corner turned by a right angle.
    """
    result[:] = 0
    height, width = triangle.shape
    real = points.dtype.type
    for row in range(height):
        for column in range(width):
            t = triangle[row, column]
            if t < 0:
                continue
            a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
            x, y = column + 0.5, row + 0.5
            xa, xb, xc = points[a, 0] - x, points[b, 0] - x, points[c, 0] - x
            ya, yb, yc = points[a, 1] - y, points[b, 1] - y, points[c, 1] - y
            za, zb, zc = np.float64(points[a, 2]), np.float64(points[b, 2]), np.float64(points[c, 2])
            wa, wb, wc = barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2]
            z = np.float64(by_depth[row, column])
            ga, gb, gc = by_weight[row, column, 0], by_weight[row, column, 1], by_weight[row, column, 2]
            ga, gb, gc = ga + z * za, gb + z * zb, gc + z * zc
            mean = ga * wa + gb * wb + gc * wc
            ga, gb, gc = ga - mean, gb - mean, gc - mean
            ka = kb = kc = 1.0
            inverse = 0.0
            if perspective:
                ka, kb, kc = zb * zc, za * zc, za * zb
                inverse = 1 / (za * ka)
            share = 1 / (ka * (xb * yc - yb * xc) + kb * (xc * ya - yc * xa) + kc * (xa * yb - ya * xb))
            ea, eb, ec = ga * ka * share, gb * kb * share, gc * kc * share
            result[a, 0] += real(ec * yb - eb * yc)
            result[a, 1] += real(eb * xc - ec * xb)
            result[a, 2] += real(wa * (z - ga * ka * inverse))
            result[b, 0] += real(ea * yc - ec * ya)
            result[b, 1] += real(ec * xa - ea * xc)
            result[b, 2] += real(wb * (z - gb * kb * inverse))
            result[c, 0] += real(eb * ya - ea * yb)
            result[c, 1] += real(ea * xb - eb * xa)
            result[c, 2] += real(wc * (z - gc * kc * inverse))


@kernel
def mix(attributes, triangles, triangle, weights, result):
    """Writes attributes (V, C) mixed by weights (n, 3) of triangles (n,) into (n, C), zero where there is none.

    False when a pixel's triangle is not there.
    """
    for n in range(len(triangle)):
        t = triangle[n]
        if t >= len(triangles):
            return False
        if t < 0:
            result[n] = 0
            continue
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        wa, wb, wc = weights[n, 0], weights[n, 1], weights[n, 2]
        for k in range(attributes.shape[1]):
            result[n, k] = wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]
    return True


@kernel
def unmix(attributes, triangles, triangle, weights, gradient, by_attribute, by_weight):
    """Writes d loss / d attributes (V, C) and d loss / d weights (n, 3) for a gradient (n, C) of what `mix` wrote."""
    by_attribute[:] = 0
    zero = attributes.dtype.type(0)
    for n in range(len(triangle)):
        t = triangle[n]
        ga, gb, gc = zero, zero, zero
        if t >= 0:
            a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
            wa, wb, wc = weights[n, 0], weights[n, 1], weights[n, 2]
            for k in range(attributes.shape[1]):
                g = gradient[n, k]
                ga += g * attributes[a, k]
                gb += g * attributes[b, k]
                gc += g * attributes[c, k]
                by_attribute[a, k] += wa * g
                by_attribute[b, k] += wb * g
                by_attribute[c, k] += wc * g
        by_weight[n, 0], by_weight[n, 1], by_weight[n, 2] = ga, gb, gc
