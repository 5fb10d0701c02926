"""A procedural little head with the interface of the face model that ships, for tests that need no files."""

from __future__ import annotations

from functools import cache

import numpy as np

from likeness.assets import regions
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.builtin import Builtin, flip
from likeness.assets.layout import Layout, Rectangle

IDENTITY = 6
"""Identity modes of the toy: width, height, depth, nose, and two antisymmetric ones."""
_SIZE = 33
_LAYOUT = Layout(
    size=_SIZE, eye=Rectangle(11, 13, 20, 24), mouth=Rectangle(22, 24, 13, 19),
    eye_rings=(0.25, 0.45, 0.8, 1.3, 2.0), eye_segments=8, iris_ring=1, socket_rings=2, bag_rings=3,
)  # fmt: skip
_PLACES_68 = """
-.86 -.10 -.85 .05 -.83 .20 -.79 .35 -.72 .50 -.60 .64 -.44 .76 -.24 .85 0 .88
-.62 -.46 -.53 -.52 -.43 -.54 -.33 -.52 -.22 -.47 0 -.25 0 -.14 0 -.03 0 .08 -.16 .15 -.08 .18 0 .20
-.56 -.28 -.44 -.35 -.32 -.35 -.22 -.27 -.32 -.18 -.44 -.18
-.28 .44 -.19 .37 -.09 .33 0 .35 0 .56 -.10 .555 -.19 .52 -.21 .44 -.09 .40 0 .40 -.09 .48 0 .48
"""
"""One half of the Multi-PIE points: x to the subject's left and y down, in [-1, 1] from the chart's centre."""


@cache
def head() -> Builtin:
    """The toy: 1,270 base vertices on an ellipsoid with a nose, 6 identity modes, all 51 expression names.

    Expressions move jaw, lips, lids, brows and eyeballs by smooth bumps, in millimetres, mirrored exactly; `eyeBlink`
    closes lids and `jawOpen` parts lips, roughly. The dense landmarks are spread evenly and mean nothing.
    """
    layout = _LAYOUT
    mirror = layout.mirror("base")
    chart = _chart(layout)
    mean = _surface(layout, chart)
    identity, symmetry = _identity(mean, chart, mirror)
    names = np.float64(_points())
    return Builtin(
        mean=mean.astype(np.float32),
        identity=identity.astype(np.float32),
        expression=_expression(layout, mean, chart).astype(np.float32),
        expression_names=EXPRESSIONS,
        symmetry=symmetry,
        layout=layout,
        places_68=((names + 1) / 2).astype(np.float32),
        places_dense=_spread(468),
        painted=_regions(layout),
        contour=_contour(layout),
        licence="procedural, Apache-2.0",
    )


def _chart(layout: Layout) -> np.ndarray:
    """(V, 2) base chart in [-1, 1], x to the subject's left, y down."""
    return 2 * layout.uv("base").astype(np.float64) - 1


