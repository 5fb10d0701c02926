"""Follow faces through a clip: what is seen of each in every frame, where scenes are cut, and which face is whose.

One frame is in memory at a time; what is kept of it are numbers, about 5 KB a face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from likeness.errors import NoFaceError
from likeness.geometry.cameras import project
from likeness.photos.detect import Detection, face_frame, overlap_ratio, square
from likeness.photos.video import Frame
from likeness.runtime.reconstruct import System
from likeness.types import Landmarks, View

GAP = 0.3
"""Seconds for which a face may be missed (behind a hand, by the finder) and still be followed. No blink of attention is
longer; what a face does in a longer one is anybody's guess."""
OVERLAP = 0.3
"""Intersection over union of a face with where it was expected, from which on it is that face."""
WEAK = 0.45
"""Share of a face's usual score that is enough where the face is expected."""
MOST = 4
"""Faces of a frame that are looked at, the largest first."""
CUT, LIKELY_CUT = 0.5, 0.25
"""Share of a frame's colours that are gone in the next: from here on it is a cut; from there on if its picture, too, is
another one (`SAME_PICTURE`). Ours: pans and hands stay below 0.2."""
SAME_PICTURE = 0.5
"""Correlation of two frames' thumbnails below which they show different scenes."""
STRANGER, STEPS, MOVED = 2.0, 4.0, 0.9
"""A change of person is a cut, too, between portraits on the same ground: a step of the identity code (standard deviations) from
one frame to the next, in mean steps so far, while the thumbnails' correlation is below the third. On six clips without cuts a
single step reaches 3.3 deviations or 8 means, but never both, nor in a picture that stands still. Ours."""
ALIKE, ALIKE_AT_ONCE = 0.7, 0.2
"""Cosine between mean identity codes from which two stretches show one person: across a cut, and within a scene, where hardly
anything else is likely. Codes tell people apart badly (research videos: strangers pass the first in 17 of 100, a person in
another video in 41 of 100), so a wrong answer is possible; a face that is not joined to another is at least only itself."""
SIGMA = 0.03
"""Standard deviation of the regressor's own landmarks, as a share of the distance between the outer eye corners: its
median error on validation photos."""
OUTER_EYES = (33, 263)


@dataclass(frozen=True)
class Sighting:
    """A face in one frame.

    Attributes:
        frame: Number of the frame.
        detection: Where the finder saw it.
        codes: "identity" (100,) and "expression" (51,), float32, the regressor's answer.
        view: Camera in pixels of the frame, the regressor's answer.
        landmarks: Dense landmarks in pixels of the frame.
        sharpness: Standard deviation of the Laplacian of the crop over that of the crop itself.
    """

    frame: int
    detection: Detection
    codes: Mapping[str, np.ndarray]
    view: View
    landmarks: Landmarks
    sharpness: float


@dataclass
class Stretch:
    """Sightings of one face without a break longer than `GAP` and without a cut."""

    sightings: list[Sighting] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.sightings[0].frame

    @property
    def last(self) -> int:
        return self.sightings[-1].frame

    @property
    def presence(self) -> float:
        """Area times duration, px^2 frames."""
        return sum(sighting.detection.side**2 for sighting in self.sightings)

    def identity(self) -> np.ndarray:
        """(100,) mean of the sightings' codes."""
        return np.mean([sighting.codes["identity"] for sighting in self.sightings], 0)


@dataclass(frozen=True)
class Tracked:
    """All faces of a clip.

    Attributes:
        size: (height, width) of the frames.
        times: (F,) seconds.
        cuts: Frames with which a new scene begins.
        faces: Stretches of each face in the order of time; the face that is there largest and longest comes first.
    """

    size: tuple[int, int]
    times: np.ndarray
    cuts: tuple[int, ...]
    faces: Sequence[Sequence[Stretch]]


Landmarker = Callable[[np.ndarray, Detection], Landmarks]


