"""What cameras, light and files do to a picture: colour, blur, noise, compression. uint8 (H, W, 3) sRGB in and out."""

from __future__ import annotations

import cv2
import numpy as np


def degrade(image: np.ndarray, random: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """A random chain of the functions below, each with its own chance; `strength` scales these chances."""
    chain = ((recolor, 0.7), (shade, 0.2), (blur, 0.25), (shrink, 0.2), (noise, 0.3), (compress, 0.5), (grey, 0.12))
    for change, chance in chain:
        if random.random() < chance * strength:
            image = change(image, random)
    return image


def recolor(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, white balance and saturation, through one look-up table per channel."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(random.normal(0, 0.35))
    contrast, middle = np.exp(random.normal(0, 0.2)), random.uniform(0.3, 0.7)
    balance = np.exp(random.normal(0, 0.12, 3)) * np.exp(random.normal(0, 0.15))
    table = ((ramp[:, None] ** gamma - middle) * contrast + middle) * balance
    image = cv2.LUT(image, np.clip(table * 255, 0, 255).astype(np.uint8)[None])
    if random.random() < 0.5:
        keep = random.uniform(0.0, 1.4)
        image = cv2.addWeighted(image, keep, cv2.cvtColor(_luma(image), cv2.COLOR_GRAY2RGB), 1 - keep, 0)
    return image


def shade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Light that falls off across the picture, or the edge of a shadow."""
    height, width = image.shape[:2]
    angle, softness = random.uniform(0, 2 * np.pi), random.uniform(0.02, 1.0)
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    ramp = (x * np.cos(angle) + y * np.sin(angle) - random.uniform(-0.5, 0.5)) / softness
    factor = 1 - random.uniform(0.2, 0.75) * np.clip(0.5 + 0.5 * ramp, 0, 1)
    return (image * factor[..., None]).astype(np.uint8)


def blur(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Out of focus (Gaussian) or moved (a line)."""
    if random.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 2.2))
    length = int(random.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    angle, middle = random.uniform(0, np.pi), (length - 1) / 2
    dx, dy = middle * np.cos(angle), middle * np.sin(angle)
    ends = [(round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def shrink(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Made smaller and larger again, as much of the internet is."""
    height, width = image.shape[:2]
    factor = random.uniform(0.4, 0.9)
    small = (max(8, int(width * factor)), max(8, int(height * factor)))
    how = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[random.integers(3)]
    again = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[random.integers(2)]
    return cv2.resize(cv2.resize(image, small, interpolation=how), (width, height), interpolation=again)


def noise(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sensor noise, with or without colour."""
    height, width = image.shape[:2]
    sigma = random.uniform(2, 18)
    grain = random.standard_normal((height, width, 3 if random.random() < 0.5 else 1), np.float32) * sigma
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def compress(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """JPEG of quality 20 to 95."""
    quality = int(random.integers(20, 96))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def grey(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Black and white, sometimes sepia."""
    plain = cv2.cvtColor(_luma(image), cv2.COLOR_GRAY2RGB)
    if random.random() < 0.75:
        return plain
    return np.clip(plain * np.array([1.07, 0.95, 0.75], np.float32), 0, 255).astype(np.uint8)


def _luma(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
