"""Around the face finder's network: what a face box is, how a photo is cut into tiles, and how the network's maps
become boxes. Numpy and OpenCV only; the network itself runs in `runtime.detect`.

The network sees pictures whose longer side is `SIDE` pixels and answers on a grid of `STRIDE` pixels: a score, and for
each cell (dx, dy, log side, cos roll, sin roll) of the face whose centre is near (after Zhou et al. 2019, "Objects as
Points"; the roll is ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 320
"""Longer side of a picture as the network sees it, in pixels."""
STRIDE = 8
"""Pixels between the cells of the network's answer."""
UNIT = 64.0
"""Side of a box, in network pixels, whose logarithm the network calls zero."""
SMALLEST = 20.0
"""Side of the smallest face that the network was trained to find, in network pixels: 40 px of a photo of 640."""
MULTIPLE = 32
"""The network's input sides are multiples of this."""
LOOK, LOOK_FACE = 160, 76.0
"""A second look at a doubtful face: side of its upright window, and of the face in it, in pixels; the size at which the
network is surest, and small enough to cost a quarter of a first look."""
CANDIDATE, SURE = 0.2, 0.72
"""Scores of a first look between which a second one is taken..."""
BESIDE_SURE, MOST = 0.4, 24
"""...but beside a sure face only from this score, and only so many times: each costs a quarter of a first look."""
OF_BEST = 0.65
"""Share of the best score in a picture below which other answers are dropped: beside a clear face, a vague one is
mostly none. As precise on validation scenes as a threshold higher by 0.03, and it leaves lone faces the lower one."""
UPRIGHT = math.radians(10)
"""Roll beyond which even a sure face is looked at again."""
OUTER_EYES = (33, 263)
"""Dense landmarks at the outer corners of the subject's right and left eye."""


@dataclass(frozen=True)
class Detection:
    """A face in a photo.

    Attributes:
        box: (x0, y0, x1, y1) pixels of the photo: the axis-aligned square with the centre and the side of the dense
            landmarks' extent in the face's upright frame. It may reach beyond the picture.
        roll: Radians, clockwise in the picture: direction from the outer corner of the subject's right eye to that of
            the left one.
        score: In [0, 1].
    """

    box: tuple[float, float, float, float]
    roll: float
    score: float

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def side(self) -> float:
        """Pixels."""
        return self.box[2] - self.box[0]


@dataclass(frozen=True)
class Tile:
    """A window of a scaled photo.

    Attributes:
        scale: Tile pixels per photo pixel.
        corner: (x, y) of the window's corner in the scaled photo, whole pixels.
        size: (height, width) of the window, in the scaled photo's pixels.
    """

    scale: float
    corner: tuple[int, int]
    size: tuple[int, int]


