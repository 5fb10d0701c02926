"""The face model laid onto a head scan itself: what no photo can beat, and where the scan's landmarks are."""

from __future__ import annotations

import numpy as np

from likeness.evaluate.scans import STEERING, Scan, measured
from likeness.geometry.alignment import Similarity, similarity
from likeness.geometry.icp import partners
from likeness.geometry.mesh import border_vertices, vertex_normals

SPREAD = 1.0
"""Expected distance of scan and model, mm: how much a scan point counts against the prior on identity. Ours."""


def fit_to_scan(
    mean: np.ndarray, identity: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray, scan: Scan, steps: int = 12
) -> tuple[np.ndarray, Similarity]:
    """Identity (I,) in standard deviations of the model that lies closest to the scan, and the motion onto the scan.

    Alternates closest points, a similarity, and a ridge regression of the remaining distances along the scan's normals.

    Args:
        mean: (V, 3) mm.
        identity: (I, V, 3) mm per standard deviation.
        triangles: (T, 3), every vertex used.
        landmarks: (7,) vertices of the scan's landmarks.
        scan: The scan.
    """
    border, codes = border_vertices(triangles), np.zeros(len(identity))
    near, areas = measured(scan)
    some = slice(None, None, max(1, len(near) // STEERING))
    near, areas = near[some], np.minimum(areas[some] / np.median(areas), 3)
    points, normals = scan.vertices[near], vertex_normals(scan.vertices, scan.triangles)[near]
    motion = similarity(mean[landmarks], scan.landmarks)
    for step in range(steps):
        shape = mean + np.tensordot(codes, identity, 1)
        found, good = partners(motion.apply(shape), triangles, points, normals, border)
        good &= found.distances < np.quantile(found.distances[good], 0.9)
        corners, weights = triangles[found.triangle[good]], found.barycentric[good]
        places = (shape[corners] * weights[..., None]).sum(1)
        motion = similarity(places, points[good], areas[good])
        if step < 3:
            continue  # first the motion alone
        turned = motion.scale * np.einsum("mnkc,nk,dc->mnd", identity[:, corners], weights, motion.rotation)
        rows = np.einsum("mnd,nd->nm", turned, normals[good]) / SPREAD
        gaps = ((points[good] - motion.apply(places)) * normals[good]).sum(1) / SPREAD + rows @ codes
        weighted = rows * areas[good, None]
        codes = np.linalg.solve(weighted.T @ rows + np.eye(len(codes)), weighted.T @ gaps)
    return codes, motion
