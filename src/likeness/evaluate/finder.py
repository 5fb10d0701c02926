"""How good a face finder is: average precision, false alarms, recall, and how far boxes are off.

Detections and truths are rows, (x, y, side, roll) with a score behind in detections: centre and side in pixels, roll in
radians, one array per picture. Nothing here knows which finder made them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from likeness.photos.detect import overlap_ratio, square

CLIP_BOXES: dict[str, dict[int, tuple[float, float, float]]] = {
    "d11": {28: (258, 302, 285), 84: (276, 303, 287), 140: (215, 312, 292), 196: (262, 296, 295)},
    "d12": {22: (230, 270, 297), 67: (272, 274, 309), 112: (274, 286, 302), 157: (210, 307, 274)},
    "d18": {27: (245, 283, 325), 81: (243, 291, 340), 135: (245, 285, 343), 189: (245, 273, 310)},
    "d19": {31: (245, 268, 300), 93: (243, 266, 295), 155: (245, 266, 297), 217: (245, 266, 297)},
    "d20": {21: (232, 267, 222), 64: (232, 244, 225), 107: (222, 203, 212), 150: (213, 174, 222)},
    "s18": {35: (760, 260, 272), 105: (742, 270, 272), 175: (708, 265, 269), 245: (712, 263, 266)},
}
"""Reference boxes (centre x, centre y, side; pixels) of four frames of each clip, by clip and frame number.

Drawn by hand, by looking at the frames under a grid of 50 px: cheek to cheek without ears; chin from the picture, and
the side from eyes to chin, which is 0.683 of the height of the canonical dense landmark mesh. Good to about 5 % of the
side."""


@dataclass(frozen=True)
class Matches:
    """Detections of many pictures, best first, and what each is.

    Attributes:
        scores: (n,) of all detections that count.
        true: (n,) bool: the first to match a face.
        faces: Number of faces that were to be found.
        pairs: (m, 2, 4) matched (detection, truth) rows, in the order of the true ones.
    """

    scores: np.ndarray
    true: np.ndarray
    faces: int
    pairs: np.ndarray


def match(
    found: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    doubtful: Sequence[np.ndarray] | None = None,
    overlap: float = 0.5,
) -> Matches:
    """Match detections to faces, picture by picture, best score first, by intersection over union of their squares.

    A detection of a doubtful face counts neither for nor against.
    """
    rows: list[tuple[float, bool, np.ndarray | None]] = []
    for number, detections in enumerate(found):
        free = [np.asarray(face[:4], float) for face in truth[number]]
        unclear = [] if doubtful is None else list(doubtful[number])
        for detection in sorted(detections, key=lambda row: -row[4]):
            overlaps = [ratio(detection, face) for face in free]
            if overlaps and max(overlaps) >= overlap:
                face = free.pop(int(np.argmax(overlaps)))
                rows.append((float(detection[4]), True, np.stack([np.asarray(detection[:4], float), face])))
            elif not any(ratio(detection, face) >= 0.3 for face in unclear):
                rows.append((float(detection[4]), False, None))
    rows.sort(key=lambda row: -row[0])
    pairs = [row[2] for row in rows if row[1]]
    return Matches(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows], bool),
        sum(len(t) for t in truth),
        np.array(pairs).reshape(-1, 2, 4),
    )


def ratio(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the axis-aligned squares of two rows."""
    return float(overlap_ratio(square(a[:2], a[2]), square(b[:2], b[2])))


def average_precision(matches: Matches) -> float:
    """Area under the precision-recall curve, precision made monotonous (as PASCAL VOC does since 2010)."""
    if not matches.faces or not len(matches.scores):
        return 0.0
    hits = np.cumsum(matches.true)
    recall = hits / matches.faces
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def recall(matches: Matches, threshold: float) -> float:
    """Share of the faces found with at least this score."""
    return float(matches.true[matches.scores >= threshold].sum() / max(matches.faces, 1))


def precision(matches: Matches, threshold: float) -> float:
    """Share of the detections with at least this score that are faces."""
    chosen = matches.true[matches.scores >= threshold]
    return float(chosen.mean()) if len(chosen) else 1.0


def choose_threshold(
    scenes: Matches, false_alarms: np.ndarray, pictures: int, wanted: float = 0.98, allowed: float = 0.015
) -> float:
    """The lowest score from which nearly all answers are faces, and nearly no faceless picture gives an alarm.

    A false face costs its user more than a missed one: a folder of nonsense in place of a clear message.

    Args:
        false_alarms: Best score in each faceless picture that gave any answer.
        pictures: Number of faceless pictures.
        wanted: Least share of the answers in scenes that are faces.
        allowed: Share of the faceless pictures that may give an alarm.
    """
    for threshold in np.linspace(0.1, 0.9, 81):
        if precision(scenes, threshold) >= wanted and (false_alarms >= threshold).sum() <= allowed * pictures:
            return float(threshold)
    return 0.9


@dataclass(frozen=True)
class BoxError:
    """How detections differ from the references they match; angles in degrees, lengths in sides of the reference.

    Attributes:
        bias: Mean of (x, y, log side, roll), x and y in the face's upright frame.
        spread: Standard deviation of the same.
        median: Median of (distance of centres, |log side|, |roll|).
        worst: 95th percentile of the same.
    """

    bias: tuple[float, ...]
    spread: tuple[float, ...]
    median: tuple[float, ...]
    worst: tuple[float, ...]


def box_error(pairs: np.ndarray) -> BoxError:
    """Statistics of matched (detection, truth) rows (m, 2, 4)."""
    found, truth = pairs[:, 0], pairs[:, 1]
    shift = (found[:, :2] - truth[:, :2]) / truth[:, 2:3]
    cos, sin = np.cos(truth[:, 3]), np.sin(truth[:, 3])
    x, y = cos * shift[:, 0] + sin * shift[:, 1], -sin * shift[:, 0] + cos * shift[:, 1]
    size = np.log(found[:, 2] / truth[:, 2])
    roll = np.degrees((found[:, 3] - truth[:, 3] + math.pi) % (2 * math.pi) - math.pi)
    signed = np.stack([x, y, size, roll])
    sizes = np.stack([np.hypot(x, y), np.abs(size), np.abs(roll)])
    numbers = (signed.mean(1), signed.std(1), np.median(sizes, 1), np.percentile(sizes, 95, 1))
    return BoxError(*(tuple(float(v) for v in row) for row in numbers))
