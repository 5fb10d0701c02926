"""Find faces in a picture with the finder that ships."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from likeness.errors import PhotoError
from likeness.photos.detect import (
    CANDIDATE,
    Detection,
    convincing,
    cut,
    decode,
    look_again,
    look_window,
    square,
    suppress,
    tiles,
    triage,
)
from likeness.runtime.session import open_session

MODEL = Path(__file__).parent / "finder.onnx"


class Finder:
    """The finder's network in an ONNX Runtime session of one thread.

    Attributes:
        threshold: Score from which an answer counts as a face: chosen on validation scenes when the file was made.
    """

    def __init__(self, path: Path = MODEL) -> None:
        """
        Raises:
            likeness.errors.AssetError: When the file is missing or damaged.
        """
        self.session = open_session(path, "face finder")
        self.threshold = float(self.session.get_modelmeta().custom_metadata_map["likeness.threshold"])

    def find(self, image: np.ndarray, min_face: float = 40.0, threshold: float | None = None) -> list[Detection]:
        """All faces of a picture, surest first.

        Args:
            image: (H, W, 3) uint8 sRGB.
            min_face: Side of the smallest wanted face, in pixels after the longer side is reduced to 640; below 40 the
                picture is searched in ever finer tiles.
            threshold: Least score; by default the one the file brings.

        Raises:
            PhotoError: When `image` is not such an array.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise PhotoError(f"expected a picture (height, width, 3) uint8, got {image.shape} {image.dtype}")
        threshold = self.threshold if threshold is None else threshold
        found = [decode(*self._run(cut(image, tile)), tile, CANDIDATE) for tile in tiles(image.shape[:2], min_face)]
        sure, doubtful = triage(suppress(np.concatenate(found)))
        rows = suppress(np.concatenate([sure, *(self._again(image, row)[None] for row in doubtful)]))
        return [Detection(square(row[:2], row[2]), float(row[3]), float(row[4])) for row in convincing(rows, threshold)]

    def _run(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score (h, w) and geometry (5, h, w) of a window (H, W, 3)."""
        return self.session.run(None, {"image": window[None]})

    def _again(self, image: np.ndarray, row: np.ndarray) -> np.ndarray:
        """A second look at a candidate."""
        window, photo_from_window = look_window(image, row)
        return look_again(row, *self._run(window), photo_from_window)


@functools.lru_cache(maxsize=1)
def shipped() -> Finder:
    """The finder that ships, loaded once."""
    return Finder()


def find_faces(image: np.ndarray, min_face: float = 40.0, threshold: float | None = None) -> list[Detection]:
    """All faces of a picture (H, W, 3) uint8 sRGB, surest first, by the finder that ships. See `Finder.find`."""
    return shipped().find(image, min_face, threshold)
