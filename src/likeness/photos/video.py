"""Clips: frames out of any video file, one at a time and upright, and pictures into a video file.

PyAV does the work. It is an extra of the package and imported only when a clip is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import cv2
import numpy as np

from likeness.errors import OutputError, PhotoError, UsageError, one_line
from likeness.photos.read import LARGEST, SMALLEST

SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split())
"""Endings, in lower case, of the files that are taken for clips."""
CODECS = ("libx264", "libopenh264", "mpeg4")
"""What clips are written with, best first: the first that this build of FFmpeg has."""
TICKS = 30000
"""Units of a second in written clips: a frame of 24, 25, 29.97, 30, 50 or 60 a second is a whole number of them."""
MISSING = 0.05
"""Share of the frames promised by the file that may be missing at its end: edit lists hide a few. Ours."""


@dataclass(frozen=True)
class Frame:
    """A picture of a clip.

    Attributes:
        index: Number of the frame among those read, from 0.
        time: Seconds since the clip's first frame; strictly increasing.
        image: (H, W, 3) uint8 sRGB, upright, square pixels.
    """

    index: int
    time: float
    image: np.ndarray


@dataclass(frozen=True)
class Description:
    """What a clip says about itself before its frames are read.

    Attributes:
        size: (height, width) of the upright frames, pixels.
        rate: Frames per second, on average.
        frames: How many there may be; None where the file does not say.
    """

    size: tuple[int, int]
    rate: float
    frames: int | None


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is called like a clip."""
    return Path(path).suffix.lower() in SUFFIXES


def describe(path: str | os.PathLike[str]) -> Description:
    """Size, rate and length of a clip; its first frame is decoded.

    Raises:
        PhotoError: As `frames`.
        UsageError: Without PyAV.
    """
    path = Path(path)
    with _Source(path) as source:
        for frame in source.decode():
            return Description(source.upright(frame).shape[:2], source.rate, source.promised)
    raise PhotoError(f"{path}: no frame of the clip could be read")


def frames(path: str | os.PathLike[str], start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
    """The frames of a clip, one after the other; only the one at hand is in memory.

    Turned recordings are turned back, pixels that are not square are made so, and a frame of another size than the
    first is brought to the first's size. Times come from the file, so that a varying rate is kept.

    Args:
        path: Of any format that FFmpeg reads.
        start, end: Seconds since the first frame; frames before and from then on are left out.

    Raises:
        PhotoError: When the file is missing, is no clip, is damaged or cut off (frames before that have been given), or
            its frames are too small or too large.
        UsageError: Without PyAV.
    """
    path = Path(path)
    with _Source(path) as source:
        first = before = size = None
        count = index = 0
        for raw in source.decode():
            count += 1
            time = raw.time
            if time is None or (before is not None and time <= before):
                time = 0.0 if before is None else before + 1 / source.rate
            first = time if first is None else first
            before = time
            if end is not None and time - first >= end:
                return
            if time - first < start:
                continue
            image = source.upright(raw)
            size = size or image.shape[:2]
            if image.shape[:2] != size:
                image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
            yield Frame(index, time - first, image)
            index += 1
        if not count:
            raise PhotoError(f"{path}: no frame of the clip could be read")
        if source.promised and count < (1 - MISSING) * source.promised - 2:
            raise source.cut_off(before - first)
        if not index:
            raise PhotoError(
                f"{path}: the clip is over after {before - first:.2f} s, before the part that was asked for"
            )


class _Source:
    """An open clip. FFmpeg's errors become one line each."""

    def __init__(self, path: Path) -> None:
        self.path, self.av = path, _library()
        self.file = self.container = None

    def __enter__(self) -> _Source:
        try:
            self.file = self.path.open("rb")
            if not self.file.read(1):
                raise PhotoError(f"{self.path}: the file is empty")
            self.file.seek(0)
            # from an open file, so that a name is never taken for an address, nor a play list followed into the network
            self.container = self.av.open(self.file, options={"protocol_whitelist": "file"})
            if not self.container.streams.video:
                raise PhotoError(f"{self.path}: there are no pictures in this file, only sound")
            self.stream = self.container.streams.video[0]
            self.stream.thread_type = "AUTO"
        except self.av.error.FFmpegError as error:
            self._close()
            reason = "not a clip, or damaged or cut off so that it cannot be opened"
            raise PhotoError(f"{self.path}: {reason} ({_line(error)})") from None
        except OSError as error:
            self._close()
            folder = "is a folder, not a clip" if self.path.is_dir() else None
            raise PhotoError(f"{self.path}: {folder or _line(error).lower()}") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        for thing in (self.container, self.file):
            if thing is not None:
                thing.close()

    @property
    def rate(self) -> float:
        """Frames per second; 25 where the file does not say, as stills in a container do."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate and 0.1 < float(rate) < 1000 else 25.0

    @property
    def promised(self) -> int | None:
        """Frames that the file says it has."""
        return self.stream.frames or None

    def cut_off(self, time: float, why: str = "fewer frames than it promises") -> PhotoError:
        """The error for a clip that ends in the middle."""
        part = f"--end {time:.2f} takes the part before" if time > 0 else "convert it, or record it again"
        return PhotoError(f"{self.path}: the clip is damaged or cut off after {time:.2f} s ({why}); {part}")

    def decode(self) -> Iterator[Any]:
        """FFmpeg's frames in the order of showing."""
        first = last = None
        try:
            for frame in self.container.decode(self.stream):
                yield frame
                if frame.time is not None:
                    first = frame.time if first is None else first
                    last = frame.time
        except self.av.error.FFmpegError as error:
            if first is None:
                raise PhotoError(f"{self.path}: no frame of the clip could be read ({_line(error)})") from None
            raise self.cut_off(last - first, _line(error)) from None

    def upright(self, frame: Any) -> np.ndarray:
        """A decoded frame as (H, W, 3) uint8 sRGB, contiguous."""
        ratio = self.stream.sample_aspect_ratio
        width = round(frame.width * float(ratio)) if ratio else frame.width
        if min(width, frame.height) < SMALLEST or width * frame.height > LARGEST:
            raise PhotoError(f"{self.path}: frames of {width} x {frame.height} pixels are too small or too large")
        image = (
            frame.to_ndarray(format="rgb24", width=width) if width != frame.width else frame.to_ndarray(format="rgb24")
        )
        return _turned(image, _turn(frame))


def _turn(frame: Any) -> np.ndarray:
    """(2, 2) in {-1, 0, 1}: shown (x, y) from stored (x, y), y down, by the display matrix that cameras write."""
    if "DISPLAYMATRIX" not in frame.side_data:
        return np.eye(2, dtype=int)
    matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).reshape(3, 3)[:2, :2].T
    turn = np.sign(np.round(matrix / max(np.abs(matrix).max(), 1))).astype(int)
    return turn if abs(np.linalg.det(turn)) == 1 else np.eye(2, dtype=int)


