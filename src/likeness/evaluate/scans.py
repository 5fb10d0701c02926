"""Errors of neutral face shapes: against a true mesh of the same topology, and against a head scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from likeness import color
from likeness.errors import AssetError
from likeness.evaluate.mesh_files import parse
from likeness.evaluate.surfaces import weighted_median
from likeness.geometry import cameras
from likeness.geometry.alignment import similarity
from likeness.geometry.icp import lay_onto, partners
from likeness.geometry.mesh import border_vertices, vertex_areas, vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.render.rasterize_numba import rasterize
from likeness.types import View

RADIUS = 95.0
"""Faces are compared within this distance of the nose tip, mm (Sanyal et al. 2019, "RingNet", the NoW benchmark)."""


@dataclass(frozen=True)
class Scan:
    """A head scan in millimetres, turned to the model frame.

    Attributes:
        vertices: (V, 3) mm.
        triangles: (T, 3).
        landmarks: (7, 3) mm: outer and inner corner of the right eye, inner and outer corner of the left, nose tip, right
            and left corner of the mouth.
        uv: (T, 3, 2) texture coordinates of the triangles' corners, v down (this scan's file differs from the OBJ custom).
        texture: (h, w, 3) uint8 sRGB, or None.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None


STEERING = 1200
"""About as many scan points steer the alignment; all are measured at the end."""
LANDMARKS_OF_68 = (36, 39, 42, 45, 30, 48, 54)
"""The seven points of a scan among the Multi-PIE 68."""
LEE_UNIT = 43.0
"""Millimetres per unit of the Lee Perry-Smith scan; its eye corners set it."""
LEE_LANDMARKS = (
    (-1.033, 1.650, 1.712), (-0.420, 1.713, 1.855), (0.230, 1.697, 1.866), (0.817, 1.643, 1.688),
    (-0.088, 1.099, 2.593), (-0.490, 0.400, 2.122), (0.340, 0.413, 2.096),
)  # fmt: skip
"""The seven points on the Lee Perry-Smith scan in its unit, read off its picture."""


def lee_perry_smith(folder: Path) -> Scan:
    """Read the scan "Infinite" (Lee Perry-Smith, CC-BY 3.0) from a folder with `head.obj` and `color.jpg`."""
    path = Path(folder) / "head.obj"
    mesh = parse(path)
    if not len(mesh.triangles):
        raise AssetError(f"{path}: no mesh in this file")
    picture = cv2.imread(str(Path(folder) / "color.jpg"))
    texture = None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return Scan(
        mesh.vertices * LEE_UNIT, mesh.triangles.astype(np.int32), np.array(LEE_LANDMARKS) * LEE_UNIT, mesh.uv, texture
    )


def photograph(scan: Scan, view: View) -> np.ndarray:
    """A picture (h, w, 3) uint8 sRGB of a textured scan, softly lit from the camera, before grey."""
    points = cameras.project_with_depth(scan.vertices, view).astype(np.float32)
    triangle, weights, _ = rasterize(points, scan.triangles, view.size)
    seen, corners = triangle >= 0, scan.triangles[np.maximum(triangle, 0)]
    places = (scan.uv[np.maximum(triangle, 0)] * weights[..., None]).sum(2)
    height, width = scan.texture.shape[:2]
    x, y = places[..., 0] * width - 0.5, places[..., 1] * height - 0.5
    colors = cv2.remap(
        color.decode(scan.texture).astype(np.float32), x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR
    )
    normals = (vertex_normals(scan.vertices, scan.triangles)[corners] * weights[..., None]).sum(2) @ view.rotation.T
    shade = 0.55 + 0.45 * np.clip(normals[..., 2], 0, 1)
    return color.encode(np.where(seen[..., None], colors * shade[..., None], 0.2).astype(np.float32))


