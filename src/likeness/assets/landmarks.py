"""Landmark sets on our own topology: Multi-PIE 68 and 66, five points, and the 478 dense landmarks."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from likeness.assets.layout import Layout
from likeness.types import Embedding

INNER_MOUTH_CORNERS = (60, 64)
"""Points of the 68 that the set "66" leaves out."""
NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT = 30, 48, 54
"""Points of the 68 that the set "5" takes besides the eyes; right and left are the subject's."""
IRIS_RIGHT, IRIS_LEFT = 468, 473
"""First of five dense landmarks of each iris: centre, then the border towards the subject's left, up, right, down."""


def mirror(name: str) -> np.ndarray:
    """(n,) int: which landmark of a set ("68", "66" or "5") is the mirror image of each."""
    full = np.concatenate([
        np.arange(17)[::-1], np.arange(17, 27)[::-1], np.arange(27, 31), np.arange(31, 36)[::-1],
        [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],
        [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
    ])  # fmt: skip
    if name == "68":
        return full
    if name == "66":
        kept = np.delete(np.arange(68), INNER_MOUTH_CORNERS)
        return np.searchsorted(kept, full[kept])
    if name == "5":
        return np.array([1, 0, 2, 4, 3])
    raise ValueError(f"landmark set {name!r} has no fixed mirror; choose '68', '66' or '5'")


@cache
def correspondence() -> tuple[np.ndarray, np.ndarray] | None:
    """Where the dense landmarks lie on ICT: vertex ids and weights, (478, 3) each, learned over many photos.

    Returns None while no learned correspondence lies beside this module.
    """
    from safetensors.numpy import load

    file = resources.files("likeness.assets") / "correspondence.safetensors"
    if not file.is_file():
        return None
    data = load(file.read_bytes())
    return data["vertices"], data["weights"]


def embeddings(layout: Layout, level: str, places_68: np.ndarray, places_dense: np.ndarray) -> dict[str, Embedding]:
    """All landmark sets at one level.

    Args:
        layout: The topology.
        level: "base" or "dense".
        places_68: (68, 2) chart coordinates of the Multi-PIE points.
        places_dense: (468, 2) chart coordinates of the dense landmarks that lie on the skin.

    Returns:
        Embeddings "68", "66", "5" (right eye, left eye, nose tip, right and left mouth corner) and "dense".
    """
    points = layout.embed(places_68, level)
    kept = np.delete(np.arange(68), INNER_MOUTH_CORNERS)
    irises = np.concatenate([_iris(layout, level, "eye_right"), _iris(layout, level, "eye_left")])
    on_balls = Embedding(np.repeat(irises[:, None], 3, axis=1).astype(np.int32), np.tile([1, 0, 0], (10, 1)))
    centres = Embedding(on_balls.vertices[[0, 5]], on_balls.weights[[0, 5]])
    few = _take(points, np.array([NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT]))
    return {
        "68": points,
        "66": _take(points, kept),
        "5": _join(centres, few),
        "dense": _join(layout.embed(places_dense[:IRIS_RIGHT], level), on_balls),
    }


def _iris(layout: Layout, level: str, part: str) -> np.ndarray:
    """(5,) vertices of an iris: the front pole, then its border towards the subject's left, up, right, down."""
    start, quarter = layout.parts(level)[part].start, layout.eye_segments // 4
    outer, top, inner, bottom = start + 1 + layout.iris_ring * layout.eye_segments + quarter * np.arange(4)
    left, right = (outer, inner) if part == "eye_left" else (inner, outer)
    return np.array([start, left, top, right, bottom])


def _take(points: Embedding, rows: np.ndarray) -> Embedding:
    """Some rows of an embedding."""
    return Embedding(points.vertices[rows], points.weights[rows])


def _join(*pieces: Embedding) -> Embedding:
    """Embeddings one after the other."""
    vertices = np.concatenate([piece.vertices for piece in pieces]).astype(np.int32)
    return Embedding(vertices, np.concatenate([piece.weights for piece in pieces]).astype(np.float32))
