"""What lies behind and beside the heads of composed scenes: grounds and patches, none of which shows a face.

Photos give what procedural textures lack: hair, ears, hands, cloth and foliage. Odd grounds and patches are made of
parts of faces, or have nature's statistics, and mean nothing: a finder that calls them faces looks at too little.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from likeness.data import backgrounds
from likeness.data.portraits import Draw, Portrait, beside, painted_over


def ground(
    draw: Draw,
    random: np.random.Generator,
    size: int,
    pictures: tuple[str, ...],
    clutter: float = 0.0,
    odd: float = 0.0,
) -> np.ndarray:
    """A background, uint8 (size, size, 3): of `backgrounds`, a part of a photo beside its face, or a photo whose face
    is painted over.

    Args:
        pictures: Which of scikit-image's pictures may be used.
        clutter: Share of backgrounds made of many small photos without their faces.
        odd: Share of dead leaves and shuffled photos among the others.
    """
    if clutter and random.random() < clutter:
        return _clutter(draw, random, size)
    if odd and random.random() < odd:
        return _odd(*draw(random), random, size)
    kind = random.random()
    if kind < 0.5:
        return backgrounds.background(size, random, pictures)
    portrait, photo = draw(random)
    if kind < 0.75:
        return backgrounds.part(beside(portrait, photo, random), size, random)
    faceless = painted_over(portrait, photo, random)
    zoom = random.uniform(0.5, 1.0)
    side = int(min(photo.shape[:2]) * zoom)
    y, x = (random.integers(0, n - side + 1) for n in photo.shape[:2])
    return cv2.resize(faceless[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_LINEAR)


def patch(
    portrait: Portrait, photo: np.ndarray, random: np.random.Generator, pictures: tuple[str, ...], odd: float = 0.0
) -> np.ndarray:
    """What is pasted in place of a portrait's photo (h, w, 3), without its face. See `ground`."""
    if odd and random.random() < odd:
        return _odd(portrait, photo, random, max(photo.shape[:2]))
    kind, edge = random.random(), max(photo.shape[:2])
    if kind < 0.4:
        return painted_over(portrait, photo, random)
    if kind < 0.75:
        return backgrounds.part(beside(portrait, photo, random), edge, random)
    return backgrounds.background(edge, random, pictures)


def leaves(photo: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Dead leaves on a plain ground: shapes of all sizes, in the colours of a photo; uint8 (size, size, 3).

    Their edges and scales are distributed as those of nature (Lee, Mumford and Huang 2001, "Occlusion models for
    natural images"); networks can learn to see from them (Baradad et al. 2021, "Learning to see by looking at noise").
    """
    count, smallest = 160, 0.01 * size
    tones = photo[random.integers(0, photo.shape[0], count), random.integers(0, photo.shape[1], count)].astype(float)
    image = np.empty((size, size, 3), np.uint8)
    image[:] = tones[0]
    radii = np.minimum(smallest / np.sqrt(random.uniform(6e-4, 1, count)), 0.4 * size)  # their density falls as r^-3
    places, turns = random.uniform(0, size, (count, 2)), random.uniform(0, 360, count)
    aspects, kinds = random.uniform(0.3, 1, count), random.integers(0, 3, count)
    for tone, radius, place, turn, aspect, kind in zip(tones, radii, places, turns, aspects, kinds):
        shape = (tuple(place), (2 * radius, 2 * radius * aspect), turn)
        if kind:
            cv2.ellipse(image, shape, tone, -1, cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(image, np.rint(cv2.boxPoints(shape)).astype(np.int32), tone, cv2.LINE_AA)
    grain = random.standard_normal((size, size, 1), np.float32) * random.uniform(0, 12)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def shuffled(portrait: Portrait, photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo with its face cut into a grid whose pieces change places: all the parts of a face, and no face."""
    image, (height, width) = photo.copy(), photo.shape[:2]
    count = int(random.integers(3, 6))
    piece = max(4, math.ceil(1.15 * portrait.side / count))
    x0, y0 = (int(c - 0.5 * piece * count) for c in portrait.center)
    spots = [(y0 + piece * k, x0 + piece * j) for k in range(count) for j in range(count)]
    spots = [(y, x) for y, x in spots if 0 <= y <= height - piece and 0 <= x <= width - piece]
    if len(spots) < 4:
        return painted_over(portrait, photo, random)
    for (y, x), source in zip(spots, np.roll(random.permutation(len(spots)), 1)):
        v, u = spots[source]
        window = photo[v : v + piece, u : u + piece]
        image[y : y + piece, x : x + piece] = np.rot90(window, random.integers(4))
    return image


def _odd(portrait: Portrait, photo: np.ndarray, random: np.random.Generator, size: int) -> np.ndarray:
    """Dead leaves, or a shuffled photo stretched to the size."""
    if random.random() < 0.5:
        return leaves(photo, size, random)
    return cv2.resize(shuffled(portrait, photo, random), (size, size), interpolation=cv2.INTER_LINEAR)


def _clutter(draw: Draw, random: np.random.Generator, size: int) -> np.ndarray:
    """Many small photos whose faces are painted over, edge to edge: ears, hands, cloth and foliage at all scales."""
    image = np.zeros((size, size, 3), np.uint8)
    count = int(random.integers(1, 5))
    edges = np.linspace(0, size, count + 1).astype(int)
    for y0, y1 in zip(edges, edges[1:]):
        for x0, x1 in zip(edges, edges[1:]):
            portrait, photo = draw(random)
            photo = painted_over(portrait, photo, random)
            window = backgrounds.part(photo, max(y1 - y0, x1 - x0), random)
            image[y0:y1, x0:x1] = window[: y1 - y0, : x1 - x0]
    return image
