"""The light of portraits, fitted as harmonics and divided out; what is left is skin relative to the person's own mean tone.

One photo cannot tell a dark face in bright light from a light face in dim light, nor a brow from a shadow. What settles it here:
all photos share one albedo but for a few smooth modes, light has nine coefficients a channel (Ramamoorthi and Hanrahan
2001) and knows where the face shadows itself (`fit.albedo.transfer`), and two conventions: the plain skin of the mean albedo is as
even as nine grey harmonics can make it, and tones are shrunk towards their mean by what cameras' exposure varies (`tones`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness import color
from likeness.assets.builtin import Builtin
from likeness.color import LUMINANCE
from likeness.fit.albedo.charts import Charts
from likeness.fit.albedo.transfer import transfer
from likeness.geometry.harmonics import basis
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.sparse import Sparse
from likeness.geometry.uv import Chart, bilinear

DARKEST = np.float32(0.004)
"""Linear value that is added before logarithms: one step of 8 bits near black."""
ROUNDS = 5
"""Of reweighting when a light is fitted."""
TOLERANCE = (0.12, 0.06)
"""Residuals, as shares of the colour, that count half: of places darker than predicted (shadows, hair) and of brighter ones
(highlights, of which skin has more)."""
SMOOTH, GREY = 2e-3, 3e-2
"""Pull of the light's eight higher coefficients to zero, and of each channel's light to the common one. Ours."""
DIMMEST, BRIGHTEST = 0.25, 2.5
"""Bounds of the light that is divided out, relative to its mean over plain skin: beyond them it is a guess."""
BOUNCE = (0.55, 0.38, 0.30)
"""Share of the light that comes back from the skin which stands in the way, by channel. Ours: a little above skin's albedo, for
light goes to and fro, and through."""
PLAIN_TRANSFER = 0.6
"""Places that the face itself hides from more of the light than this leaves are not looked at for the light."""


@dataclass(frozen=True)
class Face:
    """What delighting has to know of the face model.

    Attributes:
        chart: Between its vertices and texels.
        shadow: (3, V, 9) what self-shadowing adds to the harmonics of normals, for each channel: skin reflects red most.
        normals: (V, 3) int8, as in `Charts`, of the mean face.
        plain: (m,) vertices of bare skin.
        read: (m, S * S) texels to those vertices.
    """

    chart: Chart
    shadow: np.ndarray
    normals: np.ndarray
    plain: np.ndarray
    read: Sparse

    @classmethod
    def of(cls, model: Builtin, expression: np.ndarray, size: int) -> Face:
        """Prepare a face model.

        Args:
            expression: (51,) the mean over the photos: smiles open the mouth to the light.
            size: Texels along a side of the chart.
        """
        topology = model.topology("base")
        vertices = model.decode(np.zeros(len(model.identity)), expression).astype(np.float64)
        normals = vertex_normals(vertices, topology.triangles)
        free = basis(normals)
        shadow = transfer(vertices, topology.triangles, BOUNCE) - free
        for part in ("eye_left", "eye_right"):
            where = topology.parts[part]
            front = (
                vertices[where, 2] > vertices[where.start, 2] - 3
            )  # millimetres behind the pole: what lids leave open
            shadow[:, where] = shadow[:, where][:, front].mean(1, keepdims=True)
        plain = topology.regions["skin"].copy()
        for name in ("upper_lip", "lower_lip", "brow_left", "brow_right", "eye_left", "eye_right"):
            plain &= ~topology.regions[name]
        plain &= (shadow[1, :, 0] / free[:, 0] + 1 > PLAIN_TRANSFER) & (topology.uv[:, 1] < 0.84)
        chosen, size_2 = np.flatnonzero(plain)[::2], (size, size)
        chart = Chart.of(topology.uv, topology.triangles, size_2)
        stored = np.rint(127 * normals).astype(np.int8)
        return cls(chart, shadow.astype(np.float32), stored, chosen, bilinear(topology.uv[chosen], size_2))

    def rows(self, normals: np.ndarray) -> np.ndarray:
        """(3, V, 9) rows that take each channel's harmonics to light, of a posed face's normals (V, 3) int8 as in `Charts`."""
        return basis(normals.astype(np.float32) / 127) + self.shadow


def fit_light(rows: np.ndarray, colours: np.ndarray, albedo: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Harmonics (9, 3) that explain colours best, by iteratively reweighted least squares.

    Args:
        rows: (3, m, 9) of `Face.rows`.
        colours: (m, 3) linear RGB seen.
        albedo: (m, 3) linear RGB supposed; its scale decides on the light's.
        weights: (m,) trust.
    """
    grey_seen, grey_albedo = colours @ LUMINANCE, albedo @ LUMINANCE
    ridge = np.diag(np.float32([0] + [SMOOTH] * 8))
    robust = weights
    for _ in range(ROUNDS):
        common = _solve(rows[1] * grey_albedo[:, None], grey_seen, robust, ridge, np.zeros(9, np.float32))
        predicted = np.maximum(grey_albedo * (rows[1] @ common), 0.02)
        share = grey_seen / predicted - 1
        robust = weights / (1 + (share / np.where(share < 0, *TOLERANCE)) ** 2) / predicted**2
    lights = []
    for channel in range(3):
        lit = albedo[:, channel] * (rows[channel] @ common)
        tint = (robust * lit * colours[:, channel]).sum() / (robust * lit * lit).sum()
        even = np.diag(np.full(9, GREY, np.float32))
        lights.append(
            _solve(rows[channel] * albedo[:, channel, None], colours[:, channel], robust, even, tint * common)
        )
    return np.stack(lights, 1)


