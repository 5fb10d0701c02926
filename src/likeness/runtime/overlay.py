"""The mesh drawn over the photo it came from, pixel by pixel: the proof that a fit sits where the face is."""

from __future__ import annotations

import cv2
import numpy as np

from likeness import color
from likeness.geometry.cameras import project_with_depth, transform_view
from likeness.geometry.mesh import face_normals
from likeness.render.rasterize_numba import rasterize
from likeness.runtime import draw as drawing
from likeness.types import Topology, View

OPACITY = 0.38
"""Of the surface; the photo shows through."""
TINT = np.array((0.45, 0.62, 0.75), np.float32)
"""Linear RGB of the surface, unlike skin."""
LINE, FAINT = (255, 214, 64), (205, 225, 235)
"""sRGB of feature lines, and of the mesh's own border."""
LINE_SHARE = 1 / 260
"""Width of a line as a share of the face's height in pixels."""
NOSE_68 = ((27, 28, 29, 30), (31, 32, 33, 34, 35))
"""Ridge and base of the nose in the Multi-PIE points."""
BAND = 4_000_000
"""Pixels that are drawn at once, in bands: a face may fill a photo of 178 million pixels."""
BEHIND = 2.5
"""mm; lines that lie this far behind the visible surface are hidden."""


def draw(image: np.ndarray, vertices: np.ndarray, view: View, topology: Topology) -> np.ndarray:
    """The photo with the face's surface half transparent over it, and lines along lids, lips, nose and outline.

    Args:
        image: (H, W, 3) uint8 sRGB, the original photo.
        vertices: (V, 3) mm, model frame, posed.
        view: Camera of the photo; `view.size` is the photo's.
        topology: Connectivity of the vertices.

    Returns:
        (H, W, 3) uint8 sRGB, a new picture of the same size.
    """
    points = project_with_depth(np.asarray(vertices, np.float64), view)
    used = np.unique(topology.triangles)
    window = _window(points[used, :2], image.shape[:2])
    result = image.copy()
    if window is None:
        return result
    left, top, right, bottom = window
    whole = _moved(view, left, top, (bottom - top, right - left))
    colours = TINT * drawing.brightness(vertices, topology.triangles, view)[:, None]
    step = max(1, BAND // (right - left))
    for row in range(top, bottom, step):
        end = min(bottom, row + step)
        local = _moved(view, left, row, (end - row, right - left))
        surface, coverage = drawing.rendered(vertices, topology.triangles, local, colours, None)
        part = color.decode(image[row:end, left:right])
        result[row:end, left:right] = color.encode(part * (1 - OPACITY * coverage) + OPACITY * surface)
    canvas = np.ascontiguousarray(result[top:bottom, left:right])
    points[:, :2] -= [left, top]
    _lines(canvas, points, vertices, whole, topology)
    result[top:bottom, left:right] = canvas
    return result


def _moved(view: View, left: int, top: int, size: tuple[int, int]) -> View:
    """The camera of the part of the picture that begins at a pixel."""
    return transform_view(view, np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]), size)


def _window(points: np.ndarray, size: tuple[int, int], margin: int = 4) -> tuple[int, int, int, int] | None:
    """The part of the picture that the face covers: left, top, right, bottom, or None where they do not meet."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + margin, [size[1], size[0]])
    return (*low.tolist(), *high.tolist()) if (high > low).all() else None


def _lines(canvas: np.ndarray, points: np.ndarray, vertices: np.ndarray, view: View, topology: Topology) -> None:
    """Draw the visible feature lines into the canvas, whose pixels `points` (V, 3: x, y, depth) are in."""
    height = np.ptp(points[np.unique(topology.triangles), 1])
    thickness = max(1, round(height * LINE_SHARE))
    scale = min(1.0, 1000 / max(canvas.shape))  # hidden lines need no finer z-buffer
    size = tuple(max(1, round(side * scale)) for side in canvas.shape[:2])
    _, _, depth = rasterize(points * [scale, scale, 1], topology.triangles, size)
    depth = cv2.dilate(np.where(np.isinf(depth), 0, depth), np.ones((3, 3)))  # the farthest around: outlines stay
    border, holes = rims(topology)
    contour = outline(vertices, view, topology)
    for pairs, colour in ((border, FAINT), (contour, LINE), (holes, LINE), (lips(topology), LINE)):
        _segments(canvas, points[pairs], depth, scale, colour, thickness)
    if "68" in topology.landmarks:
        nose = project_with_depth(topology.landmarks["68"].points(np.asarray(vertices, np.float64)), view)
        for line in NOSE_68:
            pairs = np.stack([nose[list(line[:-1])], nose[list(line[1:])]], 1)
            _segments(canvas, pairs, depth, scale, LINE, thickness)


def _segments(
    canvas: np.ndarray, pairs: np.ndarray, depth: np.ndarray, scale: float, colour: tuple, thickness: int
) -> None:
    """Draw those of the segments (n, 2, 3: x, y, depth) that the surface does not hide."""
    middle = pairs.mean(1)
    column = np.clip((middle[:, 0] * scale).astype(int), 0, depth.shape[1] - 1)
    row = np.clip((middle[:, 1] * scale).astype(int), 0, depth.shape[0] - 1)
    seen = (depth[row, column] == 0) | (middle[:, 2] < depth[row, column] + BEHIND)
    fraction = 4  # bits after the point
    places = np.rint((pairs[seen, :, :2] - 0.5) * 2**fraction).astype(np.int32)  # OpenCV's pixel centres are integers
    cv2.polylines(canvas, list(places), False, colour, thickness, cv2.LINE_AA, fraction)


def rims(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """Edges (n, 2) along the outer border of the skin, and along its holes: lids and the inside of the lips."""
    skin = _skin(topology)
    pairs, counts = _counted(skin)
    rim = pairs[counts == 1]
    outer = (np.isclose(topology.uv[rim], 0) | np.isclose(topology.uv[rim], 1)).any(-1).all(-1)
    return rim[outer], rim[~outer]


def lips(topology: Topology) -> np.ndarray:
    """Edges (n, 2) around both lips, where the topology knows them."""
    if "upper_lip" not in topology.regions:
        return np.zeros((0, 2), np.int64)
    mask = topology.regions["upper_lip"] | topology.regions["lower_lip"]
    skin = _skin(topology)
    pairs, counts = _counted(skin[mask[skin].all(1)])
    rim = pairs[counts == 1]
    all_pairs, all_counts = _counted(skin)
    holes = all_pairs[all_counts == 1]
    count = len(topology.uv)
    return rim[~np.isin(rim @ [count, 1], holes @ [count, 1])]


def outline(vertices: np.ndarray, view: View, topology: Topology) -> np.ndarray:
    """Edges (n, 2) of the skin between triangles that face the camera and triangles that do not."""
    skin = _skin(topology)
    towards = vertices - (-np.asarray(view.rotation).T @ view.translation)  # from the camera to each vertex
    faces = (face_normals(vertices, skin) * towards[skin[:, 0]]).sum(-1) < 0
    front, _ = _counted(skin[faces])
    back, _ = _counted(skin[~faces])
    count = len(vertices)
    return front[np.isin(front @ [count, 1], back @ [count, 1])]


def _skin(topology: Topology) -> np.ndarray:
    return topology.triangles[(topology.triangles < topology.parts["skin"].stop).all(1)]


def _counted(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undirected edges (n, 2), each once, smaller vertex first, and how many triangles each has."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    keys, counts = np.unique(pairs.min(1) << 32 | pairs.max(1), return_counts=True)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], 1), counts
