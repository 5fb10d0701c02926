"""Folders of photos with dense landmarks, and with targets fitted to them; cut out once and kept in memory.

Layout: `<root>/<set>/...jpg`, `<root>/<set>.landmarks478.npz` with `name` (n,) and `points` (n, 478, 3) in pixels; and,
where targets are wanted, the shards `<targets>/<set>/` of `data.targets`, whose landmarks serve where that file is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile
from zlib import crc32

import cv2
import numpy as np

from likeness.data.targets import TARGETS, read_shards
from likeness.errors import AssetError
from likeness.photos.crop import similarity
from likeness.photos.detect import face_frame

MARGIN, SIDE = 2.0, 224
"""A kept cut-out is this many box sides wide, and this many pixels: room for jitter, finer than what a network sees."""
EDGES = (cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE)
"""What lies beyond the picture, by turns, so that a network takes none of it for granted."""


@dataclass(frozen=True)
class Listing:
    """One set's photos of a split.

    Attributes:
        root, name: Folder of the sets, and the set.
        files: (n,) names relative to `<root>/<name>`.
        points: (n, 478, 3) float32 dense landmarks in pixels, z in the same unit.
        targets: Arrays of `TARGETS` and `known` (n,) bool, or None.
    """

    root: Path
    name: str
    files: list[str]
    points: np.ndarray
    targets: dict[str, np.ndarray] | None = None

    def path(self, i: int) -> Path:
        """Photo i's file."""
        return self.root / self.name / self.files[i]

    def picture(self, i: int) -> np.ndarray:
        """Photo i, uint8 (h, w, 3) sRGB."""
        return picture(self.path(i))


def picture(path: Path) -> np.ndarray:
    """A photo as it is stored, uint8 (h, w, 3) sRGB.

    Raises:
        AssetError: When it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise AssetError(f"{path}: cannot be read as a picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def splits(folder: Path, files: Sequence[str], name: str) -> np.ndarray:
    """Which split, "train", "validation" or "test", each file is in: the stem's number ends in 5 (validation) or 0 (test).

    In `officials`, whose folders repeat numbers, it is every tenth of the sorted files: from the fifth, from the zeroth.
    Stems that do not end in a digit have the last digit of their name's CRC-32, which more photos do not change.
    """
    if name == "officials":
        order = {str(file.relative_to(folder)): i for i, file in enumerate(sorted(folder.rglob("*.jpg")))}
        digits = [order[file] % 10 for file in files]
    else:
        last = [Path(file).stem[-1] for file in files]
        digits = [int(mark) if mark in "0123456789" else crc32(file.encode()) % 10 for mark, file in zip(last, files)]
    return np.array([{0: "test", 5: "validation"}.get(digit, "train") for digit in digits])


def read_set(root: Path, name: str, split: str, targets: Path | None = None) -> Listing:
    """The photos of a set and split that have landmarks.

    Args:
        targets: Folder of fits; photos without one keep zeros and `known` False.

    Raises:
        AssetError: When the set or its targets are missing or of another layout.
    """
    given = root / f"{name}.landmarks478.npz"
    if targets is not None and not given.exists():
        found = read_shards(targets / name, ("name", "points"))
    else:
        found = archive(given, ("name", "points"))
    files = [str(file) for file in found["name"]]
    wanted = np.flatnonzero(splits(root / name, files, name) == split)
    chosen = [files[i] for i in wanted]
    fits = None if targets is None else _match(read_shards(targets / name, ("name", "ok", *TARGETS)), chosen)
    return Listing(root, name, chosen, found["points"][wanted].astype(np.float32), fits)


def archive(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name.

    Raises:
        AssetError: When the file is missing, damaged, or without one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file; see data/folder.py for the layout of a photo folder") from None
    except (KeyError, ValueError, OSError, BadZipFile) as error:
        raise AssetError(f"{path}: not an archive with {', '.join(keys)} ({error})") from None


def _match(shards: dict[str, np.ndarray], files: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows of targets in the order of `files`; zeros where there are none."""
    place = {str(file): i for i, file in enumerate(shards["name"])}
    rows = np.array([place.get(file, -1) for file in files], int)
    there = rows >= 0
    result = {key: np.zeros((len(files), *shards[key].shape[1:]), np.float32) for key in TARGETS}
    for key in TARGETS:
        result[key][there] = shards[key][rows[there]]
    known = np.zeros(len(files), bool)
    known[there] = shards["ok"][rows[there]]
    return result | {"known": known}


