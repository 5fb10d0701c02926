"""Clips in and out: order, times, turned and odd recordings, memory, and one line for each kind of damage."""

from fractions import Fraction

import numpy as np
import pytest

from likeness.errors import LikenessError, PhotoError, UsageError
from likeness.photos import video

av = pytest.importorskip("av", reason="clips need the extra `video`")


def picture(number, size=(48, 64)):
    """Brighter with every frame; red at the top left, blue at the top right."""
    image = np.full((*size, 3), 40 + 8 * (number % 24), np.uint8)
    image[: size[0] // 4, : size[1] // 4] = (250, 20, 20)
    image[: size[0] // 4, -(size[1] // 4) :] = (20, 20, 250)
    return image


def write(path, count=12, times=None, rate=25, size=(48, 64)):
    with video.Writer(path, size, rate) as clip:
        for number in range(count):
            clip.add(picture(number, size), number / rate if times is None else times[number])
    return path


def raw(path, count=6, codec="mpeg4", pixels="yuv420p", turn=None, aspect=None, flip=False, size=(48, 64)):
    """A clip written apart from `Writer`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn is not None:
            stream.set_display_rotation(turn, hflip=flip) if flip else stream.set_display_rotation(turn)
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def brightness(frames):
    return np.array([frame.image[-10:].mean() for frame in frames])


def test_what_is_written_is_read(tmp_path):
    frames = list(video.frames(write(tmp_path / "a.mp4")))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 25, atol=1e-6)
    assert frames[0].image.shape == (48, 64, 3) and frames[0].image.dtype == np.uint8
    np.testing.assert_allclose(brightness(frames), 40 + 8 * np.arange(12), atol=3)
    assert frames[3].image[5, 5, 0] > 180 > 90 > frames[3].image[5, 5, 2]
    described = video.describe(tmp_path / "a.mp4")
    assert (described.size, described.frames) == ((48, 64), 12) and abs(described.rate - 25) < 0.1


def test_times_of_a_varying_rate_are_kept(tmp_path):
    times = np.cumsum([0, 0.04, 0.04, 0.2, 0.04, 0.01, 0.3])
    frames = list(video.frames(write(tmp_path / "a.mp4", len(times), times)))
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)


def test_sizes_that_are_odd(tmp_path):
    path = write(tmp_path / "a.mp4", 3, size=(47, 61))
    assert next(video.frames(path)).image.shape == (48, 62, 3)


def test_a_part_of_a_clip(tmp_path):
    path = write(tmp_path / "a.mp4")
    frames = list(video.frames(path, 0.1, 0.3))
    np.testing.assert_allclose([frame.time for frame in frames], [0.12, 0.16, 0.2, 0.24, 0.28], atol=1e-6)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    with pytest.raises(PhotoError, match="over after 0.44 s"):
        list(video.frames(path, 3.0))


@pytest.mark.parametrize("turn, red, blue", [(0, "nw", "ne"), (90, "sw", "nw"), (180, "se", "sw"), (-90, "ne", "se")])
def test_turned_recordings_are_turned_back(tmp_path, turn, red, blue):
    """`set_display_rotation` counts counter-clockwise: a quarter turn brings the top left corner to the bottom left."""
    image = next(video.frames(raw(tmp_path / "a.mp4", turn=turn))).image
    assert image.shape == ((48, 64, 3) if turn in (0, 180) else (64, 48, 3))
    corners = {"nw": image[4, 4], "ne": image[4, -5], "sw": image[-5, 4], "se": image[-5, -5]}
    assert corners[red][0] > 150 > 100 > corners[red][2] and corners[blue][2] > 150 > 100 > corners[blue][0]


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = raw(tmp_path / "a.mkv", aspect=Fraction(3, 2))
    assert next(video.frames(path)).image.shape == (48, 96, 3)


@pytest.mark.parametrize("codec, pixels, ending", [
    ("ffv1", "gray", "mkv"), ("ffv1", "yuv444p10le", "mkv"), ("ffv1", "bgra", "mkv"), ("mjpeg", "yuvj422p", "avi"),
])  # fmt: skip
def test_odd_pixel_formats(tmp_path, codec, pixels, ending):
    frames = list(video.frames(raw(tmp_path / f"a.{ending}", 3, codec, pixels)))
    assert len(frames) == 3 and frames[0].image.shape == (48, 64, 3)
    np.testing.assert_allclose(brightness(frames), 40 + 8 * np.arange(3), atol=6)


def test_one_frame_at_a_time_is_in_memory(tmp_path):
    """The reader does not run ahead: it is asked for one frame of 300 and has decoded only a few."""
    path = write(tmp_path / "a.mp4", 300)
    reader = video.frames(path)
    next(reader)
    source = reader.gi_frame.f_locals["source"]
    assert source.stream.codec_context is not None and reader.gi_frame.f_locals["count"] == 1
    reader.close()
    assert source.file.closed


def broken(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("these are words, and no film\n" * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sound":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    elif kind == "cut":  # before the table of contents, which stands at the end
        data = write(tmp_path / "whole.mp4", 60).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize("kind, words", [
    ("missing", "no such file"), ("empty", "file is empty"), ("text", "not a clip"), ("folder", "is a folder"),
    ("sound", "only sound"), ("cut", "damaged or cut off"),
])  # fmt: skip
def test_one_line_for_each_kind_of_damage(tmp_path, kind, words):
    path = broken(tmp_path, kind)
    for read in (lambda: list(video.frames(path)), lambda: video.describe(path)):
        with pytest.raises(PhotoError, match=words) as caught:
            read()
        assert "\n" not in str(caught.value) and "clip.mp4" in str(caught.value)


def test_a_clip_that_ends_in_the_middle_says_where(tmp_path):
    """With the table of contents at the beginning FFmpeg reads on happily; the promised number of frames tells."""
    whole, fast = tmp_path / "whole.mp4", tmp_path / "fast.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    with av.open(str(fast), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    whole.write_bytes(fast.read_bytes()[: int(0.6 * fast.stat().st_size)])
    seen = []
    with pytest.raises(PhotoError, match=r"cut off after 1\.\d+ s.*--end") as caught:
        for frame in video.frames(whole):
            seen.append(frame.time)
    assert 20 < len(seen) < 50 and "\n" not in str(caught.value)
    assert len(list(video.frames(whole, end=1.0))) == 25  # the remedy that the message names


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(LikenessError, match="cannot be written"):
        video.Writer(tmp_path / "no folder" / "a.mp4", (48, 64), 25)


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 2)
    real = video.import_module

    def absent(name):
        if name == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return real(name)

    monkeypatch.setattr(video, "import_module", absent)
    with pytest.raises(UsageError, match=r"likeness\[video\]"):
        video.describe(path)


def test_names_of_clips():
    assert (
        video.is_clip("a/b.MP4") and video.is_clip("c.webm") and not video.is_clip("d.jpg") and not video.is_clip("mp4")
    )
