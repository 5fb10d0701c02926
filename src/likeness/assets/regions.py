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


_RIGHT = {
    "eye_right": (226, 113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31),
    "brow_right": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "cheeks": (116, 117, 118, 119, 100, 142, 203, 206, 216, 192, 147, 123),
}
_WHOLE = {
    "lips": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    "nose": (168, 193, 188, 174, 217, 209, 129, 64, 98, 97, 2, 326, 327, 294, 358, 429, 437, 399, 412, 417),
    "forehead": (54, 103, 67, 109, 10, 338, 297, 332, 284, 300, 293, 334, 296, 336, 9, 107, 66, 105, 63, 70),
}
"""Outlines by dense landmark, on the subject's right side or across the whole face."""
_MOUTH_CORNERS = (61, 291)


def draw(layout: Layout, places_dense: np.ndarray) -> np.ndarray:
    """Region bits (M, M) uint16 of the dense grid, from outlines through dense landmarks, made symmetric.

    Args:
        layout: The topology.
        places_dense: (468, 2) chart coordinates of the dense landmarks.
    """
    n = layout.grid("dense")
    places = layout.uv("dense")[: n * n].reshape(n, n, 2).astype(np.float64)
    drawn = {name: inside(places, places_dense[list(outline)]) for name, outline in _RIGHT.items()}
    drawn |= {name: inside(places, places_dense[list(outline)]) for name, outline in _WHOLE.items()}
    whole = {name: drawn[name] | drawn[name][:, ::-1] for name in (*_WHOLE, "cheeks")}
    upper = places[..., 1] <= places_dense[list(_MOUTH_CORNERS), 1].mean()
    return paint({
        "upper_lip": whole["lips"] & upper, "lower_lip": whole["lips"] & ~upper,
        "eye_right": drawn["eye_right"], "eye_left": drawn["eye_right"][:, ::-1],
        "nose": whole["nose"], "forehead": whole["forehead"], "cheeks": whole["cheeks"],
        "brow_right": drawn["brow_right"], "brow_left": drawn["brow_right"][:, ::-1],
    })  # fmt: skip


def inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Whether points (..., 2) lie inside a closed outline (n, 2), by counting crossings of a ray along +u."""
    result = np.zeros(points.shape[:-1], bool)
    for a, b in zip(outline, np.roll(outline, -1, axis=0)):
        spans = (a[1] > points[..., 1]) != (b[1] > points[..., 1])
        height = (points[..., 1] - a[1]) / (b[1] - a[1]) if a[1] != b[1] else 0 * points[..., 1]
        result ^= spans & (points[..., 0] < a[0] + height * (b[0] - a[0]))
    return result