def shape_error(
    predicted: np.ndarray, truth: np.ndarray, normals: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean distance (...,) mm of a neutral shape from the true one after the best similarity, along the true normals.

    Args:
        predicted: (..., V, 3) any unit.
        truth: (..., V, 3) mm, the same topology.
        normals: (..., V, 3) unit normals of the truth.
        weights: (V,) which vertices count; all by default.
    """
    weights = np.ones(truth.shape[-2]) if weights is None else np.asarray(weights, float)
    moved = similarity(predicted, truth, np.broadcast_to(weights, truth.shape[:-1])).apply(predicted)
    return (np.abs(((moved - truth) * normals).sum(-1)) * weights).sum(-1) / weights.sum()


def distinctiveness(
    predicted: np.ndarray, truth: np.ndarray, mean: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Share of the true deviations from the mean face that comes back: <predicted - mean, true - mean> / |true - mean|^2.

    Both deviations are taken after the similarity that brings the face to the mean, so that size and place do not count.
    A method that always answers the mean scores 0, a perfect one 1, noise of any strength nothing.

    Args:
        predicted, truth: (n, V, 3) neutral shapes of n people, the same topology.
        mean: (V, 3) mm.
        weights: (V,) which vertices count; all by default.
    """
    weights = np.ones(len(mean)) if weights is None else np.asarray(weights, float)

    def deviation(shapes: np.ndarray) -> np.ndarray:
        target = np.broadcast_to(mean, shapes.shape)
        return similarity(shapes, target, np.broadcast_to(weights, shapes.shape[:-1])).apply(shapes) - mean

    found, true = deviation(predicted), deviation(truth)
    return float((found * true * weights[:, None]).sum() / (true * true * weights[:, None]).sum())


@dataclass(frozen=True)
class ScanErrors:
    """How far a scan's face is from a mesh.

    Attributes:
        mean, median: mm, point to surface, every part of the scan's surface counting by its area.
        signed: (n,) mm along the scan's normals, positive where the mesh lies outside the scan.
        weights: (n,) mm^2 of surface that each point stands for.
        rows: (n,) scan vertices that were compared.
        coverage: Share of what counts of the scan that was compared, by area: a mesh that ends early covers little.
    """

    mean: float
    median: float
    signed: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    coverage: float


def measured(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Scan vertices (n,) that count, and the area (n,) mm^2 each stands for.

    They lie within 95 mm of the nose tip, and a camera in front, to the left or to the right sees them: a scan's mesh also
    has eye sockets and inner lips.
    """
    seen = np.zeros(len(scan.vertices), bool)
    centre = scan.landmarks.mean(0)
    for yaw in (0.0, 0.8, -0.8):
        rotation = from_euler(np.float64(yaw), np.float64(0), np.float64(0))
        view = View(
            rotation,
            np.array([0, 0, -1500.0]) - rotation @ centre,
            np.float64(6000),
            np.array([600.0, 600.0]),
            (1200, 1200),
        )
        points = cameras.project_with_depth(scan.vertices, view).astype(np.float32)
        triangle, _, _ = rasterize(points, scan.triangles, view.size)
        seen[scan.triangles[np.unique(triangle[triangle >= 0])]] = True
    rows = np.flatnonzero(seen & (np.linalg.norm(scan.vertices - scan.landmarks[4], axis=1) < RADIUS))
    return rows, vertex_areas(scan.vertices, scan.triangles)[rows]


def scan_errors(
    vertices: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray, scan: Scan, steps: int = 20, kept: float = 0.9,
    scale: bool = True,
) -> ScanErrors:  # fmt: skip
    """Align a mesh to a scan by similarity and measure the scan's points to its surface.

    Iterated closest points with scale, begun at seven landmarks; the worst tenth of the pairs and those at the mesh's
    border do not steer the alignment. Scan points where the mesh has ended are left out.

    Args:
        vertices: (V, 3) neutral shape, any unit; mm without `scale`.
        triangles: (T, 3) of the skin, without eyeballs and mouth bag.
        landmarks: (7, 3) the mesh's points that correspond to the scan's.
        scan: The scan.
        steps: At most so many rounds of alignment.
        kept: Share of pairs used in each.
        scale: Whether the size is free; else the size of the face must be right.
    """
    used, triangles = np.unique(triangles, return_inverse=True)
    triangles, vertices = triangles.reshape(-1, 3), np.asarray(vertices, np.float64)[used]
    start = similarity(np.asarray(landmarks, np.float64), scan.landmarks, scale=scale)
    rows, areas = measured(scan)
    points, normals = scan.vertices[rows], vertex_normals(scan.vertices, scan.triangles)[rows]
    some = slice(None, None, max(1, len(rows) // STEERING))
    laid = lay_onto(
        vertices, triangles, points[some], start=start, scale=scale, normals=normals[some], weights=areas[some], kept=kept,
        steps=steps,
    )  # fmt: skip
    found, good = partners(laid.vertices, triangles, points, normals, border_vertices(triangles))
    signed = ((found.points - points) * normals).sum(1)[good]
    distances, weights = found.distances[good], areas[good]
    mean, median = float(np.average(distances, weights=weights)), weighted_median(distances, weights)
    return ScanErrors(mean, median, signed, weights, rows[good], float(weights.sum() / areas.sum()))


def scan_distinctiveness(predicted: ScanErrors, mean: ScanErrors) -> float:
    """Share of the scan's deviation from the mean face that a prediction shows, along the scan's normals.

    The scan points that both comparisons used count. The mean's signed distance is the whole deviation, with its sign
    turned; what the prediction lessens of it has come back.
    """
    _, first, second = np.intersect1d(predicted.rows, mean.rows, return_indices=True)
    true, found = -mean.signed[second], predicted.signed[first] - mean.signed[second]
    weights = mean.weights[second]
    return float((weights * found * true).sum() / (weights * true * true).sum())
