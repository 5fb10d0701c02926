"""Learning the albedo model from unwrapped portraits: light divided out, strangers to skin left out, what varies found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from likeness import color
from likeness.assets.albedo import AlbedoModel, decoded
from likeness.assets.builtin import Builtin
from likeness.fit.albedo import components, tones
from likeness.fit.albedo.charts import Charts
from likeness.fit.albedo.delight import DARKEST, Face, evened, relative
from likeness.fit.albedo.gloss import gloss
from likeness.fit.albedo.zones import BAG, Zones
from likeness.runtime.sight import smoothstep

COARSE = 64
"""Texels along a side of the maps on which components are found; finer ones follow by regression."""
GLOSS = 128
"""Texels along a side of the specular map."""
SEEN, VARIED = (0.01, 0.03), (0.06, 0.15)
"""Mean trust of photos up to which a texel is continued from its surroundings, and from which it stands: in the mean map, and in
the modes, which need more photos."""
WIDTH = 0.15
"""Deviation from the mean, encoded, at which a colour counts half for the mean."""
DIM = 0.015
"""Linear brightness of the skin in a photo below which 8 bits have too few steps."""
INSIDE, DEEP = (0.20, 0.055, 0.05), 0.03
"""The mouth's inside, authored, linear RGB, and the share of the chart over which the lips' colour goes over into it."""
REJECTED = 0.40
"""Share of bare skin that may look foreign before a photo is left out: glasses, hands, microphones, hard shadows."""


@dataclass(frozen=True)
class Config:
    """How the model is learned. All values are ours.

    Attributes:
        modes: K.
        few: Photos from which the mean is found first.
        rounds: Of mean and light by turns, on those few.
        passes: Over all photos; in each but the first the light is fitted to the person's own albedo in the model so far.
        imputations: Rounds of `components.principal`.
        seed: Chooses the few.
        start: A model whose mean is taken, instead of finding one from the few.
    """

    modes: int = 60
    few: int = 250
    rounds: int = 3
    passes: int = 2
    imputations: int = 16
    seed: int = 0
    start: AlbedoModel | None = None


@dataclass(frozen=True)
class Skins:
    """Photos as albedo.

    Attributes:
        albedo: (n, S, S, 3) uint8 sRGB.
        trust: (n, S, S) uint8, 255 where it surely is this person's albedo.
        tones: (n, 3) linear RGB of the plain skin.
        rows: (n,) which photos they are.
    """

    albedo: np.ndarray
    trust: np.ndarray
    tones: np.ndarray
    rows: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """(n,) how much each counts, rare tones more."""
        return tones.rarity(self.tones)

    def chunks(self, mean: np.ndarray, step: int = 100) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Pieces of at most `step` photos: rows, offsets (m, S, S, 3) from a mean map, encoded, and trust (m, S, S)."""
        for first in range(0, len(self.rows), step):
            rows = slice(first, first + step)
            yield rows, self.albedo[rows] / np.float32(255) - mean, self.trust[rows] / np.float32(255)

    def row(self, mean: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (n, S, 3) and trust (n, S) in one row of the maps."""
        return self.albedo[:, row] / np.float32(255) - mean[row], self.trust[:, row] / np.float32(255)


@dataclass(frozen=True)
class Varied:
    """A mean and what varies about it, sRGB-encoded.

    Attributes:
        mean: (S, S, 3).
        modes: (K, S, S, 3) per standard deviation.
        found: Codes of the photos, symmetry and variances.
    """

    mean: np.ndarray
    modes: np.ndarray
    found: components.Components

    def albedo(self, photo: int) -> np.ndarray:
        """(S, S, 3) linear RGB of one of the photos learned from, as the modes have it."""
        return decoded(self.mean + np.tensordot(self.found.codes[photo].astype(np.float32), self.modes, 1))


def learn(
    charts: Charts,
    model: Builtin,
    expression: np.ndarray,
    config: Config,
    licence: str,
    progress: Callable[[str], None],
) -> tuple[AlbedoModel, dict]:
    """The albedo model of photos, and notes on how it came about.

    Args:
        charts: Photos over the chart of `model`.
        expression: (51,) mean expression of the photos.
        licence: A line for the file.
        progress: Called with a line now and then.
    """
    size = charts.trust.shape[1]
    topology = model.topology("base")
    face, zones = Face.of(model, expression, size), Zones.of(topology, model.layout, size)
    if config.start is None:
        shape = mean_relative(face, zones, charts, config, progress)
    else:
        shape = decoded(config.start.whole_mean)
        shape = shape / np.median(shape[zones.bare], axis=0)
    known = skins(face, zones, charts, np.arange(len(charts)), lambda photo: shape)
    for step in range(config.passes):
        progress(f"pass {step + 1}: {len(known.rows)} of {len(charts)} photos kept")
        varied = vary(known, zones, config, progress)
        if step + 1 < config.passes:
            known = skins(face, zones, charts, known.rows, partial(_own, varied, known.tones))
    mean = inside(varied.mean, zones)
    modes = varied.modes * (zones.part != BAG)[..., None]
    deviation = (100 * varied.found.deviation).round(3).tolist()
    notes = {"photos": len(known.rows), "deviation %": deviation, "noise %": round(100 * varied.found.noise**0.5, 3)}
    return AlbedoModel.of(mean, modes, varied.found.symmetry, gloss(topology, min(GLOSS, size)), licence), notes


def _own(varied: Varied, tones: np.ndarray, photo: int) -> np.ndarray:
    """A photo's albedo as the modes have it, relative to its tone."""
    return varied.albedo(photo) / tones[photo]


def mean_relative(
    face: Face, zones: Zones, charts: Charts, config: Config, progress: Callable[[str], None]
) -> np.ndarray:
    """(S, S, 3) the mean albedo relative to the tone of plain skin, from a few photos."""
    chosen = np.random.default_rng(config.seed).permutation(len(charts))[: config.few]
    size = zones.part.shape[0]
    albedo = np.ones((size, size, 3), np.float32)
    for step in range(config.rounds):
        logs = np.empty((len(chosen), size, size, 3), np.float16)
        trusts = np.empty((len(chosen), size, size), np.float16)
        for k, row in enumerate(chosen):
            found, _ = relative(face, charts, row, albedo)
            trust = charts.trust[row] / np.float32(255) * zones.learned
            logs[k] = np.log(np.maximum(found, 0) + DARKEST)
            trusts[k] = trust * zones.trust(found, albedo, trust) if step else trust
        mean, mass = fused(logs, trusts, np.ones(len(chosen), np.float32))
        albedo = evened(face, np.exp(zones.continued(mean, smoothstep(mass, *SEEN))))
        progress(f"mean, round {step + 1} of {config.rounds}")
    return albedo


def fused(
    values: np.ndarray, trust: np.ndarray, weights: np.ndarray, width: float = 0.2, rounds: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Robust mean (S, S, C) of maps (n, S, S, C) and their mirror images by reweighting (Cauchy), and mean trust (S, S).

    Args:
        trust: (n, S, S) in [0, 1].
        weights: (n,) of mean 1.
        width: Deviation, in the unit of the values, at which a value counts half.
    """
    mean, mass = np.empty(values.shape[1:], np.float32), np.empty(values.shape[1:3], np.float32)
    for row in range(values.shape[1]):
        here, sure = values[:, row].astype(np.float32), trust[:, row].astype(np.float32) * weights[:, None]
        here, sure = np.concatenate([here, here[:, ::-1]]), np.concatenate([sure, sure[:, ::-1]])
        weight = sure
        for _ in range(rounds):
            middle = (here * weight[..., None]).sum(0) / np.maximum(weight.sum(0), 1e-6)[:, None]
            weight = sure / (1 + ((here - middle) ** 2).mean(-1) / width**2)
        mean[row], mass[row] = middle, sure.mean(0)
    return mean, mass


def skins(face: Face, zones: Zones, charts: Charts, rows: np.ndarray, supposed: Callable[[int], np.ndarray]) -> Skins:
    """Photos as albedo, those that show too little skin or too much else left out.

    Args:
        rows: Which photos.
        supposed: Place of a photo in `rows` -> its albedo (S, S, 3) relative to its tone, as far as it is known.
    """
    maps, trusts, seen, kept = [], [], [], []
    for photo, row in enumerate(rows):
        albedo = supposed(photo)
        found, tone = relative(face, charts, row, albedo)
        trust = charts.trust[row] / np.float32(255) * zones.learned
        own = zones.trust(found, albedo, trust)
        if (tone > DIM).all() and zones.foreign(own, trust) < REJECTED:
            maps.append(np.clip(zones.balanced(found, trust * own), 0, 60000).astype(np.float16))
            trusts.append(np.rint(255 * trust * own).astype(np.uint8))
            seen.append(tone)
            kept.append(row)
    own = tones.skin(np.array(seen)).astype(np.float32)
    albedo = np.stack([color.encode(np.clip(found.astype(np.float32) * tone, 0, 1)) for found, tone in zip(maps, own)])
    return Skins(albedo, np.stack(trusts), own, np.array(kept))


def vary(known: Skins, zones: Zones, config: Config, progress: Callable[[str], None]) -> Varied:
    """Mean and modes: components of reduced maps, then the same codes' modes on fine ones."""
    size, weights = known.trust.shape[1], known.weights
    mean, mass = fused(known.albedo / np.float16(255), known.trust / np.float16(255), weights.astype(np.float32), WIDTH)
    mean = np.clip(zones.continued(mean, smoothstep(mass, *SEEN)), 0, 1)
    coarse, masses = (
        np.empty((len(weights), COARSE, COARSE, 3), np.float32),
        np.empty((len(weights), COARSE, COARSE), np.float32),
    )
    for rows, offsets, trust in known.chunks(mean):
        for k, offset, weight in zip(range(rows.start, rows.stop), offsets, trust):
            masses[k] = cv2.resize(weight, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
            sums = cv2.resize(offset * weight[..., None], (COARSE, COARSE), interpolation=cv2.INTER_AREA)
            coarse[k] = sums / np.maximum(masses[k], 1e-3)[..., None]
    found = components.principal(coarse, masses, weights, config.modes, config.imputations)
    progress(f"components: {(100 * found.deviation[:5]).round(2)} % of the range, noise {100 * found.noise**0.5:.2f} %")
    modes = components.loadings(lambda row: known.row(mean, row), size, found.codes, found.symmetry, weights)
    sure = smoothstep(mass, *VARIED)
    return Varied(mean, np.stack([zones.continued(mode, sure) for mode in modes]), found)


def inside(mean: np.ndarray, zones: Zones) -> np.ndarray:
    """The mean (S, S, 3), encoded, with the mouth's inside painted."""
    depth = cv2.distanceTransform((zones.part == BAG).astype(np.uint8), cv2.DIST_L2, 5) / len(mean)
    share = smoothstep(depth, 0, DEEP)[..., None]
    return mean + share * (color.srgb_from_linear(np.array(INSIDE)) - mean)