class Tracker:
    """Is fed a clip's frames in order, and knows its faces at the end.

    Args:
        system: Finder and regressor.
        landmarker: Better landmarks than the regressor's own, where there are any.
        min_face: Smallest face, px of the frame reduced to 640.
    """

    def __init__(self, system: System, landmarker: Landmarker | None = None, min_face: float = 40.0) -> None:
        self.system, self.landmarker, self.min_face = system, landmarker, min_face
        self.times: list[float] = []
        self.size: tuple[int, int] | None = None
        self.cuts: list[int] = []
        self.scene: list[int] = []
        self.open: list[Stretch] = []
        self.closed: list[Stretch] = []
        self._look: tuple[np.ndarray, np.ndarray] | None = None
        self._steps = (0.0, 0)

    def feed(self, frame: Frame) -> int:
        """Look at the next frame; returns how many faces are followed in it."""
        image, number = frame.image, len(self.times)
        self.size = image.shape[:2]
        self.times.append(frame.time)
        look = appearance(image)
        before, self._look = self._look or look, look
        if is_cut(before, look):
            self._cut(number)
        self._close([s for s in self.open if frame.time - self.times[s.last] > GAP])
        seen = [(stretch, self._sight(image, number, found, stretch)) for stretch, found in self._matches(image)]
        moved = correlation(before, look) < MOVED
        if any([stretch is not None and self._stranger(stretch, sighting, moved) for stretch, sighting in seen]):
            self._cut(number)
            seen = [(None, sighting) for _, sighting in seen]
        for stretch, sighting in seen:
            if stretch is None:
                stretch = Stretch()
                self.open.append(stretch)
            stretch.sightings.append(sighting)
        return len(seen)

    def finish(self) -> Tracked:
        """The faces.

        Raises:
            NoFaceError: When no frame showed one.
        """
        self._close(list(self.open))
        stretches = sorted(self.closed, key=lambda stretch: stretch.first)
        if not stretches:
            raise NoFaceError("no face was found in any frame of the clip")
        faces = grouped(stretches, self.cuts)
        return Tracked(self.size, np.array(self.times), tuple(self.cuts), faces)

    def _cut(self, number: int) -> None:
        self.cuts.append(number)
        self._close(list(self.open))

    def _close(self, stretches: list[Stretch]) -> None:
        self.closed += stretches
        self.open = [stretch for stretch in self.open if not any(stretch is one for one in stretches)]

    def _matches(self, image: np.ndarray) -> list[tuple[Stretch | None, Detection]]:
        """The frame's faces, each with the stretch that it continues, or None where it begins one."""
        found = list(self.system.find(image, self.min_face, None))
        pairs, taken = [], set()
        for stretch in sorted(self.open, key=lambda s: -s.presence):
            expected = expectation(stretch, len(self.times) - 1)
            best = self._nearest(expected, [d for i, d in enumerate(found) if i not in taken])
            if best is None:  # not sure enough for anywhere, perhaps sure enough for here
                threshold = WEAK * float(np.median([s.detection.score for s in stretch.sightings]))
                weak = [d for d in self.system.find(image, self.min_face, threshold) if d not in found]
                best = self._nearest(expected, weak)
            else:
                taken.add(found.index(best))
            if best is not None:
                pairs.append((stretch, best))
        new = [d for i, d in enumerate(found) if i not in taken]
        new = [d for d in new if all(overlap_ratio(d.box, other.box) < OVERLAP for _, other in pairs)]
        pairs += [(None, detection) for detection in new]
        return sorted(pairs, key=lambda pair: -pair[1].side)[:MOST]

    @staticmethod
    def _nearest(expected: tuple[float, float, float, float], found: Sequence[Detection]) -> Detection | None:
        best = max(found, key=lambda d: overlap_ratio(d.box, expected), default=None)
        return best if best is not None and overlap_ratio(best.box, expected) >= OVERLAP else None

    def _sight(self, image: np.ndarray, number: int, found: Detection, stretch: Stretch | None) -> Sighting:
        """Look closely, from the landmarks of the frame before where they still fit: they are steadier than a finder."""
        start = found
        if stretch is not None and stretch.last == number - 1:
            before = around(stretch.sightings[-1].landmarks.points, found.score)
            if overlap_ratio(before.box, found.box) > 0.7:
                start = before
        estimate = self.system.encode(image, start)
        landmarks = own_landmarks(estimate, self.system)
        if self.landmarker is not None:
            landmarks = self.landmarker(image, around(landmarks.points, found.score))
        codes = {name: np.asarray(values, np.float32) for name, values in estimate.codes.items()}
        return Sighting(number, found, codes, estimate.view, landmarks, sharpness(estimate.crop.image))

    def _stranger(self, stretch: Stretch, sighting: Sighting, moved: bool) -> bool:
        """Whether a face is another person's than the one that was here a frame ago."""
        before = stretch.sightings[-1]
        if before.frame != sighting.frame - 1:
            return False
        step = float(np.linalg.norm(sighting.codes["identity"] - before.codes["identity"]))
        total, count = self._steps
        if moved and count >= 10 and step > max(STRANGER, STEPS * total / count):
            return True
        self._steps = total + step, count + 1
        return False


def own_landmarks(estimate: object, system: System) -> Landmarks:
    """The landmarks of an estimate, with the spread that the regressor's have; its mesh's where it brings none itself."""
    points = getattr(estimate, "landmarks", None)
    if points is None:
        dense = system.model.topology(system.level).landmarks["dense"]
        points = project(dense.points(np.asarray(system.decode(estimate.codes, estimate.view).vertices)), estimate.view)
    points = np.asarray(points, np.float32)
    eyes = float(np.linalg.norm(points[OUTER_EYES[0]] - points[OUTER_EYES[1]]))
    return Landmarks(points, np.full(len(points), SIGMA * eyes, np.float32))


