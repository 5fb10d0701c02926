"""Closest points on triangle surfaces, exactly: a grid of cells proposes triangles, their Voronoi regions decide."""

from typing import NamedTuple

import numpy as np

from likeness.kernels import kernel


class Closest(NamedTuple):
    """Where points land on a surface.

    Attributes:
        triangle: (n,) int32, row of the triangle.
        barycentric: (n, 3) float64, weights of its three corners, none negative, sum 1.
        points: (n, 3) float64, the closest points, in the unit of the mesh.
        distances: (n,) float64, in the unit of the mesh.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    points: np.ndarray
    distances: np.ndarray


class Grid:
    """A surface made ready for many searches: which triangles lie in which cell."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        """Sort triangles into cells.

        Args:
            vertices: (V, 3) surface vertices.
            triangles: (T, 3) corner indices, T >= 1.
        """
        self.corners = np.ascontiguousarray(np.asarray(vertices, np.float64)[triangles])
        low, high = self.corners.min(axis=1), self.corners.max(axis=1)
        self.origin, extent = low.min(axis=0), (high.max(axis=0) - low.min(axis=0)).max()
        # Cells three times as wide as a large triangle, because queries lie some triangles away from the surface more
        # often than on it; and not so many that empty ones cost more than full ones.
        self.cell = max(3 * float(np.percentile((high - low).max(axis=1), 75)), extent / 128, 1e-12)
        first, last = ((edge - self.origin) // self.cell for edge in (low, high))
        self.shape = last.max(axis=0).astype(np.int64) + 1
        self.starts, self.entries = _fill(first.astype(np.int64), last.astype(np.int64), self.shape)

    def closest(self, points: np.ndarray) -> Closest:
        """The closest points of the surface to queries (n, 3), as `closest_points`."""
        points = np.ascontiguousarray(points, np.float64)
        found = _query(points, self.corners, self.origin, self.cell, self.shape, self.starts, self.entries)
        triangle, weights = found
        landed = (weights[..., None] * self.corners[triangle]).sum(axis=1)
        return Closest(triangle, weights, landed, np.linalg.norm(landed - points, axis=1))


def closest_points(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> Closest:
    """Find the closest point of a surface to every query, exactly. For several searches make one `Grid`.

    Args:
        points: (n, 3) queries, in the unit of the mesh.
        vertices: (V, 3) surface vertices.
        triangles: (T, 3) corner indices, T >= 1.

    Returns:
        The closest points; the first of equally near triangles wins. Not differentiable.
    """
    return Grid(vertices, triangles).closest(points)


@kernel
def _fill(first, last, shape):
    """Lists of triangles by cell, (cells + 1,) starts into (entries,) triangle rows."""
    starts = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    cursor, entries = starts, np.zeros(0, np.int32)
    for fill in range(2):
        for t in range(len(first)):
            for x in range(first[t, 0], last[t, 0] + 1):
                for y in range(first[t, 1], last[t, 1] + 1):
                    for z in range(first[t, 2], last[t, 2] + 1):
                        place = (x * shape[1] + y) * shape[2] + z
                        if fill == 0:
                            starts[place + 1] += 1
                        else:
                            entries[cursor[place]] = t
                            cursor[place] += 1
        if fill == 0:
            starts = np.cumsum(starts)
            entries = np.zeros(starts[-1], np.int32)
            cursor = starts.copy()
    return starts, entries


@kernel
def _query(points, corners, origin, cell, shape, starts, entries):
    """Walk the shells of cells around each point until none further out can be nearer.

    The partner of the point before is the first guess, and cells beyond the best so far are passed by, a column or a slab
    at a time: neighbours in an array are neighbours in space more often than not.
    """
    triangle = np.zeros(len(points), np.int32)
    weights = np.zeros((len(points), 3))
    found = np.zeros(3)
    for n in range(len(points)):
        p = points[n]
        home = np.floor((p - origin) / cell).astype(np.int64)
        reach, ring = 0, 0
        for axis in range(3):
            reach = max(reach, abs(home[axis]), abs(home[axis] - shape[axis] + 1))
            ring = max(ring, -home[axis], home[axis] - shape[axis] + 1)
        triangle[n] = triangle[n - 1] if n > 0 else 0
        best = _nearest(p, corners[triangle[n]], weights[n])
        while ring <= reach and (ring < 1 or best > ((ring - 1) * cell) ** 2):
            for x in range(max(home[0] - ring, 0), min(home[0] + ring, shape[0] - 1) + 1):
                across = _outside(p[0] - origin[0], x, cell)
                if across > best:
                    continue
                for y in range(max(home[1] - ring, 0), min(home[1] + ring, shape[1] - 1) + 1):
                    column = across + _outside(p[1] - origin[1], y, cell)
                    if column > best:
                        continue
                    inner = abs(x - home[0]) < ring and abs(y - home[1]) < ring
                    step, low, high = 2 * ring, home[2] - ring, home[2] + ring
                    if not inner or ring == 0:
                        step, low, high = 1, max(low, 0), min(high, shape[2] - 1)
                    for z in range(low, high + 1, step):
                        if z < 0 or z >= shape[2]:
                            continue
                        place = (x * shape[1] + y) * shape[2] + z
                        if starts[place] == starts[place + 1] or column + _outside(p[2] - origin[2], z, cell) > best:
                            continue
                        for k in range(starts[place], starts[place + 1]):
                            t = entries[k]
                            gap = _nearest(p, corners[t], found)
                            if gap < best or (gap == best and t < triangle[n]):
                                best = gap
                                triangle[n] = t
                                weights[n] = found
            ring += 1
    return triangle, weights


@kernel
def _outside(place, index, cell):
    """Squared distance along one axis of a place from a cell; rounding may not make a cell seem further than it is."""
    gap = max(index * cell - place, place - (index + 1) * cell, 0.0)
    return gap * gap * (1 - 1e-9)


@kernel
def _nearest(p, corners, weights):
    """Squared distance of a point to a triangle; writes the weights. Ericson, Real-Time Collision Detection, 5.1.5."""
    a, b, c = corners[0], corners[1], corners[2]
    d1 = d2 = d3 = d4 = d5 = d6 = 0.0
    for i in range(3):
        ab, ac = b[i] - a[i], c[i] - a[i]
        d1 += ab * (p[i] - a[i])
        d2 += ac * (p[i] - a[i])
        d3 += ab * (p[i] - b[i])
        d4 += ac * (p[i] - b[i])
        d5 += ab * (p[i] - c[i])
        d6 += ac * (p[i] - c[i])
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v = w = 0.0
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0 and d5 <= d6:
        w = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3)
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6)
    elif va <= 0 and d4 >= d3 and d5 >= d6:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    else:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    weights[0], weights[1], weights[2] = 1.0 - v - w, v, w
    gap = 0.0
    for i in range(3):
        gap += (weights[0] * a[i] + v * b[i] + w * c[i] - p[i]) ** 2
    return gap
