"""Albedo of single photos over the chart: what was seen where it can be believed, the albedo model where not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from likeness import color
from likeness.assets.albedo import AlbedoModel, decoded, unfold
from likeness.assets.builtin import Builtin
from likeness.fit.albedo import tones
from likeness.fit.albedo.charts import Charts
from likeness.fit.albedo.delight import Face, relative
from likeness.fit.albedo.learning import DIM
from likeness.fit.albedo.span import PULL, small
from likeness.fit.albedo.zones import Zones

REJECTED = 0.9
"""Share of bare skin that may look foreign: above what the albedo model is learned from, for here a face may wear glasses. Ours."""
DOUBT = 0.15
"""Trust that is left to a colour that looks foreign. Ours."""


@dataclass(frozen=True)
class Painter:
    """Makes whole albedo maps of unwrapped photos.

    Attributes:
        face, zones: Of the chart.
        mean: (S, S, 3) and modes (K, S, S, 3), sRGB-encoded, of the albedo model.
        coarse: (K, 64 * 64 * 3), the modes on small maps.
    """

    face: Face
    zones: Zones
    mean: np.ndarray
    modes: np.ndarray
    coarse: np.ndarray

    @classmethod
    def of(cls, model: AlbedoModel, builtin: Builtin, expression: np.ndarray, size: int) -> Painter:
        """Prepare.

        Args:
            expression: (51,) mean of the photos to come.
            size: Texels along a side of their charts.
        """
        topology = builtin.topology("base")
        modes = [unfold(mode, sign) for mode, sign in zip(model.half_modes, model.symmetry.tolist())]
        coarse = np.stack([small(mode).ravel() for mode in modes])
        resized = [cv2.resize(mode, (size, size), interpolation=cv2.INTER_AREA) for mode in (model.whole_mean, *modes)]
        return cls(
            Face.of(builtin, expression, size),
            Zones.of(topology, builtin.layout, size),
            resized[0],
            np.stack(resized[1:]),
            coarse,
        )

    def __call__(self, charts: Charts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Albedo of those photos that show enough bare skin.

        In the first pass every face is supposed to be the mean one, in the second to be what the model makes of the first.

        Returns:
            rows (m,) of the charts, codes (m, K), and albedo (m, S, S, 3) uint8 sRGB.
        """
        rows = np.arange(len(charts))
        supposed = [relative_to_tone(self.mean, self.zones)] * len(rows)
        for last in (False, True):
            found = [self._seen(charts, row, albedo) for row, albedo in zip(rows, supposed)]
            kept = [
                k
                for k, (_, _, tone, strange) in enumerate(found)
                if (tone > DIM).all() and (strange < REJECTED or not last)
            ]
            if not kept:
                return rows[:0], np.zeros((0, len(self.modes)), np.float32), np.zeros((0, *self.mean.shape), np.uint8)
            rows, found = rows[kept], [found[k] for k in kept]
            own = tones.skin(np.array([tone for _, _, tone, _ in found])).astype(np.float32)
            seen = [color.srgb_from_linear(np.clip(albedo * tone, 0, 1)) for (albedo, *_), tone in zip(found, own)]
            codes = [self._code(albedo, sure) for albedo, (_, sure, *_) in zip(seen, found)]
            modelled = [self.mean + np.tensordot(code, self.modes, 1) for code in codes]
            supposed = [relative_to_tone(albedo, self.zones) for albedo in modelled]
        maps = [_mixed(albedo, whole, sure) for albedo, whole, (_, sure, *_) in zip(seen, modelled, found)]
        return rows, np.stack(codes), np.stack(maps)

    def _seen(self, charts: Charts, row: int, supposed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """A photo's albedo (S, S, 3) relative to its tone, how sure it is (S, S, 1), that tone (3,), and what share is strange."""
        albedo, tone = relative(self.face, charts, row, supposed)
        trust = charts.trust[row] / np.float32(255) * self.zones.learned
        own = self.zones.trust(albedo, supposed, trust)
        sure = trust * (DOUBT + (1 - DOUBT) * own)
        return self.zones.balanced(albedo, sure), sure[..., None], tone, self.zones.foreign(own, trust)

    def _code(self, seen: np.ndarray, sure: np.ndarray) -> np.ndarray:
        """The code (K,) that explains encoded albedo (S, S, 3) best where it is sure (S, S, 1)."""
        weight = small(sure)
        offset = small((seen - self.mean) * sure) / np.maximum(weight, 1e-3)
        weighted = self.coarse * np.repeat(weight, 3, -1).ravel()
        gram = weighted @ self.coarse.T + PULL * np.eye(len(self.coarse), dtype=np.float32)
        return np.linalg.solve(gram, weighted @ offset.ravel()).astype(np.float32)


def relative_to_tone(albedo: np.ndarray, zones: Zones) -> np.ndarray:
    """Encoded albedo (S, S, 3) as linear RGB over that of bare skin."""
    linear = decoded(albedo)
    return linear / np.maximum(np.median(linear[zones.bare], axis=0), 0.01)


def _mixed(seen: np.ndarray, whole: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8: what was seen where it is sure, else the model's, both encoded."""
    soft = np.clip(2 * cv2.GaussianBlur(sure, (0, 0), 1.5)[..., None] - 0.6, 0, 1) * np.clip(2 * sure, 0, 1)
    return color.encode(decoded(whole + soft * (seen - whole)))
