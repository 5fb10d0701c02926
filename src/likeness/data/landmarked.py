"""Crops of photos with the customary 66 landmarks and how far each may be believed: what self-supervised recipes learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from likeness.assets.canonical import DENSE_OF_68
from likeness.assets.dense_mirror import permutation
from likeness.assets.landmarks import INNER_MOUTH_CORNERS
from likeness.data import augment
from likeness.data.crops import OPEN, SHARES, SHUT, close_gaps, eye_openings
from likeness.data.folder import Photos, transform
from likeness.data.targets import read_shards

CHOSEN = np.delete(DENSE_OF_68, INNER_MOUTH_CORNERS)
"""(66,) the dense landmark of each of the 66 points: 17 of the jaw line, then 49."""
_MIRROR = permutation()


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
        self, photos: Photos, names: Sequence[str], seed: int, length: int, confidence: np.ndarray | None = None,
        plain: bool = False,
    ) -> None:
        self.photos, self.seed, self.plain = photos, seed, plain
        self.length = len(photos) if plain else length
        self.points = close_gaps(photos.points)
        self.confidence = np.ones(self.points.shape[:2], np.float32) if confidence is None else confidence
        winking = np.minimum(*eye_openings(photos.points).values()) < (OPEN + SHUT) / 2
        weight = 1.0 + 1.0 * (np.degrees(photos.yaw()) > 25) + 2.0 * winking
        for place, name in enumerate(names):
            mine = photos.sets == place
            weight[mine] *= SHARES.get(name, 0.1) / max(weight[mine].sum(), 1e-9)
        self.chances = np.cumsum(weight) / weight.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        cv2.setNumThreads(1)
        random = np.random.default_rng((self.seed, i))
        if self.plain:
            return self._item(i, augment.exact(self.points[i]), False)
        place = min(int(np.searchsorted(self.chances, random.random())), len(self.points) - 1)
        return self._item(place, augment.jittered(self.points[place], random, 0.25), random.random() < 0.5)

    def _item(self, place: int, similarity: np.ndarray, mirrored: bool) -> dict[str, np.ndarray]:
        points, confidence = transform(self.points[place], similarity)[:, :2], self.confidence[place]
        if mirrored:
            points, confidence = points[_MIRROR] * [-1, 1] + [augment.CROP_SIZE, 0], confidence[_MIRROR]
        return {
            "image": augment.take(self.photos.images[place], similarity, mirrored),
            "points": points[CHOSEN].astype(np.float32), "confidence": confidence[CHOSEN].astype(np.float32),
        }  # fmt: skip


def trusts(photos: Photos, targets: Path, names: Sequence[str]) -> np.ndarray:
    """(n, 478) how much fits of the face model (`likeness label`) trusted each landmark; one where there is no fit."""
    known: dict[str, np.ndarray] = {}
    for name in names:
        shards = read_shards(targets / name, ("name", "trusts"))
        known |= {f"{name}/{file}": row for file, row in zip(shards["name"], shards["trusts"])}
    nothing = np.ones(photos.points.shape[1])
    return np.stack([known.get(file, nothing) for file in photos.files]).astype(np.float32)
