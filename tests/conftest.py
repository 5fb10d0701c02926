"""What several tests share: a system of small parts that finds and decodes a toy head in a photo drawn for it."""

from types import SimpleNamespace

import numpy as np
import pytest

from likeness.assets import toy
from likeness.assets.arkit import EXPRESSIONS
from likeness.geometry.rotation import from_euler
from likeness.photos.crop import crop
from likeness.photos.detect import Detection, square
from likeness.runtime.reconstruct import System
from likeness.types import View

FACE = (200, 60, 40)
"""sRGB of the squares that the toy finder takes for faces."""


def pytest_configure():
    """What tests compute is small: on a busy machine threads would only wait for each other."""
    import torch  # not above: a test imports this file where there is no PyTorch

    torch.set_num_threads(1)


def draw_photo(*faces, size=(240, 320)):
    """A grey photo with a red square for each face (x, y, side)."""
    image = np.full((*size, 3), 120, np.uint8)
    for x, y, side in faces:
        image[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = FACE
    return image


def find(image, min_face, min_score):
    """Upright red squares, surest (that is, rightmost) first."""
    red = (np.abs(image.astype(int) - FACE) < 12).all(-1)
    columns = np.flatnonzero(np.diff(np.pad(red.any(0), 1).astype(int)))
    found = []
    for left, right in columns.reshape(-1, 2):
        rows = np.flatnonzero(red[:, left:right].any(1))
        center, side = ((left + right) / 2, (rows[0] + rows[-1] + 1) / 2), float(right - left)
        score = center[0] / image.shape[1]
        if side / max(image.shape) * 640 >= min_face and score >= (min_score or 0):
            found.append(Detection(square(center, side), 0.0, score))
    return found[::-1]


def encode(image, face):
    """A toy head that is as tall as the square, with a jaw that is half open."""
    distance, focal = 900.0, 900.0 * face.side / 200
    turned = from_euler(np.float64(0.1), np.float64(0), np.float64(0))
    view = View(turned, np.array([0, 0, -distance]), np.float64(focal), np.array(face.center), image.shape[:2])
    expression = np.zeros(51, np.float32)
    expression[EXPRESSIONS.index("jawOpen")] = 0.5
    codes = {"identity": np.linspace(-1, 1, toy.IDENTITY, dtype=np.float32), "expression": expression}
    return SimpleNamespace(codes=codes, view=view, crop=crop(image, face.box, face.roll))


def make_system():
    """A complete system around the toy head, base level."""
    head = toy.head()

    def decode(codes, view):
        return SimpleNamespace(vertices=head.decode(codes["identity"], codes["expression"]))

    return System(find, encode, decode, head, "base")


@pytest.fixture(scope="session")
def toy_system():
    return make_system()


@pytest.fixture
def photo():
    """Draws photos: `photo((x, y, side), ..., size=(h, w))` -> (h, w, 3) uint8."""
    return draw_photo


@pytest.fixture(scope="session")
def head():
    """The toy head."""
    return toy.head()


@pytest.fixture(scope="session")
def pictures():
    """The pictures of toy heads that the benchmark's tests measure."""
    import benchmark_parts  # not above: a test imports this file where there is no PyTorch

    return benchmark_parts.pictures()
