"""Targets for learning: every photo of a folder fitted to its dense landmarks, in shards (see `data.targets`).

A shard is the unit of work: a run that is killed at any moment leaves complete shards, and the next one goes on after them.
What a shard holds depends on its photos alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from likeness.assets.correspondence import COUNT, IRISES
from likeness.data import targets
from likeness.data.targets import Index
from likeness.errors import AssetError, LikenessError, NoFaceError
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import FitConfig, LandmarkFit, fit
from likeness.photos.read import SUFFIXES, read
from likeness.types import Landmarks

SHARD = 128
"""Photos of a shard: three seconds' work, the most that a kill can cost. Ours."""
LARGEST_ERROR = 0.03
"""Fits worse than this share of the outer-eye distance are not ok: the landmarks do not show one face. Ours."""
LIST = "skipped.txt"
"""File beside the shards: name and reason of each photo without a fit, a tab between them."""


class Source(Protocol):
    """Landmarks of a folder's photos.

    Attributes:
        folder: Of the photos.
        names: Photos in the order of labelling, relative to the folder.
        kind: Where landmarks come from; part of what makes targets the same.
    """

    folder: Path
    names: list[str]
    kind: str

    def landmarks(self, name: str, image: np.ndarray) -> Landmarks:
        """Points (478, 3) px, or (478, 2) where no depth is known; spreads are 0 where none is known.

        Raises:
            LikenessError: When the photo has no usable landmarks.
        """


