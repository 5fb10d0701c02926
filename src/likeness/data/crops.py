"""Items for the regressor: a spoiled crop of a photo and what is known about it. Item i depends on (seed, i) alone."""

from __future__ import annotations

import numpy as np

from likeness.assets.dense_mirror import permutation
from likeness.data import augment
from likeness.data.folder import Photos, transform

SHARES = {"sfhq": 0.5, "stylegan": 0.15, "gan": 0.2, "officials": 0.15}
"""How often each photo set is drawn; `sfhq` is the most varied."""
_MIRROR = permutation()


def draw_weights(photos: Photos, names: list[str]) -> np.ndarray:
    """Cumulative chances (n,): sets by `SHARES`, within a set turned heads more often, since they are rare."""
    yaw = np.degrees(photos.yaw())
    weight = 1.0 + 1.5 * (yaw > 25) + 1.5 * (yaw > 45)
    for place, name in enumerate(names):
        mine = photos.sets == place
        weight[mine] *= SHARES.get(name, 0.1) / max(weight[mine].sum(), 1e-9)
    return np.cumsum(weight) / weight.sum()


class PhotoCrops:
    """Crops of photos with their dense landmarks.

    Keys: image (128, 128, 3) uint8 sRGB; points (478, 2) float32 in crop pixels.
    """

    def __init__(self, photos: Photos, names: list[str], seed: int, length: int) -> None:
        self.photos, self.seed, self.length = photos, seed, length
        self.chances = draw_weights(photos, names)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng((self.seed, i))
        place = min(int(np.searchsorted(self.chances, random.random())), len(self.photos) - 1)
        return self.item(place, random)

    def item(self, place: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        """A fresh crop of photo `place`."""
        similarity = augment.jittered(self.photos.points[place], random)
        mirrored = random.random() < 0.5
        crop = augment.take(self.photos.images[place], similarity, mirrored)
        crop = augment.spoil(crop, random, lambda: self.photos.images[random.integers(len(self.photos))])
        points = transform(self.photos.points[place], similarity)[:, :2]
        if mirrored:
            points = points[_MIRROR] * [-1, 1] + [augment.CROP_SIZE, 0]
        return {"image": crop, "points": points.astype(np.float32)}
