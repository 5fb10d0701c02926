"""Disentanglement: how much expression a method puts into neutral photos."""

from __future__ import annotations

import numpy as np


def expression_deformation(
    expressed: np.ndarray, neutral: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Mean and largest length of the expression's share of a face, in the unit of the meshes.

    Mallikarjun et al. 2021, sec. 4.2, table 3 ("average length of the expression deformations"): on neutral photos
    every deformation is identity that leaked. 0 is also what a method without expressions scores: read it beside a
    score of expressive photos.

    Args:
        expressed: (V, 3) predicted shape with expression, without head pose.
        neutral: (V, 3) the same without expression, the same topology and frame.
        weights: (V,) which vertices count; all by default.
    """
    lengths = np.linalg.norm(np.asarray(expressed, float) - np.asarray(neutral, float), axis=-1)
    return {"mean": float(np.average(lengths, weights=weights)), "largest": float(lengths.max())}
