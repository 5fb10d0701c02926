"""Sheets of small pictures with captions, for the commands that measure trained recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from likeness.errors import UsageError

TILE, GAP, CAPTION = 144, 4, 20
"""Pixels: side of a picture, room between pictures, height of the line of captions."""


def write(path: Path, rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], columns: int = 1) -> None:
    """Write rows of pictures, captions above each column, as .png or .jpg.

    Args:
        rows: Pictures (h, w, 3) uint8 sRGB, square, any size.
        captions: One a picture of a row.
        columns: Rows side by side.

    Raises:
        UsageError: When the file's ending is another one, or there is no row.
    """
    from likeness.export.textures import to_jpeg, to_png
    from likeness.runtime.write import write_file

    encode = {".jpg": to_jpeg, ".jpeg": to_jpeg, ".png": to_png}.get(path.suffix.lower())
    if encode is None or not rows:
        raise UsageError(f"{path}: a sheet is a picture with at least one row; end its name in .jpg or .png")
    write_file(path, encode(sheet(rows, captions, columns)))


def sheet(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], columns: int = 1) -> np.ndarray:
    """The picture, (H, W, 3) uint8; rows go left to right, then down."""
    columns = min(columns, len(rows))
    lines, width = -(-len(rows) // columns), len(captions) * (TILE + GAP) + GAP
    canvas = np.full((CAPTION + lines * (TILE + GAP), columns * width - 2 * GAP, 3), 255, np.uint8)
    for place, row in enumerate(rows):
        top, left = CAPTION + place // columns * (TILE + GAP), place % columns * width
        for column, picture in enumerate(row):
            start = left + column * (TILE + GAP)
            canvas[top : top + TILE, start : start + TILE] = cv2.resize(
                picture, (TILE, TILE), interpolation=cv2.INTER_AREA
            )
    return _captioned(canvas, captions, columns, width)


def _captioned(canvas: np.ndarray, captions: Sequence[str], columns: int, width: int) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    image, font = Image.fromarray(canvas), ImageFont.load_default(12)
    draw = ImageDraw.Draw(image)
    for column in range(columns):
        for place, caption in enumerate(captions):
            draw.text((column * width + place * (TILE + GAP) + TILE / 2, 4), caption, "black", font, anchor="ma")
    return np.asarray(image)