def crop_from_photo(center: np.ndarray, side: float, roll: float, size: int) -> np.ndarray:
    """(3, 3) similarity that takes photo pixels to those of an upright square cut-out.

    Args:
        center, side: The square in photo pixels.
        roll: Its turn in radians, clockwise in the photo.
        size: Side of the cut-out in pixels.
    """
    return np.linalg.inv(similarity(center, side, roll, size))


def warp(image: np.ndarray, motion: np.ndarray, size: int, edge: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """Resample by a similarity between pixel coordinates in which the first pixel's centre is (0.5, 0.5)."""
    shift = motion[:2, :2] @ [0.5, 0.5] + motion[:2, 2] - 0.5
    matrix = np.concatenate([motion[:2, :2], shift[:, None]], 1)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=edge)


def transform(points: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Points (..., n, 2 or 3) moved by a similarity; a third coordinate is only scaled."""
    moved = points[..., :2] @ motion[:2, :2].T + motion[:2, 2]
    if points.shape[-1] == 2:
        return moved
    scale = np.hypot(motion[0, 0], motion[1, 0])
    return np.concatenate([moved, points[..., 2:] * scale], -1)


def cut_out(image: np.ndarray, points: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is kept of a photo: (224, 224, 3) pixels, (478, 3) float32 landmarks in them, (3, 3) cut-out from photo.

    Args:
        place: Among the photos; decides what lies beyond the picture.
    """
    center, side, roll = face_frame(points)
    motion = crop_from_photo(center, MARGIN * side, roll, SIDE)
    return warp(image, motion, SIDE, EDGES[place % 3]), transform(points, motion).astype(np.float32), motion


def steepness(points: np.ndarray) -> np.ndarray:
    """(n,) radians of yaw, rough and unsigned, from the depth of the eye corners of dense landmarks (n, 478, 3)."""
    eye = points[:, 263] - points[:, 33]
    return np.arctan2(np.abs(eye[:, 2]), np.hypot(eye[:, 0], eye[:, 1]))


class Photos:
    """Upright cut-outs (n, 224, 224, 3) of photos, two boxes wide, with landmarks (n, 478, 3) in their pixels.

    Attributes:
        images, points: See above.
        cutout_from_photo: (n, 3, 3).
        sets: (n,) int, place of each photo's set in the listings.
        targets: Concatenated targets in photo pixels, or None.
        files: (n,) "set/name".
    """

    def __init__(self, listings: Sequence[Listing]) -> None:
        count = sum(len(listing.files) for listing in listings)
        self.images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
        self.points = np.zeros((count, 478, 3), np.float32)
        self.cutout_from_photo = np.zeros((count, 3, 3))
        self.sets = np.repeat(np.arange(len(listings)), [len(listing.files) for listing in listings])
        self.files = [f"{listing.name}/{file}" for listing in listings for file in listing.files]
        place = 0
        for listing in listings:
            for i, points in enumerate(listing.points):
                cut = cut_out(listing.picture(i), points, place)
                self.images[place], self.points[place], self.cutout_from_photo[place] = cut
                place += 1
        self.targets = None
        if listings and all(listing.targets is not None for listing in listings):
            self.targets = {
                key: np.concatenate([listing.targets[key] for listing in listings]) for key in (*TARGETS, "known")
            }

    def __len__(self) -> int:
        return len(self.images)
