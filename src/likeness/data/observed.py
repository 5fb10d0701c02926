"""What a frozen recognition network says about pictures, found once and kept, because training asks the same again and again.

A folder holds `photos.safetensors`, `crops.npy` and `faces.safetensors`; each says from which network, pictures and seed it
was made, and is made anew where that differs. Processes that want the same folder at once wait for the one that looks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from likeness.data import augment
from likeness.data.booth import Booth, as_seen
from likeness.data.crops import SHARES
from likeness.data.folder import Listing, steepness
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.templates import five, photo_from_crop
from likeness.encoders.weights import fingerprint
from likeness.photos.crop import sample

try:
    from fcntl import LOCK_EX, flock
except ModuleNotFoundError:  # Windows has no such locks: runs that share a folder must begin one after the other there
    LOCK_EX, flock = 0, lambda file, what: None

PHOTOS, CROPS, FACES, LOCK = "photos.safetensors", "crops.npy", "faces.safetensors", "lock"
VERSIONS = 4
"""Of every photo: as it is, mirrored, and the rest misplaced and spoiled. Ours."""
JITTER = 0.015
"""Crop sides by which each of the five points is off in a spoiled version, standard deviation. Ours."""
STEEPEST = np.radians(60)
"""Photos of heads that are turned further are left out: recognition networks hardly know them. Ours."""
SWAP = (1, 0, 2, 4, 3)
"""The five points of the mirrored face, in their order."""
TOGETHER = 32
"""Pictures that the network sees at once."""


@dataclass(frozen=True)
class SeenPhotos:
    """Photos as a recognition network sees them.

    Attributes:
        features: (n, versions, F) float32 answers of the network.
        crops: (n, S, S, 3) uint8 sRGB, the first versions, perhaps on disk.
        chances: (n,) cumulative, how often each is drawn.
    """

    features: np.ndarray
    crops: np.ndarray
    chances: np.ndarray


@dataclass(frozen=True)
class SeenFaces:
    """Faces drawn from a face model, as a recognition network sees them.

    Attributes:
        features: (n, F) float32 answers of the network.
        identity: (n, I), albedo (n, K): their codes, independent standard normal numbers.
    """

    features: np.ndarray
    identity: np.ndarray
    albedo: np.ndarray


class Pairs:
    """A photo and a drawn face an item (one to one, ours; Genova et al. 2018, sec. 3.3, mix them, too), or a drawn face alone.

    Keys: features (F,), identity (I,), albedo (K,) of the drawn face; of the photo: photo (F,), what the network says about
    one version of it; target (F,), what it says about the photo unspoiled; image (S, S, 3) uint8, the latter.
    Item i depends on (seed, i) alone.
    """

    def __init__(self, faces: SeenFaces, photos: SeenPhotos | None, seed: int, length: int) -> None:
        self.faces, self.photos, self.seed, self.length = faces, photos, seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        random, faces = np.random.default_rng((self.seed, i)), self.faces
        place = random.integers(len(faces.features))
        item = {"features": faces.features[place], "identity": faces.identity[place], "albedo": faces.albedo[place]}
        if self.photos is None:
            return item
        photos = self.photos
        row = min(int(np.searchsorted(photos.chances, random.random())), len(photos.features) - 1)
        version = random.integers(photos.features.shape[1])
        seen, side = photos.features[row], version % 2
        image = photos.crops[row][:, ::-1] if side else photos.crops[row]
        return item | {"photo": seen[version], "target": seen[side], "image": np.array(image)}


def seen_photos(
    folder: Path, recogniser: Recognition, listings: Sequence[Listing], versions: int = VERSIONS, seed: int = 0,
    follow: Callable[[Iterator[int], int], Any] = lambda steps, count: steps,
) -> SeenPhotos:  # fmt: skip
    """Photos seen by a network, from `folder` or found now and written there.

    Args:
        follow: Takes the numbers of the photos as they are done, and how many there are; may show a bar.

    Raises:
        AssetError: When a photo cannot be read.
    """
    chosen = [(listing, i) for listing in listings for i in np.flatnonzero(steepness(listing.points) < STEEPEST)]
    names = [f"{listing.name}/{listing.files[i]}" for listing, i in chosen]
    key = _key(recogniser, names=names, versions=versions, seed=seed)
    path, pictures = folder / PHOTOS, folder / CROPS
    weights = np.array([SHARES.get(listing.name, 0.1) / len(listing.files) for listing, _ in chosen])
    chances = np.cumsum(weights) / weights.sum()
    with _alone(folder):
        stored = _read(path, key)
        if stored is None:
            beside = pictures.with_name(pictures.name + ".part")
            shape = (len(chosen), recogniser.size, recogniser.size, 3)
            crops = np.lib.format.open_memmap(beside, "w+", np.uint8, shape)
            features = np.zeros((len(chosen), versions, recogniser.features), np.float32)
            reader = _Reader(chosen, recogniser, versions, seed)
            for row in follow(iter(range(len(chosen))), len(chosen)):
                made = reader(row)
                crops[row], features[row] = made[0], answers(recogniser, made)
            crops.flush()
            del crops
            path.unlink(missing_ok=True)  # from here on the pictures beside it are others
            beside.replace(pictures)  # a run that reads the old ones keeps them
            stored = {"features": features}
            _write(path, key, stored)
        return SeenPhotos(stored["features"], np.load(pictures, mmap_mode="r"), chances)


def seen_faces(
    folder: Path, recogniser: Recognition, model: nn.Module, booth: Booth, count: int, seed: int = 0,
    follow: Callable[[Iterator[int], int], Any] = lambda steps, count: steps,
) -> SeenFaces:  # fmt: skip
    """Faces of random codes, poses and lamps seen by a network, from `folder` or drawn now and written there.

    Args:
        model: `models.expressionless.Expressionless`.
        follow: As for `seen_photos`, by `TOGETHER` faces.
    """
    key = _key(recogniser, count=count, seed=seed, codes=model.codes, mean=fingerprint([model.mean]))
    path = folder / FACES
    with _alone(folder):
        stored = _read(path, key)
        if stored is None:
            stored = _draw(recogniser, model, booth, count, seed, follow)
            _write(path, key, stored)
    return SeenFaces(stored["features"], stored["identity"], stored["albedo"])


def _draw(
    recogniser: Recognition, model: nn.Module, booth: Booth, count: int, seed: int,
    follow: Callable[[Iterator[int], int], Any],
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays of `SeenFaces`."""
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, list[np.ndarray]] = {"features": [], "identity": [], "albedo": []}
    for start in follow(iter(range(0, count, TOGETHER)), -(-count // TOGETHER)):
        number = min(TOGETHER, count - start)
        identity, albedo = (
            torch.randn(number, model.codes[name], generator=generator) for name in ("identity", "albedo")
        )
        with torch.no_grad():
            face = model(identity.to(model.mean), albedo.to(model.mean))
            image = booth.photograph(face, *booth.poses(number, generator), generator)
            seen = recogniser(as_seen(image))
        for name, values in (("features", seen), ("identity", identity), ("albedo", albedo)):
            parts[name].append(values.cpu().numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def answers(recogniser: Recognition, images: np.ndarray) -> np.ndarray:
    """What a network says (n, F) about crops (n, S, S, 3) uint8 sRGB."""
    device = recogniser.mean.device
    with torch.no_grad():
        image = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2) / 255
        return recogniser(image).cpu().numpy()


def aligned(image: np.ndarray, points: np.ndarray, recogniser: Recognition) -> np.ndarray:
    """The crop (S, S, 3) uint8 of a photo (H, W, 3) uint8 that a network wants to see.

    Args:
        points: (5, 2) px, the points of landmark set "5".
    """
    motion = photo_from_crop(np.asarray(points, np.float64), recogniser.template.cpu().numpy().astype(np.float64))
    return sample(image, np.vstack([motion, [0.0, 0.0, 1.0]]), recogniser.size)


class _Reader:
    """Makes the versions of a photo."""

    def __init__(
        self, chosen: Sequence[tuple[Listing, int]], recogniser: Recognition, versions: int, seed: int
    ) -> None:
        self.chosen, self.recogniser, self.versions, self.seed = chosen, recogniser, versions, seed

    def photo(self, row: int) -> np.ndarray:
        """The picture of a row, uint8 sRGB."""
        listing, i = self.chosen[row]
        return listing.picture(i)

    def __call__(self, row: int) -> np.ndarray:
        """(versions, S, S, 3) uint8; odd versions are mirrored, those from the third on misplaced and spoiled."""
        random = np.random.default_rng((self.seed, row))
        listing, i = self.chosen[row]
        image, points = self.photo(row), five(listing.points[i]).astype(np.float64)
        mirrored = points[list(SWAP)] * [-1, 1] + [image.shape[1], 0]
        sides = [(image, points), (np.ascontiguousarray(image[:, ::-1]), mirrored)]
        made = []
        for version in range(self.versions):
            picture, places = sides[version % 2]
            if version >= 2:
                extent = np.ptp(places, 0).max() / np.ptp(self.recogniser.template.cpu().numpy(), 0).max()
                places = places + JITTER * self.recogniser.size * extent * random.standard_normal((5, 2))
            crop = aligned(picture, places, self.recogniser)
            if version >= 2:
                crop = augment.spoil(crop, random, lambda: self.photo(random.integers(len(self.chosen))))
            made.append(crop)
        return np.stack(made)


def _key(recogniser: Recognition, **parts: Any) -> str:
    """What a file was made from, as one short text."""
    whole = {
        "network": [fingerprint([value]) for value in recogniser.state_dict().values()],
        "size": recogniser.size,
    } | parts
    whole["template"] = recogniser.template.tolist()
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A block that one process at a time is in, for each folder; the others wait, however long. A kill frees it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        flock(file, LOCK_EX)
        yield


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """Arrays of a file that was made from the same, else None."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError):
        return None


def _write(path: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Beside and renamed, so that a file is whole or absent."""
    from safetensors.numpy import save_file

    beside = path.with_name(path.name + ".part")
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, beside, {"key": key})
    beside.replace(path)
