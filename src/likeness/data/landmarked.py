"""Crops of photos with the customary 66 landmarks, and how far each is believed: for self-supervised recipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from likeness.assets.canonical import DENSE_OF_68
from likeness.assets.dense_mirror import permutation
from likeness.assets.landmarks import INNER_MOUTH_CORNERS
from likeness.data import augment
from likeness.data.crops import OPEN, SHUT, chances_of, close_gaps, eye_openings
from likeness.data.folder import Photos, steepness, transform
from likeness.encoders.camera import SPAN
from likeness.geometry.alignment import similarity

CHOSEN = np.delete(DENSE_OF_68, INNER_MOUTH_CORNERS)
"""(66,) the dense landmark of each of the 66 points: 17 of the jaw line, then 49."""
HIDDEN, STRANGE = 0.3, 0.08
"""What a hidden landmark counts; the mean distance from a mean head, in heads, at which a face counts exp(-1)."""
BEHIND = 40.0
"""mm that a head's middle lies behind the mean of its landmarks."""
_MIRROR = permutation()
Photo = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A cut-out (S, S, 3) uint8, its landmarks (478, 3), and how far each is believed (478,)."""


class LandmarkedCrops:
    """Crops (128 px) of photos, a little misplaced, half of them mirrored; item i depends on (seed, i) alone.

    Keys: image (128, 128, 3) uint8 sRGB, points (66, 2) float32 crop pixels, confidence (66,) float32 in [0, 1].

    Args:
        photos: Cut-outs with dense landmarks; lids of shut eyes are made to meet.
        names: Their sets, for how often each is drawn (`crops.SHARES`).
        confidence: (n, 478) of the photos' dense landmarks, by default all one.
        length: Items.
        plain: Each photo once, in order, exactly placed, for validation.
    """

    def __init__(
        self,
        photos: Photos,
        names: Sequence[str],
        seed: int,
        length: int,
        confidence: np.ndarray | None = None,
        plain: bool = False,
    ) -> None:
        self.photos, self.seed, self.plain = photos, seed, plain
        self.length = len(photos) if plain else length
        self.points = close_gaps(photos.points)
        self.confidence = np.ones(self.points.shape[:2], np.float32) if confidence is None else confidence
        self.chances = chances_of(rarity(photos.points), photos.sets, names)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        cv2.setNumThreads(1)
        if self.plain:
            return _crop(*self._photo(i), augment.exact(self.points[i]), False)
        random = np.random.default_rng((self.seed, i))
        return drawn(self.chances, self._photo, random)

    def _photo(self, place: int) -> Photo:
        return self.photos.images[place], self.points[place], self.confidence[place]


def rarity(points: np.ndarray) -> np.ndarray:
    """(n,) how often photos are drawn by their landmarks (n, 478, 3): turned heads and shut eyes are rare. Ours."""
    winking = np.minimum(*eye_openings(points).values()) < (OPEN + SHUT) / 2
    return 1.0 + 1.0 * (np.degrees(steepness(points)) > 25) + 2.0 * winking


def drawn(chances: np.ndarray, photo: Callable[[int], Photo], random: np.random.Generator) -> dict[str, np.ndarray]:
    """The crop of some photo, a little misplaced, mirrored or not.

    Args:
        chances: (n,) cumulative.
        photo: The cut-out in a place, its landmarks and how far each is believed.
    """
    image, points, confidence = photo(min(int(np.searchsorted(chances, random.random())), len(chances) - 1))
    return _crop(image, points, confidence, augment.jittered(points, random, 0.25), random.random() < 0.5)


def _crop(
    image: np.ndarray, points: np.ndarray, confidence: np.ndarray, motion: np.ndarray, mirrored: bool
) -> dict[str, np.ndarray]:
    points = transform(points, motion)[:, :2]
    if mirrored:
        points, confidence = points[_MIRROR] * [-1, 1] + [augment.CROP_SIZE, 0], confidence[_MIRROR]
    return {
        "image": augment.take(image, motion, mirrored),
        "points": points[CHOSEN].astype(np.float32), "confidence": confidence[CHOSEN].astype(np.float32),
    }  # fmt: skip


def believed(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, k) in [0, 1]: how far automatic landmarks are believed.

    A detector guesses where the head hides a point, and may see a face where there is none. So a mean head is laid into
    the landmarks: what faces away counts for `HIDDEN`, and all of a face that has no face's shape for little.

    Args:
        points: (n, k, 3) x, y and depth away from the viewer, in one unit.
        places: (k, 3) mm, the landmarks on the mean head, model frame.
    """
    # Not the surface's own normals: those of lids and lips point anywhere, and what hides them is the head.
    outward = places - (places.mean(0) - [0, 0, BEHIND])
    outward = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
    seen = points.astype(np.float64) * [1, -1, -1]
    # What is seen from the side, as the jaw is from the front, is not hidden yet.
    motion = similarity(np.broadcast_to(places.astype(np.float64), seen.shape), seen)
    facing = (outward @ motion.rotation.swapaxes(-1, -2))[..., 2]
    apart = np.linalg.norm(motion.apply(places[None]) - seen, axis=-1).mean(-1) / (motion.scale * SPAN)
    visible = HIDDEN + (1 - HIDDEN) / (1 + np.exp(-(facing + 0.3) / 0.1))
    return (visible * np.exp(-((apart / STRANGE) ** 2))[:, None]).astype(np.float32)