def around(points: np.ndarray, score: float) -> Detection:
    """The detection that belongs to landmarks (478, 2)."""
    center, side, roll = face_frame(points)
    return Detection(square(center, side), roll, score)


def expectation(stretch: Stretch, frame: int) -> tuple[float, float, float, float]:
    """The box (x0, y0, x1, y1) that a face should have in a frame, if it goes on as in its last two sightings."""
    last = stretch.sightings[-1]
    box = np.array(last.detection.box)
    if len(stretch.sightings) > 1:
        before = stretch.sightings[-2]
        step = (box - np.array(before.detection.box)) / (last.frame - before.frame)
        box = box + np.clip(step, -0.2 * last.detection.side, 0.2 * last.detection.side) * min(frame - last.frame, 3)
    return tuple(float(x) for x in box)


def sharpness(crop: np.ndarray) -> float:
    """Standard deviation of the Laplacian over that of the picture (S, S, 3) uint8, in its middle; blur lowers it."""
    edge = crop.shape[0] // 5
    grey = cv2.cvtColor(crop[edge:-edge, edge:-edge], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(grey.std(), 1.0))


def appearance(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What tells scenes apart: shares of 8 x 8 x 8 colours (512,) and a grey thumbnail (18, 32), both float32."""
    small = cv2.resize(image, (64, 36), interpolation=cv2.INTER_AREA)
    index = (small.reshape(-1, 3) >> 5).astype(int) @ [64, 8, 1]
    histogram = np.bincount(index, minlength=512).reshape(8, 8, 8).astype(np.float32)
    for axis in range(3):  # neighbours share, so that a slightly brighter wall is not another wall
        padded = np.pad(histogram, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        parts = [np.take(padded, range(shift, shift + 8), axis) for shift in range(3)]
        histogram = 0.25 * parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    thumbnail = cv2.resize(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (32, 18), interpolation=cv2.INTER_AREA)
    return histogram.ravel() / histogram.sum(), thumbnail.astype(np.float32)


def is_cut(before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether two neighbouring frames' appearances belong to different scenes."""
    gone = 0.5 * float(np.abs(before[0] - now[0]).sum())
    if gone < LIKELY_CUT:
        return False
    return correlation(before, now) < (SAME_PICTURE if gone < CUT else MOVED)


def correlation(before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]) -> float:
    """Between two appearances' thumbnails, in [-1, 1]."""
    a, b = (thumbnail - thumbnail.mean() for thumbnail in (before[1], now[1]))
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-6))


def grouped(stretches: Sequence[Stretch], cuts: Sequence[int]) -> list[list[Stretch]]:
    """Stretches in the order of time as faces: one that is lost and found again stays itself if it looks alike.

    Returns:
        Faces, the one with the largest area times duration first.
    """
    faces: list[list[Stretch]] = []
    for stretch in stretches:
        best, most = None, -1.0
        for face in faces:
            if face[-1].last >= stretch.first:  # both are there at once
                continue
            scene = any(face[-1].last < cut <= stretch.first for cut in cuts)
            alike = likeness_of(face, stretch)
            if alike > (ALIKE if scene else ALIKE_AT_ONCE) and alike > most:
                best, most = face, alike
        if best is None:
            faces.append([stretch])
        else:
            best.append(stretch)
    return sorted(faces, key=lambda face: -sum(stretch.presence for stretch in face))


def likeness_of(face: Sequence[Stretch], stretch: Stretch) -> float:
    """Cosine between mean identity codes of a face so far and of a stretch."""
    weights = [len(one.sightings) for one in face]
    known = np.average([one.identity() for one in face], 0, weights)
    other = stretch.identity()
    return float(known @ other / max(np.linalg.norm(known) * np.linalg.norm(other), 1e-9))


def track(
    frames: Iterable[Frame],
    system: System,
    landmarker: Landmarker | None = None,
    min_face: float = 40.0,
    progress: Callable[[int, int], None] = lambda done, faces: None,
) -> Tracked:
    """Follow all faces of a clip.

    Args:
        frames: From `photos.video.frames`.
        progress: Called with the number of frames done and the faces in the last one.

    Raises:
        NoFaceError: When no frame showed a face.
        PhotoError: As the frames do.
    """
    tracker = Tracker(system, landmarker, min_face)
    for frame in frames:
        progress(frame.index + 1, tracker.feed(frame))
    return tracker.finish()
