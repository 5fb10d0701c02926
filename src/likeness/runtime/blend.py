"""One texture from several photos of a face: each texel from the photos that see it best, in one light, without seams.

Light is matched as in panoramas by gain compensation, but with a gain that varies slowly over the face and by channel;
the photos are then joined in two bands (Brown and Lowe 2007, "Automatic panoramic image stitching using invariant
features", sec. 6-7, after Burt and Adelson 1983): tones over wide seams, details from one photo alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from likeness.export.textures import fill
from likeness.runtime.sight import smoothstep
from likeness.runtime.unwrap import LIGHT_LIMIT, Seen, finish
from likeness.types import Topology

SHARPNESS = 8
"""Power of the weights by which details are mixed; tones are mixed by weights to the power of 2. Photos that are nearly
as good as each other would blur where fits differ by a pixel."""
WIDE = 0.02
"""Share of the chart: standard deviation of the blur that parts tones from details."""
MATCH = 128
"""Texels along a side of the chart of gains."""
GAIN_BLUR = 8.0
"""Texels of that chart over which a gain is averaged: light changes slowly over a face, expressions do not count."""
PLENTY = 3.0
"""Photo pixels per mm above which more resolution is no reason to prefer a photo; half of it halves a photo's weight. Ours."""
BEST_FACING = (0.15, 0.85)
"""Cosines between surface and line of sight between which a photo's weight rises."""


@dataclass(frozen=True)
class Blend:
    """A texture, and which photos show what.

    Attributes:
        texture: (S, S, 3) uint8 sRGB.
        worth: (n, s, s) float32 in [0, 1], s = S / 4: how well each photo shows each place of the skin, 0 where it does not.
        facing: (n, s, s) float32 cosine between surface and line of sight, 0 where it is not seen.
        resolution: (n,) photo pixels per mm where the face is.
    """

    texture: np.ndarray
    worth: np.ndarray
    facing: np.ndarray
    resolution: np.ndarray


def resolution(seen: Seen) -> float:
    """Photo pixels per millimetre at the face's distance."""
    return float(seen.view.focal) / max(float(np.median(seen.texels.depth[seen.texels.part > 0])), 1.0)


def worth(seen: Seen) -> np.ndarray:
    """How well a photo shows each texel's skin, (S, S) in [0, 1]: believed, faced and resolved."""
    sharp = min(resolution(seen) / PLENTY, 1.0)
    return seen.trust * smoothstep(seen.texels.cosine, *BEST_FACING) * np.float32(sharp)


def blend(photos: Sequence[Callable[[], Seen]], topology: Topology, best: int = 0) -> Blend:
    """The texture of a face in several photos.

    Photos are looked at one at a time, because each takes some 60 MB at 1024 texels: first to learn what they are worth,
    then from the best to the least to be added to the rest in its light. The order in which they are given does not matter.

    Args:
        photos: Each makes what its photo shows, all on one chart; at least one.
        topology: Connectivity, chart and parts.
        best: Number of the photo whose eyes and mouth are shown, and whose light the texture has.
    """
    shown = [_Summary.of(photo()) for photo in photos]
    rest = sorted((i for i in range(len(photos)) if i != best), key=lambda i: (-shown[i].mass, shown[i].mark))
    canvas, first = None, None
    for i in (best, *rest):
        seen = photos[i]()
        canvas = canvas or _Canvas(seen.trust.shape[0])
        canvas.add(seen)
        first = first or seen
    colours, trust = canvas.mixed()
    return Blend(
        finish(colours, trust, first, topology),
        np.stack([s.worth for s in shown]), np.stack([s.facing for s in shown]), np.array([s.resolution for s in shown]),
    )  # fmt: skip


