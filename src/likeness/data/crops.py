"""Items for the regressor: a spoiled crop of a photo or a render, and what is known about it.

Item i of a data set depends on (seed, i) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from likeness.arrays import like
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.arkit import mirrored as other_side
from likeness.assets.correspondence import EYE_LEFT, EYE_RIGHT
from likeness.assets.dense_mirror import permutation
from likeness.data import augment
from likeness.data.folder import Photos, steepness, transform
from likeness.data.synthetic import Renders
from likeness.encoders import camera
from likeness.geometry.cameras import project, transform_view
from likeness.types import View

SHARES = {"sfhq": 0.5, "stylegan": 0.15, "gan": 0.2, "officials": 0.15}
"""How often each photo set is drawn; `sfhq` is the most varied."""
SWAP = np.array([EXPRESSIONS.index(other_side(name)) for name in EXPRESSIONS])
"""Row of the same expression on the other side of the face."""
_MIRROR = permutation()
LID_POINTS = {
    "Right": ((159, 158, 160), (145, 153, 144), (33, 133)), "Left": ((386, 385, 387), (374, 380, 373), (263, 362)),
}  # fmt: skip
"""Dense landmarks on the upper lid, below them on the lower one, and at the eye's corners."""
LID_RINGS = {"Right": (EYE_RIGHT[:8:-1], EYE_RIGHT[1:8]), "Left": (EYE_LEFT[:8:-1], EYE_LEFT[1:8])}
"""The edges of upper and lower lid from the outer corner inwards, corners left out, point above point."""
OPEN, SHUT = 0.20, 0.10
"""Opening of an eye over its width, among automatic landmarks: hardly any open eye is below the first, no shut one above the second."""


def eye_openings(points: np.ndarray) -> dict[str, np.ndarray]:
    """Mean distance of the lids over the distance of the corners, (n,) by side, of dense landmarks (n, 478, 3)."""
    openings = {}
    for side, (upper, lower, corners) in LID_POINTS.items():
        gap = np.linalg.norm(points[:, list(upper)] - points[:, list(lower)], axis=-1).mean(1)
        openings[side] = gap / np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=-1)
    return openings


def shut(points: np.ndarray) -> dict[str, np.ndarray]:
    """How shut each eye is, (n,) in [0, 1] by side, of automatic dense landmarks (n, 478, 3).

    The ratio of gap and width tells shut eyes well, unless the head is turned away by more than 35 degrees.
    """
    eye = points[:, 263] - points[:, 33]
    frontal = np.abs(eye[:, 2]) < np.tan(np.radians(35)) * np.hypot(eye[:, 0], eye[:, 1])
    return {side: frontal * np.clip((OPEN - gap) / (OPEN - SHUT), 0, 1) for side, gap in eye_openings(points).items()}


