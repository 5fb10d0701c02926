"""Which pixels show skin: a naive Bayes classifier of colour with Gaussian mixtures, adapted to the face at hand.

Deng et al. 2022, sec. 4.1.2 and eq. 9. The classifier that ships knows skin of all tones from portraits (`likeness train
skin`); hair and clothes of one person have the colour of another's skin, so that where a fit says where the face is, the
colours of this face and of what lies around it decide. Needs no PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from likeness import color
from likeness.errors import AssetError

DARKEST = 0.01
"""Linear brightness below which differences of colour are noise."""
STEPS = 64
"""Steps of each channel in the table of the classifier that ships. Ours: 4 of 256 are less than a photo's noise."""
VARIED = (0.03, 0.008, 0.008)
"""Added to the variances of one face's tones: what its sure pixels may have missed, 17 % of brightness and 9 % of hue."""
STRANGE = (9.0, 20.0)
"""Squared Mahalanobis distance from a face's colours up to which a pixel may be skin, and from which it is not. Ours: 3
percent and 2 in ten thousand of a normal distribution in three dimensions lie beyond."""
TRIMMED = 6.0
"""Squared distance from which on a pixel of the face's region has no say in the face's colours: hair, glasses, hands."""
KEPT = 0.78
"""Share of the variance that samples of a normal distribution in three dimensions keep when they are trimmed so."""
PRIOR = 1.1
"""Logarithm of the odds before a colour is seen, where nobody says where the face is: three to one. Ours: with even odds a
half of badly lit dark skin is lost; so a third of it, and a quarter of what is not skin is taken."""
BELIEF = 2.0
"""Largest logarithm of the odds, either way, that all other people's skin has a say with, once this face's is known."""
CERTAIN = 6.0
"""Largest logarithm of the odds by the colours of the photo itself, either way."""
FEW = 100
"""Pixels from which a face's own colours are learned; with fewer the classifier that ships decides alone."""
MOST = 4000
"""Pixels of a picture that its own colours are learned from at most."""
OTHERS = 5
"""Normal distributions for what surrounds one face."""


