"""Rasterization on the CPU: which triangle each pixel's centre sees, and where in the triangle."""

from __future__ import annotations

import numpy as np

from likeness.kernels import kernel

NEAR = 1.0
"""mm; triangles that come nearer to the camera plane than this are not drawn."""


@kernel
def _draw(points, triangles, cull, triangle, barycentric, depth):
    height, width = triangle.shape
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        if not (az > NEAR and bz > NEAR and cz > NEAR):
            continue
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # counter-clockwise from outside in a y-up frame is clockwise in pixels: front faces have negative area
        if not (area < 0 or (area > 0 and not cull)):
            continue
        sign = 1.0 if area > 0 else -1.0
        left, right = max(min(ax, bx, cx) - 0.5, 0.0), min(max(ax, bx, cx) - 0.5, width - 1.0)
        top, bottom = max(min(ay, by, cy) - 0.5, 0.0), min(max(ay, by, cy) - 0.5, height - 1.0)
        if not (left <= right and top <= bottom):
            continue
        # top-left rule: a centre on an edge belongs to the triangle for which the edge is a top or a left one
        ta = sign * (cy - by) < 0 or (cy == by and sign * (cx - bx) > 0)
        tb = sign * (ay - cy) < 0 or (ay == cy and sign * (ax - cx) > 0)
        tc = sign * (by - ay) < 0 or (by == ay and sign * (bx - ax) > 0)
        for row in range(int(np.ceil(top)), int(np.floor(bottom)) + 1):
            y = row + 0.5
            for column in range(int(np.ceil(left)), int(np.floor(right)) + 1):
                x = column + 0.5
                wa = sign * ((cx - bx) * (y - by) - (cy - by) * (x - bx))
                wb = sign * ((ax - cx) * (y - cy) - (ay - cy) * (x - cx))
                wc = sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax))
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                if (wa == 0 and not ta) or (wb == 0 and not tb) or (wc == 0 and not tc):
                    continue
                wa, wb, wc = wa / az, wb / bz, wc / cz  # linear in 1 / depth: perspective-correct weights
                total = wa + wb + wc
                z = sign * area / total
                if z < depth[row, column]:
                    depth[row, column] = z
                    triangle[row, column] = t
                    barycentric[row, column, 0] = wa / total
                    barycentric[row, column, 1] = wb / total
                    barycentric[row, column, 2] = wc / total


def rasterize(
    points: np.ndarray, triangles: np.ndarray, size: tuple[int, int], cull: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw triangles into a z-buffer.

    Args:
        points: (V, 3) x px, y px, depth mm in front of the camera (`geometry.cameras.project_with_depth`).
        triangles: (T, 3) int, counter-clockwise seen from outside.
        size: (height, width).
        cull: Whether triangles seen from behind are left out.

    Returns:
        triangle (H, W) int32, -1 where empty; barycentric (H, W, 3) float32, perspective-correct; depth (H, W) float32
        mm, infinite where empty. Edges shared by two triangles are drawn once (top-left rule). Not differentiable.
    """
    triangle = np.full(size, -1, np.int32)
    barycentric = np.zeros((*size, 3), np.float32)
    depth = np.full(size, np.inf, np.float32)
    points = np.ascontiguousarray(points, np.float64)
    _draw(points, np.ascontiguousarray(triangles, np.int32), cull, triangle, barycentric, depth)
    return triangle, barycentric, depth


def interpolate(attributes: np.ndarray, triangles: np.ndarray, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Attributes (V, C) at every pixel (H, W, C), zero where empty."""
    corners = triangles[triangle]  # -1 reads the last triangle; its weights are zero
    result = attributes[corners[..., 0]] * barycentric[..., :1]
    result += attributes[corners[..., 1]] * barycentric[..., 1:2]
    result += attributes[corners[..., 2]] * barycentric[..., 2:]
    return result
