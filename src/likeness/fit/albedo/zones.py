"""Zones of the chart by what may be seen there, and how far a colour found there can be the face's own.

Bare skin is skin: hair over it, frames of glasses, hands and cast shadows are strangers. Around the mouth and on the jaw there may be
a beard, and eyes, brows and lips may have any colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from likeness.assets.layout import Layout
from likeness.color import LUMINANCE
from likeness.export.textures import fill
from likeness.fit.albedo.delight import DARKEST
from likeness.geometry.uv import Chart
from likeness.runtime.sight import smoothstep
from likeness.types import Topology

BARE, BEARDED, FEATURE = (0.42, 0.32, 0.28), (1.6, 0.6, 0.5), (1.6, 0.9, 0.9)
"""Logarithms by which a place may be darker and brighter than the mean, and differ in red over green or blue over green."""
ASYMMETRY = 0.45
"""Logarithm by which mirror places of bare skin may differ in brightness: beyond, one lies in a shadow or a highlight."""
PALE = 0.85
"""Brightness relative to the tone below which bare skin is never expected, though most photos may show hair at its borders."""
SIDES = 0.08
"""Share of the chart over which a difference of brightness between the two sides of the face is called light."""
NEIGHBOURS = 0.008
"""Share of the chart around a stranger that is doubted too: its edge is a mixture."""
BEARD_TOP, THROAT = 0.50, (0.86, 0.90)
"""Chart: v from which there may be a beard, and between which the throat begins, where clothes are."""
RIM = 0.014
"""Share of the chart around the openings of eyes and mouth that is continued from what lies around: lashes, wet edges, teeth."""
SKIN, BALL_LEFT, BALL_RIGHT, SOCKET, BAG = range(5)
"""Parts of the texture, in `Zones.part`."""


@dataclass(frozen=True)
class Zones:
    """Bounds over the chart.

    Attributes:
        darker, brighter, tinted: (S, S) float32, the three bounds.
        bare: (S, S) bool, bare skin.
        core: (S, S) bool, bare skin that decides on whether a photo is used.
        part: (S, S) int8, which part of the face a texel belongs to: `SKIN` to `BAG`.
        learned: (S, S) float32, 1 where photos are believed at all: not in sockets and mouth, at their rims, on the throat.
    """

    darker: np.ndarray
    brighter: np.ndarray
    tinted: np.ndarray
    bare: np.ndarray
    core: np.ndarray
    part: np.ndarray
    learned: np.ndarray

    @classmethod
    def of(cls, topology: Topology, layout: Layout, size: int) -> Zones:
        """Draw the zones for textures of `size` texels along a side."""
        chart = Chart.of(topology.uv, topology.triangles, (size, size))

        def drawn(mask: np.ndarray) -> np.ndarray:
            return chart.to_texture(mask.astype(np.float32)[:, None])[..., 0]

        regions, parts = topology.regions, topology.parts
        names = ("upper_lip", "lower_lip", "brow_left", "brow_right", "eye_left", "eye_right")
        feature = drawn(np.logical_or.reduce([regions[name] for name in names])) > 0.02
        grown = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size // 24 | 1,) * 2)
        feature = cv2.dilate(feature.astype(np.uint8), grown) > 0
        labels = np.zeros(len(topology.uv), int)
        for name, ball in (("eye_left", BALL_LEFT), ("eye_right", BALL_RIGHT)):
            start = parts[name].start
            labels[parts[name]] = SOCKET
            labels[start : start + layout.ball] = ball
        labels[parts["mouth_bag"]] = BAG
        part = np.stack([drawn(labels == number) for number in range(5)]).argmax(0).astype(np.int8)
        u, v = ((np.arange(size) + 0.5) / size - 0.5)[None], ((np.arange(size) + 0.5) / size)[:, None]
        central = drawn(regions["nose"] | regions["cheeks"]) > 0.5
        beard = (v > BEARD_TOP) & ~central & ~feature
        bare = ~(feature | beard) & (part == SKIN)
        bounds = [np.where(bare, a, np.where(beard, b, c)) for a, b, c in zip(BARE, BEARDED, FEATURE)]
        soft = [cv2.GaussianBlur(bound.astype(np.float32), (0, 0), size / 100) for bound in bounds]
        rim = cv2.distanceTransform((part == SKIN).astype(np.uint8), cv2.DIST_L2, 5) / size
        learned = np.where(part == SKIN, smoothstep(rim, RIM / 2, RIM) * (1 - smoothstep(v, *THROAT)), 1)
        learned = learned * ((part != SOCKET) & (part != BAG))
        return cls(*soft, bare, bare & (np.abs(u) < 0.3), part, learned.astype(np.float32))

    def continued(self, maps: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """Maps (S, S, C) where little is known, mass (S, S) in [0, 1], continued from what is: each part by itself.

        Sockets and the mouth's inside take after the skin around them.
        """
        mass = mass * self.learned
        result = fill(maps, mass * (self.part == SKIN))
        for ball in (BALL_LEFT, BALL_RIGHT):
            result = np.where((self.part == ball)[..., None], fill(maps, mass * (self.part == ball)), result)
        return result

    def trust(self, found: np.ndarray, albedo: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """How far colours can be the face's own: (S, S) float32 in [0, 1].

        Args:
            found: (S, S, 3) linear RGB relative to the tone.
            albedo: (S, S, 3) what is expected.
            trust: (S, S) in [0, 1], of the photo.
        """
        logs = np.log(np.maximum(found, 0) + DARKEST) - np.log(albedo + DARKEST)
        expected = np.maximum(albedo @ LUMINANCE, np.where(self.bare, np.float32(PALE), 0))
        bright = np.log(np.maximum(found @ LUMINANCE, 0) + DARKEST) - np.log(expected + DARKEST)
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

    def balanced(self, found: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """Colours (S, S, 3) without what makes one side of the bare skin lighter than the other over more than `SIDES`.

        By convention that is light: harmonics leave some of it where a shadow has an edge. Moles and freckles stay.

        Args:
            trust: (S, S) in [0, 1].
        """
        logs = np.log(np.maximum(found @ LUMINANCE, 0) + DARKEST)
        weight = trust * self.bare
        weight = np.minimum(weight, weight[:, ::-1])
        step = 4  # smooth: a quarter of the resolution will do
        away, mass = (
            cv2.GaussianBlur(values[::step, ::step].astype(np.float32), (0, 0), SIDES * len(found) / step)
            for values in (weight * (logs - logs[:, ::-1]) / 2, weight)
        )
        away = cv2.resize(away / (mass + 0.02), trust.shape)
        return found * np.exp(-away)[..., None]

    def foreign(self, kept: np.ndarray, trust: np.ndarray) -> float:
        """Share of the core that looks like something else, of `trust`'s answer and the photo's own trust, (S, S) each."""
        weight = trust * self.core
        return float(((kept < 0.3) * weight).sum() / max(weight.sum(), 1.0))
