"""Pixels of skin and of everything else, from photos to which the face model was fitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from likeness import color
from likeness.assets.builtin import Builtin
from likeness.data.folder import Listing
from likeness.data.portraits import read
from likeness.photos import skin
from likeness.render.regions import bare_skin
from likeness.types import View

GROUPS = {"dark": -180.0, "brown": -30.0, "tan": 10.0, "intermediate": 28.0, "light": 41.0}
"""Least individual typology angle, degrees, of each group (Del Bino and Bernerd 2013, their two lightest as one). It is that
of the colour in the photo, light included: what a classifier sees."""
INSET = 0.03
"""What is nearer to the border of the bare region, in sides of the face, is not sampled: fits are off by that much."""
CLEAN = 7.0
"""Squared Mahalanobis distance from the photo's skin up to which a pixel of the region is skin; 7 % of skin is beyond."""
STRANGE = 9.0
"""And from which on a pixel beyond the face is something else; between lie throats, ears and hands."""


@dataclass(frozen=True)
class Pixels:
    """One photo's.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        face: (H, W) bool, bare skin by the fit.
        skin, other: (n,) places in the flat picture that surely show skin, and something else.
        angle: Individual typology angle of the face's median colour, degrees; greater is lighter.
    """

    image: np.ndarray
    face: np.ndarray
    skin: np.ndarray
    other: np.ndarray
    angle: float

    def tones(self, places: np.ndarray) -> np.ndarray:
        """(n, 3) tones of the classifier."""
        return skin.tones(color.decode(self.image.reshape(-1, 3)[places]))


def pixels(listing: Listing, model: Builtin, limit: int, seed: int = 0) -> Iterator[Pixels]:
    """Photos of a set with fits that are to be believed, at most `limit`, in random order; hidden faces are left out."""
    known = np.flatnonzero(listing.targets["known"])
    for row in np.random.default_rng(seed).permutation(known)[:limit]:
        image = read(listing.path(row))
        fit = {name: np.float64(values[row]) for name, values in listing.targets.items()}
        view = View(fit["rotation"], fit["translation"], fit["focal"], fit["principal"], image.shape[:2])
        seen, face = bare_skin(model.decode(fit["identity"], fit["expression"]), view, model.topology("base"))
        found = _sorted(image, seen, face)
        if found is not None:
            yield found


def balanced(photos: list[Pixels], each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tones of skin and of the rest, (n, 3) each: as many from every group of `GROUPS` that has photos."""
    random = np.random.default_rng(seed)
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for name in GROUPS:
        members = [photo for photo in photos if group(photo.angle) == name]
        for photo in members:
            for result, places in zip(rows, (photo.skin, photo.other)):
                result.append(photo.tones(random.choice(places, -(-each // len(members)))))
    return np.concatenate(rows[0]), np.concatenate(rows[1])


def group(angle: float) -> str:
    """Name in `GROUPS` of an individual typology angle."""
    return [name for name, least in GROUPS.items() if angle >= least][-1]


def typology_angle(colour: np.ndarray) -> float:
    """atan((L - 50) / b) in degrees of an sRGB colour (3,) in [0, 255] (Chardon et al. 1991); below -90 with b < 0."""
    lightness, _, yellow = cv2.cvtColor(np.float32(colour)[None, None] / 255, cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def _sorted(image: np.ndarray, seen: np.ndarray, face: np.ndarray) -> Pixels | None:
    """Sure pixels of a photo; None where there are few."""
    reach = max(1, int(INSET * np.ptp(np.nonzero(seen), axis=1).max())) if seen.any() else 1
    square = np.ones((2 * reach + 1,) * 2, np.uint8)
    core = np.flatnonzero(cv2.erode(face.astype(np.uint8), square))
    beyond = np.flatnonzero(cv2.dilate(seen.astype(np.uint8), square, iterations=2) == 0)
    if len(core) < 3 * skin.FEW:
        return None
    tones = skin.tones(color.decode(image)).reshape(-1, 3)
    colours = skin.FaceColours.of(tones[core])
    if colours is None:
        return None
    other = beyond[colours.distance(tones[beyond]) > STRANGE]
    if len(other) < skin.FEW:
        return None
    angle = typology_angle(np.median(image.reshape(-1, 3)[core], 0))
    return Pixels(image, face, core[colours.distance(tones[core]) < CLEAN], other, angle)
