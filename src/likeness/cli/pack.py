"""`likeness train pack`: photos with their landmarks into WebDataset shards; and which shards a training is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from likeness.assets.catalogue import PHOTO_SETS
from likeness.errors import AssetError, OutputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from likeness.data.folder import Listing

LISTED = 20
"""Photos left out that are printed."""


@dataclass(frozen=True)
class Pack:
    """Pack photos with their dense landmarks into WebDataset shards, plain tar files, for `--shards` of a training. Goes on
    where it was interrupted."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of photos; all of them are mixed in every shard. Landmarks are those of <folder>.landmarks478.npz, else of
    --targets."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards, 000000.tar and so on."""
    targets: Path | None = None
    """What `likeness label FOLDER -o TARGETS` wrote: it holds the landmarks of each photo."""
    splits: tuple[Literal["train", "validation", "test"], ...] = ("train",)
    """Photos of these splits: every tenth is for validation, every tenth for a test, by the last digit of its name."""
    shard_size: int = 1000
    """Photos of a shard, at most. A training needs a shard, better many, for each of its processes."""


def pack(config: Pack) -> None:
    """Write the shards that are missing.

    Raises:
        UsageError: When options do not fit together.
        AssetError: When a folder or its landmarks are missing, or the output holds other shards.
        OutputError: When a shard cannot be written.
    """
    from rich.console import Console
    from rich.progress import track

    from likeness.data.packed import pack as write

    folders = [folder.resolve() for folder in config.folders]
    if not folders or not config.splits or config.shard_size < 1:
        raise UsageError("name a folder of photos at least, and a split; --shard-size is 1 at least")
    if len({folder.name for folder in folders}) < len(folders):
        raise UsageError(
            "two of the folders have one name, by which their photos are told apart; pack them by themselves"
        )
    console, left = Console(stderr=True), []
    listings = [_listing(folder, config, console) for folder in folders]
    count = sum(len(listing.files) for listing in listings)
    if not count:
        raise AssetError(f"{', '.join(map(str, folders))}: no photos of {', '.join(config.splits)} with landmarks")
    shards = -(-count // config.shard_size)
    try:
        steps = write(listings, config.output, config.shard_size, lambda file, why: left.append(f"{file}: {why}"))
        for _ in track(steps, "shards", shards, console=console):
            pass
    except OSError as error:
        raise OutputError(f"{config.output}: cannot be written ({error.strerror or error})") from None
    console.print(
        f"{config.output}: {count} photos in {shards} shards; {len(left)} left out now", markup=False, highlight=False
    )
    for line in left[:LISTED] + [f"and {len(left) - LISTED} more"] * (len(left) > LISTED):
        console.print(f"  {line}", markup=False, highlight=False)


def files(patterns: Sequence[str]) -> list[Path]:
    """Tar files by their names, by patterns or by folders, in one order.

    Raises:
        AssetError: When there is none of a name.
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        matches = [path] if path.is_file() else list(path.glob("*.tar") if path.is_dir() else map(Path, glob(pattern)))
        if not matches:
            raise AssetError(f"{pattern}: no such shard; make them with `likeness train pack`")
        found.update(matches)
    return sorted(found)


def check_photos(shards: Sequence[str], data: Path | None, sets: Sequence[str]) -> None:
    """Refuse to learn from shards and from photo sets at once.

    Raises:
        UsageError: When both are named.
    """
    if shards and (data is not None or tuple(sets) != PHOTO_SETS):
        raise UsageError("--shards are instead of photo sets; leave out --data and --sets")


def made_from(shards: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
    """The photos that a run learns from, as it tells of them (`recipes.base.Recipe.facts`)."""
    if not shards:
        return {"sets": list(sets)}
    found = files(shards)
    digest = hashlib.sha256("".join(f"{path.name} {path.stat().st_size}\n" for path in found).encode())
    return {"shards": f"{len(found)} ({digest.hexdigest()[:12]})"}


def sources_of(shards: Sequence[str], sets: Sequence[str]) -> str:
    """The photo sets that were learned from, for the card of what is exported."""
    from likeness.data.packed import sets_of

    return "photo sets " + ", ".join(sets_of(files(shards)) if shards else sets)


def _listing(folder: Path, config: Pack, console: Console) -> Listing:
    """A folder's photos of the wanted splits, with their landmarks."""
    import numpy as np

    from likeness.data.folder import Listing, read_set
    from likeness.photos.read import SUFFIXES

    given = folder.with_name(folder.name + ".landmarks478.npz")
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder")
    if not given.exists() and config.targets is None:
        raise AssetError(
            f"{folder}: no landmarks, for there is no {given.name} beside it; find them with "
            f"`likeness label {folder} -o TARGETS`, and give --targets TARGETS"
        )
    targets = None if given.exists() else config.targets
    found = {split: read_set(folder.parent, folder.name, split, targets) for split in ("train", "validation", "test")}
    known = {file for listing in found.values() for file in listing.files}
    photos = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    absent = sum(path.relative_to(folder).as_posix() not in known for path in photos)
    if absent:
        console.print(f"{folder.name}: {absent} photos have no landmarks", markup=False, highlight=False)
    chosen = [found[split] for split in config.splits]
    points = np.concatenate([listing.points for listing in chosen])
    if points.shape[1:] != (478, 3):
        raise AssetError(f"{folder}: its landmarks are {points.shape[1:]} numbers a photo; (478, 3) are wanted")
    return Listing(folder.parent, folder.name, [file for listing in chosen for file in listing.files], points)