def _height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Surface z in mm over the chart: an ellipsoid with a nose, sunk a little around the eyes."""
    dome = 90 * np.sqrt(np.maximum(1.25 - 0.5 * x**2 - 0.4 * y**2, 0))
    nose = 22 * np.exp(-((x / 0.12) ** 2) - ((y - 0.05) / 0.18) ** 2)
    eyes = 7 * np.exp(-(((np.abs(x) - 0.38) / 0.16) ** 2) - ((y + 0.26) / 0.1) ** 2)
    return dome + nose - eyes


def _surface(layout: Layout, chart: np.ndarray) -> np.ndarray:
    """(V, 3) mean: skin over the chart, spheres in the eyes, a funnel in the mouth."""
    x, y = chart.T
    mean = np.stack([75 * x, -100 * y, _height(x, y)], axis=-1)
    parts = layout.parts("base")
    grid = mean[parts["skin"]].reshape(layout.size, layout.size, 3)
    loop = layout.eye.loop()
    rim = grid[loop[:, 0], loop[:, 1]]
    middle = rim.mean(axis=0)
    radius, turn = 15.0, 2 * np.pi * np.arange(layout.eye_segments) / layout.eye_segments
    angles = np.array(layout.eye_rings)[:, None]
    ring = np.sin(angles) * np.cos(turn), np.sin(angles) * np.sin(turn), np.cos(angles) + 0 * turn
    sphere = np.concatenate([[[0, 0, 1]], np.stack(ring, axis=-1).reshape(-1, 3), [[0, 0, -1]]])
    ball = middle + np.array([0, 0, 3 - radius]) + radius * sphere
    depth = np.linspace(0, 25, layout.socket_rings)[:, None, None] * np.array([0, 0, -1.0])
    mean[parts["eye_left"]] = np.concatenate([ball, (rim + depth).reshape(-1, 3)])
    mean[parts["eye_right"]] = mean[parts["eye_left"]] * np.array([-1, 1, 1])
    bag = mean[parts["mouth_bag"]]
    rings = bag[:-1].reshape(layout.bag_rings, -1, 3)
    rings[:, :, 2] -= 40 * (np.arange(layout.bag_rings) / layout.bag_rings)[:, None]
    bag[-1, 2] -= 45
    mirror = layout.mirror("base")
    return (mean + flip(mean, mirror)) / 2


def _identity(mean: np.ndarray, chart: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(6, V, 3) modes and their symmetry."""
    x, y, z = (mean - mean.mean(axis=0)).T
    zero, (u, v) = np.zeros_like(x), chart.T
    nose = np.exp(-((u / 0.15) ** 2) - ((v - 0.05) / 0.2) ** 2)
    modes = [
        (0.05 * x, zero, zero), (zero, 0.05 * y, zero), (zero, zero, 0.08 * z), (zero, -nose, 3 * nose),
        (zero, 0.02 * x, zero), (0.02 * y, zero, zero),
    ]  # fmt: skip
    identity = np.stack([np.stack(mode, axis=-1) for mode in modes])
    symmetry = np.array([1, 1, 1, 1, -1, -1], np.int8)
    return (identity + symmetry[:, None, None] * flip(identity, mirror)) / 2, symmetry


_BUMPS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "eyeBlink": ((0.38, -0.33, 0.10), (0, -7, 1)), "eyeSquint": ((0.38, -0.18, 0.10), (0, 3, 0)),
    "eyeWide": ((0.38, -0.33, 0.10), (0, 2, 0)), "browDown": ((0.42, -0.52, 0.15), (0, -5, 0)),
    "browInnerUp": ((0.0, -0.5, 0.25), (0, 6, 0)), "browOuterUp": ((0.55, -0.5, 0.15), (0, 6, 0)),
    "jawForward": ((0.0, 0.75, 0.4), (0, 0, 6)), "jawOpen": ((0.0, 0.8, 0.38), (0, -25, -5)),
    "jaw": ((0.0, 0.8, 0.4), (8, 0, 0)), "mouthClose": ((0.0, 0.52, 0.15), (0, 8, 0)),
    "mouthFunnel": ((0.0, 0.45, 0.2), (0, 0, 8)), "mouthPucker": ((0.0, 0.45, 0.25), (0, 0, 5)),
    "mouth": ((0.0, 0.45, 0.25), (7, 0, 0)), "mouthSmile": ((0.28, 0.44, 0.15), (5, 7, -2)),
    "mouthFrown": ((0.28, 0.46, 0.15), (1, -6, 0)), "mouthDimple": ((0.3, 0.44, 0.12), (3, 1, -3)),
    "mouthStretch": ((0.28, 0.46, 0.15), (6, -2, 0)), "mouthRollLower": ((0.0, 0.53, 0.1), (0, 3, -4)),
    "mouthRollUpper": ((0.0, 0.36, 0.1), (0, -3, -4)), "mouthShrugLower": ((0.0, 0.55, 0.15), (0, 5, 2)),
    "mouthShrugUpper": ((0.0, 0.35, 0.12), (0, 4, 2)), "mouthPress": ((0.18, 0.44, 0.12), (0, 1, -2)),
    "mouthLowerDown": ((0.15, 0.53, 0.1), (0, -6, 0)), "mouthUpperUp": ((0.15, 0.36, 0.1), (0, 6, 0)),
    "cheekPuff": ((0.0, 0.35, 0.5), (0, 0, 5)), "cheekSquint": ((0.45, 0.0, 0.2), (0, 4, 2)),
    "noseSneer": ((0.12, 0.1, 0.1), (0, 4, 1)),
}  # fmt: skip
"""Centre and width on the chart (left side), and movement in mm, of each expression without Left or Right."""
_LOOKS = {"eyeLookUp": (0, 1), "eyeLookDown": (0, -1), "eyeLookIn": (-1, 0), "eyeLookOut": (1, 0)}


