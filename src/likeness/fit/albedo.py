"""Learning the albedo model from unwrapped portraits: light divided out, strangers to skin left out, what varies found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from likeness import color
from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.export.textures import fill
from likeness.fit import components, tones
from likeness.fit.charts import Charts
from likeness.fit.delight import DARKEST, Face, LUMINANCE, evened, relative
from likeness.fit.gloss import gloss
from likeness.fit.zones import Zones
from likeness.runtime.sight import smoothstep

COARSE = 64
"""Texels along a side of the maps on which components are found; finer ones follow by regression."""
GLOSS = 128
"""Texels along a side of the specular map."""
ENOUGH = 12.0
"""Summed trust of photos, over both sides, from which the mean of a texel is taken as it is; below, it is continued."""
REJECTED = 0.30
"""Share of bare skin that may look foreign before a photo is left out: glasses, hands, microphones, hard shadows."""


@dataclass(frozen=True)
class Config:
    """How the model is learned. All values are ours.

    Attributes:
        modes: K.
        few: Photos from which the mean is found first.
        rounds: Of mean and light by turns, on those few.
        imputations: Rounds of `components.principal`.
        seed: Chooses the few.
    """

    modes: int = 60
    few: int = 250
    rounds: int = 3
    imputations: int = 25
    seed: int = 0


@dataclass(frozen=True)
class Skins:
    """Photos as albedo.

    Attributes:
        albedo: (n, S, S, 3) uint8 sRGB.
        trust: (n, S, S) uint8, 255 where it surely is this person's albedo.
        tones: (n, 3) linear RGB of the plain skin.
    """

    albedo: np.ndarray
    trust: np.ndarray
    tones: np.ndarray


def mean_relative(face: Face, zones: Zones, charts: Charts, config: Config, progress: Callable[[str], None]) -> np.ndarray:
    """(S, S, 3) the mean albedo relative to the tone of plain skin, from a few photos."""
    chosen = np.random.default_rng(config.seed).permutation(len(charts))[: config.few]
    size = face.chart.size[0]
    albedo = np.ones((size, size, 3), np.float32)
    for step in range(config.rounds):
        logs = np.empty((len(chosen), size, size, 3), np.float16)
        trust = np.empty((len(chosen), size, size), np.float16)
        for k, row in enumerate(chosen):
            found, _ = relative(face, charts, row, albedo)
            logs[k] = np.log(np.maximum(found, 0) + DARKEST)
            trust[k] = charts.trust[row] / np.float32(255)
            if step:
                trust[k] *= zones.trust(found, albedo, trust[k].astype(np.float32))
        albedo = evened(face, np.exp(fused(logs, trust, np.ones(len(chosen), np.float32))))
        progress(f"mean, round {step + 1} of {config.rounds}")
    return albedo


def fused(values: np.ndarray, trust: np.ndarray, weights: np.ndarray, width: float = 0.2, rounds: int = 4) -> np.ndarray:
    """Robust mean (S, S, C) float32 of maps (n, S, S, C) and their mirror images by reweighting (Cauchy); gaps are continued.

    Args:
        trust: (n, S, S) in [0, 1].
        weights: (n,).
        width: Deviation, in the unit of the values, at which a value counts half.
    """
    size = values.shape[1]
    mean, mass = np.empty(values.shape[1:], np.float32), np.empty(values.shape[1:3], np.float32)
    for row in range(size):
        here = values[:, row].astype(np.float32)
        sure = trust[:, row].astype(np.float32) * weights[:, None]
        here, sure = np.concatenate([here, here[:, ::-1]]), np.concatenate([sure, sure[:, ::-1]])
        weight = sure
        for _ in range(rounds + 1):
            total = np.maximum(weight.sum(0), 1e-6)
            middle = (here * weight[..., None]).sum(0) / total[:, None]
            away = ((here - middle) ** 2).mean(-1)
            weight = sure / (1 + away / width**2)
        mean[row], mass[row] = middle, sure.sum(0)
    return fill(mean, smoothstep(mass, ENOUGH / 4, ENOUGH))


def skins(
    face: Face, zones: Zones, charts: Charts, supposed: Callable[[int], np.ndarray], progress: Callable[[int, int], None]
) -> Skins:
    """All photos as albedo, those that show too little or too much else left out.

    Args:
        supposed: Row of a photo -> its albedo (S, S, 3) relative to its tone, as far as it is known.
    """
    maps, trusts, seen = [], [], []
    for row in range(len(charts)):
        albedo = supposed(row)
        found, tone = relative(face, charts, row, albedo)
        trust = charts.trust[row].astype(np.float32) / 255
        kept = zones.trust(found, albedo, trust)
        if zones.foreign(kept, trust) < REJECTED and (tone > 0.01).all():
            maps.append(np.maximum(found, 0).astype(np.float16))
            trusts.append(np.rint(255 * trust * kept).astype(np.uint8))
            seen.append(tone)
        progress(row + 1, len(charts))
    own = tones.skin(np.array(seen))
    albedo = np.stack([color.encode(np.clip(m.astype(np.float32) * t.astype(np.float32), 0, 1)) for m, t in zip(maps, own)])
    return Skins(albedo, np.stack(trusts), own)


def learn(charts: Charts, model: Builtin, expression: np.ndarray, config: Config, licence: str,
          progress: Callable[[str], None]) -> AlbedoModel:
    """The albedo model of photos.

    Args:
        charts: Photos over the chart of `model`.
        expression: (51,) mean expression of the photos.
        licence: A line for the file.
        progress: Called with a line now and then.
    """
    size = charts.trust.shape[1]
    topology = model.topology("base")
    face, zones = Face.of(model, expression, size), Zones.of(topology, size)
    shape = mean_relative(face, zones, charts, config, progress)
    known = skins(face, zones, charts, lambda row: shape, lambda done, total: None)
    progress(f"{len(known.tones)} of {len(charts)} photos kept")
    weights = tones.rarity(known.tones)
    mean, found, modes = vary(known, weights, zones, config, progress)
    return AlbedoModel.of(mean, modes, found.symmetry, gloss(topology, GLOSS), licence)


def vary(known: Skins, weights: np.ndarray, zones: Zones, config: Config, progress: Callable[[str], None]):
    """Mean (S, S, 3) encoded, components of the coarse maps, and modes (K, S, S, 3) encoded."""
    size = known.trust.shape[1]
    mean = np.clip(fused(known.albedo / np.float16(255), known.trust / np.float16(255), weights.astype(np.float32), 0.15), 0, 1)
    step = size // COARSE
    coarse = np.empty((len(weights), COARSE, COARSE, 3), np.float32)
    sure = np.empty((len(weights), COARSE, COARSE), np.float32)
    for k, (albedo, trust) in enumerate(zip(known.albedo, known.trust)):
        weight = trust.astype(np.float32) / 255 * zones.varies
        mass = cv2.resize(weight, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
        offset = (albedo / np.float32(255) - mean) * weight[..., None]
        coarse[k] = cv2.resize(offset, (COARSE, COARSE), interpolation=cv2.INTER_AREA) / np.maximum(mass, 1e-3)[..., None]
        sure[k] = mass
    found = components.principal(coarse, sure, weights, config.modes, config.imputations)
    progress(f"components: {np.round(100 * found.deviation[:5], 2)} % of the range, noise {100 * found.noise**0.5:.2f} %")
    start = np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in found.modes])

    def chunks():
        for first in range(0, len(weights), 100):
            rows = slice(first, first + 100)
            trust = known.trust[rows] / np.float32(255) * zones.varies
            yield rows, known.albedo[rows] / np.float32(255) - mean, trust

    modes = components.loadings(chunks, found.codes, found.symmetry, weights, start)
    progress("modes")
    return mean, found, modes * zones.varies[..., None]