@dataclass(frozen=True)
class Mixture:
    """Normal distributions of independent numbers, mixed.

    Attributes:
        shares: (K,) that sum to one.
        means: (K, C).
        variances: (K, C).
    """

    shares: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def terms(self, values: np.ndarray) -> np.ndarray:
        """Logarithm of each distribution's share of the density at values (n, C): (n, K)."""
        inverse = 1 / self.variances
        # |x - m|^2 / v as products of matrices
        square = values**2 @ inverse.T - 2 * values @ (self.means * inverse).T + (self.means**2 * inverse).sum(1)
        return np.log(self.shares) - 0.5 * (square + np.log(2 * np.pi * self.variances).sum(1))

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density at values (n, C): (n,)."""
        return _log_sum(self.terms(values))


@dataclass(frozen=True)
class SkinModel:
    """What pixels of faces and of everything else look like, in `tones`.

    Attributes:
        skin, other: Their colours.
    """

    skin: Mixture
    other: Mixture

    def odds(self, values: np.ndarray) -> np.ndarray:
        """Natural logarithm of the odds that tones (n, 3) are skin, where skin and the rest are equally frequent: (n,)."""
        return self.skin.log_density(values) - self.other.log_density(values)

    @cached_property
    def table(self) -> np.ndarray:
        """(STEPS, STEPS, STEPS) float32 odds by red, green and blue of sRGB."""
        line = color.linear_from_srgb(((np.arange(STEPS) + 0.5) * (256 / STEPS) - 0.5) / 255)
        table = np.empty((STEPS,) * 3, np.float32)
        for red, plane in zip(line, table):  # one by one: all at once would take 100 MB
            colours = np.stack(np.meshgrid(red, line, line, indexing="ij"), -1)
            plane[:] = self.odds(tones(colours.reshape(-1, 3))).reshape(plane.shape)
        return table


@cache
def load(path: Path | None = None) -> SkinModel:
    """The classifier that ships, or one trained elsewhere; read once.

    Raises:
        AssetError: When the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    source = resources.files("likeness.photos") / "skin.safetensors" if path is None else Path(path)
    try:
        data = parse(source.read_bytes())
        parts = Mixture.__dataclass_fields__
        return SkinModel(*(Mixture(*(data[f"{name}.{part}"] for part in parts)) for name in ("skin", "other")))
    except OSError as error:
        raise AssetError(f"cannot read the skin colours {source}: {error.strerror}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise AssetError(f"{source} holds no skin colours written by `likeness train skin` ({error})") from None


def to_bytes(model: SkinModel, about: dict[str, Any]) -> bytes:
    """The file of a classifier, with what it was learned from as one entry of text."""
    from safetensors.numpy import save

    tensors = {f"{name}.{part}": np.ascontiguousarray(getattr(getattr(model, name), part), np.float32)
               for name in ("skin", "other") for part in Mixture.__dataclass_fields__}  # fmt: skip
    return save(tensors, metadata={"about": json.dumps(about)})


def tones(colours: np.ndarray) -> np.ndarray:
    """Linear RGB (..., 3) as brightness and two hues: log g', log r / g, log g / b, g' being the geometric mean.

    Light scales the first and leaves the others; the three are nearly independent over skin, as naive Bayes wants them.
    """
    r, g, b = np.moveaxis(np.log(np.maximum(colours, 0) + DARKEST), -1, 0)
    return np.stack([(r + g + b) / 3, r - g, g - b], -1)


def weights(image: np.ndarray, face: np.ndarray | None = None, model: SkinModel | None = None) -> np.ndarray:
    """How far each pixel counts as skin when a rendering without hair, glasses or hands is compared with a photo.

    Deng et al. 2022, eq. 9: 1 where skin is more probable than not, else its probability.

    Args:
        image: (H, W, 3) uint8 sRGB.
        face: (H, W) bool, where a fit expects bare skin of the face (no eyes, brows, lips); None where nothing is known.
        model: Other colours than those that ship.

    Returns:
        (H, W) float32 in [0, 1].
    """
    probable = probability(image, face, model)
    return np.where(probable > 0.5, np.float32(1), probable)


def probability(image: np.ndarray, face: np.ndarray | None = None, model: SkinModel | None = None) -> np.ndarray:
    """The probability (H, W) float32 that each pixel is skin; arguments as in `weights`."""
    table = (model or load()).table
    odds = table[tuple(np.moveaxis(image // np.uint8(256 // STEPS), -1, 0))]
    own = None if face is None else _own_odds(image, np.asarray(face, bool))
    odds = odds + PRIOR if own is None else np.clip(odds, -BELIEF, BELIEF) + own
    return (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)


def _own_odds(image: np.ndarray, face: np.ndarray) -> np.ndarray | None:
    """Logarithm of the odds (H, W) by the colours of this face and of its surroundings; None where too few are known."""
    values = tones(color.decode(image)).reshape(-1, 3)
    own = FaceColours.of(values[_thinned(np.flatnonzero(face))])
    if own is None:
        return None
    distance = own.distance(values)
    result = -0.5 * (distance + own.volume)
    beyond = cv2.dilate(face.astype(np.uint8), np.ones((3, 3)), iterations=max(1, len(face) // 40)) == 0
    strange = np.flatnonzero(beyond.ravel() & (distance > STRANGE[0]))  # throat, ears and hands are skin too
    if len(strange) >= FEW:
        around = values[_thinned(strange)]
        result -= mixture(around, OTHERS, rounds=6).log_density(values) + 1.5 * np.log(2 * np.pi)
    strangeness = np.clip((distance - STRANGE[0]) / (STRANGE[1] - STRANGE[0]), 0, 1)
    return np.minimum(result, CERTAIN * (1 - 2 * strangeness)).reshape(face.shape)


def _thinned(places: np.ndarray) -> np.ndarray:
    """Every so-manieth of the places, so that at most `MOST` are left."""
    return places[:: max(1, -(-len(places) // MOST))]


@dataclass(frozen=True)
class FaceColours:
    """One face's normal distribution of `tones`.

    Attributes:
        mean: (3,).
        inverse: (3, 3) inverse covariance.
        volume: Logarithm of the covariance's determinant.
    """

    mean: np.ndarray
    inverse: np.ndarray
    volume: float

    @classmethod
    def of(cls, known: np.ndarray) -> FaceColours | None:
        """From tones (n, 3), most of them of the face: from the median on, what lies far is left out. None of too few."""
        if len(known) < FEW:
            return None
        middle = np.median(known, 0)
        spread = (1.5 * np.median(np.abs(known - middle), 0)) ** 2 + VARIED
        sure = known[((known - middle) ** 2 / spread).sum(1) < TRIMMED]
        for _ in range(3):
            if len(sure) < FEW:
                return None
            covariance = np.cov(sure.T) / KEPT + np.diag(VARIED)
            colours = cls(sure.mean(0), np.linalg.inv(covariance), float(np.linalg.slogdet(covariance)[1]))
            sure = known[colours.distance(known) < TRIMMED]
        return colours

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance (n,) of tones (n, 3)."""
        offset = values - self.mean
        return ((offset @ self.inverse) * offset).sum(-1)


def mixture(values: np.ndarray, count: int, rounds: int = 60, floor: float = 0.01, seed: int = 0) -> Mixture:
    """The mixture of `count` normal distributions that explains values (n, C) well (expectation maximisation).

    Starts from values far from each other in turn (Gonzalez 1985, on a random thousand); the same seed, the same answer.

    Args:
        values: (n, C).
        count: K, at most n.
        rounds: Of expectation and maximisation.
        floor: Least variance, so that no distribution falls into a single value.
        seed: Of the random thousand.
    """
    random = np.random.default_rng(seed)
    start = values[random.choice(len(values), min(1000, len(values)), replace=False)]
    means = start[:1]
    for _ in range(count - 1):
        nearest = ((start[:, None] - means) ** 2).sum(-1).min(1)
        spread = np.partition(nearest, -max(1, len(start) // 50))[-max(1, len(start) // 50)]  # not the outliers
        means = np.concatenate([means, start[[np.abs(nearest - spread).argmin()]]])
    result = Mixture(np.full(count, 1 / count), means, np.tile(values.var(0) / count + floor, (count, 1)))
    for _ in range(rounds):
        terms = result.terms(values)
        part = np.exp(terms - _log_sum(terms)[:, None])
        mass = part.sum(0) + 1e-9
        means = part.T @ values / mass[:, None]
        variances = part.T @ values**2 / mass[:, None] - means**2
        result = Mixture(mass / mass.sum(), means, np.maximum(variances, floor))
    return result


def _log_sum(terms: np.ndarray) -> np.ndarray:
    """log of the sum of exp over the last axis."""
    largest = terms.max(-1)
    return largest + np.log(np.exp(terms - largest[..., None]).sum(-1))