def _expression(layout: Layout, mean: np.ndarray, chart: np.ndarray) -> np.ndarray:
    """(51, V, 3) offsets."""
    result = {name: np.zeros_like(mean) for name in EXPRESSIONS}
    mirror, parts = layout.mirror("base"), layout.parts("base")
    for stem, ((u, v, width), move) in _BUMPS.items():
        bump = np.exp(-(((chart[:, 0] - u) ** 2 + (chart[:, 1] - v) ** 2) / width**2))
        bump[parts["eye_left"].start : parts["eye_right"].stop] = 0
        offset = bump[:, None] * np.array(move, np.float64)
        if stem in result:
            result[stem] = (offset + flip(offset, mirror)) / 2
        else:
            result[stem + "Left"], result[stem + "Right"] = offset, flip(offset, mirror)
    ball = slice(parts["eye_left"].start, parts["eye_left"].start + layout.ball)
    for stem, (aside, up) in _LOOKS.items():
        offset = np.zeros_like(mean)
        local = mean[ball] - mean[ball].mean(axis=0)
        offset[ball] = 0.4 * np.cross(np.array([-up, aside, 0.0]), local)
        result[stem + "Left"], result[stem + "Right"] = offset, flip(offset, mirror)
    return np.stack([result[name] for name in EXPRESSIONS])


def _points() -> np.ndarray:
    """(68, 2) Multi-PIE points in [-1, 1], symmetric."""
    jaw, brow, bridge, nose, eye, mouth = np.split(
        np.array(_PLACES_68.split(), np.float64).reshape(-1, 2), [9, 14, 18, 21, 27]
    )
    other = np.array([-1, 1])
    outer_up, outer_down, inner_up, inner_down = mouth[:4], mouth[4:7], mouth[7:10], mouth[10:]
    return np.concatenate([
        jaw, jaw[-2::-1] * other, brow, brow[::-1] * other, bridge, nose, nose[1::-1] * other,
        eye, eye[[3, 2, 1, 0, 5, 4]] * other,
        outer_up, outer_up[2::-1] * other, outer_down[1:][::-1] * other, outer_down[:1], outer_down[1:],
        inner_up, inner_up[1::-1] * other, inner_down[:1] * other, inner_down[1:], inner_down[:1],
    ])  # fmt: skip


def _spread(count: int) -> np.ndarray:
    """(count, 2) places spread evenly over the chart (the R2 sequence, Roberts 2018)."""
    golden = 1.32471795724474602596
    return ((0.5 + np.arange(count)[:, None] / golden ** np.array([1, 2])) % 1).astype(np.float32)


def _regions(layout: Layout) -> np.ndarray:
    """Region bits from simple shapes on the dense chart."""
    n = layout.grid("dense")
    line = np.linspace(-1, 1, n)
    x, y = np.meshgrid(line, line)

    def ellipse(u: float, v: float, a: float, b: float) -> np.ndarray:
        return ((x - u) / a) ** 2 + ((y - v) / b) ** 2 <= 1

    lips = ellipse(0, 0.44, 0.28, 0.13)
    return regions.paint({
        "upper_lip": lips & (y <= 0.44), "lower_lip": lips & (y > 0.44),
        "eye_left": ellipse(0.38, -0.26, 0.25, 0.15), "eye_right": ellipse(-0.38, -0.26, 0.25, 0.15),
        "nose": ellipse(0, 0, 0.2, 0.3), "brow_left": ellipse(0.42, -0.5, 0.22, 0.06),
        "brow_right": ellipse(-0.42, -0.5, 0.22, 0.06), "forehead": y < -0.6,
        "cheeks": ellipse(0.5, 0.15, 0.25, 0.3) | ellipse(-0.5, 0.15, 0.25, 0.3),
    })  # fmt: skip


def _contour(layout: Layout) -> np.ndarray:
    """(17, 8) candidates along rays from the chart's middle to its border."""
    last = layout.size - 1
    targets = _points()[:17]
    border = targets / np.abs(targets).max(axis=1, keepdims=True)
    share = np.linspace(0.55, 1, 8)[:, None]
    places = np.rint((border[:9, None] * share + 1) / 2 * last).astype(int)
    half = places[..., 1] * layout.size + places[..., 0]
    other = places[:8][::-1, :, 1] * layout.size + last - places[:8][::-1, :, 0]
    return np.concatenate([half, other]).astype(np.int32)
