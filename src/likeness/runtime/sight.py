"""What a camera sees of a face: a z-buffer by parts, and where each texel of the chart lies in the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from likeness import color
from likeness.geometry.cameras import to_pixels
from likeness.kernels import kernel
from likeness.render.rasterize_numba import rasterize
from likeness.types import Topology, View

SEEN = 480
"""Pixels; height of the face in the z-buffer that decides on visibility, whatever the photo's resolution."""
ORDINARY = 0.30
"""Linear brightness of skin in ordinary light: between fair skin (0.4) and dark skin (0.1), nearer to the first."""
OUTLINE = 12
"""z-buffer pixels (5 mm) from the head's outline from which on the photo surely shows the head, not what is behind."""
FACING = 0.55
"""Cosine between surface and line of sight from which a texel counts as facing the camera. Ours."""
ROWS = 64
"""Rows of a chart that are worked on at once, where all at once would take much memory."""
HUGE = 3 * 16_000_000
"""Values of a part of a photo above which it is halved, without linear light, before its colours are decoded."""


@dataclass(frozen=True)
class Sight:
    """What the camera sees, at the resolution of the z-buffer.

    Attributes:
        scale: z-buffer pixels per photo pixel.
        corner: (2,) photo pixel at which the z-buffer begins.
        depth: (h, w) mm, infinite where empty.
        part: (h, w) uint8: 0 nothing, k the k-th part of the topology counted from 1.
        inland: (h, w) float32 z-buffer pixels to the head's outline; the mesh's own border, where the head goes on
            beyond the mesh, does not count.
        millimetres: Size of a z-buffer pixel at the face.
    """

    scale: float
    corner: np.ndarray
    depth: np.ndarray
    part: np.ndarray
    inland: np.ndarray
    millimetres: float

    def at(self, values: np.ndarray, places: np.ndarray, outside: float, how: int = cv2.INTER_NEAREST) -> np.ndarray:
        """Values (h, w) of the z-buffer at photo pixels (..., 2), `outside` beyond it."""
        spots = ((places - self.corner) * self.scale - 0.5).astype(np.float32)
        spots = np.clip(spots, -2, np.array(values.shape[1::-1], np.float32) + 2)
        return cv2.remap(values, spots, None, how, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)


@dataclass(frozen=True)
class Texels:
    """Where each texel of the chart lies.

    Attributes:
        triangle: (S, S) int32, -1 outside the mesh.
        part: (S, S) uint8, as in `Sight`.
        places: (S, S, 2) float32 photo pixels.
        depth: (S, S) float32 mm.
        cosine: (S, S) float32 between the surface and the line of sight, negative where it faces away.
    """

    triangle: np.ndarray
    part: np.ndarray
    places: np.ndarray
    depth: np.ndarray
    cosine: np.ndarray

    def halved(self) -> Texels:
        """Every second texel of every second row, for what changes slowly."""
        fields = (self.triangle, self.part, self.places, self.depth, self.cosine)
        return Texels(*(np.ascontiguousarray(field[::2, ::2]) for field in fields))

    def without(self, *fields: str) -> Texels:
        """The same with nothing in fields that are not needed any more, so that they take no memory."""
        return replace(self, **{field: np.zeros((0, 0), np.float32) for field in fields})

    def shares(self, topology: Topology, window: tuple[slice, slice]) -> np.ndarray:
        """Weights (h, w, 3) float32 of the triangles' corners in a window of the chart; zero outside the mesh. They follow
        from the chart, and all of them would take 12 MB."""
        size, triangle = self.triangle.shape[0], self.triangle[window]
        line = np.arange(size) + 0.5
        x, y = np.meshgrid(line[window[1]], line[window[0]])
        a, b, c = np.moveaxis(np.asarray(topology.uv, np.float64)[topology.triangles[triangle]] * size, -2, 0)
        (ux, uy), (vx, vy) = np.moveaxis(b - a, -1, 0), np.moveaxis(c - a, -1, 0)
        px, py = x - a[..., 0], y - a[..., 1]
        area = ux * vy - uy * vx
        area = np.where(area == 0, 1, area)
        second, third = (px * vy - py * vx) / area, (ux * py - uy * px) / area
        return (np.stack([1 - second - third, second, third], -1) * (triangle >= 0)[..., None]).astype(np.float32)


