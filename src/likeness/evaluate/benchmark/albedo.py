"""Skins of people in photos as albedo: the light of the photo is divided out as far as harmonics can say what it is."""

from __future__ import annotations

import cv2
import numpy as np

from likeness.color import LUMINANCE
from likeness.geometry.harmonics import basis
from likeness.geometry.mesh import vertex_normals
from likeness.types import Topology

LEAST, MOST = 0.4, 1.8
"""Bounds of the light that is divided out, as shares of its mean: beyond them it is a guess."""
ROUNDS = 6
"""Of reweighting; brows, beards and what is left of hair weigh less each time."""


def without_light(texture: np.ndarray, vertices: np.ndarray, topology: Topology, grid: int) -> np.ndarray:
    """A texture divided by the smooth light that explains its brightness best, (S, S, 3) float32 linear RGB.

    Brightness over the skin is fitted by the nine harmonics of its normals (Ramamoorthi and Hanrahan 2001) in iteratively
    reweighted least squares. An estimate: a shadow with an edge stays, and so does the light's colour and overall strength.

    Args:
        texture: (S, S, 3) linear RGB over the chart.
        vertices: (V, 3) mm, posed as in the photo.
        topology: Of the vertices; its skin is a square grid, row by row.
        grid: Side of that grid.
    """
    size = texture.shape[0]
    regions = topology.regions
    plain = regions["skin"].copy()
    for name in ("upper_lip", "lower_lip", "brow_left", "brow_right", "eye_left", "eye_right"):
        plain &= ~regions[name]
    places = (topology.uv * size).astype(int).clip(0, size - 1)
    brightness = cv2.GaussianBlur(texture @ LUMINANCE, (0, 0), size / 100)[places[plain, 1], places[plain, 0]]
    functions = basis(vertex_normals(np.asarray(vertices, np.float64), topology.triangles))
    rows, weights = functions[plain], np.ones(int(plain.sum()))
    for _ in range(ROUNDS):
        system = (rows * weights[:, None]).T @ rows + 1e-3 * len(rows) * np.diag([0.0] + [1.0] * 8)
        light = np.linalg.solve(system, (rows * weights[:, None]).T @ brightness)
        residual = (brightness - rows @ light) / np.median(brightness)
        weights = 1 / (1 + (residual / 0.15) ** 2)
    shade = functions @ light
    shade = np.clip(shade / np.median(shade[plain]), LEAST, MOST)
    shade[~regions["skin"]] = 1.0  # eyeballs and the mouth's inside keep what they have
    smooth = shade[: grid * grid].reshape(grid, grid).astype(np.float32)
    known = regions["skin"][: grid * grid].reshape(grid, grid).astype(np.float32)
    mass = cv2.GaussianBlur(known, (0, 0), 1.5)
    smooth = cv2.GaussianBlur(smooth * known, (0, 0), 1.5) / np.maximum(mass, 1e-3)
    smooth = np.where(known > 0, smooth, 1.0).astype(np.float32)
    return texture / cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
