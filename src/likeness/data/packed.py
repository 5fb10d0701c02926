"""Photos with dense landmarks in WebDataset shards: how they are packed, and crops of them that are not kept in memory.

A sample: `sfhq/00000017.jpg`, the photo as it is (or png, webp), `.npy` with its landmarks (478, 3) float32 in its pixels,
and `.json`, which names the photo's file. The key's folder is the photo's set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import numpy as np

from likeness.data.crops import chances_of, close_gaps
from likeness.data.folder import Listing, cut_out
from likeness.data.landmarked import Photo, believed, drawn, rarity
from likeness.data.shards import ARRAY, PICTURE, Shards, npy, write
from likeness.errors import AssetError, PhotoError
from likeness.photos.read import read

LIST = "pack.json"
"""File beside the shards that says what they were made of."""
FIELDS: Mapping[str, Sequence[str]] = {"image": PICTURE, "points": ARRAY}
DENSE = (478, 3)
_TOGETHER = 1024
"""Photos whose landmarks are in memory at once while shards are indexed."""


def pack(
    listings: Sequence[Listing], folder: Path, size: int, leave: Callable[[str, str], Any] = lambda file, why: None
) -> Iterator[int]:
    """Write photos and their landmarks as `000000.tar` and so on; those that are there already stay.

    Every shard holds photos of all sets, in random order, and about as many as the others. What it holds follows from the
    listings and the size alone: a run that was killed is gone on with, and ends with the same files.

    Args:
        listings: Sets of different names.
        size: Photos of a shard, at most.
        leave: Told the file of each photo that is left out, and why: it cannot be read, or its landmarks are no numbers.

    Yields:
        How many shards there are, as each of them is done.

    Raises:
        AssetError: When the folder holds shards of other photos, landmarks or size.
    """
    photos = [(listing, i) for listing in listings for i in range(len(listing.files))]
    count = -(-len(photos) // size)
    _claim(folder, listings, size)
    order = np.random.default_rng(0).permutation(len(photos))
    for number, rows in enumerate(np.array_split(order, count)):
        path = folder / f"{number:06}.tar"
        if not path.exists():
            write(path, _samples((photos[row] for row in rows), leave))
        yield count


def sets_of(paths: Sequence[Path]) -> list[str]:
    """The sets that shards were made of, as far as `LIST` tells; else the names of their folders."""
    found: set[str] = set()
    for folder in {path.parent for path in paths}:
        try:
            found.update(map(str, json.loads((folder / LIST).read_text())["sets"]))
        except (OSError, ValueError, KeyError, TypeError):
            found.add(folder.resolve().name)
    return sorted(found)


def dealt(paths: Sequence[Path], parts: int, part: int) -> list[Path]:
    """The shards of one part of every batch.

    Raises:
        AssetError: When there are fewer shards than parts.
    """
    if len(paths) < parts:
        raise AssetError(
            f"{paths[0]}: {len(paths)} shards for {parts} parts of a batch (processes x accumulate), which "
            "need one each; pack smaller ones, see `likeness train pack --shard-size`"
        )
    return list(paths[part::parts])


@dataclass(frozen=True)
class PackedListing(Listing):
    """A set's photos in shards; `files` tells them apart, and `path` is that of a photo's shard.

    Attributes:
        shards, rows: Photo i is the sample rows[i].
    """

    shards: Shards = field(kw_only=True)
    rows: np.ndarray = field(kw_only=True)

    def path(self, i: int) -> Path:
        return self.shards.path(self.rows[i])

    def picture(self, i: int) -> np.ndarray:
        return self.shards.read(self.rows[i], ("image",))["image"]


def packed_listings(paths: Sequence[Path]) -> list[PackedListing]:
    """The sets in shards. Their landmarks are kept in memory, 6 KB a photo.

    Raises:
        AssetError: When a shard is none, or damaged, or its photos have no landmarks.
    """
    shards, found = _photos(paths), []
    for number, name in enumerate(shards.folders):
        rows = np.flatnonzero(shards.folder == number)
        points = np.stack([_points(shards, i) for i in rows])
        # Packed anew, a key may be another photo's.
        files = [f"{shards.key(i)} {crc32(marks.tobytes()):08x}" for i, marks in zip(rows, points)]
        found.append(PackedListing(paths[0].parent, name, files, points, shards=shards, rows=rows))
    return found


class PackedCrops:
    """Crops of photos in shards: items as of `landmarked.LandmarkedCrops`, whose photos are read when they are asked for.

    A batch is cut into parts, and part k of every batch shows photos of its own shards alone: k, k + parts, k + 2 parts
    and so on. A process opens no other shards than those of its own parts. Item i depends on (seed, i) and on the part it
    is in; so what is learned depends on the number of parts, and not on which process computes which.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        seed: int,
        length: int,
        places: np.ndarray,
        parts: int = 1,
        own: range | None = None,
    ) -> None:
        """Index the shards of this process's parts.

        Args:
            length: Items.
            places: (478, 3) mm, the landmarks on the mean head, for how far those of photos are believed.
            parts: Into how many a batch is cut: processes x accumulate.
            own: Parts of this process, all of the same size; by default all.

        Raises:
            AssetError: When there are fewer shards than parts, or a shard is none, or damaged, or its photos have no
                landmarks.
        """
        self.seed, self.length, self.places = seed, length, places
        self.parts = [_Part(dealt(paths, parts, k)) for k in own or range(parts)]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        """An item that stands for itself, as in a look at the first few: of any part of this process."""
        return self._item(self.parts[i % len(self.parts)], i)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """This process's share of a batch, as torch's loader asks for it: its first part, then its second, and so on."""
        size = len(numbers) // len(self.parts)
        return [self._item(self.parts[k // size], i) for k, i in enumerate(numbers)]

    def _item(self, part: _Part, i: int) -> dict[str, np.ndarray]:
        cv2.setNumThreads(1)

        def photo(place: int) -> Photo:
            sample = part.shards[place]
            image, points, _ = cut_out(sample["image"], sample["points"].astype(np.float32), place)
            return image, close_gaps(points[None])[0], believed(points[None], self.places)[0]

        return drawn(part.chances, photo, np.random.default_rng((self.seed, i)))


class _Part:
    """The shards of a part of every batch, and how often each photo in them is drawn."""

    def __init__(self, paths: Sequence[Path]) -> None:
        shards = self.shards = _photos(paths)
        rows = [range(k, min(k + _TOGETHER, len(shards))) for k in range(0, len(shards), _TOGETHER)]
        weights = [rarity(np.stack([_points(shards, i) for i in some])) for some in rows]
        self.chances = chances_of(np.concatenate(weights), shards.folder, shards.folders)


def _photos(paths: Sequence[Path]) -> Shards:
    shards = Shards(paths, FIELDS)
    if not len(shards):
        raise AssetError(f"{', '.join(map(str, paths))}: no photos in it")
    return shards


def _points(shards: Shards, i: int) -> np.ndarray:
    """A photo's landmarks (478, 3) float32; refused where they are not such."""
    points = shards.read(i, ("points",))["points"]
    if points.shape != DENSE or not np.isfinite(points).all():
        seen = "not finite" if points.shape == DENSE else f"of shape {points.shape}"
        raise AssetError(
            f"{shards.path(i)}: sample {shards.key(i)}: its points are {seen}; 478 dense landmarks (478, 3) are wanted"
        )
    return points.astype(np.float32)


def _claim(folder: Path, listings: Sequence[Listing], size: int) -> None:
    """Write down what the shards of a folder are made of, or see that it is the same as before."""
    digest = hashlib.sha256()
    for listing in listings:
        digest.update(json.dumps([listing.name, listing.files]).encode())
        digest.update(np.ascontiguousarray(listing.points, np.float32).tobytes())
    made = {"sets": [listing.name for listing in listings], "photos": sum(len(listing.files) for listing in listings),
            "photos and landmarks": digest.hexdigest(), "shard size": size}  # fmt: skip
    path = folder / LIST
    try:
        there = json.loads(path.read_text())
    except FileNotFoundError:
        there = None
    except ValueError:
        there = "damaged"
    if there is None and not any(folder.glob("*.tar")):
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(LIST + ".part")
        beside.write_text(json.dumps(made, indent=1) + "\n")
        os.replace(beside, path)
    elif there != made:
        raise AssetError(
            f"{folder}: holds shards of other photos, landmarks or size; choose another folder, or empty it"
        )


def _samples(
    photos: Iterator[tuple[Listing, int]], leave: Callable[[str, str], Any]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    for listing, i in photos:
        file, points = f"{listing.name}/{listing.files[i]}", np.ascontiguousarray(listing.points[i], np.float32)
        if not np.isfinite(points).all():
            leave(file, "its landmarks are not finite")
            continue
        try:
            ending, content = _picture(listing.path(i))
        except PhotoError as error:
            leave(file, str(error))
            continue
        yield (
            f"{listing.name}/{i:08}",
            {ending: content, "npy": npy(points), "json": json.dumps({"file": file}).encode()},
        )


def _picture(path: Path) -> tuple[str, bytes]:
    """A photo's ending and content: as it is where shards have such, else as PNG. Read here, so that damage shows here."""
    image, ending = read(path), path.suffix.lower().removeprefix(".")
    if ending in PICTURE:
        return ending, path.read_bytes()
    return "png", cv2.imencode(".png", image[..., ::-1])[1].tobytes()