class Given:
    """Landmarks from `<folder>.landmarks478.npz`, with `name` (n,), `points` (n, 478, 3) and perhaps `not_found`.

    Raises:
        AssetError: When that file is missing or of another layout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.kind, path = folder, "given", landmark_file(folder)
        try:
            with np.load(path, allow_pickle=False) as file:
                self.names, points = [str(name) for name in file["name"]], file["points"].astype(np.float32)
                absent = [str(name) for name in file["not_found"]] if "not_found" in file.files else []
        except (OSError, KeyError, ValueError) as error:
            raise AssetError(f"{path}: no archive of dense landmarks ({error})") from None
        if points.shape[1:] != (COUNT, 3):
            raise AssetError(f"{path} has points of shape {points.shape}; (n, {COUNT}, 3) is needed")
        self.points = dict(zip(self.names, points))
        self.names += absent

    def landmarks(self, name: str, image: np.ndarray) -> Landmarks:
        if name not in self.points:
            raise NoFaceError("no face was found by the landmark detector")
        if not np.isfinite(self.points[name]).all():
            raise NoFaceError("its landmarks are not finite")
        return Landmarks(self.points[name], np.zeros(COUNT, np.float32))


class Measured:
    """Landmarks measured in every photo of a folder and of the folders below it.

    Args:
        look: A photo's landmarks; raises NoFaceError where it sees no face.
        kind: What looks.

    Raises:
        AssetError: When the folder is missing or holds no photo.
    """

    def __init__(self, folder: Path, look: Callable[[np.ndarray], Landmarks], kind: str) -> None:
        self.folder, self.look, self.kind = folder, look, kind
        if not folder.is_dir():
            raise AssetError(f"{folder}: no such folder")
        found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        self.names = sorted(path.relative_to(folder).as_posix() for path in found)
        if not self.names:
            raise AssetError(f"{folder}: no photos in it")

    def landmarks(self, name: str, image: np.ndarray) -> Landmarks:
        return self.look(image)


def landmark_file(folder: Path) -> Path:
    """Where the given landmarks of a folder lie, if there are any."""
    return folder.with_name(folder.name + ".landmarks478.npz")


@dataclass(frozen=True)
class Labelled:
    """What happened to a folder's photos.

    Attributes:
        new, known: Photos done now, and those done before; with a fit or without.
        skipped: Name and reason of each photo without a fit, of earlier runs too.
    """

    new: int
    known: int
    skipped: list[tuple[str, str]] = field(default_factory=list)


def label(
    source: Source,
    output: Path,
    bases: LandmarkBases,
    config: FitConfig,
    size: int = SHARD,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Labelled:
    """Fit all photos of a source that no shard in `output` holds yet. Photos that came since get shards of their own.

    Args:
        output: Folder of the shards; also receives `skipped.txt`.
        size: Photos of a new shard.
        threads: Photos read and looked at at once. What is found does not depend on it.
        progress: Called with the number of photos done and of all.

    Raises:
        AssetError: When the shards there were made otherwise.
    """
    made = {"landmarks": source.kind, "model": _digest(bases), "fit": asdict(config)}
    before = targets.read_index(output)
    if before is not None and before.made != made:
        raise AssetError(f"{output}: holds targets made with {before.made}, now {made}; choose another folder")
    index = (before or Index(made, ())).extended(source.names, size)
    if index != before:
        targets.write_index(output, index)
    new = done = 0
    for number, names in enumerate(index.shards):
        path = Index.shard(output, number)
        if not path.exists():
            targets.write_shard(path, *_fitted(source, names, bases, config, threads))
            new += len(names)
        done += len(names)
        progress(done, index.photos)
    lists = targets.read_shards(output, targets.SKIPPED) if index.shards else {key: [] for key in targets.SKIPPED}
    skipped = [(str(name), str(reason)) for name, reason in zip(lists["skipped"], lists["reason"])]
    (output / LIST).write_text("".join(f"{name}\t{reason}\n" for name, reason in skipped))
    return Labelled(new, done - new, skipped)


def _digest(bases: LandmarkBases) -> str:
    """What tells two models of the landmarks apart."""
    digest = hashlib.sha256()
    for array in (bases.mean, bases.identity, bases.expression, bases.sigma):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]


def _fitted(
    source: Source, names: Sequence[str], bases: LandmarkBases, config: FitConfig, threads: int
) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """Rows of a shard, and its photos without a fit."""

    def measure(name: str) -> tuple[Landmarks, tuple[int, int]] | LikenessError:
        try:
            image = read(source.folder / name)
            return source.landmarks(name, image), image.shape[:2]
        except LikenessError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(measure, names))
    reasons = ((name, result) for name, result in zip(names, found) if isinstance(result, LikenessError))
    skipped = [(name, str(error).removeprefix(f"{source.folder / name}: ")) for name, error in reasons]
    good = [(name, result) for name, result in zip(names, found) if not isinstance(result, LikenessError)]
    if not good:
        return {}, skipped
    kept, (marks, sizes) = [name for name, _ in good], zip(*(result for _, result in good))
    return _rows(kept, marks, sizes, bases, config), skipped


def _rows(
    names: list[str],
    marks: Sequence[Landmarks],
    sizes: Sequence[tuple[int, int]],
    bases: LandmarkBases,
    config: FitConfig,
) -> dict[str, np.ndarray]:
    """A shard's arrays, see `targets.FIELDS`."""
    points, sigma = np.stack([mark.points for mark in marks]), np.stack([mark.sigma for mark in marks])
    fits = fit(bases, torch.as_tensor(points), config, sigma=torch.as_tensor(sigma) if sigma.any() else None)
    if points.shape[-1] == 2:
        points = np.concatenate([points, _depth(bases, fits)[..., None]], -1)
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    error = np.linalg.norm(fits.points.numpy() - points[..., :2], axis=-1)[:, : IRISES.start].mean(1) / eyes
    result = {key: getattr(fits, key).numpy() for key in targets.TARGETS}
    return result | {
        "name": np.array(names), "size": np.array(sizes), "points": points, "sigma": sigma, "error": error,
        "trusts": fits.trusts.numpy(), "ok": error < LARGEST_ERROR,
    }  # fmt: skip


def _depth(bases: LandmarkBases, fits: LandmarkFit) -> np.ndarray:
    """(B, 478) the landmarks' depth on the fitted faces, in pixels as automatic landmarks have it: smaller is nearer."""
    faces = np.tensordot(fits.identity.numpy(), bases.identity, 1) + np.tensordot(
        fits.expression.numpy(), bases.expression, 1
    )
    height = ((bases.mean + faces) * fits.rotation.numpy()[:, None, 2]).sum(-1)
    return -height * (fits.focal / -fits.translation[:, 2]).numpy()[:, None]
