"""The photos of landmarks_lfpw/, which have 68 points by hand, for commands that measure landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from likeness.evaluate.landmarks import LandmarkMap


@dataclass(frozen=True)
class Lfpw:
    """Photos of 300-W (LFPW).

    Attributes:
        files: (n,) paths.
        dense: (n, 478, 3) float32, automatic landmarks, px.
        points: (n, 68, 2) float64, by hand, px.
        fold: (n,) by turns 0, for validation, and 1, for the test.
        mapping: From dense landmarks to the 68 points; each fold's is learned on the other.
    """

    files: tuple[Path, ...]
    dense: np.ndarray
    points: np.ndarray
    fold: np.ndarray
    mapping: LandmarkMap

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the photos of the "test", or else of the validation."""
        return np.flatnonzero(self.fold == (1 if split == "test" else 0))


def lfpw(data: Path) -> Lfpw:
    """All photos.

    Args:
        data: Folder that holds landmarks_lfpw/.

    Raises:
        AssetError: When it does not.
    """
    from likeness.data.folder import archive
    from likeness.evaluate.landmarks import fit_map

    folder = data / "landmarks_lfpw"
    found = archive(folder / "landmarks478.npz", ("name", "points"))
    dense = found["points"].astype(np.float32)
    points = archive(folder / "landmarks68.npz", ("points",))["points"].astype(np.float64)
    fold = np.arange(len(dense)) % 2
    files = tuple(folder / "images" / str(name) for name in found["name"])
    return Lfpw(files, dense, points, fold, fit_map(dense, points, fold))