def face_frame(points: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Centre (2,), side and roll of the box that belongs to dense landmarks (478 or 468, 2 or 3) in pixels."""
    flat = np.asarray(points, np.float64)[:, :2]
    eye = flat[OUTER_EYES[1]] - flat[OUTER_EYES[0]]
    roll = math.atan2(eye[1], eye[0])
    image_from_upright = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = flat @ image_from_upright
    low, high = upright.min(0), upright.max(0)
    return image_from_upright @ ((low + high) / 2), float((high - low).max()), roll


def square(center: Sequence[float], side: float) -> tuple[float, float, float, float]:
    """The axis-aligned square (x0, y0, x1, y1) around a centre."""
    x, y, half = float(center[0]), float(center[1]), float(side) / 2
    return x - half, y - half, x + half, y + half


def tiles(size: tuple[int, int], min_face: float = 40.0) -> list[Tile]:
    """Windows that together show every face of at least `min_face` pixels large enough for the network.

    The first is the whole picture, its longer side scaled to `SIDE`. Smaller faces, and pictures so long and narrow
    that the whole shows nothing, need levels at twice, four times... the scale, cut into windows of `SIDE` with an
    overlap of a quarter, which holds every face that the level below cannot see.

    Args:
        size: (height, width) of the photo.
        min_face: Side of the smallest wanted face, in pixels after the longer side is reduced to 640.
    """
    height, width = size
    longer, shorter = max(size), min(size)
    finest = min(max(SMALLEST / max(min_face, 1.0) * 2, 1.0), 2.0 * longer / SIDE)
    levels = max(0, math.ceil(math.log2(finest) - 1e-6)) if finest > 1 else 0
    while shorter / longer * SIDE * 2**levels < SIDE / 2 and SIDE * 2 ** (levels + 1) <= 2 * longer and levels < 6:
        levels += 1
    found = []
    for level in range(levels + 1):
        scale = SIDE * 2**level / longer
        scaled = max(1, round(height * scale)), max(1, round(width * scale))
        found += [
            Tile(scale, (x, y), (min(SIDE, scaled[0]), min(SIDE, scaled[1])))
            for y in _starts(scaled[0])
            for x in _starts(scaled[1])
        ]
    return found


def _starts(length: int) -> list[int]:
    """First pixels of windows of `SIDE` that cover `length` pixels with an overlap of at least a quarter."""
    if length <= SIDE:
        return [0]
    count = math.ceil((length - SIDE) / (0.75 * SIDE)) + 1
    return [round(i * (length - SIDE) / (count - 1)) for i in range(count)]


def cut(image: np.ndarray, tile: Tile) -> np.ndarray:
    """The window's pixels as network input: uint8 (h, w, 3), h and w padded with black to multiples of `MULTIPLE`."""
    (x, y), (height, width) = tile.corner, tile.size
    window = image
    if (x, y) != (0, 0) or tile.size != _scaled(image, tile.scale):
        # Scale only the window's own pixels: at a fine level the whole photo would be needlessly large.
        x0, y0 = int(x / tile.scale), int(y / tile.scale)
        x1, y1 = math.ceil((x + width) / tile.scale), math.ceil((y + height) / tile.scale)
        window = image[y0:y1, x0:x1]
    shape = (width, height)
    small = cv2.resize(window, shape, interpolation=cv2.INTER_AREA if tile.scale < 1 else cv2.INTER_LINEAR)
    padded = np.zeros((-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.uint8)
    padded[:height, :width] = small
    return padded


def _scaled(image: np.ndarray, scale: float) -> tuple[int, int]:
    return max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))