def _turned(image: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Apply a turn of `_turn` to (H, W, 3)."""
    if turn[0, 0] == 0:  # x and y change places
        image, turn = image.swapaxes(0, 1), turn[:, ::-1]
    return np.ascontiguousarray(image[:: turn[1, 1], :: turn[0, 0]])


class Writer:
    """A clip that is being written: `with Writer(path, size, rate) as clip: clip.add(image, time)`.

    Args:
        path: Ends in .mp4.
        size: (height, width) of the pictures; one row or column is repeated where it is odd, as codecs need it even.
        rate: Frames per second, for the codec's planning only: times are kept.

    Raises:
        OutputError: When the file cannot be written.
        UsageError: Without PyAV.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        self.path, self.av, self.size = Path(path), _library(), size
        self.codec = next((name for name in CODECS if name in self.av.codecs_available), None)
        if self.codec is None:
            raise OutputError(f"{path}: this build of FFmpeg writes none of {', '.join(CODECS)}")
        try:
            self.file = self.path.open("wb")
            self.container = self.av.open(self.file, "w", format="mp4")
            self.stream = self.container.add_stream(self.codec, rate=Fraction(rate).limit_denominator(1001))
        except (self.av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{path}: cannot be written ({_line(error)})") from None
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt = "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, TICKS)
        if self.codec == "libx264":
            self.stream.options = {"crf": "20", "preset": "veryfast"}
        else:
            self.stream.bit_rate = int(0.15 * size[0] * size[1] * rate)
        self.last = -1

    def __enter__(self) -> Writer:
        return self

    def add(self, image: np.ndarray, time: float) -> None:
        """Append a picture (H, W, 3) uint8 sRGB that is shown from `time` on, seconds."""
        bottom, right = (side % 2 for side in self.size)
        if bottom or right:
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self.last = max(round(time * TICKS), self.last + 1)
        frame.pts, frame.time_base = self.last, Fraction(1, TICKS)
        self._write(frame)

    def _write(self, frame: Any) -> None:
        try:
            for packet in self.stream.encode(frame):
                self.container.mux(packet)
        except (self.av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{self.path}: cannot be written ({_line(error)})") from None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._write(None)
            self.container.close()
        except (self.av.error.FFmpegError, OSError) as problem:
            raise OutputError(f"{self.path}: cannot be written ({_line(problem)})") from None
        finally:
            self.file.close()


def _library() -> ModuleType:
    """PyAV, silenced: what FFmpeg has to say about files is said by our errors."""
    try:
        av = import_module("av")
    except ModuleNotFoundError:
        raise UsageError("reading clips needs PyAV: pip install 'likeness[video]'") from None
    av.logging.set_level(None)
    return av


def _line(error: Exception) -> str:
    """What FFmpeg, or the system, says of an error."""
    return one_line(getattr(error, "strerror", None) or error)
