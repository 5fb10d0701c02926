"""Photos with one face each: where it is, how it is outlined, how often it is drawn; and their parts without a face."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from likeness.data.folder import picture, read_set
from likeness.photos.detect import face_frame

SETS = {"sfhq": 0.5, "stylegan": 0.2, "gan": 0.18, "officials": 0.12}
"""Photo sets from which weights that ship may be learned, and how often each is drawn. `gan` states no licence."""


@dataclass(frozen=True)
class Portrait:
    """A photo with one face.

    Attributes:
        path: The picture.
        center: (2,) pixels, `side` pixels, `roll` radians: the face's box (see `photos.detect`).
        outline: (n, 2) convex hull of the landmarks, pixels.
        weight: How often it is drawn, relative to others of its set.
    """

    path: Path
    center: np.ndarray
    side: float
    roll: float
    outline: np.ndarray
    weight: float = 1.0


def portraits(root: Path, split: str, sets: Sequence[str] = tuple(SETS)) -> list[list[Portrait]]:
    """All photos of a split ("train", "validation" or "test") that have landmarks, one list per set.

    Args:
        root: Folder of the photo sets (see `data.folder`).

    Raises:
        AssetError: When a set is missing.
    """
    listings = [read_set(root, name, split) for name in sets]
    return [[_portrait(listing.path(i), points) for i, points in enumerate(listing.points)] for listing in listings]


def _portrait(path: Path, points: np.ndarray) -> Portrait:
    center, side, roll = face_frame(points)
    eye = points[263] - points[33]
    yaw = math.atan2(abs(eye[2]), math.hypot(eye[0], eye[1]))
    # Profiles are rare and must be found.
    weight = 1.0 + 2.0 * (yaw > math.radians(30)) + 2.0 * (yaw > math.radians(50))
    return Portrait(path, center, side, roll, cv2.convexHull(np.ascontiguousarray(points[:, :2]))[:, 0], weight)


class Draw:
    """Draws portraits: first the set, then one of its photos by weight; and reads their pictures."""

    def __init__(self, lists: Sequence[Sequence[Portrait]], chances: Sequence[float] | None = None) -> None:
        self.lists = [list(photos) for photos in lists]
        chances = np.ones(len(lists)) if chances is None else np.asarray(chances, float)
        self.chances = chances / chances.sum()
        weights = [np.array([p.weight for p in photos]) for photos in self.lists]
        self.within = [np.cumsum(w) / w.sum() for w in weights]

    def __call__(self, random: np.random.Generator) -> tuple[Portrait, np.ndarray]:
        which = random.choice(len(self.lists), p=self.chances)
        place = min(int(np.searchsorted(self.within[which], random.random())), len(self.lists[which]) - 1)
        portrait = self.lists[which][place]
        return portrait, read(portrait.path)


@functools.lru_cache(maxsize=8192)  # all photos of a split: 1.2 GB, and half the time of composing a scene
def read(path: Path) -> np.ndarray:
    """A photo, uint8 (h, w, 3) sRGB, read-only."""
    image = picture(path)
    image.flags.writeable = False
    return image


def beside(portrait: Portrait, photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The largest strip of a photo on a random side of its face; any strip of 16 px at least, else a blurred photo."""
    low, high = portrait.outline.min(0), portrait.outline.max(0)
    margin = 0.08 * portrait.side
    strips = [
        photo[:, : max(0, int(low[0] - margin))],
        photo[:, max(0, math.ceil(high[0] + margin)) :],
        photo[: max(0, int(low[1] - margin))],
        photo[max(0, math.ceil(high[1] + margin)) :],
    ]
    strips = [s for s in strips if min(s.shape[:2]) >= 16]
    if not strips:
        few = cv2.resize(photo, (6, 6), interpolation=cv2.INTER_AREA)
        return cv2.resize(few, (64, 64), interpolation=cv2.INTER_CUBIC)
    return strips[random.integers(len(strips))]


def painted_over(portrait: Portrait, photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo with its face filled from the surroundings: a head with hair and ears, and no features."""
    small = cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA)
    ratio = np.array([64 / photo.shape[1], 64 / photo.shape[0]])
    grown = portrait.center + (portrait.outline - portrait.center) * random.uniform(1.0, 1.25)
    hole = np.zeros((64, 64), np.uint8)
    cv2.fillConvexPoly(hole, np.rint(grown * ratio).astype(np.int32), 1)
    filled = cv2.inpaint(small, hole, 4, cv2.INPAINT_TELEA)
    size = (photo.shape[1], photo.shape[0])
    soft = cv2.resize(cv2.blur(hole * np.float32(1), (3, 3)), size, interpolation=cv2.INTER_LINEAR)
    large = cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    large += random.standard_normal((*photo.shape[:2], 1), np.float32) * random.uniform(0, 8)
    return cv2.convertScaleAbs(np.maximum(photo + (large - photo) * soft[..., None], 0))