def decode(score: np.ndarray, geometry: np.ndarray, tile: Tile, threshold: float) -> np.ndarray:
    """Peaks of the score map as rows (x, y, side, roll, score) in photo pixels.

    Args:
        score: (h, w) in [0, 1], one cell per `STRIDE` pixels.
        geometry: (5, h, w): offset of the centre from the middle of the cell in cells, log side / `UNIT`, cos and sin
            of the roll.
    """
    peaks = (score >= threshold) & (score >= cv2.dilate(score, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero(peaks)
    dx, dy, log_side, cos, sin = geometry[:, rows, columns]
    x = (columns + 0.5 + dx) * STRIDE
    y = (rows + 0.5 + dy) * STRIDE
    side = np.exp(np.clip(log_side, -5, 5)) * UNIT
    inside = (x < tile.size[1]) & (y < tile.size[0])
    found = np.stack(
        [
            (x + tile.corner[0]) / tile.scale,
            (y + tile.corner[1]) / tile.scale,
            side / tile.scale,
            np.arctan2(sin, cos),
            score[rows, columns],
        ],
        axis=1,
    )
    return found[inside]


def triage(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (x, y, side, roll, score) of a first look, best first, as those that are sure and those to look at again."""
    certain = found[:, 4] >= SURE
    upright = np.abs(found[:, 3]) <= UPRIGHT
    least = BESIDE_SURE if certain.any() else CANDIDATE
    return found[certain & upright], found[~(certain & upright) & (found[:, 4] >= least)][:MOST]


def convincing(rows: np.ndarray, threshold: float) -> np.ndarray:
    """Of all rows (x, y, side, roll, score) of a picture, those that count as faces."""
    best = rows[:, 4].max(initial=0.0)
    return rows[rows[:, 4] >= max(threshold, OF_BEST * best)]


def look_window(image: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A candidate turned upright and brought to the size that suits the network, from the photo's own pixels.

    Returns:
        The window (LOOK, LOOK, 3) uint8 and photo_from_window (2, 3) in pixels.
    """
    x, y, side, roll = row[:4]
    scale = LOOK_FACE / max(side, 1.0)
    linear = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]]) / scale
    photo_from_window = np.column_stack([linear, np.array([x, y]) - linear @ [LOOK / 2, LOOK / 2]])
    corner, shrink = np.zeros(2), np.ones(2)
    if scale < 0.7:  # reduced by area first, or it would alias
        reach = 0.75 * LOOK / scale
        low = np.clip(np.floor([x - reach, y - reach]), 0, [image.shape[1] - 1, image.shape[0] - 1]).astype(int)
        high = np.clip(np.ceil([x + reach, y + reach]), low + 1, [image.shape[1], image.shape[0]]).astype(int)
        small = np.maximum(1, np.rint((high - low) * scale * 1.2)).astype(int)
        corner, shrink = low, small / (high - low)
        around = image[low[1] : high[1], low[0] : high[0]]
        image = cv2.resize(around, tuple(int(n) for n in small), interpolation=cv2.INTER_AREA)
    affine = np.column_stack([linear, photo_from_window[:, 2] - corner]) * shrink[:, None]
    affine[:, 2] += affine[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV puts the centre of the first pixel at 0, we at 0.5
    window = cv2.warpAffine(image, affine, (LOOK, LOOK), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return window, photo_from_window


def look_again(row: np.ndarray, score: np.ndarray, geometry: np.ndarray, photo_from_window: np.ndarray) -> np.ndarray:
    """The candidate as the second look sees it, (x, y, side, roll, score) in photo pixels.

    The score becomes a third of the first and two thirds of the second; a second look that sees no face of about this
    size at about this place counts as zero and moves nothing.
    """
    found = decode(score, geometry, Tile(1.0, (0, 0), (LOOK, LOOK)), 0.02)
    near = np.hypot(found[:, 0] - LOOK / 2, found[:, 1] - LOOK / 2) < 0.35 * LOOK_FACE
    alike = np.abs(np.log(found[:, 2] / LOOK_FACE)) < 0.6
    found = found[near & alike]
    if not len(found):
        return np.array([*row[:4], row[4] / 3])
    best = found[found[:, 4].argmax()]
    center = photo_from_window @ [best[0], best[1], 1.0]
    side = best[2] * math.hypot(*photo_from_window[:, 0])
    return np.array([*center, side, row[3] + best[3], (row[4] + 2 * best[4]) / 3])


def suppress(found: np.ndarray, overlap: float = 0.35) -> np.ndarray:
    """Keep of the rows (x, y, side, roll, score) that overlap only the best, best first.

    Two rows are one face when their squares' intersection over union exceeds `overlap`, or when most of the smaller one
    lies inside the other (a part of a large face, seen in a fine tile).
    """
    order = np.argsort(-found[:, 4], kind="stable")
    kept: list[int] = []
    for i in order:
        if not any(_same(found[i], found[j], overlap) for j in kept):
            kept.append(int(i))
    return found[kept]


def _same(a: np.ndarray, b: np.ndarray, overlap: float) -> bool:
    common = intersection(square(a[:2], a[2]), square(b[:2], b[2]))
    smaller, union = min(a[2], b[2]) ** 2, a[2] ** 2 + b[2] ** 2 - common
    return bool(common > overlap * union or common > 0.7 * smaller)


def intersection(a: Sequence[float], b: Sequence[float]) -> float:
    """Area that two boxes (x0, y0, x1, y1) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def overlap_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    common = intersection(a, b)
    return common / max((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common, 1e-9)
