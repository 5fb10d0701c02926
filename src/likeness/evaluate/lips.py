"""Intersection over union of lips, upper and lower."""

from __future__ import annotations

import numpy as np

BACKGROUND, UPPER, LOWER = 0, 1, 2
"""Labels of our own lip pictures."""


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks (h, w); NaN where both are empty, as nothing was there to find."""
    union = np.logical_or(predicted, truth).sum()
    return float(np.logical_and(predicted, truth).sum() / union) if union else float("nan")


def lip_iou(predicted: np.ndarray, truth: np.ndarray, upper: int = UPPER, lower: int = LOWER) -> dict[str, float]:
    """IoU of the upper lip, the lower lip, and their mean.

    Mallikarjun et al. 2021, table 2 ("UL IoU", "LL IoU"): lips of the projected reconstruction against a segmentation.

    Args:
        predicted, truth: (h, w) labels.
        upper, lower: Their labels of the two lips.
    """
    found = [iou(predicted == label, truth == label) for label in (upper, lower)]
    return {"upper": found[0], "lower": found[1], "mean of lips": float(np.mean(found))}
