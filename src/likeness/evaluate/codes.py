"""Whether a method's codes over a set of photos are distributed as those of its face model's people. Pure numbers.

Genova et al. 2018, sec. 3.3.3: without a loss that says so they drift away from zero mean and unit variance, and faces with
them leave the space of human faces (fig. 3).
"""

from __future__ import annotations

import numpy as np


def distribution(codes: np.ndarray) -> dict[str, float]:
    """What eq. 5 and 6 ask for, over a whole set.

    Args:
        codes: (n, K) in standard deviations of the face model, n people.

    Returns:
        "off centre": root mean square over the codes of their means; people drawn from the model have 1 / sqrt(n).
        "spread": mean over the codes of their standard deviations; people drawn from the model have 1.
        "largest": the largest of all numbers, by size.
    """
    codes = np.asarray(codes, float)
    return {
        "off centre": float(np.sqrt(np.mean(codes.mean(0) ** 2))),
        "spread": float(codes.std(0).mean()),
        "largest": float(np.abs(codes).max()),
    }
