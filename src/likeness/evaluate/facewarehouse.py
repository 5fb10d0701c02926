"""FaceWarehouse: distance to the closest point of the true mesh, after alignment with scale.

Tewari et al. 2018, table 1 call it "the Hausdorff distance" and give 1.84 mm, which is a mean over points, as
mesh tools name it; the Hausdorff distance proper is the largest. Both are given.
"""

from __future__ import annotations

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.meshes import Mesh
from likeness.evaluate.surfaces import align, distances, start_motion, used


def closest_distance(
    prediction: Mesh, truth: Mesh, predicted_points: np.ndarray, true_points: np.ndarray
) -> dict[str, float]:
    """Distances in mm within the region that both surfaces have.

    Args:
        prediction: Any unit.
        truth: mm.
        predicted_points, true_points: (k, 3) key points that correspond.

    Returns:
        "mean": of both directions, points by their area; "from truth", "from prediction": each; "hausdorff": the
            largest.

    Raises:
        AssetError: The two cannot be aligned, or share nothing.
    """
    truth, prediction = used(truth), used(prediction)
    moved = align(prediction, truth, start_motion(predicted_points, true_points, True), True)
    ways = distances(truth, moved), distances(moved, truth)
    if not all(len(way.surface) for way in ways):
        raise AssetError("the aligned surfaces share no region")
    means = [float(np.average(way.surface, weights=way.weights)) for way in ways]
    return {
        "mean": sum(means) / 2,
        "from truth": means[0],
        "from prediction": means[1],
        "hausdorff": float(max(way.surface.max() for way in ways)),
    }
