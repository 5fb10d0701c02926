"""Zones of the chart by what may be seen there, and how far a colour found there can be the face's own.

Bare skin is skin: hair over it, frames of glasses, hands and cast shadows are strangers. Around the mouth and on the jaw there may be
a beard, and eyes, brows and lips may have any colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from likeness.fit.delight import DARKEST, LUMINANCE
from likeness.geometry.uv import Chart
from likeness.types import Topology

BARE, BEARDED, FEATURE = (0.42, 0.32, 0.28), (1.6, 0.6, 0.5), (1.6, 0.9, 0.9)
"""Logarithms by which a place may be darker and brighter than the mean, and differ in red over green or blue over green."""
ASYMMETRY = 0.45
"""Logarithm by which mirror places of bare skin may differ in brightness: beyond, one lies in a shadow or a highlight."""
NEIGHBOURS = 0.008
"""Share of the chart around a stranger that is doubted too: its edge is a mixture."""
BEARD_TOP, SIDEBURN = 0.50, 0.37
"""Chart: v below which, and distance from the middle in u beyond which, there may be hair."""


@dataclass(frozen=True)
class Zones:
    """Bounds over the chart.

    Attributes:
        darker, brighter, tinted: (S, S) float32, the three bounds.
        bare: (S, S) bool, bare skin.
        core: (S, S) bool, bare skin that decides on whether a photo is used.
        varies: (S, S) float32, 0 where nothing is learned about people: the mouth's inside and the sockets; else 1.
    """

    darker: np.ndarray
    brighter: np.ndarray
    tinted: np.ndarray
    bare: np.ndarray
    core: np.ndarray
    varies: np.ndarray

    @classmethod
    def of(cls, topology: Topology, size: int) -> Zones:
        """Draw the zones for textures of `size` texels along a side."""
        chart = Chart.of(topology.uv, topology.triangles, (size, size))

        def drawn(mask: np.ndarray) -> np.ndarray:
            return chart.to_texture(mask.astype(np.float32)[:, None])[..., 0]

        regions, parts = topology.regions, topology.parts
        names = ("upper_lip", "lower_lip", "brow_left", "brow_right", "eye_left", "eye_right")
        feature = drawn(np.logical_or.reduce([regions[name] for name in names])) > 0.02
        grown = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size // 24 | 1,) * 2)
        feature = cv2.dilate(feature.astype(np.uint8), grown) > 0
        inside = np.ones(len(topology.uv), bool)
        inside[parts["skin"]] = False
        inside = drawn(inside) > 0.5
        u, v = ((np.arange(size) + 0.5) / size - 0.5)[None], ((np.arange(size) + 0.5) / size)[:, None]
        central = drawn(regions["nose"] | regions["cheeks"]) > 0.5
        beard = ((v > BEARD_TOP) | ((np.abs(u) > SIDEBURN) & (v > 0.3))) & ~central & ~feature
        bare = ~(feature | beard | inside)
        bounds = [np.where(bare, a, np.where(beard, b, c)) for a, b, c in zip(BARE, BEARDED, FEATURE)]
        soft = [cv2.GaussianBlur(bound.astype(np.float32), (0, 0), size / 100) for bound in bounds]
        bag = np.zeros(len(topology.uv), bool)
        bag[parts["mouth_bag"]] = True
        return cls(*soft, bare, bare & (np.abs(u) < 0.3), 1 - (drawn(bag) > 0.5).astype(np.float32))

    def trust(self, found: np.ndarray, albedo: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """How far colours can be the face's own: (S, S) float32 in [0, 1].

        Args:
            found: (S, S, 3) linear RGB relative to the tone.
            albedo: (S, S, 3) what is expected.
            trust: (S, S) in [0, 1], of the photo.
        """
        logs = np.log(np.maximum(found, 0) + DARKEST) - np.log(albedo + DARKEST)
        bright = np.log(np.maximum(found @ LUMINANCE, 0) + DARKEST) - np.log(albedo @ LUMINANCE + DARKEST)
        red, blue = logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]
        sure = self.bare & (trust > 0.7)
        if sure.sum() > 100:  # the person's own habit: ruddy or pale
            bright, red, blue = (values - np.median(values[sure]) for values in (bright, red, blue))
        away = (bright / np.where(bright < 0, self.darker, self.brighter)) ** 2
        away = away + (red / self.tinted) ** 2 + (blue / (1.5 * self.tinted)) ** 2
        result = 1 / (1 + away**2)
        smooth = cv2.GaussianBlur(bright, (0, 0), found.shape[0] / 60)
        uneven = (smooth - smooth[:, ::-1]) / ASYMMETRY
        result = np.where(self.bare, result / (1 + uneven**4), result)
        width = max(3, int(2 * NEIGHBOURS * found.shape[0]) | 1)
        eroded = cv2.erode(result, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        return np.where(self.bare, eroded, result).astype(np.float32)

    def foreign(self, kept: np.ndarray, trust: np.ndarray) -> float:
        """Share of the core that looks like something else, of `trust`'s answer and the photo's own trust, (S, S) each."""
        weight = trust * self.core
        return float(((kept < 0.3) * weight).sum() / max(weight.sum(), 1.0))
