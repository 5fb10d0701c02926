"""Predictions that mirror the truth's tree: an item is a path below the folder, without its suffix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from likeness.errors import AssetError


@dataclass(frozen=True)
class Pairs:
    """Items of a set.

    Attributes:
        names: Items that have a truth, sorted.
        truth: Item -> file.
        predictions: Item -> its files, for those that have any: one, or a folder of the item's name with one a frame.
        strays: Items of the predictions that have no truth.
    """

    names: tuple[str, ...]
    truth: dict[str, Path]
    predictions: dict[str, tuple[Path, ...]]
    strays: tuple[str, ...]

    def frames(self, name: str) -> tuple[Path, ...]:
        """The prediction's files.

        Raises:
            AssetError: There is none.
        """
        if name not in self.predictions:
            raise AssetError(f"{name}: no prediction")
        return self.predictions[name]

    def prediction(self, name: str) -> Path:
        """The prediction's only file.

        Raises:
            AssetError: There is none, or a folder of several.
        """
        if len(self.frames(name)) > 1:
            raise AssetError(f"{name}: a folder of {len(self.frames(name))} predictions, where one is wanted")
        return self.frames(name)[0]

    def person(self, name: str) -> str:
        """The outermost folder of an item, in the public sets the person; the item itself where there is none."""
        return name.split("/")[0]


def files(folder: Path, suffixes: Sequence[str], only: str = "*") -> dict[str, Path]:
    """Files below a folder by item, of the first suffix where there are several; hidden ones are left out.

    Args:
        only: Pattern that the name of a file must match, as `*_F3D.wrl`.

    Raises:
        AssetError: The folder is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for suffix in suffixes:
        for path in sorted(folder.rglob(only)):
            if path.suffix.lower() == suffix and not path.name.startswith(".") and path.is_file():
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return dict(sorted(found.items()))


def pairs(
    predictions: Path,
    truth: Path,
    suffixes: Sequence[str],
    only: str = "*",
    truth_suffixes: Sequence[str] | None = None,
) -> Pairs:
    """Match files of two folders by their place in them.

    Raises:
        AssetError: A folder is missing, or the truth holds no file of these suffixes.
    """
    true = files(truth, truth_suffixes or suffixes, only)
    if not true:
        raise AssetError(f"{truth}: no truth: no file {only} with {', '.join(truth_suffixes or suffixes)}")
    found: dict[str, tuple[Path, ...]] = {}
    strays = []
    for name, path in files(predictions, suffixes).items():
        item = name if name in true else name.rpartition("/")[0]
        if item in true and (name in true or found.get(item, (path,))[0].parent == path.parent):
            found[item] = (path,) if name in true else (*found.get(item, ()), path)
        else:
            strays.append(name)
    return Pairs(tuple(true), true, found, tuple(strays))
