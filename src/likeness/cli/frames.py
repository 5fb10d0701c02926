"""The people of video_frames/, for commands that measure or research."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

LETTERS = {"validation": "M", "test": "AJS"}
"""First letters of the people's names of a split; all others are for training."""


@dataclass(frozen=True)
class Frames:
    """Frames of videos.

    Attributes:
        files: (n,) paths.
        people, videos: (n,) who, and which of the person's videos.
        points: (n, 478, 3) dense landmarks, px.
    """

    files: tuple[Path, ...]
    people: np.ndarray
    videos: np.ndarray
    points: np.ndarray

    def picture(self, i: int) -> np.ndarray:
        """Frame i, uint8 (h, w, 3) sRGB."""
        from likeness.data.folder import picture

        return picture(self.files[i])


def frames(data: Path, split: str | None) -> Frames:
    """All frames of a split's people, or of everybody.

    Args:
        data: Folder that holds video_frames/.

    Raises:
        AssetError: When it does not.
    """
    from likeness.data.folder import archive

    folder = data / "video_frames"
    found = archive(folder / "landmarks478.npz", ("name", "points"))
    names, points = [str(name) for name in found["name"]], found["points"].astype(np.float32)
    splits = {letter: name for name, letters in LETTERS.items() for letter in letters}
    mine = [i for i, name in enumerate(names) if split in (None, splits.get(name[0], "train"))]
    stems = [names[i].rsplit(".", 1)[0].rsplit("_", 1) for i in mine]
    files = tuple(folder / "frames" / names[i] for i in mine)
    return Frames(files, np.array([p for p, _ in stems]), np.array([v[0] for _, v in stems]), points[mine])
