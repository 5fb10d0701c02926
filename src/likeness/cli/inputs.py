"""Which photos a command line names, and what their results are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from likeness.errors import PhotoError, UsageError
from likeness.photos.read import SUFFIXES


def photos(inputs: Iterable[Path]) -> list[Path]:
    """The photos of a command line: files as they are, folders by the pictures in them, each once.

    A file that is missing or is no picture stays in the list, so that it is reported when its turn comes.

    Raises:
        UsageError: When nothing was given.
        PhotoError: When a folder holds no picture.
    """
    found: dict[Path, Path] = {}
    for path in inputs:
        pictures = [path]
        if path.is_dir():
            pictures = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
            if not pictures:
                raise PhotoError(f"{path}: no picture lies in this folder")
        for picture in pictures:
            found.setdefault(picture.absolute(), picture)
    if not found:
        raise UsageError("no photo was given; name files or folders of pictures")
    return list(found.values())


def plain_name(name: str) -> str:
    """A picture's name without the ending of its file, where it has one that pictures have."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else path.as_posix()


def folder_names(paths: Sequence[Path]) -> list[str]:
    """A name for each photo's folder of results: its stem, and for equal stems a number.

    Numbers follow the order of the sorted paths, so they do not depend on the order in which photos are given. Names
    that differ only in the case of letters count as equal, because some disks cannot tell them apart.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    stems = {path.stem.casefold() for path in paths}
    for path in sorted(paths, key=lambda path: (path.absolute(), path.name)):
        name, number = path.stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in stems):
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        names[path] = name
    return [names[path] for path in paths]
