"""NoW: scan-to-mesh distance after alignment by seven landmarks and the whole face, with scale or (metrical) without.

Sanyal et al. 2019, "Learning to regress 3D face shape and expression from an image without 3D supervision", sec. 5; the
metrical variant is that of Zielonka et al. 2022, "Towards metrical reconstruction of human faces". Crop and weights as
in the public evaluation: every scan vertex of the face counts alike, and none is left out, not even where the mesh has
ended.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.evaluate.meshes import Mesh
from likeness.evaluate.scores import cumulative, summary
from likeness.evaluate.surfaces import align, crop, plain_distances, start_motion, used

LIMITS = np.linspace(0, 7, 141)
"""mm at which the cumulative curve is given."""


def face_sphere(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of what counts of a scan, from its seven landmarks (7, 3).

    The centre lies on the way from the bottom of the nose to the middle of the inner eye corners, at 0.3; the radius is
    1.4 times the mean of the outer eyes' distance and the length of that way (the public evaluation's numbers).
    """
    bottom, bridge = landmarks[4], (landmarks[1] + landmarks[2]) / 2
    eyes, nose = np.linalg.norm(landmarks[0] - landmarks[3]), np.linalg.norm(bridge - bottom)
    return bottom + 0.3 * (bridge - bottom), float(1.4 * (eyes + nose) / 2)


def scan_to_mesh(
    prediction: Mesh, scan: Mesh, predicted_points: np.ndarray, true_points: np.ndarray, scale: bool = True
) -> np.ndarray:
    """Distance (n,) mm of every scan vertex of the face from the aligned mesh.

    Args:
        prediction: Neutral face; any unit, but mm for the metrical variant.
        scan: mm.
        predicted_points, true_points: (7, 3) NoW's landmarks.
        scale: Whether the size is free; False is the metrical variant.

    Raises:
        AssetError: The two cannot be aligned.
    """
    scan, prediction = crop(scan, *face_sphere(true_points)), used(prediction)
    start = start_motion(predicted_points, true_points, scale)
    moved = align(prediction, scan, start, scale, border=False, area=False)
    return plain_distances(scan.vertices, moved)


def row(errors: np.ndarray) -> dict[str, float]:
    """Median, mean and standard deviation of one scan's distances."""
    found = summary(errors)
    return {"median": found.median, "mean": found.mean, "std": found.std}


def over_all(errors: Sequence[np.ndarray]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """NoW's numbers: median, mean and std over the points of all scans together, and their cumulative curve.

    A scan with more points counts more; the table's mean over items counts every item alike.
    """
    points = np.concatenate([np.zeros(0), *errors])
    return {f"all points: {k}": v for k, v in row(points).items()}, {"cumulative": cumulative(points, LIMITS)}