def look(camera: np.ndarray, normals: np.ndarray, view: View, topology: Topology) -> Sight:
    """Draw the parts into a z-buffer around the face.

    Args:
        camera: (V, 3) mm, the posed face in the camera's frame.
        normals: (V, 3) unit normals in the camera's frame.
        view: Camera of the photo.
        topology: Connectivity of the vertices.
    """
    points = np.concatenate([to_pixels(camera, view), -camera[:, 2:]], -1)
    used = points[np.unique(topology.triangles)]
    low, high = used[:, :2].min(0), used[:, :2].max(0)
    scale = SEEN / max(float((high - low).max()), 1e-3)
    corner = low - 8 / scale
    size = tuple(int(x) for x in np.ceil((high - low)[::-1] * scale).astype(int) + 16)
    moved = np.concatenate([(points[:, :2] - corner) * scale, points[:, 2:]], 1)
    triangle, _, depth = rasterize(moved, topology.triangles, size)
    part = np.where(triangle >= 0, _parts(topology)[topology.triangles[:, 0]][triangle], 0).astype(np.uint8)
    facing = -(camera * normals).sum(1) > 0.25 * np.linalg.norm(camera, axis=1)
    inland = _inland(part, moved, facing, topology)
    return Sight(scale, corner, depth, part, inland, float(np.median(used[:, 2]) / view.focal / scale))


def _inland(part: np.ndarray, points: np.ndarray, facing: np.ndarray, topology: Topology) -> np.ndarray:
    """Distance (h, w) of covered pixels to the outline.

    The mesh ends at hairline, ears and throat, but the head does not: uncovered pixels near a border vertex that faces
    the camera still show the head, and are no outside.
    """
    outside = (part == 0).astype(np.uint8)
    border = np.isclose(topology.uv, 0, atol=1e-4) | np.isclose(topology.uv, 1, atol=1e-4)
    for x, y in np.rint(points[border.any(1) & facing, :2]).astype(int).tolist():
        cv2.circle(outside, (x, y), OUTLINE + 2, 0, -1)
    return cv2.distanceTransform(1 - outside, cv2.DIST_L2, 5)


def _parts(topology: Topology) -> np.ndarray:
    """(V,) uint8: which part a vertex belongs to, counted from 1."""
    parts = np.zeros(len(topology.uv), np.uint8)
    for number, where in enumerate(topology.parts.values(), start=1):
        parts[where] = number
    return parts


def locate(camera: np.ndarray, normals: np.ndarray, view: View, topology: Topology, size: int) -> Texels:
    """Where each texel's centre lies in the photo, and how the surface stands to the camera there.

    Args:
        camera: (V, 3) mm, the posed face in the camera's frame.
        normals: (V, 3) unit normals in the camera's frame.
        view: Camera of the photo.
        topology: Connectivity, chart and parts.
        size: Texels along a side.
    """
    flat = np.concatenate([topology.uv * size, np.full((len(topology.uv), 1), 2.0)], 1)
    triangle, weights, _ = rasterize(flat, topology.triangles, (size, size), cull=False)
    places = np.full((size, size, 2), -1e6, np.float32)
    depth, cosine = np.zeros((size, size), np.float32), np.full((size, size), -1, np.float32)
    principal = np.asarray(view.principal, np.float64)
    _texels(triangle, weights, topology.triangles, camera, normals, float(view.focal), principal, places, depth, cosine)
    part = np.where(triangle >= 0, _parts(topology)[topology.triangles[:, 0]][triangle], 0).astype(np.uint8)
    return Texels(triangle, part, places, depth, cosine)


@kernel
def _texels(triangle, weights, triangles, camera, normals, focal, principal, places, depth, cosine):
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            if triangle[row, column] < 0:
                continue
            x = y = z = nx = ny = nz = 0.0
            for k in range(3):
                vertex, weight = triangles[triangle[row, column], k], weights[row, column, k]
                x += weight * camera[vertex, 0]
                y += weight * camera[vertex, 1]
                z += weight * camera[vertex, 2]
                nx += weight * normals[vertex, 0]
                ny += weight * normals[vertex, 1]
                nz += weight * normals[vertex, 2]
            if z > -1.0:
                continue
            places[row, column, 0] = principal[0] + focal * x / -z
            places[row, column, 1] = principal[1] - focal * y / -z
            depth[row, column] = -z
            length = np.sqrt((x * x + y * y + z * z) * (nx * nx + ny * ny + nz * nz))
            cosine[row, column] = -(x * nx + y * ny + z * nz) / max(length, 1e-9)


