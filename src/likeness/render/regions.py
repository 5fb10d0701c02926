"""Where a picture shows a part of the face: masks without PyTorch, by the torch-free rasterizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.geometry.cameras import project_with_depth
from likeness.render.rasterize_numba import rasterize
from likeness.types import Topology, View

NOT_BARE = ("eye_left", "eye_right", "brow_left", "brow_right", "upper_lip", "lower_lip", "inner_mouth")
"""Regions that are skin on the mesh, and not of the skin's colour in a photo."""


def bare_skin(
    vertices: np.ndarray, view: View, topology: Topology, without: Sequence[str] = NOT_BARE
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels where a camera sees the face, and among them its bare skin: both (H, W) bool.

    Args:
        vertices: (V, 3) mm, model frame, posed.
        view: Camera; its size is that of the masks.
        topology: Of the vertices.
        without: Regions that do not count as bare; a triangle does with all its corners or not at all.
    """
    bare = topology.regions["skin"].copy()
    for name in without:
        bare &= ~topology.regions[name]
    points = project_with_depth(np.asarray(vertices), view)
    triangle, _, _ = rasterize(points, topology.triangles, view.size)
    seen = triangle >= 0
    return seen, seen & bare[topology.triangles].all(1)[np.maximum(triangle, 0)]