def _solve(
    system: np.ndarray, seen: np.ndarray, weights: np.ndarray, ridge: np.ndarray, towards: np.ndarray
) -> np.ndarray:
    """Weighted least squares with a pull, relative to the system's own weight, towards given values (9,)."""
    weighted = system * weights[:, None]
    gram = weighted.T @ system
    pull = ridge * gram[0, 0]
    return np.linalg.solve(gram + pull, weighted.T @ seen + pull @ towards)


def shade(face: Face, rows: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A light over the chart (S, S, 3) float32, 1 in the mean over plain skin, and that mean (3,)."""
    lit = np.stack([rows[channel] @ light[:, channel] for channel in range(3)], -1)
    mean = lit[face.plain].mean(0)
    relative = np.clip(lit / mean, DIMMEST, BRIGHTEST).astype(np.float32)
    return face.chart.to_texture(relative), mean


def relative(face: Face, charts: Charts, row: int, albedo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One photo without its light.

    Args:
        albedo: (S, S, 3) its albedo as far as it is known, relative to its tone.

    Returns:
        Colours (S, S, 3) float32 linear RGB relative to the photo's tone, and that tone (3,): skin times light.
    """
    size = face.chart.size
    colours = color.decode(charts.colours[row])
    trust = charts.trust[row].astype(np.float32) / 255
    together = np.concatenate([colours, albedo, trust[..., None]], -1).reshape(size[0] * size[1], -1)
    seen, supposed, trust = np.split(face.read.apply(together), (3, 6), axis=1)
    rows = face.rows(charts.normals[row])
    light = fit_light(rows[:, face.plain], seen, supposed, trust[:, 0] + 1e-4)
    shading, tone = shade(face, rows, light)
    return colours / shading / tone, tone


def evened(face: Face, albedo: np.ndarray) -> np.ndarray:
    """The mean albedo (S, S, 3) without the grey harmonics that its plain skin follows: by convention they are light."""
    seen = face.read.apply(np.ascontiguousarray((albedo @ LUMINANCE).reshape(-1, 1)))
    rows = face.rows(face.normals)
    ones = np.ones_like(seen)
    light = fit_light(rows[:, face.plain], np.repeat(seen, 3, 1), np.repeat(ones, 3, 1), ones[:, 0])
    result = albedo / shade(face, rows, light)[0]
    return (result + result[:, ::-1]) / 2
