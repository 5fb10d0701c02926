"""Region by region: nose, mouth, forehead and cheek are each laid in place by themselves before they are measured.

After REALY (Chai et al. 2022, "REALY: Rethinking the evaluation of 3D face reconstruction") and its public evaluation:
one alignment of the whole face lets a wrong chin push a right nose out of place. So the size comes from seven points of
the whole face; then each region is laid in place by rigid ICP, in which its key points weigh as much as its surface (a
quarter of it in the cheek); then the true region is bent onto the prediction, key points leading (not in the cheek); and
the distance counts from each true vertex to the point of the prediction that the bent vertex is closest to. Without
that last step a nose that slid would find a near cheek for a partner, and nobody would notice.

Other than there: 68 key points where REALY has 85 (it adds two beside the nose, two on the cheeks and thirteen of which
no region makes use), the closest least-squares size where it takes a ratio of sums, a membrane where it has affine
motions (`nonrigid`), and about 2,500 points steer the ICP. On equal data numbers should differ in the third digit or so;
without REALY's data this could not be seen, so they are "REALY-style".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.keypoints import REGIONS, SEVEN_OF_68, rows_of_68, shared
from likeness.evaluate.meshes import Mesh, checked
from likeness.evaluate.nonrigid import correspondents
from likeness.evaluate.surfaces import kept, plain_distances, start_motion, steering, used
from likeness.geometry.closest import Grid
from likeness.geometry.icp import Marks, lay_onto
from likeness.types import Topology

LEADING = {"nose": 1.0, "mouth": 1.0, "forehead": 1.0, "cheek": 0.25}
"""Weight of a region's key points in its ICP, in weights of its surface (REALY's public evaluation)."""
ON = 3.0
"""mm from the nearest vertex of a region within which a key point leads its bending; others lie beside the region. The
step from the key point to that vertex is kept, where REALY's public evaluation takes the vertex for the point."""
STEPS, TOLERANCE = 100, 1e-5
"""Rounds of a region's ICP at most (as there), and the share of the face's extent below which it has come to rest."""


def region_errors(
    prediction: Mesh, regions: Mapping[str, Mesh], predicted_points: np.ndarray, true_points: np.ndarray
) -> dict[str, float]:
    """Mean distance in mm of each region of the truth from its partners on the prediction, and the mean of the regions.

    Args:
        prediction: Any unit.
        regions: By name of `REGIONS`, the part of the true surface, mm; those that are there are measured, others NaN.
        predicted_points, true_points: (68, 3), or (51, 3) without the jaw, which leaves the cheek out.

    Returns:
        The regions, "mean of regions", and "closest points": that mean if each true vertex is paired with what is
        closest, which rewards more and says less.

    Raises:
        AssetError: Nothing can be aligned.
    """
    predicted_points, true_points = shared(predicted_points, true_points, "region by region")
    if len(true_points) not in (51, 68):
        raise AssetError(f"{len(true_points)} key points, but regions are placed by 51 or 68")
    seven = [rows_of_68(points, SEVEN_OF_68, "the seven") for points in (predicted_points, true_points)]
    whole = start_motion(*seven, True)
    prediction = replace(used(prediction), vertices=whole.apply(used(prediction).vertices))
    placed = whole.apply(predicted_points)
    errors, closest = {}, []
    for name, rows in REGIONS.items():
        errors[name] = np.nan
        if name in regions and (len(placed) == 68 or min(rows) >= 17):
            ours, theirs = rows_of_68(placed, rows, name), rows_of_68(true_points, rows, name)
            errors[name], plain = _measured(prediction, used(regions[name]), ours, theirs, name)
            closest.append(plain)
    if not closest:
        raise AssetError(f"no region to measure; there are {', '.join(regions) or 'none'}, of {', '.join(REGIONS)}")
    return errors | {
        "mean of regions": float(np.nanmean(list(errors.values()))),
        "closest points": float(np.mean(closest)),
    }


def _measured(prediction: Mesh, region: Mesh, ours: np.ndarray, theirs: np.ndarray, name: str) -> tuple[float, float]:
    """Mean distances mm of one region by corresponding and by closest points, after its own alignment.

    Args:
        prediction, region: mm, nearly in place.
        ours, theirs: (k, 3) key points of the region on both.
    """
    some = steering(len(region.vertices))
    marks = Marks(ours, theirs, np.full(len(ours), LEADING[name] * len(some) / max(len(ours), 1)))
    try:
        laid = lay_onto(
            prediction.vertices, prediction.triangles, region.vertices[some], marks=marks, reject_border=False,
            steps=STEPS, tolerance=TOLERANCE,
        )  # fmt: skip
    except ValueError as error:
        raise AssetError(f"{name}: cannot be aligned: {error}") from None
    moved = replace(prediction, vertices=laid.vertices)
    marked, aims = np.zeros(0, int), np.zeros((0, 3))
    if name != "cheek":  # its key points lie around it, on the mouth and the eyes
        gaps = np.linalg.norm(region.vertices[None] - theirs[:, None], axis=-1)
        marked, on = gaps.argmin(1), gaps.min(1) < ON
        marked, aims = marked[on], laid.motion.apply(ours[on]) + region.vertices[marked[on]] - theirs[on]
    partners = correspondents(region.vertices, region.triangles, Grid(moved.vertices, moved.triangles), marked, aims)
    apart = np.linalg.norm(partners - region.vertices, axis=1)
    return float(apart.mean()), float(plain_distances(region.vertices, moved).mean())


def regions_of(vertices: np.ndarray, topology: Topology) -> dict[str, Mesh]:
    """The four regions of a face on our own topology, mm: lips are the mouth, brows and forehead the forehead."""
    masks = topology.regions
    named = {
        "nose": masks["nose"], "mouth": masks["upper_lip"] | masks["lower_lip"],
        "forehead": masks["forehead"] | masks["brow_left"] | masks["brow_right"], "cheek": masks["cheeks"],
    }  # fmt: skip
    whole = checked(vertices, topology.triangles, "our topology")
    return {name: kept(whole, mask) for name, mask in named.items()}
