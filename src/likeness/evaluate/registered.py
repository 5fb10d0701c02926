"""Errors between meshes whose vertices correspond."""

from __future__ import annotations

import numpy as np

from likeness.geometry.alignment import similarity


def vertex_errors(predicted: np.ndarray, truth: np.ndarray, scale: bool = True) -> np.ndarray:
    """Distance (V,) of corresponding vertices after the best motion, in the unit of the truth.

    Args:
        predicted, truth: (V, 3), rows correspond.
        scale: Whether the size is free.
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    return np.linalg.norm(similarity(predicted, truth, scale=scale).apply(predicted) - truth, axis=-1)


def interocular_error(predicted: np.ndarray, truth: np.ndarray, eyes: np.ndarray, scale: bool = True) -> float:
    """Mean distance of corresponding vertices as a percentage of the true distance between the eyes.

    Tran et al. 2019, sec. 5.1.2 ("NME: averaged per-vertex Euclidean distances between the recovered and groundtruth
    meshes, normalized by inter-ocular distances"; they give shares, 0.0139). Which points of the eyes they take is not
    said: ours are the outer corners, and the best motion is taken out first, size included unless `scale` is False.

    Args:
        predicted, truth: (V, 3), rows correspond.
        eyes: (2, 3) outer eye corners of the truth, in its unit.
        scale: Whether the size is free.
    """
    return 100 * float(vertex_errors(predicted, truth, scale).mean() / np.linalg.norm(eyes[0] - eyes[1]))


def registered_error(predicted: np.ndarray, truth: np.ndarray, scale: bool = True) -> dict[str, float]:
    """Per-vertex root mean square error after alignment, with the mean and the largest.

    Mallikarjun et al. 2021, sec. 4.2 (BU-3DFE): the meshes are brought to the same scale, place and orientation; the
    correspondence was found beforehand by registration.
    """
    errors = vertex_errors(predicted, truth, scale)
    return {"rmse": float(np.sqrt(np.mean(errors**2))), "mean": float(errors.mean()), "largest": float(errors.max())}
