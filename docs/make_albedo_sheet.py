"""Draws docs/pictures/albedo.jpg: the albedo model that ships, over its chart and on the head, without any light.

python docs/make_albedo_sheet.py [MODEL] [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from likeness import color
from likeness.assets import albedo, builtin
from likeness.export.textures import to_jpeg
from likeness.runtime import draw

TILE, SMALL, COLUMNS, MODES, DRAWS = 300, 150, 8, 10, 24
PAPER, INK = (219, 219, 219), (40, 40, 40)


class Painter:
    """Draws codes of an albedo model."""

    def __init__(self, model: albedo.AlbedoModel) -> None:
        face = builtin.load()
        self.model, self.topology, self.vertices = model, face.topology("dense"), face.refine(face.mean)

    def chart(self, code: np.ndarray, side: int) -> np.ndarray:
        """The diffuse map."""
        return cv2.resize(color.encode(self.model.texture(code)), (side, side), interpolation=cv2.INTER_AREA)

    def shine(self, code: np.ndarray, side: int) -> np.ndarray:
        """The specular map."""
        return cv2.resize(color.encode(self.model.specular(code)), (side, side), interpolation=cv2.INTER_AREA)

    def head(self, code: np.ndarray, side: int, yaw: float = 0.0) -> np.ndarray:
        """The diffuse map on the mean head."""
        skin = self.vertices[self.topology.parts["skin"]]
        view = draw.portrait(skin, (side, side), yaw, margin=0.03)
        texture = color.encode(self.model.texture(code))
        return draw.textured(self.vertices, self.topology, texture, view, color.decode(np.uint8(PAPER)))


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line of text above it."""
    line = np.full((22, picture.shape[1], 3), PAPER, np.uint8)
    cv2.putText(line, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return np.concatenate([line, picture])


def tones(model: albedo.AlbedoModel, count: int) -> list[np.ndarray]:
    """Random codes from the lightest skin to the darkest, evenly spread over 400 draws."""
    codes = np.random.default_rng(0).standard_normal((400, model.codes)).astype(np.float32)
    middle = model.whole_mean[90:170:4, 60:196:4].mean((0, 1))
    side = np.stack([albedo.unfold(mode, sign)[90:170:4, 60:196:4].mean((0, 1))
                     for mode, sign in zip(model.half_modes, model.symmetry.tolist())])  # fmt: skip
    order = np.argsort(-((middle + codes @ side) @ np.float32(albedo.LUMINANCE)))
    return [codes[i] for i in order[np.linspace(2, len(order) - 3, count).astype(int)]]


def sheet(model: albedo.AlbedoModel) -> np.ndarray:
    """The whole picture (h, w, 3) uint8 sRGB."""
    painter, zero = Painter(model), np.zeros(model.codes, np.float32)
    top = [
        labelled(painter.chart(zero, TILE), "mean, chart"), labelled(painter.head(zero, TILE), "mean, no light"),
        labelled(painter.head(zero, TILE, 0.7), "mean, turned"),
    ]  # fmt: skip
    shine = labelled(painter.shine(zero, TILE), "specular, authored")
    rows = [np.concatenate([*top, shine], 1)]
    for first in range(0, MODES, 2):
        cells = []
        for k in (first, first + 1):
            kind = "symmetric" if model.symmetry[k] > 0 else "antisymmetric"
            for sign in (-2, 2):
                code = sign * np.eye(model.codes, dtype=np.float32)[k]
                cells.append(labelled(painter.chart(code, SMALL), f"mode {k + 1}: {sign:+d} sd"))
                cells.append(labelled(painter.head(code, SMALL), kind))
        rows.append(np.concatenate(cells, 1))
    caption = np.full((22, COLUMNS * SMALL, 3), PAPER, np.uint8)
    cv2.putText(
        caption, "random faces, from light to dark", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA
    )
    rows.append(caption)
    heads = [painter.head(code, SMALL) for code in tones(model, DRAWS)]
    for first in range(0, DRAWS, COLUMNS):
        rows.append(np.concatenate(heads[first : first + COLUMNS], 1))
    return np.concatenate(rows)


def main() -> None:
    """Draw and write."""
    given = [Path(argument) for argument in sys.argv[1:]]
    picture = given[1] if len(given) > 1 else Path(__file__).parent / "pictures/albedo.jpg"
    picture.write_bytes(to_jpeg(sheet(albedo.load(given[0] if given else None)), 90))


if __name__ == "__main__":
    main()
