"""MICC Florence, and sets scored alike: symmetric point-to-plane distance after ICP with isotropic scale.

Genova et al. 2018, sec. 4.2: the scan is cropped to 95 mm around the tip of the nose, an ICP with isotropic scale finds
the alignment, and the symmetric point-to-plane distance counts within the region of intersection. Deng et al. 2022,
sec. 5.2 do the same with meshes averaged over a clip, on MICC and on FaceScape.

Left open there and chosen here: the plane is that of the interpolated vertex normals, "symmetric" is the mean of the
two directions, each direction weighs points by their area (so that density does not count), and the region of
intersection has neither border of the two surfaces nor pairs that face apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.meshes import Mesh
from likeness.evaluate.surfaces import align, crop, distances, start_motion, used, weighted_median
from likeness.geometry.alignment import similarity
from likeness.geometry.mesh import vertex_areas

RADIUS = 95.0
"""mm around the nose tip (Genova et al. 2018, after Tran et al. 2017)."""
OVERLAP = 0.25
"""Share of the cropped scan that must have a partner, else the numbers say nothing. Ours."""


def point_to_plane(
    prediction: Mesh, truth: Mesh, predicted_points: np.ndarray, true_points: np.ndarray, nose_tip: np.ndarray | None,
    scale: bool = True, radius: float = RADIUS,
) -> dict[str, float]:  # fmt: skip
    """Distances of a predicted face and a scan, mm.

    Args:
        prediction: Any unit; mm where `scale` is False.
        truth: Scan, mm.
        predicted_points, true_points: (k, 3) key points that correspond, to begin the alignment from.
        nose_tip: (3,) on the scan, mm; None leaves the truth uncropped.
        scale: Whether the size is free.
        radius: Of the crop, mm.

    Returns:
        "point to plane": symmetric mean; "from scan", "from prediction": the two directions; "median": of the scan's;
        "overlap %": share of the cropped scan's area that was measured. Compare methods at like overlap only.

    Raises:
        AssetError: The two cannot be aligned, or share less than a quarter of the scan.
    """
    truth = used(truth) if nose_tip is None else crop(truth, nose_tip, radius)
    prediction = used(prediction)
    moved = align(prediction, truth, start_motion(predicted_points, true_points, scale), scale)
    there, back = distances(truth, moved), distances(moved, truth)
    overlap = float(there.weights.sum() / vertex_areas(truth.vertices, truth.triangles).sum())
    if overlap < OVERLAP or not len(back.plane):
        raise AssetError(f"the aligned surfaces share only {100 * overlap:.0f} % of the scan: wrong key points?")
    ways = [float(np.average(way.plane, weights=way.weights)) for way in (there, back)]
    return {
        "point to plane": sum(ways) / 2,
        "from scan": ways[0],
        "from prediction": ways[1],
        "median": weighted_median(there.plane, there.weights),
        "overlap %": 100 * overlap,
    }


def mean_of_clip(shapes: Sequence[np.ndarray]) -> np.ndarray:
    """The mean mesh (V, 3) of a clip's frames ("deng2022": "we average the resulting meshes from all the frames").

    The frames are laid onto the first by similarity, so that a frame of reference that follows the head does no harm.
    The variant "genova2018" averages the encoder's codes instead, which only the method can do: it gives one mesh.

    Raises:
        AssetError: No frames, or of different topologies.
    """
    counts = {len(shape) for shape in shapes}
    if len(counts) != 1:
        raise AssetError(f"a clip's frames must share a topology; there are meshes of {sorted(counts)} vertices")
    first = np.asarray(shapes[0], float)
    return np.mean([similarity(np.asarray(shape, float), first).apply(np.asarray(shape, float)) for shape in shapes], 0)
