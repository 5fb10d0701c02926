"""Pictures without faces, for the finder: procedural textures, scikit-image's pictures, and parts of photos.

All functions give uint8 (size, size, 3) sRGB, random by the generator they are given.
"""

from __future__ import annotations

import functools
from importlib import resources

import cv2
import numpy as np

TRAINING = (
    "chelsea.png",
    "grass.png",
    "gravel.png",
    "rocket.jpg",
    "page.png",
    "retina.jpg",
    "ihc.png",
    "moon.png",
    "clock_motion.png",
    "chessboard_RGB.png",
    "motorcycle_right.png",
)
"""scikit-image's pictures that training may see. The astronaut is the demo, coins and the camera man show faces."""
REPORTING = (
    "coffee.png",
    "brick.png",
    "text.png",
    "hubble_deep_field.jpg",
    "cell.png",
    "color.png",
    "horse.png",
    "microaneurysms.png",
    "phantom.png",
    "logo.png",
)
"""Those that only reports see: none shows the same thing as one of the above."""


def background(size: int, random: np.random.Generator, pictures: tuple[str, ...] = TRAINING) -> np.ndarray:
    """A picture without a face: mostly procedural, sometimes a part of one of scikit-image's pictures."""
    kind = random.random()
    if kind < 0.3:
        return part(read(pictures[random.integers(len(pictures))]), size, random)
    base = clouds(size, random) if kind < 0.75 else gradient(size, random)
    for _ in range(random.integers(0, 3)):
        base = (shapes, stripes, writing, bokeh)[random.integers(4)](base, random)
    return base


@functools.lru_cache(maxsize=32)
def read(name: str) -> np.ndarray:
    """One of scikit-image's own pictures, uint8 (h, w, 3); those in the installed wheel, nothing is downloaded."""
    data = np.frombuffer(resources.files("skimage").joinpath("data", name).read_bytes(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def part(image: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """A random window of a picture, turned by quarters, mirrored, stretched to the size."""
    height, width = image.shape[:2]
    share = random.uniform(0.25, 1.0, 2)
    h, w = max(8, int(height * share[0])), max(8, int(width * share[1]))
    y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    window = np.rot90(image[y : y + h, x : x + w], random.integers(4))
    window = window[:, ::-1] if random.random() < 0.5 else window
    how = cv2.INTER_AREA if min(window.shape[:2]) > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(window), (size, size), interpolation=how)


def color(random: np.random.Generator) -> np.ndarray:
    """A random colour, float32 (3,) in [0, 255]; a third of them are like skin or hair."""
    if random.random() < 0.33:
        tone = random.uniform(25, 235)
        skin = tone * np.array([1.0, random.uniform(0.6, 0.85), random.uniform(0.4, 0.75)])
        return np.clip(skin, 0, 255).astype(np.float32)
    return random.uniform(0, 255, 3).astype(np.float32)


def gradient(size: int, random: np.random.Generator) -> np.ndarray:
    """Two colours across the picture: studio walls and skies."""
    ends = np.stack([color(random), color(random)])
    ramp = np.linspace(0, 1, size, dtype=np.float32) ** random.uniform(0.3, 3)
    line = ends[0] + ramp[:, None] * (ends[1] - ends[0]) * random.uniform(0, 1)
    image = np.broadcast_to(line[:, None], (size, size, 3))
    image = np.rot90(image, random.integers(4))
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))


def clouds(size: int, random: np.random.Generator) -> np.ndarray:
    """Noise of several scales, between smooth clouds and rough ground, coloured."""
    roughness = random.uniform(0.3, 1.0)
    total = np.zeros((size, size, 3), np.float32)
    weight, cells = 1.0, int(random.integers(2, 6))
    while cells < size:
        stretched = (max(2, int(cells * random.uniform(0.5, 1.5))), cells, 3 if cells < 30 else 1)
        octave = cv2.resize(random.standard_normal(stretched, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        total += weight * octave.reshape(size, size, -1)
        weight, cells = weight * roughness, cells * int(random.integers(2, 4))
    grey = total.mean(2, keepdims=True)
    total = grey + (total - grey) * random.uniform(0, 1)
    image = color(random) + total * random.uniform(10, 60)
    return np.clip(image, 0, 255).astype(np.uint8)


def shapes(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Ellipses, boxes and polygons; sometimes two dots over a line, which is not a face either."""
    image, size = image.copy(), image.shape[0]
    for _ in range(random.integers(1, 12)):
        tone = tuple(float(v) for v in color(random))
        center = tuple(int(v) for v in random.integers(0, size, 2))
        axes = tuple(int(v) for v in random.integers(2, max(3, size // 3), 2))
        kind = random.integers(4)
        if kind == 0:
            cv2.ellipse(image, center, axes, random.uniform(0, 180), 0, 360, tone, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, center, (center[0] + axes[0], center[1] + axes[1]), tone, -1)
        elif kind == 2:
            corners = np.array(center) + random.normal(0, axes[0] / 2, (int(random.integers(3, 7)), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], tone, cv2.LINE_AA)
        else:
            _dots(image, center, axes[0], random)
    return image


def _dots(image: np.ndarray, center: tuple[int, int], radius: int, random: np.random.Generator) -> None:
    """A disc with two dots and a line: buttons, sockets, cars."""
    x, y = center
    tone, dark = (tuple(float(v) for v in color(random)) for _ in range(2))
    cv2.circle(image, center, radius, tone, -1, cv2.LINE_AA)
    small = max(1, int(radius * random.uniform(0.08, 0.2)))
    for side in (-1, 1):
        cv2.circle(image, (int(x + side * radius * 0.4), int(y - radius * 0.2)), small, dark, -1, cv2.LINE_AA)
    if random.random() < 0.5:
        half, low = radius * 0.4, int(y + radius * 0.5)
        cv2.line(image, (int(x - half), low), (int(x + half), low), dark, small)


def stripes(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Parallel lines: blinds, fences, shirts."""
    image, size = image.copy(), image.shape[0]
    angle, gap = random.uniform(0, np.pi), random.uniform(4, size / 4)
    direction = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    tone, thick = tuple(float(v) for v in color(random)), int(max(1, gap * random.uniform(0.1, 0.6)))
    for k in np.arange(-size, size, gap):
        a, b = size / 2 + normal * k - direction * size, size / 2 + normal * k + direction * size
        cv2.line(image, tuple(int(v) for v in a), tuple(int(v) for v in b), tone, thick, cv2.LINE_AA)
    return image


def writing(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Letters of random sizes."""
    image, size = image.copy(), image.shape[0]
    for _ in range(random.integers(1, 10)):
        letters = "".join(chr(c) for c in random.integers(33, 126, random.integers(1, 14)))
        place = int(random.integers(-20, size)), int(random.integers(0, size))
        cv2.putText(
            image,
            letters,
            place,
            int(random.integers(0, 8)),
            random.uniform(0.3, 4),
            tuple(float(v) for v in color(random)),
            int(random.integers(1, 6)),
            cv2.LINE_AA,
        )
    return image


def bokeh(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Bright discs out of focus."""
    layer, size = np.zeros_like(image), image.shape[0]
    for _ in range(random.integers(3, 20)):
        center = tuple(int(v) for v in random.integers(0, size, 2))
        radius = int(random.integers(2, max(3, size // 10)))
        cv2.circle(layer, center, radius, tuple(float(v) for v in color(random)), -1)
    layer = cv2.GaussianBlur(layer, (0, 0), random.uniform(0.5, 4))
    return cv2.addWeighted(image, 1.0, layer, random.uniform(0.3, 1.0), 0)
