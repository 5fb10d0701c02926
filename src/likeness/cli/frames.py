"""The people of video_frames/, for commands that measure or research."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.errors import AssetError

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


def frames(data: Path, split: str) -> Frames:
    """All frames of a split's people.

    Args:
        data: Folder that holds video_frames/.

    Raises:
        AssetError: When it does not.
    """
    folder = data / "video_frames"
    try:
        with np.load(folder / "landmarks478.npz") as file:
            names, points = [str(name) for name in file["name"]], file["points"].astype(np.float32)
    except (OSError, KeyError) as error:
        raise AssetError(f"{folder}: no frames with landmarks478.npz are there ({error})") from None
    taken = "".join(LETTERS.values())
    mine = [i for i, name in enumerate(names) if (name[0] in LETTERS[split] if split in LETTERS else name[0] not in taken)]
    stems = [names[i].rsplit(".", 1)[0].rsplit("_", 1) for i in mine]
    files = tuple(folder / "frames" / names[i] for i in mine)
    return Frames(files, np.array([p for p, _ in stems]), np.array([v[0] for _, v in stems]), points[mine])
