"""Colours for what lids and lips hide in the photo and show when they move; lids without the eye printed on them."""

from __future__ import annotations

import cv2
import numpy as np

from likeness.runtime.eyes import PARTS, Ball
from likeness.runtime.sight import Texels, extent, smoothstep
from likeness.types import Topology

REACH = 0.085
"""Share of the chart around an eye or the mouth in which lids or lips lie."""
AROUND = (5.0, 10.0)
"""mm above the eyeball: the skin around the eye, whose colours are those of the lids."""
LID = (0.5, 1.2, 4.5, 6.5)
"""mm above the eyeball between which (fading in, fading out) skin is lid or its edge. An eye that is wider open in the
photo than on the mesh would be stretched over a closing lid."""
LASHES = (2.6, 3.4)
"""mm above the eyeball: below the first, at the lid's edge, dark colours are lashes and stay; above the second they are
lashes printed too high, and go."""
BAND = 0.012
"""Share of the chart next to an eye or the mouth that is lined where the photo does not show it."""
LINING_EYE, LINING_MOUTH = (0.80, 0.62, 0.60), (0.55, 0.36, 0.36)
"""The inside of lids and lips relative to the skin around the eye and to the lips. Ours: wet and in the shadow."""
LIPS = (0.85, 0.50, 0.50)
"""Lips relative to skin, where the photo does not show lips."""


def line(
    colours: np.ndarray, trust: np.ndarray, texels: Texels, vertices: np.ndarray, topology: Topology
) -> tuple[np.ndarray, np.ndarray]:
    """Trust lids only where they look like lids, and give colours to the hidden insides of lids and lips.

    Args:
        colours: (S, S, 3) linear RGB from the photo; they are written to.
        trust: (S, S) in [0, 1]; so is this.
        texels: Where the texels lie.
        vertices: (V, 3) mm, model frame, posed.
        topology: Parts, regions and connectivity.

    Returns:
        Colours and trust.
    """
    margin, band = int(REACH * trust.shape[0]), max(2.0, BAND * trust.shape[0])
    order = list(topology.parts)
    for name in PARTS:
        window = extent(texels.part == 1 + order.index(name), margin)
        height = _height(vertices, texels, topology, name, window)
        around = (height > AROUND[0]) & (height < AROUND[1]) & (trust[window] > 0.5)
        if around.sum() < 50:
            around = trust[window] > 0.5
        if around.sum() < 50:
            continue
        lid = smoothstep(height, LID[0], LID[1]) * (1 - smoothstep(height, LID[2], LID[3]))
        above = smoothstep(height, *LASHES)
        different, bright = _unlike(colours[window], around)
        trust[window] *= 1 - lid * different * (above + (1 - above) * bright)
        tone = np.median(colours[window][around], axis=0)
        _line_hole(colours[window], trust[window], texels.part[window], tone * LINING_EYE, band)
    window = extent(texels.part == 1 + order.index("mouth_bag"), margin)
    lips = _lips(texels, topology, window) & (trust[window] > 0.6)
    skin = colours[::4, ::4][trust[::4, ::4] > 0.5]
    if lips.sum() >= 50 or len(skin):
        tone = np.median(colours[window][lips], axis=0) if lips.sum() >= 50 else np.median(skin, axis=0) * LIPS
        _line_hole(colours[window], trust[window], texels.part[window], tone * LINING_MOUTH, band)
    return colours, trust


def _height(
    vertices: np.ndarray, texels: Texels, topology: Topology, name: str, window: tuple[slice, slice]
) -> np.ndarray:
    """mm of the skin's texels above the eyeball; far for other texels."""
    ball = Ball.of(vertices, topology, topology.parts[name])
    above = np.linalg.norm(vertices - ball.centre, axis=1) - ball.radius
    height = (above[topology.triangles[texels.triangle[window]]] * texels.shares(topology, window)).sum(-1)
    return np.where(texels.part[window] == 1, height, 1e3).astype(np.float32)


def _unlike(colours: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far colours (h, w, 3) are from those of the marked skin, and whether they are about as bright, in [0, 1].

    Distances are measured in brightness and two ratios of colours, whose spread over skin is small.
    """
    red, green, blue = np.moveaxis(np.log(np.maximum(colours, 0) + np.float32(0.01)), -1, 0)
    features = np.stack([(red + green + blue) / 3, red - green, blue - green], -1)
    known = features[around]
    precision = np.linalg.inv(np.cov(known.T) + np.diag([0.05, 0.005, 0.01]))
    offset = features - np.median(known, axis=0)
    distance = np.einsum("hwi,ij,hwj->hw", offset, precision, offset, optimize=True)
    bright = smoothstep(offset[..., 0], np.log(0.12), np.log(0.3))
    return smoothstep(distance, 4, 10).astype(np.float32), bright.astype(np.float32)


def _lips(texels: Texels, topology: Topology, window: tuple[slice, slice]) -> np.ndarray:
    """Texels (h, w) of the lips, none where the topology does not know them."""
    triangle = texels.triangle[window]
    if "upper_lip" not in topology.regions:
        return np.zeros(triangle.shape, bool)
    mask = topology.regions["upper_lip"] | topology.regions["lower_lip"]
    return mask[topology.triangles].all(1)[triangle] & (triangle >= 0)


def _line_hole(colours: np.ndarray, trust: np.ndarray, part: np.ndarray, tone: np.ndarray, band: float) -> None:
    """Give a tone to hidden skin next to a hole of the chart; colours and trust are windows that are written to."""
    distance = cv2.distanceTransform((part == 1).astype(np.uint8), cv2.DIST_L2, 5)
    share = np.where(part == 1, smoothstep(-distance, -2 * band, -band), 0) * (1 - smoothstep(trust, 0.1, 0.4))
    colours[...] = colours * (1 - share[..., None]) + tone * share[..., None]
    trust[...] = np.maximum(trust, share)
