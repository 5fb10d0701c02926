"""Many pictures of each of many people, to learn from who is who: aligned cut-outs in shards, and what is done to them.

A person is a photo and renders of its fit, or made up. Cut-outs show a face by its five points (`encoders.recognition.templates`),
with some room around it for jitter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from likeness.assets.correspondence import OUTLINE
from likeness.data import augment, degrade
from likeness.data.folder import transform, warp
from likeness.encoders.recognition.templates import five, photo_from_crop, wide
from likeness.errors import AssetError

SIDE, ROOM = 128, 1.3
"""Pixels of a cut-out, and its side in sides of the crop that a network sees."""
PHOTO, OWN, MODEL = 0, 1, 2
"""Kinds of pictures: a photo; a render with the skin unwrapped from a photo; a render of codes alone."""
QUALITY = 92
FIELDS = ("pictures", "ends", "people", "kinds", "outlines", "codes")
GREY, BEHIND = 0.08, 0.3
"""Shares of pictures without colour, and of photos whose surroundings are exchanged."""
JITTER = (0.015, 0.04, 0.05)
"""Standard deviations of a crop's place (sides), log size and turn (radians): landmarks err by that much."""


def template(side: float = SIDE) -> np.ndarray:
    """(5, 2) where a cut-out shows the five points."""
    inner = side / ROOM
    return wide(inner) + (side - inner) / 2


def cut(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A photo's cut-out (SIDE, SIDE, 3) uint8 and its face's outline (36, 2) there, of dense landmarks (478, 2 or 3) px."""
    back = photo_from_crop(five(points.astype(np.float64)), template())
    motion = np.linalg.inv(np.concatenate([back, [[0, 0, 1]]]))
    outline = transform(points[list(OUTLINE), :2].astype(np.float64), motion)
    scale = math.hypot(motion[0, 0], motion[1, 0])
    if scale < 0.7:  # linear sampling would skip pixels
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * math.sqrt(1 / scale**2 - 1))
    return warp(image, motion, SIDE, cv2.BORDER_REFLECT_101), outline.astype(np.float32)


@dataclass(frozen=True)
class Album:
    """Pictures of people.

    Attributes:
        pictures: (bytes,) uint8, JPEG files one after the other.
        ends: (n,) where each ends.
        people: (n,) int64 from 0, who it shows.
        kinds: (n,) uint8, `PHOTO`, `OWN` or `MODEL`.
        outlines: (n, 36, 2) float16 px, the face's outline in photos, zeros in renders.
        codes: (n, C) float16, shape and colour of the person in the codes of a face model; NaN where they are not known.
    """

    pictures: np.ndarray
    ends: np.ndarray
    people: np.ndarray
    kinds: np.ndarray
    outlines: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def picture(self, i: int) -> np.ndarray:
        """(SIDE, SIDE, 3) uint8 sRGB."""
        start = int(self.ends[i - 1]) if i else 0
        return cv2.cvtColor(cv2.imdecode(self.pictures[start : int(self.ends[i])], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


class Row(NamedTuple):
    """A picture to be put into an album; see there."""

    picture: np.ndarray
    person: int
    kind: int
    outline: np.ndarray | None = None
    codes: np.ndarray | None = None


def packed(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Arrays of an album."""
    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    files = [cv2.imencode(".jpg", cv2.cvtColor(row.picture, cv2.COLOR_RGB2BGR), how)[1].ravel() for row in rows]
    nothing = np.zeros((len(OUTLINE), 2))
    unknown = np.full(max((len(row.codes) for row in rows if row.codes is not None), default=0), np.nan)
    return {
        "pictures": np.concatenate(files), "ends": np.cumsum([len(file) for file in files]),
        "people": np.array([row.person for row in rows], np.int64), "kinds": np.array([row.kind for row in rows], np.uint8),
        "outlines": np.array([nothing if row.outline is None else row.outline for row in rows], np.float16),
        "codes": np.array([unknown if row.codes is None else row.codes for row in rows], np.float16),
    }  # fmt: skip


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a shard of an album, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.stem + ".part")
    with beside.open("wb") as file:
        np.savez(file, **arrays)
    beside.replace(path)


def read(paths: Sequence[Path]) -> Album:
    """Shards as one album; people of different shards are different people.

    Raises:
        AssetError: When a shard cannot be read, or there is none.
    """
    if not paths:
        raise AssetError("no shard of people's pictures is given; draw them with `likeness train people`")
    shards, end, people = [], 0, 0
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:
                shard = {key: file[key] for key in FIELDS}
        except (OSError, KeyError, ValueError) as error:
            raise AssetError(
                f"{path}: not a shard of people's pictures ({error}); `likeness train people` draws them"
            ) from None
        shard["people"] = np.unique(shard["people"], return_inverse=True)[1] + people
        shard["ends"] = shard["ends"] + end
        end, people = int(shard["ends"][-1]), int(shard["people"].max()) + 1
        shards.append(shard)
    width = max(shard["codes"].shape[1] for shard in shards)
    for shard in shards:
        shard["codes"] = np.pad(shard["codes"], ((0, 0), (0, width - shard["codes"].shape[1])), constant_values=np.nan)
    return Album(*(np.concatenate([shard[key] for shard in shards]) for key in FIELDS))


