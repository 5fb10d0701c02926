"""Photos of every kind come out as upright sRGB; what is no photo is refused in one line."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from likeness.errors import PhotoError
from likeness.photos import read as reading
from likeness.photos.read import as_photo, read


def picture(width=48, height=32):
    """Smooth colours, different in every corner, so that turns and exchanged channels show."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.rint(255 * np.stack([x, y, 0.3 + 0.4 * x * y], -1)).astype(np.uint8)


def saved(folder, image, name="photo.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def close(found, expected, most=2.0):
    assert found.shape == expected.shape and found.dtype == np.uint8 and found.flags["C_CONTIGUOUS"]
    assert np.abs(found.astype(int) - expected).max() <= most


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".tga"])
def test_plain_colours_stay(tmp_path, suffix):
    np.testing.assert_array_equal(read(saved(tmp_path, Image.fromarray(picture()), "a" + suffix)), picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    close(read(saved(tmp_path, Image.fromarray(picture()), "a" + suffix, quality=98)), picture(), 12)


def test_grey(tmp_path):
    grey = Image.fromarray(picture()).convert("L")
    np.testing.assert_array_equal(read(saved(tmp_path, grey)), np.repeat(np.asarray(grey)[..., None], 3, 2))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_grey(tmp_path, suffix):
    deep = picture()[..., 0].astype(np.uint16) * 257
    close(read(saved(tmp_path, Image.fromarray(deep), "deep" + suffix)), np.repeat(picture()[..., :1], 3, 2), 1)


def test_sixteen_bits_dark_grey_stays_dark(tmp_path):
    assert read(saved(tmp_path, Image.fromarray(np.full((20, 20), 200, np.uint16)))).max() == 0


def test_sixteen_bits_colour(tmp_path):
    """Pillow cannot write such a file, so it is put together here."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in (picture().astype(">u2") * 257))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 16, 2, 0, 0, 0))
    (tmp_path / "deep.png").write_bytes(data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    close(read(tmp_path / "deep.png"), picture(), 1)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point(tmp_path, top):
    values = np.linspace(0, top, 400, dtype=np.float32).reshape(20, 20)
    found = read(saved(tmp_path, Image.fromarray(values), "float.tif"))
    close(found, np.repeat(np.linspace(0, 255, 400).reshape(20, 20, 1), 3, 2), 1)


def test_palette(tmp_path):
    close(read(saved(tmp_path, Image.fromarray(picture()).quantize(256), "p.gif")), picture(), 40)
    one_bit = Image.fromarray(picture()).convert("1")
    assert set(np.unique(read(saved(tmp_path, one_bit, "one.png")))) == {0, 255}


def test_transparent_places_are_white(tmp_path):
    clear = np.dstack([picture(), np.full((32, 48), 255, np.uint8)])
    clear[:, :24, 3] = 0
    clear[0, 30, 3] = 128
    found = read(saved(tmp_path, Image.fromarray(clear)))
    assert (found[:, :24] == 255).all()
    np.testing.assert_array_equal(found[1:, 24:], picture()[1:, 24:])
    assert np.abs(found[0, 30] - (picture()[0, 30] * 0.502 + 255 * 0.498)).max() <= 1
    np.testing.assert_array_equal(as_photo(clear), found)
    palette = Image.fromarray(clear[..., :3]).quantize(16)
    palette.info["transparency"] = palette.getpixel((2, 2))
    assert (read(saved(tmp_path, palette, "p.png"))[2, 2] == 255).all()
    grey_and_alpha = Image.fromarray(clear).convert("LA")
    assert (read(saved(tmp_path, grey_and_alpha, "la.png"))[:, :24] == 255).all()


def test_ink(tmp_path):
    colours = Image.fromarray(picture()).convert("CMYK")
    close(read(saved(tmp_path, colours, "ink.tif")), np.asarray(colours.convert("RGB")))
    close(read(saved(tmp_path, colours, "ink.jpg", quality=98)), np.asarray(colours.convert("RGB")), 12)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_cameras_turn_is_undone(tmp_path, turn):
    exif = Image.Exif()
    exif[reading.ORIENTATION] = turn
    path = saved(tmp_path, Image.fromarray(picture()), exif=exif)
    np.testing.assert_array_equal(read(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))
    assert read(path).shape == ((48, 32, 3) if turn > 4 else (32, 48, 3))
    path = saved(tmp_path, Image.fromarray(picture()), "turned.tif", exif=exif)
    np.testing.assert_array_equal(read(path), read(tmp_path / "photo.png"))  # Pillow turns TIFFs by itself: not twice


def test_a_damaged_exif_block_is_no_reason_to_fail(tmp_path):
    path = saved(tmp_path, Image.fromarray(picture()), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read(path), picture())


def test_colour_profiles_become_srgb(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, lab, b"nonsense"):  # of a picture in RGB only the first makes sense
        np.testing.assert_array_equal(read(saved(tmp_path, Image.fromarray(picture()), icc_profile=profile)), picture())
    wide = srgb.replace(b"s\0R\0G\0B", b"x\0R\0G\0B")  # renamed, so that it is applied, and changes next to nothing
    close(read(saved(tmp_path, Image.fromarray(picture()), icc_profile=wide)), picture(), 2)
    swapped = wide.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    found = read(saved(tmp_path, Image.fromarray(picture()), icc_profile=swapped))
    close(found, picture()[..., [1, 0, 2]], 2)


def test_strips_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_STRIP", 5 * 48)
    np.testing.assert_array_equal(read(saved(tmp_path, Image.fromarray(picture()))), picture())


def test_twenty_thousand_pixels_wide(tmp_path):
    found = read(saved(tmp_path, Image.new("RGB", (20_000, 500), (1, 2, 3)), "wide.jpg"))
    assert found.shape == (500, 20_000, 3)


@pytest.mark.parametrize("name", ["with space.png", 'it\'s "quoted".png', "Gesicht ü 顔.png", "-o.png", "%s{}.png"])
def test_names_of_all_kinds(tmp_path, name):
    np.testing.assert_array_equal(read(saved(tmp_path, Image.fromarray(picture()), name)), picture())


def png_head(width, height):
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + data + struct.pack(">I", zlib.crc32(data)) + b"\0\0\0\0IDAT"


def jpeg(share):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(stream, "jpeg")
    return stream.getvalue()[: int(share * stream.tell())]


@pytest.mark.parametrize(("data", "words"), [
    (b"", "file is empty"),
    (b"This is no picture.", "not a picture"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    (jpeg(0.5), "damaged or incomplete"),
    (jpeg(0.01), "damaged|not a picture"),
    (b"\x89PNG\r\n\x1a\n", "damaged|not a picture"),
    (png_head(64, 64), "damaged or incomplete"),
    (png_head(1, 1), "1 x 1 pixels are too few"),
    (png_head(2000, 3), "too few"),
    (png_head(20_000, 9_001), "million"),
    (png_head(100_000, 100_000), "million"),
])  # fmt: skip
def test_what_is_no_photo_is_refused_in_one_line(tmp_path, data, words):
    path = tmp_path / "photo ü.jpg"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(PhotoError, match="no such file"):
        read(tmp_path / "nobody.jpg")
    with pytest.raises(PhotoError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(PhotoError, match="name is too long"):
        read(tmp_path / ("a" * 300 + ".jpg"))
    with pytest.raises(PhotoError, match="."):
        read("a\0b.jpg")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root and Windows read everything")
def test_files_without_permission(tmp_path):
    path = saved(tmp_path, Image.fromarray(picture()))
    path.chmod(0)
    with pytest.raises(PhotoError, match="permission denied"):
        read(path)


def test_arrays():
    assert as_photo(picture()).base is None or as_photo(picture()).shape == (32, 48, 3)
    grey = picture()[..., 0]
    np.testing.assert_array_equal(as_photo(grey)[..., 2], grey)
    np.testing.assert_array_equal(as_photo(grey[..., None])[..., 1], grey)
    np.testing.assert_array_equal(as_photo(picture().astype(np.uint16) << 8 | 7), picture())
    assert as_photo(picture()[:, ::-1]).flags["C_CONTIGUOUS"]
    small, empty = np.zeros((3, 3, 3), np.uint8), np.zeros((0, 5, 3), np.uint8)
    for wrong in (picture() / 255, picture()[None], picture()[..., :2], small, empty):
        with pytest.raises(PhotoError):
            as_photo(wrong)
