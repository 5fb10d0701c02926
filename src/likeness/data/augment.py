"""What may happen to a face between the world and the network: where the crop lies, what is in front, how it was taken."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from likeness.data import degrade
from likeness.data.folder import crop_from_photo, warp
from likeness.photos.crop import MARGIN as CROP_MARGIN
from likeness.photos.crop import SIZE as CROP_SIZE
from likeness.photos.detect import face_frame

TIGHT, LOOSE = (0.025, 0.04, 0.06), (0.09, 0.13, 0.20)
"""Spread of a crop's centre (box sides), log side and roll (radians): of a second pass, and of a finder's box."""


def jittered(points: np.ndarray, random: np.random.Generator, loose_share: float = 0.5) -> np.ndarray:
    """(3, 3) similarity from the pixels of `points` to a crop around them, misplaced as a finder would, or slightly."""
    center, side, roll = face_frame(points)
    spread = LOOSE if random.random() < loose_share else TIGHT
    center = center + side * spread[0] * random.standard_normal(2)
    side = side * math.exp(np.clip(spread[1] * random.standard_normal(), -0.3, 0.3))
    roll = roll + spread[2] * random.standard_normal()
    return crop_from_photo(center, CROP_MARGIN * side, roll, CROP_SIZE)


def stretched(motion: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(3, 3) affine map into a crop: that of `motion`, then the crop pulled longer one way than the other, and sheared.

    A face of other proportions comes out, whose landmarks are known exactly and whose codes are not. Ours.
    """
    linear = np.eye(2) + np.array([[0.08, 0.05], [0.05, 0.08]]) * random.standard_normal((2, 2))
    middle = np.full(2, CROP_SIZE / 2)
    pull = np.eye(3)
    pull[:2, :2], pull[:2, 2] = linear, middle - linear @ middle
    return pull @ motion


def exact(points: np.ndarray) -> np.ndarray:
    """(3, 3) similarity to the crop around landmarks, without error."""
    center, side, roll = face_frame(points)
    return crop_from_photo(center, CROP_MARGIN * side, roll, CROP_SIZE)


def take(image: np.ndarray, similarity: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """The crop's pixels, left and right exchanged where wanted."""
    crop = warp(image, similarity, CROP_SIZE, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(crop[:, ::-1]) if mirrored else crop


def spoil(crop: np.ndarray, random: np.random.Generator, other: Callable[[], np.ndarray]) -> np.ndarray:
    """Occlude and degrade a crop.

    Args:
        other: Gives another picture (uint8, any size), a part of which may come before the face.
    """
    if random.random() < 0.35:
        crop = occlude(crop, random, other)
    chain = ((degrade.recolor, 0.75), (degrade.shade, 0.15), (degrade.blur, 0.2), (degrade.shrink, 0.25),
             (degrade.noise, 0.2), (degrade.compress, 0.3), (degrade.grey, 0.1))  # fmt: skip
    for change, chance in chain:
        if random.random() < chance:
            crop = change(crop, random)
    return crop


def occlude(crop: np.ndarray, random: np.random.Generator, other: Callable[[], np.ndarray]) -> np.ndarray:
    """Something before the face: a shape, a bar, fingers, dark glasses, or the picture's own border; plain or textured."""
    size = crop.shape[0]
    mask = np.zeros((size, size), np.uint8)
    (_blob, _bar, _fingers, _glasses, _border)[random.choice(5, p=(0.4, 0.15, 0.2, 0.1, 0.15))](mask, random)
    kind = random.random()
    if kind < 0.45:
        cover = np.broadcast_to(_tone(crop, random), crop.shape).astype(np.uint8)
    elif kind < 0.85:
        cover = _patch(other(), size, random)
    else:
        cover = (
            crop[random.permutation(size)] if random.random() < 0.3 else np.roll(crop, size // 2, random.integers(2))
        )
    if random.random() < 0.5:
        soft = cv2.GaussianBlur(mask, (0, 0), random.uniform(0.5, 2.0))[..., None].astype(np.float32) / 255
        return (crop + (cover.astype(np.float32) - crop) * soft).astype(np.uint8)
    return np.where(mask[..., None] > 127, cover, crop)


def _tone(crop: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour: any, or one of the face's own."""
    if random.random() < 0.5:
        return random.uniform(0, 255, 3)
    row, column = random.integers(crop.shape[0] // 4, 3 * crop.shape[0] // 4, 2)
    return np.clip(crop[row, column] * random.uniform(0.6, 1.3), 0, 255)


def _patch(image: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """A random window of a picture, stretched to the crop."""
    height, width = image.shape[:2]
    h, w = (max(8, int(n * random.uniform(0.2, 0.6))) for n in (height, width))
    y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    return cv2.resize(image[y : y + h, x : x + w], (size, size), interpolation=cv2.INTER_LINEAR)


def _blob(mask: np.ndarray, random: np.random.Generator) -> None:
    size = mask.shape[0]
    center = random.uniform(0.05, 0.95, 2) * size
    count = int(random.integers(3, 9))
    angles = np.sort(random.uniform(0, 2 * math.pi, count))
    radius = size * random.uniform(0.08, 0.28) * random.uniform(0.6, 1.4, count)
    corners = center + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255)


def _bar(mask: np.ndarray, random: np.random.Generator) -> None:
    size = mask.shape[0]
    ends = np.rint(random.uniform(-0.2, 1.2, (2, 2)) * size).astype(int)
    cv2.line(mask, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 255, int(size * random.uniform(0.03, 0.14)))


def _fingers(mask: np.ndarray, random: np.random.Generator) -> None:
    """Parallel rounded strokes that come in from outside the face."""
    size = mask.shape[0]
    angle, width = random.uniform(0, 2 * math.pi), size * random.uniform(0.05, 0.09)
    along = np.array([math.cos(angle), math.sin(angle)])
    tip = np.array([size / 2, size / 2]) + along * size * random.uniform(0.05, 0.4)
    for k in range(int(random.integers(1, 5))):
        start = tip + np.array([-along[1], along[0]]) * k * width * 1.15 + along * random.uniform(0, 0.12) * size
        end = start + along * size
        cv2.line(mask, tuple(map(int, start)), tuple(map(int, end)), 255, max(1, int(width)), cv2.LINE_AA)


def _glasses(mask: np.ndarray, random: np.random.Generator) -> None:
    """Two dark ovals about where eyes are."""
    size = mask.shape[0]
    y, apart = size * random.uniform(0.32, 0.46), size * random.uniform(0.14, 0.2)
    axes = (int(size * random.uniform(0.09, 0.14)), int(size * random.uniform(0.06, 0.1)))
    for sign in (-1, 1):
        cv2.ellipse(mask, (int(size / 2 + sign * apart), int(y)), axes, 0, 0, 360, 255, -1)
    cv2.line(mask, (int(size / 2 - apart), int(y)), (int(size / 2 + apart), int(y)), 255, 2)


def _border(mask: np.ndarray, random: np.random.Generator) -> None:
    """The face reaches out of the picture."""
    edge = int(mask.shape[0] * random.uniform(0.03, 0.25))
    side = random.integers(4)
    target = mask if side % 2 == 0 else mask.T
    target[:edge] = 255 if side < 2 else 0
    if side >= 2:
        target[-edge:] = 255
