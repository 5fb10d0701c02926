"""Normalised mean errors of 68 landmarks: AFLW2000-3D with its yaw bins and inner mouth, and the 2D ones of 300-W."""

from __future__ import annotations

import numpy as np

from likeness.evaluate.landmarks import OUTER_EYES_68, eye_distance

INNER_MOUTH_68 = slice(60, 68)
EYES_68 = (slice(36, 42), slice(42, 48))
YAW_BINS = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0))
"""Degrees of |yaw|; a bin holds its upper edge, the first also its lower, and what lies beyond 90 counts in the last.
Zhu et al. 2016, "Face alignment across large poses: a 3D solution", sec. 5.2."""


def nme(predicted: np.ndarray, truth: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Mean distance (...,) of points from the true ones in the picture, in shares of `size`.

    Args:
        predicted, truth: (..., k, 2 or more) px; only x and y count.
        size: (...,) px.
    """
    return np.linalg.norm(predicted[..., :2] - truth[..., :2], axis=-1).mean(-1) / size


def box_size(points: np.ndarray) -> np.ndarray:
    """sqrt(width * height) (...,) px of the tightest upright box around points (..., k, 2 or more)."""
    return np.sqrt(np.ptp(points[..., :2], axis=-2).prod(-1))


def unit_size(truth: np.ndarray, unit: str) -> np.ndarray:
    """The length (...,) px by which errors of 68 true points (..., 68, 2 or more) are divided.

    Args:
        unit: "outer" eye corners (300-W's interocular distance), "pupils" (means of six eye points each), or "box".
    """
    if unit == "outer":
        return eye_distance(truth[..., :2].reshape(-1, *truth.shape[-2:-1], 2), OUTER_EYES_68).reshape(truth.shape[:-2])
    if unit == "pupils":
        right, left = (truth[..., eye, :2].mean(-2) for eye in EYES_68)
        return np.linalg.norm(left - right, axis=-1)
    if unit == "box":
        return box_size(truth)
    raise ValueError(f"unknown unit {unit!r}; choose outer, pupils or box")


def aflw2000(predicted: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """NME of all 68 points and of the inner mouth, in percent of the box around the 68 true points.

    Zhu et al. 2016, sec. 5.2 (68 points); Tran et al. 2019 and Deng et al. 2022, table 5, look at the inner mouth. Deng
    gives that in "mm" without saying how pixels became millimetres; here it is in the unit of the other points.

    Args:
        predicted: (..., 68, 2 or 3) px.
        truth: (..., 68, 2 or 3) px, hidden points too, as `pt3d_68` has them.
    """
    size = box_size(truth)
    inner = nme(predicted[..., INNER_MOUTH_68, :], truth[..., INNER_MOUTH_68, :], size)
    return {"nme": 100 * nme(predicted, truth, size), "inner mouth": 100 * inner}


def yaw_bin(yaw: np.ndarray) -> np.ndarray:
    """Number of the yaw bin of angles in degrees, of either sign."""
    return np.searchsorted([high for _, high in YAW_BINS[:-1]], np.abs(yaw), side="left")


def by_yaw(errors: np.ndarray, yaw: np.ndarray) -> dict[str, float]:
    """Mean error by yaw bin, and the mean and standard deviation of the bins ("balanced": every bin counts alike).

    Args:
        errors: (n,) of one metric.
        yaw: (n,) degrees.
    """
    bins = yaw_bin(yaw)
    means = [float(errors[bins == k].mean()) if (bins == k).any() else np.nan for k in range(len(YAW_BINS))]
    rows = {f"yaw {low:g}-{high:g}": mean for (low, high), mean in zip(YAW_BINS, means)}
    return rows | {"balanced mean": float(np.mean(means)), "balanced std": float(np.std(means))}
