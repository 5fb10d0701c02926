"""The specular albedo of the mean face, *authored*: how shiny the regions of a face are, as published captures show it.

No data here observe it. The order of the regions (lips, nose and forehead above cheeks and chin, these above the rest, hair
below) is that of measured maps (Weyrich et al. 2006, fig. 10; Smith et al. 2020); the numbers are set by hand, for Blinn and Phong's
model with one light whose brightness is part of the albedo (`render.shade.blinn_phong`).
"""

from __future__ import annotations

import cv2
import numpy as np

from likeness.geometry.uv import Chart
from likeness.types import Topology

REST = 0.10
SHINE = {
    "forehead": 0.20, "cheeks": 0.17, "nose": 0.27, "eye_left": 0.13, "eye_right": 0.13, "brow_left": 0.06, "brow_right": 0.06,
    "upper_lip": 0.28, "lower_lip": 0.32,
}  # fmt: skip
"""By region, painted over one another in this order; `REST` elsewhere on the skin."""
CHIN, CHIN_PLACE, CHIN_WIDTH = 0.17, (0.5, 0.83), (0.08, 0.035)
"""The ball of the chin: shine, place and width in the chart."""
WET = 0.45
"""Eyeballs and the mouth's inside."""
BLUR = 0.014
"""Width of the transitions on the skin, as a share of the chart."""


def gloss(topology: Topology, size: int) -> np.ndarray:
    """The authored map (size, size) float32 in [0, 1], symmetric.

    Args:
        topology: With regions and parts.
        size: Texels along a side.
    """
    values = np.full(len(topology.uv), REST, np.float32)
    for name, shine in SHINE.items():
        values[topology.regions[name]] = shine
    bump = np.exp(-0.5 * (((topology.uv - CHIN_PLACE) / CHIN_WIDTH) ** 2).sum(1))
    values += (CHIN - REST) * bump.astype(np.float32)
    for name, part in topology.parts.items():
        if name != "skin":
            values[part] = WET
    chart = Chart.of(topology.uv, topology.triangles, (size, size))
    wet = chart.to_texture(np.isclose(values, WET).astype(np.float32)[:, None])[..., 0] > 0.5
    drawn = chart.to_texture(values[:, None])[..., 0]
    dry = cv2.GaussianBlur(np.where(wet, REST, drawn), (0, 0), BLUR * size)
    result = np.where(wet, WET, dry)
    return np.clip((result + result[:, ::-1]) / 2, 0, 1).astype(np.float32)
