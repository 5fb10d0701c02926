"""How near an albedo model comes to portraits: light and codes fitted to photos over the chart, the fit's geometry given."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from likeness import color
from likeness.assets.albedo import AlbedoModel, decoded, unfold
from likeness.evaluate.benchmark.items import TONES, bin_of, typology_angle
from likeness.evaluate.color_error import color_distance
from likeness.fit.albedo.charts import Charts
from likeness.fit.albedo.delight import Face, fit_light
from likeness.fit.albedo.zones import Zones

SIDE = 64
"""Texels along a side at which codes are found and colours compared; a photo of 256 px shows hardly more of a face."""
ROUNDS = 5
"""Of light and codes by turns."""
PULL = 0.05
"""Squared colour error that costs as much as a code of one standard deviation: 0.05 over 20 independent values. Ours."""
LEAST = 0.2
"""Share of the bare skin that a photo must show."""
STEP = 1e-3
"""Encoded; for the slopes of the transfer curve."""


@dataclass(frozen=True)
class Span:
    """An albedo model on small maps.

    Attributes:
        face, zones: Of the chart.
        mean: (S, S, 3), modes: (K, S, S, 3), both sRGB-encoded.
    """

    face: Face
    zones: Zones
    mean: np.ndarray
    modes: np.ndarray

    @classmethod
    def of(cls, model: AlbedoModel, face: Face, zones: Zones) -> Span:
        """The span of a model."""
        modes = [unfold(mode, sign) for mode, sign in zip(model.half_modes, model.symmetry.tolist())]
        return cls(face, zones, small(model.whole_mean), np.stack([small(mode) for mode in modes]))

    def errors(self, charts: Charts, row: int, counts: tuple[int, ...]) -> tuple[list[float], float] | None:
        """Mean colour distances of one photo to the best fits with so many modes, and the photo's typology angle in degrees.

        Over texels that surely show the face, the same ones for every count; nothing is said of hair, glasses and the inside of
        the mouth. None for a photo that surely shows less than `LEAST` of the bare skin.
        """
        encoded = charts.colours[row] / np.float32(255)
        trust = charts.trust[row] / np.float32(255) * self.zones.learned
        whole = cv2.resize(self.mean, trust.shape, interpolation=cv2.INTER_LINEAR)
        seen, albedo = color.linear_from_srgb(encoded), decoded(whole)
        sure = self.zones.bare & (trust > 0.7)
        if sure.sum() < LEAST * self.zones.bare.sum():
            return None
        tone = np.maximum(np.median(seen[sure], 0), 1e-3)
        trust = trust * self.zones.trust(seen / tone, albedo / np.median(albedo[self.zones.bare], 0), trust)
        weights, photo = small(trust[..., None])[..., 0], small(encoded)
        answers = [
            self._distance(self.solve(photo, weights, charts.normals[row], count), photo, weights) for count in counts
        ]
        return answers, typology_angle(seen[sure])

    @staticmethod
    def _distance(fitted: np.ndarray, photo: np.ndarray, weights: np.ndarray) -> float:
        return float((color_distance(fitted, photo) * weights).sum() / weights.sum())

    def solve(self, photo: np.ndarray, weights: np.ndarray, normals: np.ndarray, count: int) -> np.ndarray:
        """The best picture (S, S, 3), sRGB-encoded, that the first `count` modes and nine harmonics give of a photo.

        Args:
            photo: (S, S, 3) sRGB-encoded.
            weights: (S, S) in [0, 1].
            normals: (V, 3) int8 as in `Charts`.
        """
        code, modes = np.zeros(count, np.float32), self.modes[:count].reshape(count, photo.size)
        sure = np.repeat(weights[..., None], 3, -1).ravel()
        for step in range(ROUNDS):
            values = self.mean + (code @ modes).reshape(photo.shape)
            lit = self._light(decoded(values), photo, weights, normals)
            fitted = _lit(values, lit)
            if count == 0 or step == ROUNDS - 1:
                break
            slope = ((_lit(values + STEP, lit) - _lit(values - STEP, lit)) / (2 * STEP)).ravel()
            moving = modes * slope
            wanted = (photo - fitted).ravel() + code @ moving
            weighted = moving * sure
            code = np.linalg.solve(weighted @ moving.T + PULL * np.eye(count, dtype=np.float32), weighted @ wanted)
        return fitted

    def _light(self, albedo: np.ndarray, photo: np.ndarray, weights: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """The light (S, S, 3) over the chart that explains a photo of a known albedo (S, S, 3) best."""
        together = np.concatenate([color.linear_from_srgb(photo), albedo, weights[..., None]], -1)
        together = cv2.resize(together, self.face.chart.size, interpolation=cv2.INTER_LINEAR)
        seen, supposed, sure = np.split(self.face.read.apply(together.reshape(-1, 7)), (3, 6), axis=1)
        rows = self.face.rows(normals)
        light = fit_light(rows[:, self.face.plain], seen, supposed, sure[:, 0] + 1e-4)
        lit = np.stack([rows[channel] @ light[:, channel] for channel in range(3)], -1)
        return small(self.face.chart.to_texture(np.maximum(lit, 0.01).astype(np.float32)))


def small(maps: np.ndarray) -> np.ndarray:
    """Maps (S', S', C) reduced to `SIDE` texels along a side."""
    reduced = cv2.resize(np.ascontiguousarray(maps, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return reduced.reshape(SIDE, SIDE, -1)


def _lit(encoded: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Albedo in a light, both (S, S, 3), the first and the result sRGB-encoded."""
    return color.srgb_from_linear(decoded(encoded) * lit)


def tone_name(angle: float) -> str:
    """The group of a typology angle in degrees."""
    return bin_of(angle, TONES)