class Identities:
    """Spoiled crops of an album's people as a data set: `image` (2, S, S, 3) uint8 sRGB, two pictures of `person`, and their
    `codes` (2, C) float32, NaN where unknown.

    Item i depends on (seed, i) alone: first the person is drawn, then a photo and a render of theirs, or two pictures of
    one kind where there is no other.

    Args:
        size: S.
        length: Items.
        photos: Share of people who have photos, made-up ones being the rest.
        filmed: Share among those of people who have several.
    """

    def __init__(
        self, album: Album, size: int, seed: int, length: int, photos: float = 0.65, filmed: float = 0.5
    ) -> None:
        self.album, self.size, self.seed, self.length = album, size, seed, length
        self.count = int(album.people.max()) + 1
        order = np.argsort(album.people, kind="stable")
        self.rows = np.split(order, np.searchsorted(album.people[order], np.arange(1, self.count)))
        taken = np.bincount(album.people[album.kinds == PHOTO], minlength=self.count)
        self.groups = [np.flatnonzero(group) for group in (taken > 1, taken == 1, taken == 0)]
        several, single, none = (len(group) > 0 for group in self.groups)
        real, several = _share(photos, several or single, none), _share(filmed, several, single)
        self.chances = np.cumsum([real * several, real * (1 - several), 1 - real])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng((self.seed, i))
        group = self.groups[int(np.searchsorted(self.chances, random.random()))]
        person = int(group[random.integers(len(group))])
        two = list(self._two(self.rows[person], random))
        crops = [self._crop(row, random) for row in two]
        return {"image": np.stack(crops), "person": np.int64(person), "codes": self.album.codes[two].astype(np.float32)}

    def _two(self, rows: np.ndarray, random: np.random.Generator) -> tuple[int, int]:
        """Two of a person's pictures: a photo and a render where there are both, else any two, or the only one twice."""
        shot = self.album.kinds[rows] == PHOTO
        if shot.any() and not shot.all():
            return int(random.choice(rows[shot])), int(random.choice(rows[~shot]))
        first, second = random.choice(rows, 2, replace=len(rows) < 2)
        return int(first), int(second)

    def _crop(self, row: int, random: np.random.Generator) -> np.ndarray:
        picture = self.album.picture(row)
        if self.album.kinds[row] == PHOTO and random.random() < BEHIND:
            picture = before(picture, self.album.outlines[row].astype(np.float32), self._other(random), random)
        crop = jittered(picture, self.size, random)
        return spoiled(crop, random, lambda: self._other(random))

    def _other(self, random: np.random.Generator) -> np.ndarray:
        return self.album.picture(int(random.integers(len(self.album))))


def _share(wanted: float, first: bool, second: bool) -> float:
    """The share of the first of two groups, of which one may be empty."""
    return wanted if first and second else float(first)


def before(picture: np.ndarray, outline: np.ndarray, behind: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A face before other surroundings: what lies outside its outline (n, 2) px comes from another picture of the same size."""
    middle = outline.mean(0)
    grown = middle + (outline - middle) * random.uniform(1.0, 1.25)
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(grown).astype(np.int32)), 255)
    soft = cv2.GaussianBlur(mask, (0, 0), random.uniform(0.7, 3.0))[..., None].astype(np.float32) / 255
    other = behind[:, ::-1] if random.random() < 0.5 else behind
    return (other + (picture.astype(np.float32) - other) * soft).astype(np.uint8)


def middle(picture: np.ndarray, size: int) -> np.ndarray:
    """The crop (size, size, 3) of a cut-out that a network sees, exactly."""
    return warp(picture, _to_crop(size, np.zeros(2), 1.0, 0.0), size, cv2.BORDER_REPLICATE)


def jittered(picture: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """The same a little off, as landmarks are; in half of all cases mirrored."""
    place, turn = random.normal(0, JITTER[0] * size, 2), random.normal(0, JITTER[2])
    motion = _to_crop(size, place, math.exp(random.normal(0, JITTER[1])), turn)
    crop = warp(picture, motion, size, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(crop[:, ::-1]) if random.random() < 0.5 else crop


def _to_crop(size: int, place: np.ndarray, larger: float, turn: float) -> np.ndarray:
    """(3, 3) crop pixels from cut-out pixels."""
    scale = larger * size * ROOM / SIDE
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    motion = np.eye(3)
    motion[:2, :2], motion[:2, 2] = linear, size / 2 + place - linear @ np.full(2, SIDE / 2)
    return motion


def spoiled(crop: np.ndarray, random: np.random.Generator, other) -> np.ndarray:
    """A crop behind something, and as poor cameras and files show it; milder than for landmarks, for skin has a colour.

    Args:
        other: Gives another picture, a part of which may come before the face.
    """
    if random.random() < 0.2:
        crop = augment.occlude(crop, random, other)
    chain = ((degrade.recolor, 0.6), (degrade.shade, 0.2), (degrade.blur, 0.2), (degrade.shrink, 0.3), (degrade.noise, 0.15),
             (degrade.compress, 0.3), (degrade.grey, GREY))  # fmt: skip
    for change, chance in chain:
        if random.random() < chance:
            crop = change(crop, random)
    return crop
