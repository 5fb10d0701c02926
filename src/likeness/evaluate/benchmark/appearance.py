"""Colours in the benchmark: textures against known albedo, drawings against the pictures they explain."""

from __future__ import annotations

import cv2
import numpy as np

from likeness.evaluate.benchmark.items import Answer, Item
from likeness.evaluate.color_error import photometric_error, texture_error
from likeness.types import Topology


def skin_chart(topology: Topology, triangles: np.ndarray, size: int) -> np.ndarray:
    """Where the skin lies in the chart, (size, size) bool.

    Args:
        topology: Whose chart it is.
        triangles: (T, 3) of the skin alone.
        size: Texels along a side.
    """
    mask = np.zeros((size, size), np.uint8)
    corners = (topology.uv[triangles] * size - 0.5).round().astype(np.int32)
    for corner in corners:
        cv2.fillConvexPoly(mask, corner, 1)
    return mask.astype(bool)


def texture_numbers(answer: Answer, item: Item, skin: np.ndarray) -> dict[str, float]:
    """ "texture" and "tint" of an answer with a texture, where the true albedo is known.

    Args:
        skin: (S, S) bool, where the skin lies in a chart of any size.
    """
    truth = item.truth.albedo
    if truth is None or answer.texture is None:
        return {}
    size = truth.shape[0]
    found = cv2.resize(answer.texture(), (size, size), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    face = cv2.resize(skin.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST).astype(bool)
    gain = (found[face] * truth[face]).sum(0) / np.maximum((found[face] ** 2).sum(0), 1e-12)
    return {
        "texture": texture_error(found, truth, face)["l2,1"],
        "tint": texture_error(np.clip(found * gain, 0, 1), truth, face)["l2,1"],
    }


def photo_numbers(answer: Answer, item: Item) -> dict[str, float]:
    """ "photo" of an answer that can be drawn over its picture, and covers some of it."""
    if answer.drawing is None:
        return {}
    drawing = answer.drawing()
    if not drawing.covered.any():
        return {}
    return {"photo": photometric_error(drawing.image, item.picture() / 255.0, drawing.covered)["rgb distance"]}
