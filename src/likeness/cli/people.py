"""`likeness train people`: pictures of many people, many of each, from which identity is learned."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.train import data_folder

CHUNK = 200
"""People in a shard; a multiple of four, so that none of `casting.made_up`'s families is divided."""
BATCH = 16
"""Renders drawn at once, under one kind of light."""
TEXELS = 128
"""Along a side of a photo's chart."""
SURROUNDINGS = 150
"""Photos of which what is around the face may lie behind renders, for each shard."""


@dataclass(frozen=True)
class People:
    """Draw people: photos beside renders of their fits, and made-up ones. What is there is not drawn again."""

    output: Path = Path("runs/people")
    """Folder for the shards."""
    targets: Path = Path("runs/targets")
    """Folder of fits made by `likeness label`."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets; each photo is a person. gan states no licence: leave it out here to do without it. None: made-up people alone."""
    split: Literal["train", "validation", "test"] = "train"
    """Photos of this split, and made-up people of its own."""
    own: int = 3
    """Renders of each photo's fit with the skin unwrapped from it."""
    model: int = 2
    """Renders of each photo's fit by codes alone."""
    made_up: int = 4000
    """Made-up people."""
    shots: int = 6
    """Renders of each of them."""
    videos: bool = False
    """Cut out the people of video_frames/ instead (those of the split). For research alone: they must not enter weights that ship."""
    jobs: int = 1
    """Processes."""


def people(config: People) -> None:
    """Write the shards that are missing."""
    from rich.progress import Progress

    data_folder(config.data)
    work = [
        (name, start)
        for name in ([] if config.videos else [*config.sets, "made-up"])
        for start in _starts(config, name)
    ]
    if config.videos:
        work = [("video_frames", 0)]
    missing = [(name, start) for name, start in work if not _path(config, name, start).exists()]
    with Progress(transient=True) as bar:
        task = bar.add_task("people", total=len(missing))
        if config.jobs == 1:
            for name, start in missing:
                _shard(config, name, start)
                bar.update(task, advance=1)
            return
        with ProcessPoolExecutor(config.jobs, get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_shard, config, name, start) for name, start in missing]):
                done.result()
                bar.update(task, advance=1)


def _path(config: People, name: str, start: int) -> Path:
    return config.output / config.split / f"{name}-{start:05d}.npz"


def _starts(config: People, name: str) -> range:
    return range(0, config.made_up if name == "made-up" else len(_listing(config, name).files), CHUNK)


def _listing(config: People, name: str):
    from likeness.data.folder import read_set

    return read_set(data_folder(config.data) / "photos", name, config.split, config.targets)


def _shard(config: People, name: str, start: int) -> None:
    """One shard, which depends on the split, the set and its place alone."""
    import cv2
    import torch

    from likeness.data import identities

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    if name == "video_frames":
        rows = _frames(config)
    elif name == "made-up":
        rows = _invented(config, start)
    else:
        rows = _photographed(config, name, start)
    identities.write(_path(config, name, start), identities.packed(rows))


def _random(config: People, name: str, start: int):
    import zlib

    import numpy as np

    return np.random.default_rng((zlib.crc32(f"{config.split} {name}".encode()), start))


def _invented(config: People, start: int) -> list:
    from likeness.assets import albedo, builtin
    from likeness.data import casting, identities

    random = _random(config, "made-up", start)
    model, skins = builtin.load(), albedo.load()
    cast = casting.Casting(model, skins, *_surroundings(config, random))
    people = casting.made_up(min(CHUNK, config.made_up - start), len(model.identity), skins.codes, random)
    return _shots(
        cast,
        [(part, place, identities.MODEL) for place, part in enumerate(people) for _ in range(config.shots)],
        random,
    )


def _photographed(config: People, name: str, start: int) -> list:
    import numpy as np

    from likeness.assets import albedo, builtin
    from likeness.data import casting, identities
    from likeness.fit.albedo import charts
    from likeness.fit.albedo.portraits import Painter

    random, listing = _random(config, name, start), _listing(config, name)
    chosen = range(start, min(start + CHUNK, len(listing.files)))
    cuts = {i: identities.cut(listing.picture(i), listing.points[i]) for i in chosen}
    fits = [i for i in charts.frontal(listing) if i in chosen]
    if not fits:
        return [identities.Row(picture, i, identities.PHOTO, outline) for i, (picture, outline) in cuts.items()]
    model, skins = builtin.load(), albedo.load()
    unwrapper, targets = charts.Unwrapper(model, TEXELS), listing.targets
    parts = [charts.unwrap(unwrapper, listing, i) for i in fits]
    unwrapped = charts.Charts(*(np.stack(values) for values in zip(*parts)), np.array(fits))
    kept, codes, maps = Painter.of(skins, model, targets["expression"][fits].mean(0), TEXELS)(unwrapped)
    cast, work, known = casting.Casting(model, skins, *_surroundings(config, random)), [], {}
    for place, code, skin in zip(kept, codes, maps):
        i = fits[place]
        shape, face = targets["identity"][i], targets["expression"][i]
        known[i] = np.concatenate([shape, code])
        work += [(casting.Part(shape, code, skin, face), i, identities.OWN)] * config.own
        work += [(casting.Part(shape, code, None, face), i, identities.MODEL)] * config.model
    rows = [
        identities.Row(picture, i, identities.PHOTO, outline, known.get(i)) for i, (picture, outline) in cuts.items()
    ]
    return rows + _shots(cast, work, random)


def _shots(cast, work: list, random) -> list:
    """Rows of an album, of (part, person, kind)."""
    import numpy as np

    from likeness.data import identities

    rows = []
    for first in range(0, len(work), BATCH):
        some = work[first : first + BATCH]
        for picture, (part, person, kind) in zip(cast.draw([part for part, _, _ in some], random), some):
            rows.append(identities.Row(picture, person, kind, codes=np.concatenate([part.identity, part.albedo])))
    return rows


def _surroundings(config: People, random):
    """Expressions of photos (n, 51), and what is around some faces."""
    import numpy as np

    from likeness.assets.arkit import EXPRESSIONS
    from likeness.data import casting, identities

    listings = [_listing(config, name) for name in config.sets]
    if not listings:
        return np.zeros((1, len(EXPRESSIONS))), []
    fitted = np.concatenate([listing.targets["expression"][listing.targets["known"]] for listing in listings])
    pictures = []
    for _ in range(SURROUNDINGS):
        listing = listings[random.integers(len(listings))]
        i = int(random.integers(len(listing.files)))
        pictures.append(casting.faceless(*identities.cut(listing.picture(i), listing.points[i])))
    return fitted, pictures


def _frames(config: People) -> list:
    """All frames of a split's people."""
    from likeness.cli.frames import frames
    from likeness.data import identities

    found = frames(data_folder(config.data), config.split)
    numbers = {person: i for i, person in enumerate(sorted(set(found.people)))}
    rows = []
    for i, person in enumerate(found.people):
        picture, outline = identities.cut(found.picture(i), found.points[i])
        rows.append(identities.Row(picture, numbers[person], identities.PHOTO, outline))
    return rows
