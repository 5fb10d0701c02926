"""What a benchmark is made of: pictures with their truth, what methods answer, and the slices that are told apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from likeness.evaluate.scans import Scan
from likeness.types import View

SLICES = ("yaw", "skin tone", "expression", "occlusion", "resolution")
"""Kinds of slices, in the order of the report."""
YAWS = ((30.0, "0-30°"), (60.0, "30-60°"), (90.1, "60-90°"))
"""Upper ends in degrees, the bins of AFLW2000-3D (Zhu et al. 2016)."""
TONES = ((10.0, "dark (ITA < 10°)"), (41.0, "intermediate (10-41°)"), (math.inf, "light (ITA > 41°)"))
"""Upper ends of the individual typology angle in degrees; the classes of Chardon et al. 1991, joined two by two."""
SIDES = ((64.0, "< 64 px"), (128.0, "64-128 px"), (math.inf, "> 128 px"))
"""Upper ends of the face's side in pixels of the picture."""


def bin_of(value: float, bins: tuple[tuple[float, str], ...]) -> str:
    """Name of the first bin whose upper end lies above the value."""
    return next(name for end, name in bins if value < end)


def lab(colours: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* (..., 3) of linear RGB (..., 3), with the white of sRGB (D65)."""
    xyz_from_rgb = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = (np.asarray(colours, np.float64) @ xyz_from_rgb.T) / xyz_from_rgb.sum(1)
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(np.maximum(relative, 0)), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def typology_angle(skin: np.ndarray) -> float:
    """Individual typology angle in degrees, arctan((L* - 50) / b*), of skin colours (n, 3), linear RGB.

    Chardon et al. 1991, of the medians of L* and b*. It takes the light on the skin for part of the skin.
    """
    lightness, _, yellow = np.median(lab(skin), 0)
    return math.degrees(math.atan2(lightness - 50, yellow))


@dataclass(frozen=True)
class Truth:
    """What is known about an item; None where it is not.

    Attributes:
        neutral: The true neutral surface with seven landmarks, mm; one object for all items of a person.
        points: (68, 2) px, the true Multi-PIE points.
        dense: (478, 2 or 3) px, given dense landmarks.
        unit: px, what landmark errors are shares of.
        view: The true camera.
        albedo: (S, S, 3) in [0, 1] as stored (sRGB), the true albedo over the chart of the face model; one object for all
            items of a person.
        fold: 0 or 1, which half of its set the item lies in; what is learned for its sake is learned on the other half.
    """

    neutral: Scan | None = None
    points: np.ndarray | None = None
    dense: np.ndarray | None = None
    unit: float = math.nan
    view: View | None = None
    albedo: np.ndarray | None = None
    fold: int = 0


@dataclass(frozen=True)
class Item:
    """One picture.

    Attributes:
        name: Unique, and fit for a file's name: `heads-003-1`.
        person: Whose face it is; items of a person are drawn together by the bootstrap.
        picture: () -> (H, W, 3) uint8 sRGB.
        truth: What is known.
        slices: Kind -> name of the slice the item lies in, for the kinds that are known.
    """

    name: str
    person: str
    picture: Callable[[], np.ndarray]
    truth: Truth
    slices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A neutral face from any method.

    Attributes:
        vertices: (V, 3), any unit.
        triangles: (T, 3).
        landmarks: (7, 3), the places of `scans.LANDMARKS_OF_68` on it.
        in_mm: Whether the unit is the millimetre and the size is meant.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    in_mm: bool = False


@dataclass(frozen=True)
class Drawing:
    """A face as a method sees it, over the picture.

    Attributes:
        image: (H, W, 3) in [0, 1] as stored (sRGB), of the picture's size.
        covered: (H, W) bool, where the face is.
    """

    image: np.ndarray
    covered: np.ndarray


@dataclass(frozen=True)
class Answer:
    """What a method says about one picture; None where it says nothing.

    Attributes:
        neutral: The person without expression.
        points: (68, 2) px, Multi-PIE points.
        dense: (478, 2) px, dense landmarks.
        view: Camera from model, in pixels of the picture.
        texture: () -> (T, T, 3) uint8 sRGB over the chart of the face model.
        drawing: () -> the face with its texture and its light, drawn over the picture.
        codes: (d,) the identity as numbers of which cosines mean something.
    """

    neutral: Shape | None = None
    points: np.ndarray | None = None
    dense: np.ndarray | None = None
    view: View | None = None
    texture: Callable[[], np.ndarray] | None = None
    drawing: Callable[[], Drawing] | None = None
    codes: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """A row of the benchmark.

    Attributes:
        name: As shown.
        answer: item -> its answer. Raises a `LikenessError` whose one line says why there is none.
        about: One sentence: what it is given and what it is.
        sets: Names of the sets it can answer for; None: all.
        ours: Whether its answers are what the report looks at more closely.
        most: At most so many pictures of a set, evenly chosen, for methods that take long; None: all.
    """

    name: str
    answer: Callable[[Item], Answer]
    about: str
    sets: tuple[str, ...] | None = None
    ours: bool = False
    most: int | None = None


@dataclass(frozen=True)
class ItemSet:
    """Pictures that are measured alike.

    Attributes:
        name: Short, as in the table.
        title: As a heading.
        about: Where the pictures come from and what is true about them, in a sentence or two.
        items: The pictures.
        measure: (item, answer) -> metric -> number; a metric that an answer does not allow is left out.
        metrics: Keys of `METRICS`, in order; the first one ranks failures.
        shown: Whether its pictures may be shown.
        people: Whether the shapes of a person's pictures are compared with each other.
        rate: Frames per second, where a person's pictures are the frames of a clip, in order.
    """

    name: str
    title: str
    about: str
    items: tuple[Item, ...]
    measure: Callable[[Item, Answer], Mapping[str, float]]
    metrics: tuple[str, ...]
    shown: bool = False
    people: bool = False
    rate: float | None = None


@dataclass(frozen=True)
class Metric:
    """How a number is named and read.

    Attributes:
        title, unit: As shown; digits after the point.
        up: Whether larger is better.
        meaning: One sentence.
    """

    title: str
    unit: str
    digits: int
    up: bool
    meaning: str


METRICS = {
    "shape": Metric("shape", "mm", 2, False, (
        "Mean distance of the true neutral surface, within 95 mm of the nose tip, to the answer's after the best similarity "
        "(iterated closest points with scale)."
    )),
    "ratio": Metric("ratio", "", 2, False, "Shape error as a share of the mean face's on the same pictures."),
    "distinct": Metric("distinct.", "", 2, True, (
        "Distinctiveness: share of the true deviation from the mean face that comes back; 0 for the mean face, 1 for the truth."
    )),
    "cover": Metric("covered", "%", 0, True, (
        "Share of the true surface, within 95 mm of the nose tip, that the answer's mesh reaches. A mesh that ends early has "
        "less to be wrong in: below 85 % its shape is marked with a star and not comparable."
    )),
    "metrical": Metric("metrical", "mm", 2, False, "As shape, but the size is the answer's own: the face must be as large as it is."),
    "points": Metric("points", "%", 2, False, (
        "Mean distance of the 51 inner points of the 68 in the picture, as a share of the outer-eye distance in 3D."
    )),
    "points68": Metric("68 points", "%", 2, False, (
        "Mean distance of all 68 points, as a share of the outer-eye distance; where a method has dense landmarks, a linear "
        "map learned on the other half of the set carries them to the set's definition."
    )),
    "mouth": Metric("mouth", "%", 2, False, (
        "The same for the eight points of the inner lips: is the mouth as open as it is?"
    )),
    "dense": Metric("dense points", "%", 2, False, (
        "Mean distance of 468 dense points (the outline: distance to the outline), as a share of the outer-eye distance in "
        "3D, to automatic landmarks that err themselves."
    )),
    "box": Metric("68 points", "% of box", 2, False, "Mean distance of 68 points as a share of the root of the box's area."),
    "pose": Metric("pose", "°", 1, False, "Angle between the true and the found turn of the head, along the line of sight."),
    "texture": Metric("texture", "l2,1", 3, False, (
        "Mean RGB distance of the answer's texture from the true albedo over the skin of the chart, sRGB in [0, 1] (Tran et "
        "al. 2019). A texture that was taken from the picture holds the picture's light, exposure and covers."
    )),
    "tint": Metric("texture, tint free", "l2,1", 3, False, (
        "The same after the factor for each of red, green and blue that fits best: what is left is not exposure."
    )),
    "photo": Metric("photometric", "RGB", 3, False, (
        "Mean RGB distance of the answer's drawing from the picture where it covers it, in [0, 1] (Tewari et al. 2018). A "
        "texture taken from the picture explains the picture by construction."
    )),
    "jitter": Metric("jitter", "% of eyes", 2, False, (
        "Root mean square trembling of a clip's 68 points while the face rests (everywhere where the truth is not known), as "
        "a share of the outer-eye distance."
    )),
    "lag": Metric("lag", "ms", 0, False, "By how much a clip's points come late; 0 for what looks at every frame by itself."),
    "spread": Metric("spread", "mm", 2, False, (
        "Root mean square distance of the neutral shapes of a person's pictures from their mean."
    )),
    "apart": Metric("told apart", "", 2, True, (
        "Chance that two pictures of a person have more similar neutral shapes than pictures of two people; 0.5 is guessing."
    )),
    "known": Metric("known again", "%", 0, True, (
        "Share of pictures whose nearest other picture, by the cosine of identity codes, shows the same person. A stand-in for "
        "a recogniser: it sees nothing but the codes."
    )),
    "alike": Metric("alike", "cosine", 3, True, (
        "Cosine of a recogniser's embeddings of the picture and of the answer's drawing of it (`--embeddings`)."
    )),
    "found": Metric("found again", "%", 0, True, (
        "Share of drawings whose nearest picture, their own left out, shows the same person (`--embeddings`)."
    )),
}  # fmt: skip
"""In the order of the table's columns."""
