"""Which part of a photo's skin colour is skin and which is light, and which tones a photo stands for.

A photo shows the product of both. Convention: cameras expose and balance well on average, with the errors stated below, so that
the colour seen, shrunk towards the mean of all by the share of its variance that those errors explain, is the skin's; and
the level of all is such that fair skin has the reflectance that is measured on it.
"""

from __future__ import annotations

import numpy as np

from likeness.fit.delight import LUMINANCE

EXPOSURE, BALANCE = 0.20, (0.05, 0.08)
"""Standard deviations of the light's logarithm between portraits: brightness, red over green, blue over green. Ours."""
FAIR, FAIR_SHARE = 0.35, 0.75
"""Luminance of fair skin (the patch "light skin" of the Macbeth chart has 0.35), and the quantile of all tones that is fair."""
AXES = np.array([[1 / 3, 1 / 3, 1 / 3], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
"""From logarithms of RGB to those of brightness, red over green, blue over green."""
BINS, MOST = 12, 8.0
"""Bins of brightness by which rare tones are found, and the largest weight of a photo relative to the smallest."""


def skin(seen: np.ndarray) -> np.ndarray:
    """The skin's own tone (n, 3), linear RGB, of tones seen in light (n, 3), by the convention above."""
    values = np.log(seen) @ AXES.T
    middle = np.median(values, 0)
    total = np.cov(values.T)
    light = np.diag(np.square([EXPOSURE, *BALANCE]))
    eigenvalues, vectors = np.linalg.eigh(total - light)
    own = (vectors * np.maximum(eigenvalues, 0)) @ vectors.T
    shrunk = middle + (values - middle) @ np.linalg.solve(total, own)
    tones = np.exp(shrunk @ np.linalg.inv(AXES).T)
    return tones * FAIR / np.quantile(tones @ LUMINANCE, FAIR_SHARE)


def rarity(tones: np.ndarray) -> np.ndarray:
    """(n,) weights of mean 1 under which rare tones, by brightness, count about as much as common ones."""
    bright = np.log(tones @ LUMINANCE)
    counts, edges = np.histogram(bright, BINS)
    smooth = np.convolve(np.pad(counts, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    weights = 1 / np.maximum(smooth, smooth.max() / MOST)[np.clip(np.digitize(bright, edges) - 1, 0, BINS - 1)]
    return weights / weights.mean()
