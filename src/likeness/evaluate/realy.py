"""Region by region: nose, mouth, forehead and cheek are each laid in place by themselves before they are measured.

After REALY (Chai et al. 2022, "REALY: Rethinking the evaluation of 3D face reconstruction"): one alignment of the whole
face lets a wrong chin push a right nose out of place. Here as there, a region is first placed by key points with the
whole face's scale, then by rigid ICP; here, other than there, distances go to the closest point of the aligned
prediction, no second, non-rigid step looks for better partners, and the key points are ours. So the numbers are
"REALY-style" and not comparable with REALY's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.keypoints import REGIONS, rows_of_68, shared
from likeness.evaluate.meshes import Mesh, checked
from likeness.evaluate.surfaces import align, kept, plain_distances, start_motion, used
from likeness.geometry.mesh import vertex_areas
from likeness.types import Topology


def region_errors(
    prediction: Mesh, regions: Mapping[str, Mesh], predicted_points: np.ndarray, true_points: np.ndarray
) -> dict[str, float]:
    """Mean distance in mm of each region of the truth from the prediction, and the mean of the regions.

    Args:
        prediction: Any unit.
        regions: By name of `REGIONS`, the part of the true surface, mm; those that are there are measured, others NaN.
        predicted_points, true_points: (68, 3), or (51, 3) without the jaw, which leaves the cheek out.

    Raises:
        AssetError: Nothing can be aligned.
    """
    predicted_points, true_points = shared(predicted_points, true_points, "region by region")
    if len(true_points) not in (51, 68):
        raise AssetError(f"{len(true_points)} key points, but regions are placed by 51 or 68")
    whole = start_motion(predicted_points, true_points, True)
    prediction = replace(used(prediction), vertices=whole.apply(used(prediction).vertices))
    placed = whole.apply(predicted_points)
    errors = {}
    for name, rows in REGIONS.items():
        errors[name] = np.nan
        if name in regions and (len(placed) == 68 or min(rows) >= 17):
            start = start_motion(rows_of_68(placed, rows, name), rows_of_68(true_points, rows, name), False)
            region = used(regions[name])
            moved = align(prediction, region, start, False)
            areas = vertex_areas(region.vertices, region.triangles)
            errors[name] = float(np.average(plain_distances(region.vertices, moved), weights=areas))
    if not np.isfinite(list(errors.values())).any():
        raise AssetError(f"no region to measure; there are {', '.join(regions) or 'none'}, of {', '.join(REGIONS)}")
    return errors | {"mean of regions": float(np.nanmean(list(errors.values())))}


def regions_of(vertices: np.ndarray, topology: Topology) -> dict[str, Mesh]:
    """The four regions of a face on our own topology, mm: lips are the mouth, brows and forehead the forehead."""
    masks = topology.regions
    named = {
        "nose": masks["nose"], "mouth": masks["upper_lip"] | masks["lower_lip"],
        "forehead": masks["forehead"] | masks["brow_left"] | masks["brow_right"], "cheek": masks["cheeks"],
    }  # fmt: skip
    whole = checked(vertices, topology.triangles, "our topology")
    return {name: kept(whole, mask) for name, mask in named.items()}
