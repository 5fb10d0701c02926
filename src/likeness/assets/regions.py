"""Named regions of our own topology, kept as one bit each for every vertex of the dense skin grid."""

from __future__ import annotations

import numpy as np

from likeness.assets.layout import Layout

PAINTED = (
    "upper_lip", "lower_lip", "eye_left", "eye_right", "nose", "brow_left", "brow_right", "forehead", "cheeks",
)  # fmt: skip
"""Regions drawn on the chart; bit k of the stored mask is the k-th. "skin" and "inner_mouth" follow from the layout.

"eye_left" and "eye_right" are the lids and what surrounds the eyes, not the eyeballs, which are parts.
"""
NAMES = ("skin", "inner_mouth", *PAINTED)


def masks(layout: Layout, level: str, bits: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean masks (V,) by region name at one level.

    Args:
        layout: The topology.
        level: "base" or "dense".
        bits: (M, M) uint16 over the dense skin grid, M = 2N - 1, bit k set where `PAINTED[k]` is.

    Returns:
        "skin" (grid vertices that are in faces), "inner_mouth" (membrane between the lips, and the bag), and `PAINTED`.
    """
    step = (bits.shape[0] - 1) // (layout.grid(level) - 1)
    grid, parts = bits[::step, ::step], layout.parts(level)
    free = layout.free(level)
    skin = ~np.logical_or.reduce(list(free.values()))
    regions = {"skin": skin, "inner_mouth": free["mouth_bag"]}
    regions |= {name: (grid >> bit & 1).astype(bool) & skin for bit, name in enumerate(PAINTED)}
    result = {}
    for name, mask in regions.items():
        result[name] = np.zeros(layout.count(level), bool)
        result[name][parts["skin"]] = mask.ravel()
    result["inner_mouth"][parts["mouth_bag"]] = True
    return result


def paint(masks_by_name: dict[str, np.ndarray]) -> np.ndarray:
    """The stored form (M, M) uint16 of grid masks (M, M) by name; the inverse of `masks` on the grid."""
    shape = next(iter(masks_by_name.values())).shape
    bits = np.zeros(shape, np.uint16)
    for bit, name in enumerate(PAINTED):
        bits |= np.where(masks_by_name[name], np.uint16(1 << bit), np.uint16(0))
    return bits