@dataclass(frozen=True)
class _Summary:
    """What is kept of a photo between the two looks; `mark` orders photos of equal mass."""

    worth: np.ndarray
    facing: np.ndarray
    resolution: float
    mass: float
    mark: float

    @classmethod
    def of(cls, seen: Seen) -> _Summary:
        size = (seen.trust.shape[0] // 4,) * 2
        value, facing = worth(seen), np.where(seen.trust > 0.05, np.clip(seen.texels.cosine, 0, 1), np.float32(0))
        small = [cv2.resize(a.astype(np.float32), size, interpolation=cv2.INTER_AREA) for a in (value, facing)]
        return cls(*small, resolution(seen), float(value.sum()), float(seen.colours[::8, ::8].sum()))


class _Canvas:
    """Sums of tones and details by weight; what comes later is brought to the light of what is there."""

    def __init__(self, size: int) -> None:
        self.tones, self.details = (np.zeros((size, size, 3), np.float32) for _ in range(2))
        self.tone_mass, self.detail_mass, self.trust = (np.zeros((size, size), np.float32) for _ in range(3))

    def add(self, seen: Seen) -> None:
        """Add a photo."""
        weight = worth(seen)
        colours = seen.colours
        if self.trust.any():
            have = self.tones / np.maximum(self.tone_mass, 1e-12)[..., None]
            colours = colours * gain(have, self.trust, colours, seen.trust)
        tone = _low(colours, seen.trust)
        wide, narrow = _softened(weight) ** 2, weight**SHARPNESS
        self.tones += wide[..., None] * tone
        self.tone_mass += wide
        self.details += narrow[..., None] * (colours - tone)
        self.detail_mass += narrow
        self.trust = np.maximum(self.trust, seen.trust)

    def mixed(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours (S, S, 3) and trust (S, S)."""
        tones = self.tones / np.maximum(self.tone_mass, 1e-12)[..., None]
        details = self.details / np.maximum(self.detail_mass, 1e-24)[..., None]
        return np.clip(tones + details, 0, 1), self.trust * (self.tone_mass > 1e-9)


def gain(have: np.ndarray, have_trust: np.ndarray, come: np.ndarray, come_trust: np.ndarray) -> np.ndarray:
    """Factor (S, S, 3), smooth, that brings the colours that come to the light of those that are there.

    Learned where both are trusted, continued elsewhere, and never above `LIGHT_LIMIT` or below its inverse.

    Args:
        have, come: (S, S, 3) linear RGB.
        have_trust, come_trust: (S, S) in [0, 1].
    """
    size, small = have.shape[0], (MATCH, MATCH)
    both = have_trust * come_trust
    mass = cv2.resize(both, small, interpolation=cv2.INTER_AREA)
    sums = [cv2.resize(a * both[..., None], small, interpolation=cv2.INTER_AREA) for a in (have, come)]
    mass, wanted, given = (cv2.GaussianBlur(a, (0, 0), GAIN_BLUR) for a in (mass, *sums))
    floor = 1e-3 * mass[..., None] + 1e-9
    ratio = np.log((wanted + floor) / (given + floor))
    known = np.clip(8 * mass, 0, 1) * (mass > 1e-4)
    if not known.any():
        return np.ones_like(have)
    ratio = fill(np.where(known[..., None] > 0, ratio, 0).astype(np.float32), known)
    ratio = np.exp(np.clip(ratio, -np.log(LIGHT_LIMIT), np.log(LIGHT_LIMIT)))
    return cv2.resize(ratio, (size, size), interpolation=cv2.INTER_LINEAR)


def _low(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """The tones (S, S, 3): colours blurred over trusted texels, continued elsewhere."""
    width = WIDE * trust.shape[0]
    small = tuple(max(8, int(n / max(width / 4, 1))) for n in trust.shape)
    mass = cv2.resize(trust, small, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(colours * trust[..., None], small, interpolation=cv2.INTER_AREA)
    mass, sums = (cv2.GaussianBlur(a, (0, 0), 4) for a in (mass, sums))
    known = (mass > 1e-3).astype(np.float32)
    tone = fill(sums / np.maximum(mass, 1e-6)[..., None] * known[..., None], known)
    return cv2.resize(tone, trust.shape[::-1], interpolation=cv2.INTER_CUBIC)


def _softened(weight: np.ndarray) -> np.ndarray:
    """A weight that falls to zero smoothly inside its own border: never above what it was where it was zero."""
    small = tuple(max(8, n // 8) for n in weight.shape)
    blurred = cv2.GaussianBlur(cv2.resize(weight, small, interpolation=cv2.INTER_AREA), (0, 0), WIDE * small[0])
    return np.minimum(cv2.resize(blurred, weight.shape[::-1], interpolation=cv2.INTER_LINEAR), weight)
