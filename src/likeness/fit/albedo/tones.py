"""Which part of a photo's skin colour is skin and which is light, and which tones a photo stands for.

A photo shows the product of both, so that a convention must tell them apart. Brightness: exposure varies between portraits, which
widens the spread of tones, and leans towards middle grey, which narrows it; the two are taken to cancel. The level of all is such
that fair skin has the reflectance that is measured on it. Colour: the ratios of channels are drawn to those of measured skin of
that brightness, as far as cameras' white balance errs more than people differ.
"""

from __future__ import annotations

import numpy as np

from likeness.color import LUMINANCE

PATCHES = np.array([[0.539, 0.305, 0.223], [0.171, 0.084, 0.058]])
"""Light and dark skin on the Macbeth ColorChecker, linear RGB (from sRGB 194 150 130 and 115 82 68)."""
FAIR_SHARE = 0.75
"""Quantile of the brightness of all tones that is the light patch's."""
PEOPLE, BALANCE = 0.08, 0.10
"""Standard deviations of the logarithms of red over green and blue over green: between people of one brightness, and of the
light's colour between portraits. Ours."""
AXES = np.array([[1 / 3, 1 / 3, 1 / 3], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
"""From logarithms of RGB to those of brightness, red over green, blue over green."""
BINS, MOST = 12, 8.0
"""Bins of brightness by which rare tones are found, and the largest weight of a photo relative to the smallest."""


def skin(seen: np.ndarray) -> np.ndarray:
    """The skin's own tone (n, 3), linear RGB, of tones seen in light (n, 3), by the convention above."""
    values, patches = np.log(seen) @ AXES.T, np.log(PATCHES) @ AXES.T
    bright = values[:, 0] - np.quantile(values[:, 0], FAIR_SHARE) + patches[0, 0]
    slope = (patches[1, 1:] - patches[0, 1:]) / (patches[1, 0] - patches[0, 0])
    usual = patches[0, 1:] + (bright - patches[0, 0])[:, None] * slope
    special = values[:, 1:] - usual
    special = (special - np.median(special, 0)) * PEOPLE**2 / (PEOPLE**2 + BALANCE**2)
    return np.exp(np.concatenate([bright[:, None], usual + special], 1) @ np.linalg.inv(AXES).T)


def rarity(tones: np.ndarray) -> np.ndarray:
    """(n,) weights of mean 1 under which rare tones, by brightness, count about as much as common ones."""
    bright = np.log(tones @ LUMINANCE)
    counts, edges = np.histogram(bright, BINS)
    smooth = np.convolve(np.pad(counts, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    weights = 1 / np.maximum(smooth, smooth.max() / MOST)[np.clip(np.digitize(bright, edges) - 1, 0, BINS - 1)]
    return weights / weights.mean()