@dataclass(frozen=True)
class Photo:
    """The part of the photo around the face in linear light, reduced to about the texture's resolution.

    Attributes:
        pixels: (h, w, 3) float32 linear RGB.
        scale: (2,) reduced pixels per photo pixel, x and y.
        corner: (2,) photo pixel at which the part begins.
    """

    pixels: np.ndarray
    scale: np.ndarray
    corner: np.ndarray

    @classmethod
    def around(cls, image: np.ndarray, points: np.ndarray, texels: Texels) -> Photo:
        """Cut the photo around the projected points (n, 2) and reduce it so that a texel sees about one pixel."""
        height, width = image.shape[:2]
        margin = 8 + int(0.06 * np.ptp(points, axis=0).max())
        low = np.clip(np.floor(points.min(0)).astype(int) - margin, 0, [width - 1, height - 1])
        high = np.clip(np.ceil(points.max(0)).astype(int) + margin, low + 1, [width, height])
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        here, there = (slice(0, -1, 4),) * 2, (slice(1, None, 4),) * 2  # neighbours along the diagonal, every fourth
        facing = (texels.cosine[here] > FACING) & (texels.triangle[there] == texels.triangle[here])
        steps = np.abs(texels.places[there][facing] - texels.places[here][facing])
        footprint = float(np.median(np.maximum(steps[:, 0], steps[:, 1]))) if len(steps) else 1.0
        while part.size > HUGE and footprint * part.shape[1] / (high - low)[0] > 4:
            part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        pixels = color.decode(part)
        if footprint > 1.25:  # below, bicubic sampling sees all pixels anyway
            side = np.maximum(1, np.rint((high - low) / footprint)).astype(int)
            pixels = cv2.resize(pixels, side.tolist(), interpolation=cv2.INTER_AREA)
        scale = np.array(pixels.shape[1::-1]) / (high - low)
        return cls(pixels, scale, low)

    def sample(self, places: np.ndarray) -> np.ndarray:
        """Linear RGB (..., 3) at photo pixels (h, w, 2), bicubic, never below 0 or above 1; the border continues."""
        found = np.empty((*places.shape[:2], 3), np.float32)
        for start in range(0, len(places), ROWS):
            rows = slice(start, start + ROWS)
            spots = ((places[rows] - self.corner) * self.scale - 0.5).astype(np.float32)
            spots = np.clip(spots, -4, np.array(self.pixels.shape[1::-1], np.float32) + 4)
            cv2.remap(self.pixels, spots, None, cv2.INTER_CUBIC, found[rows], cv2.BORDER_REPLICATE)
        return np.clip(found, 0, 1, out=found)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high`, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def feather(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask (S, S) as float32 that falls to zero inside its border, over about a hundredth of the chart."""
    width = max(3, size // 64 | 1)
    eroded = cv2.erode(mask.astype(np.float32), np.ones((3, 3)))
    blurred = cv2.blur(eroded, (width, width), borderType=cv2.BORDER_REPLICATE)
    return np.clip(2 * blurred - 1, 0, 1)


def within(sight: Sight, part: int, places: np.ndarray, margin: float) -> np.ndarray:
    """How far inside the visible area of a part photo pixels lie: 0 at its outline, 1 from `margin` on.

    Args:
        sight: What the camera sees.
        part: Number of the part, from 1.
        places: (h, w, 2) photo pixels.
        margin: z-buffer pixels.
    """
    inside = cv2.distanceTransform((sight.part == part).astype(np.uint8), cv2.DIST_L2, 5)
    return smoothstep(sight.at(inside, places, 0, cv2.INTER_LINEAR), 0.5, margin)


def exposure(texture: np.ndarray, texels: Texels) -> float:
    """Light on the face relative to that in which skin has the linear brightness `ORDINARY`, within bounds."""
    skin = texture[::4, ::4][texels.part[::4, ::4] == 1]
    return float(np.clip(np.median(skin @ np.full(3, 1 / 3, np.float32)) / ORDINARY, 0.2, 1.6)) if len(skin) else 1.0


def extent(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns around the True places of a mask, with a margin; empty slices where there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return slice(int(top), int(rows[-1]) + 1 + margin), slice(int(left), int(columns[-1]) + 1 + margin)
