"""The inside of the mouth for the texture: what the open lips show, and darkness behind it."""

from __future__ import annotations

import numpy as np

from likeness.export.textures import fill
from likeness.runtime.sight import Photo, Sight, Texels, exposure, extent, within
from likeness.types import Topology

LIPS = 4.0
"""z-buffer pixels (1.7 mm) from the lips over which the photo fades in."""
FLESH, THROAT = (0.22, 0.065, 0.055), (0.035, 0.009, 0.008)
"""Linear RGB under ordinary light just behind the lips, and at the far end."""


def paint(texture: np.ndarray, texels: Texels, sight: Sight, photo: Photo, topology: Topology) -> np.ndarray:
    """Fill the chart of the mouth bag.

    Args:
        texture: (S, S, 3) float32 linear RGB, whose skin is complete; it is painted on.
        texels: Where the texels lie in the photo.
        sight: What the camera sees.
        photo: The photo's colours.
        topology: Parts.

    Returns:
        The texture: the photo where it looks into the mouth, dark red elsewhere.
    """
    number = 1 + list(topology.parts).index("mouth_bag")
    window = extent(texels.part == number, 2)
    if window[0].stop == 0:
        return texture
    part, places = texels.part[window], texels.places[window]
    height, width = part.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    inwards = 1 - np.maximum(np.abs(x), np.abs(y))  # 0 at the lips, 1 in the middle of the chart, the far end
    depth = np.clip(inwards / 0.6, 0, 1)[..., None]
    dark = exposure(texture, texels) * (np.array(FLESH) * (1 - depth) + np.array(THROAT) * depth)
    lips = fill(texture[window], (part == 1).astype(np.float32))
    near = np.exp(-inwards / 0.06)[..., None]
    dark = near * lips + (1 - near) * dark
    trust = (within(sight, number, places, LIPS) * (part == number))[..., None]
    inside = trust * photo.sample(places) + (1 - trust) * dark
    texture[window] = np.where((part != 1)[..., None], inside, texture[window])
    return texture
