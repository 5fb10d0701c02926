"""Any picture file as an upright sRGB array: depth, palette, alpha, ink, colour profile and camera turn undone."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from likeness.errors import PhotoError, one_line

LARGEST = 178_000_000
"""Pixels of the largest photo that is read, since it is held at 7 bytes a pixel for a moment: 1.3 GB. Ours; just below
where Pillow suspects a decompression bomb."""
SMALLEST = 16
"""Pixels along the shorter side of the smallest photo that is read. Ours: no smaller one shows a face's features."""
BACKGROUND = 255
"""sRGB value that shows through transparent places: white, as in most viewers."""
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .bmp .gif .tif .tiff .avif .jp2 .j2k .ppm .pgm .pnm .tga".split()
)
"""Endings, in lower case, of the files that are taken for photos in a folder."""
ORIENTATION = 0x0112
"""EXIF tag of the camera's turn."""
_STRIP = 4_000_000  # pixels that are converted at once


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """A photo from a file, as the camera's owner sees it.

    Sixteen-bit pictures keep their upper byte, transparent places become white, colour profiles are turned into sRGB
    where Pillow can, and of an animation the first picture is taken.

    Args:
        path: Of any format that Pillow reads.

    Returns:
        (H, W, 3) uint8 sRGB, contiguous.

    Raises:
        PhotoError: When the file is missing, is no picture, is damaged, or is too small or too large.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # Pillow's doubts about metadata are no news to the user
            with _opened(file, path) as picture:
                _check_size(picture.size, path)
                picture.load()
                return _turned(_pixels(picture), picture)
    except PhotoError:
        raise
    except MemoryError:
        raise PhotoError(f"{path}: the photo does not fit into memory; make it smaller") from None
    except OSError as error:
        raise PhotoError(f"{path}: {_reason(error, path)}") from None
    except Exception as error:  # damaged files raise whatever their format's reader stumbles over
        raise PhotoError(f"{path}: the picture is damaged ({one_line(error)})") from None


def as_photo(image: np.ndarray) -> np.ndarray:
    """An array that somebody has read already as a photo.

    Args:
        image: uint8 sRGB, or uint16 whose upper byte is kept: (H, W) grey, (H, W, 3) RGB, (H, W, 4) with alpha.

    Returns:
        (H, W, 3) uint8 sRGB, contiguous; the same array where nothing had to change.

    Raises:
        PhotoError: For another type or shape, and for pictures that are too small or too large.
    """
    known = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if not known or image.dtype not in (np.uint8, np.uint16):
        raise PhotoError(
            f"an array of shape {image.shape} and type {image.dtype} is no photo; give (height, width, 3) uint8 sRGB"
        )
    _check_size(image.shape[1::-1], "this array")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, 2)
    if image.shape[2] == 4:
        return _over_background(image)
    return np.ascontiguousarray(image)


def _opened(file: object, path: Path) -> Image.Image:
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(32)
        if not start:
            raise PhotoError(f"{path}: the file is empty") from None
        if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
            raise PhotoError(f"{path}: HEIC pictures cannot be read; convert it to JPEG") from None
        raise PhotoError(f"{path}: not a picture, or of a format that cannot be read") from None
    except Image.DecompressionBombError:
        limit = LARGEST // 10**6
        raise PhotoError(f"{path}: the photo has more than {limit} million pixels; make it smaller") from None


def _check_size(size: tuple[int, int], path: object) -> None:
    width, height = size
    if min(size) < SMALLEST:
        least = f"{SMALLEST} x {SMALLEST} are the least"
        raise PhotoError(f"{path}: {width} x {height} pixels are too few to show a face; {least}")
    if width * height > LARGEST:
        raise PhotoError(
            f"{path}: {width} x {height} pixels are more than {LARGEST // 10**6} million; make the photo smaller"
        )


def _pixels(picture: Image.Image) -> np.ndarray:
    """The picture's pixels as uint8 sRGB (H, W, 3), converted strip by strip so that no second whole copy exists."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_deep(np.asarray(picture), picture.mode)
    transparent = "A" in picture.mode.upper() and picture.mode != "LAB" or "transparency" in picture.info
    mode = "RGBA" if transparent else "RGB"
    convert = _profile(picture, mode)
    width, height = picture.size
    result = np.empty((height, width, 3), np.uint8)
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        strip = np.asarray(convert(picture.crop((0, top, width, min(height, top + step)))))
        result[top : top + step] = _over_background(strip) if transparent else strip
    return result


def _profile(picture: Image.Image, mode: str) -> Callable[[Image.Image], Image.Image]:
    """How to bring a piece of the picture to `mode`: by its colour profile where it has a usable one, else plainly."""
    data = picture.info.get("icc_profile")
    if not data or picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        return lambda piece: piece.convert(mode)
    try:
        from io import BytesIO

        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(BytesIO(data))
        if "sRGB" in ImageCms.getProfileDescription(source) and picture.mode != "CMYK":
            return lambda piece: piece.convert(mode)
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), picture.mode, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return lambda piece: piece.convert(mode)
    return lambda piece: ImageCms.applyTransform(piece, transform)


def _from_deep(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey pictures of more than eight bits, or of floating point in [0, 1], [0, 255] or [0, 65535], as uint8 RGB."""
    values = np.nan_to_num(values.astype(np.float32))
    if mode.startswith("I;16"):
        top = 65535
    else:
        largest = values.max()
        top = next((top for top in (1, 255, 65535) if largest <= top and (mode == "F" or top > 1)), largest)
    grey = np.clip(values * (256 / (top + 1) if top > 255 else 255 / top), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def _over_background(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) with alpha as (H, W, 3) over the background; blended as viewers do, without linear light."""
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + BACKGROUND * (255 - alpha) + 127) // 255).astype(np.uint8)


def _turned(image: np.ndarray, picture: Image.Image) -> np.ndarray:
    """Undo the camera's turn, which the file may state in its EXIF data."""
    try:
        turn = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF data is often damaged, and the picture is not worse for it
        turn = 1
    if turn in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        image = image[::-1]
    if turn in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _reason(error: OSError, path: Path) -> str:
    known = {
        errno.ENOENT: "no such file",
        errno.EISDIR: "is a folder, not a photo",
        errno.EACCES: "must not be read (permission denied)",
        errno.ENAMETOOLONG: "the name is too long",
    }
    if os.path.isdir(path):  # some systems call this "permission denied"
        return known[errno.EISDIR]
    return known.get(error.errno) or f"the picture is damaged or incomplete ({one_line(error)})"