def close_lids(expression: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Fitted weights (n, 51) with `eyeBlink` raised where the landmarks say that an eye is shut.

    Landmarks of shut eyes keep a gap and look like outliers to a fit, which leaves these eyes open.
    """
    closed = expression.copy()
    for side, share in shut(points).items():
        row = EXPRESSIONS.index("eyeBlink" + side)
        closed[:, row] = np.maximum(closed[:, row], share)
        wide = EXPRESSIONS.index("eyeWide" + side)
        closed[:, wide] = np.minimum(closed[:, wide], 1 - share)
    return closed


def close_gaps(points: np.ndarray) -> np.ndarray:
    """Dense landmarks (n, 478, 3) in which the lids of shut eyes meet in their middle: automatic ones keep a gap."""
    closed = points.copy()
    for side, share in shut(points).items():
        upper, lower = (list(ring) for ring in LID_RINGS[side])
        half = 0.5 * share[:, None, None] * (points[:, lower] - points[:, upper])
        closed[:, upper] += half
        closed[:, lower] -= half
    return closed


def chances_of(weight: np.ndarray, sets: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(n,) cumulative, how often each photo is drawn: sets by `SHARES`, those within a set by their weight (n,).

    Args:
        sets: (n,) place of each photo's set among the names.
    """
    weight = weight.astype(np.float64)
    for place, name in enumerate(names):
        mine = sets == place
        weight[mine] *= SHARES.get(name, 0.1) / max(weight[mine].sum(), 1e-9)
    return np.cumsum(weight) / weight.sum()


@dataclass(frozen=True)
class Source:
    """Pictures with one face each.

    Attributes:
        images: (n, S, S, 3) uint8.
        points: (n, 478, 2 or 3) dense landmarks in pixels of the pictures.
        chances: (n,) cumulative, how often each is drawn.
        targets: Arrays of `data.targets.TARGETS`, cameras in pixels of the pictures, or None.
        known: (n,) bool, which targets are meant.
        rendered: Whether the targets are exact.
    """

    images: np.ndarray
    points: np.ndarray
    chances: np.ndarray
    targets: dict[str, np.ndarray] | None = None
    known: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    rendered: bool = False


def from_photos(photos: Photos, names: Sequence[str]) -> Source:
    """Photos, drawn by set (`SHARES`); within a set turned heads and shut eyes more often, since they are rare.

    The lids of shut eyes meet (`close_gaps`).
    """
    yaw = np.degrees(steepness(photos.points))
    winking = np.minimum(*eye_openings(photos.points).values()) < (OPEN + SHUT) / 2
    weight = 1.0 + 1.5 * (yaw > 25) + 1.5 * (yaw > 45) + 4.0 * (winking & (yaw < 45))
    chances, points = chances_of(weight, photos.sets, names), close_gaps(photos.points)
    if photos.targets is None:
        return Source(photos.images, points, chances)
    targets = {key: values.copy() for key, values in photos.targets.items()}
    targets["expression"] = close_lids(targets["expression"], photos.points)
    size = photos.images.shape[1:3]
    for i in np.flatnonzero(targets["known"]):
        view = transform_view(camera.of_row(targets, i, size), photos.cutout_from_photo[i], size)
        for key in ("rotation", "translation", "focal", "principal"):
            targets[key][i] = getattr(view, key)
    return Source(photos.images, points, chances, targets, targets.pop("known"))


def from_renders(renders: Renders, dense_model: Any) -> Source:
    """Renders, all equally often; their landmarks are projected by `dense_model(identity, expression)` (n, 478, 3) mm."""
    targets, count = renders.targets, len(renders)
    size = renders.images.shape[1:3]
    views = View(*(targets[key] for key in ("rotation", "translation", "focal", "principal")), size)
    points = project(dense_model(targets["identity"], targets["expression"]), views).astype(np.float32)
    chances = np.arange(1, count + 1) / count
    return Source(renders.images, points, chances, targets, np.ones(count, bool), rendered=True)


class Crops:
    """Crops drawn from several sources.

    Keys: image (128, 128, 3) uint8 sRGB and points (478, 2) float32 in crop pixels; where any source has targets also
    identity (100,), expression (51,), rotation (3, 3), offset (2,), size, distance (see `encoders.camera`), and known and
    rendered, which are 0 or 1.

    Args:
        shares: How often each source is drawn.
        symmetry: (100,) +1 or -1: what mirroring a face does to each identity code; needed with targets.
        stretched: Share of photos that get other proportions (see `augment.stretched`).
        plain: Without jitter, mirroring and spoiling, in order: for validation.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shares: Sequence[float],
        seed: int,
        length: int,
        symmetry: np.ndarray | None = None,
        plain: bool = False,
        stretched: float = 0.0,
    ) -> None:
        self.stretched = stretched
        self.sources, self.seed, self.length, self.symmetry, self.plain = list(sources), seed, length, symmetry, plain
        self.shares = np.cumsum(shares) / np.sum(shares)
        self.with_targets = any(source.targets is not None for source in sources)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        cv2.setNumThreads(1)
        random = np.random.default_rng((self.seed, i))
        source = self.sources[min(int(np.searchsorted(self.shares, random.random())), len(self.sources) - 1)]
        place = min(int(np.searchsorted(source.chances, random.random())), len(source.images) - 1)
        if self.plain:
            return self.item(
                source, i % len(source.images), augment.exact(source.points[i % len(source.images)]), False
            )
        loose, spoiled = (0.2, 0.4) if source.rendered else (0.5, 0.85)  # ours: renders are there to be seen exactly
        similarity, mirrored = augment.jittered(source.points[place], random, loose), random.random() < 0.5
        if not source.rendered and self.stretched and random.random() < self.stretched:
            item = self.item(source, place, augment.stretched(similarity, random), mirrored, False)
        else:
            item = self.item(source, place, similarity, mirrored)
        if random.random() < spoiled:
            item["image"] = augment.spoil(
                item["image"], random, lambda: source.images[random.integers(len(source.images))]
            )
        return item

    def item(
        self, source: Source, place: int, similarity: np.ndarray, mirrored: bool, similar: bool = True
    ) -> dict[str, np.ndarray]:
        """The crop of one picture by a given similarity, with everything that is known about it.

        Without `similar` the map is only affine, and nothing is known but the landmarks.
        """
        points = transform(source.points[place], similarity)[:, :2]
        if mirrored:
            points = points[_MIRROR] * [-1, 1] + [augment.CROP_SIZE, 0]
        item = {"image": augment.take(source.images[place], similarity, mirrored), "points": points}
        if self.with_targets:
            item |= self._targets(source, place, similarity, mirrored, similar)
        return {key: np.asarray(v, np.uint8 if key == "image" else np.float32) for key, v in item.items()}

    def _targets(
        self, source: Source, place: int, similarity: np.ndarray, mirrored: bool, similar: bool
    ) -> dict[str, Any]:
        if source.targets is None or not source.known[place] or not similar:
            nothing = {"identity": np.zeros(len(self.symmetry)), "expression": np.zeros(len(EXPRESSIONS))}
            still = camera.CropCamera(np.eye(3), np.zeros(2), 0.0, 0.0)
            return nothing | still._asdict() | {"known": 0.0, "rendered": float(source.rendered)}
        shape = (augment.CROP_SIZE, augment.CROP_SIZE)
        view = transform_view(camera.of_row(source.targets, place, source.images.shape[1:3]), similarity, shape)
        numbers = camera.from_view(view)
        identity, expression = source.targets["identity"][place], source.targets["expression"][place]
        if mirrored:
            numbers = camera.mirrored(numbers)
            identity, expression = identity * like(self.symmetry, identity), expression[SWAP]
        codes = {"identity": identity, "expression": expression}
        return codes | numbers._asdict() | {"known": 1.0, "rendered": float(source.rendered)}
