"""Eyeballs for the texture: one centred iris each, from what the lids leave visible, the rest in the same colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from likeness.export.textures import fill
from likeness.geometry import sphere
from likeness.geometry.cameras import to_camera, to_pixels
from likeness.geometry.rotation import from_axis_angle
from likeness.runtime.sight import Photo, Sight, Texels, exposure, extent, smoothstep, within
from likeness.types import Topology, View

PARTS = ("eye_left", "eye_right")
IRIS, PUPIL = 5.9, 2.2
"""mm, radii of the iris, which varies by a twentieth between people, and of the pupil in ordinary light."""
SEARCH = np.radians(np.array([26.0, 14.0]))
"""How far aside, and up or down, the photo's iris may lie from where the mesh looks."""
CONTRAST = 0.12
"""Share of the eye's mean brightness by which a ring must be brighter than the disc in it to be an iris."""
HIDDEN = 0.06
"""Share of the front of the ball that must be trusted to be painted from the photo; below, the other eye serves."""
OUTSHONE = 0.35
"""An eye of which less than this share of the other is shown is the other's mirror image: two eyes have one colour, and
what little shows of the farther one in a turned head is lid and lashes as often as iris."""
LIDS = 5.0
"""z-buffer pixels (2 mm) from the lids over which the photo fades in: lashes and misplaced lids stay off the ball."""
BINS = np.radians(np.arange(0, 182, 2.0))
"""Angles from the pole at which the colours of an eye are averaged."""
BROWN, WHITE, RED = (0.085, 0.045, 0.025), (0.50, 0.46, 0.43), (0.36, 0.20, 0.17)
"""Linear RGB under ordinary light of the iris, the sclera, and what lies far behind the lids."""


@dataclass(frozen=True)
class Ball:
    """An eyeball in the posed face.

    Attributes:
        centre: (3,) mm.
        radius: mm.
        axes: (3, 3) rows: to the subject's left, up, and where the eye looks.
        triangles: (T,) bool: the topology's triangles that belong to the ball, without the socket.
    """

    centre: np.ndarray
    radius: float
    axes: np.ndarray
    triangles: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, topology: Topology, part: slice) -> Ball:
        """Fit a sphere to the connected surface that begins with the part's first vertex, which is the front pole."""
        inside = np.zeros(len(vertices), bool)
        inside[part.start] = True
        triangles = topology.triangles
        members = triangles[(triangles >= part.start).all(1) & (triangles < part.stop).all(1)]
        count = 0
        while count != inside.sum():
            count = inside.sum()
            inside[members[inside[members].any(1)]] = True
        points = vertices[inside]
        centre = sphere.centre(points)
        forward = vertices[part.start] - centre
        forward /= np.linalg.norm(forward)
        left = np.cross([0.0, 1.0, 0.0], forward)
        left /= np.linalg.norm(left)
        axes = np.stack([left, np.cross(forward, left), forward])
        radius = float(np.linalg.norm(points - centre, axis=1).mean())
        return cls(centre, radius, axes, inside[topology.triangles].all(1))

    def directions(self, points: np.ndarray) -> np.ndarray:
        """Unit vectors (..., 3) along the axes from the centre to points (..., 3)."""
        local = (points - self.centre) @ self.axes.T
        return local / np.maximum(np.linalg.norm(local, axis=-1, keepdims=True), 1e-9)

    @property
    def iris(self) -> float:
        """Radians between the pole and the edge of the iris."""
        return float(np.arcsin(min(IRIS / self.radius, 1.0)))

    def points(self, directions: np.ndarray) -> np.ndarray:
        """Points (..., 3) mm of the sphere at unit vectors along the axes."""
        return self.centre + self.radius * directions @ self.axes


def paint(
    texture: np.ndarray, texels: Texels, sight: Sight, photo: Photo,
    vertices: np.ndarray, view: View, topology: Topology,
) -> np.ndarray:  # fmt: skip
    """Fill the charts of both eyes.

    Args:
        texture: (S, S, 3) float32 linear RGB, whose skin is complete; it is painted on.
        texels: Where the texels lie in the photo.
        sight: What the camera sees.
        photo: The photo's colours.
        vertices: (V, 3) mm, model frame, posed.
        view: Camera of the photo.
        topology: Parts and connectivity.

    Returns:
        The texture. An eye that the photo does not show is the mirror image of the other; where it shows neither,
        both are brown.
    """
    light = exposure(texture, texels)
    order = list(topology.parts)
    painted: dict[str, tuple[tuple[slice, slice], np.ndarray, np.ndarray, float]] = {}
    for name in PARTS:
        ball = Ball.of(vertices, topology, topology.parts[name])
        on_ball = (texels.triangle >= 0) & ball.triangles[texels.triangle]
        window = extent(on_ball, 0)
        eye = _Eye(ball, 1 + order.index(name), window, texels, sight, photo, vertices, view, topology)
        colours, shown = eye.painted(light)
        painted[name] = window, on_ball[window], colours, shown
    for name, other in zip(PARTS, PARTS[::-1]):
        window, mask, colours, shown = painted[name]
        _, _, opposite, seen = painted[other]
        if shown < max(HIDDEN, OUTSHONE * seen) and seen >= HIDDEN and opposite.shape == colours.shape:
            colours = opposite[:, ::-1]
        texture[window] = np.where(mask[..., None], colours, texture[window])
        _line_socket(texture, texels.part, window, mask)
    return texture


class _Eye:
    """One eye's texels, and the photo at the eye turned by small angles."""

    def __init__(self, ball, part, window, texels, sight, photo, vertices, view, topology) -> None:
        self.ball, self.part, self.sight, self.photo, self.view = ball, part, sight, photo, view
        corners = topology.triangles[texels.triangle[window]]
        points = (vertices[corners] * texels.shares(topology, window)[..., None]).sum(-2)
        self.directions = ball.directions(points)

    def colours(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linear RGB (h, w, 3) and trust (h, w) of the photo at directions (h, w, 3) from the ball's centre."""
        flat = to_camera(self.ball.points(directions).reshape(-1, 3), self.view)
        places = to_pixels(flat, self.view).reshape(*directions.shape[:2], 2)
        normals = directions @ self.ball.axes @ np.asarray(self.view.rotation).T
        towards = -flat.reshape(directions.shape)
        cosine = (normals * towards).sum(-1) / np.linalg.norm(towards, axis=-1)
        trust = within(self.sight, self.part, places, LIDS) * smoothstep(cosine, 0.15, 0.5)
        return self.photo.sample(places), trust.astype(np.float32)

    def gaze(self) -> np.ndarray:
        """(3, 3) rotation that takes the mesh's pole to the centre of the photo's iris, in the ball's axes."""
        angles = np.radians(np.arange(-70, 70.5, 2.0))
        x, y = np.meshgrid(angles, angles)
        colours, trust = self.colours(_bent(x, y))
        brightness = colours.mean(-1) * trust
        mean = brightness.sum() / max(trust.sum(), 1e-6)
        radius = np.hypot(x, y) / self.ball.iris
        disc, ring = radius < 0.93, (radius > 1.07) & (radius < 1.75)
        sums = [_around(values, kernel) for kernel in (disc, ring) for values in (brightness, trust)]
        known = (sums[1] > 0.15 * disc.sum()) & (sums[3] > 0.05 * ring.sum())
        score = (sums[2] / np.maximum(sums[3], 1e-6) - sums[0] / np.maximum(sums[1], 1e-6)) / max(mean, 1e-6)
        score = np.where(known & (np.abs(x) <= SEARCH[0]) & (np.abs(y) <= SEARCH[1]), score, -1)
        score -= 0.1 * ((x / SEARCH[0]) ** 2 + (y / SEARCH[1]) ** 2)
        best = np.unravel_index(score.argmax(), score.shape)
        if score[best] < CONTRAST:
            return np.eye(3)
        return from_axis_angle(np.array([-y[best], x[best], 0.0]))

    def painted(self, light: float) -> tuple[np.ndarray, float]:
        """Colours (h, w, 3) of the ball's texels, and which share of its front the photo shows."""
        colours, trust = self.colours(self.directions @ self.gaze().T)
        angle = np.arccos(np.clip(self.directions[..., 2], -1, 1))
        front = angle < 1.5 * self.ball.iris
        shown = float(trust[front].sum() / max(front.sum(), 1))
        if shown < HIDDEN:
            trust = np.zeros_like(trust)
        profile = _profile(colours, trust, angle, _ordinary(self.ball.iris, light))
        rest = np.stack([np.interp(angle, BINS, profile[:, i]) for i in range(3)], -1)
        return trust[..., None] * colours + (1 - trust[..., None]) * rest, shown


def _bent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) at angles x to the left and y up from the pole (azimuthal equidistant)."""
    angle = np.hypot(x, y)
    ratio = np.sinc(angle / np.pi)
    return np.stack([x * ratio, y * ratio, np.cos(angle)], -1)


def _around(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Sums of values over a window centred on each place."""
    return cv2.filter2D(values.astype(np.float32), -1, kernel.astype(np.float32), borderType=cv2.BORDER_CONSTANT)


def _profile(colours: np.ndarray, trust: np.ndarray, angle: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
    """(len(BINS), 3) colours by angle from the pole: the photo's means, continued by an ordinary eye's."""
    row = np.rint(angle / (BINS[1] - BINS[0])).astype(int).ravel()
    mass = np.bincount(row, trust.ravel(), len(BINS))
    sums = np.stack([np.bincount(row, (trust * colours[..., i]).ravel(), len(BINS)) for i in range(3)], -1)
    total = mass.sum()
    if total > 0:  # the ordinary eye in this eye's exposure
        expected = (mass[:, None] * ordinary).sum(0) / total
        ordinary = ordinary * np.clip((sums.sum(0) / total) / np.maximum(expected, 1e-4), 0.3, 2.0)
    prior = 0.02 * max(total, 1e-6)
    return (sums + prior * ordinary) / (mass + prior)[:, None]


def _ordinary(iris: float, light: float) -> np.ndarray:
    """(len(BINS), 3) an ordinary brown eye's colours by angle from the pole; `iris` is the angle of its iris."""
    angle = BINS / iris
    dark, brown, pupil = np.full(3, 0.008), np.array(BROWN), PUPIL / IRIS
    colours = dark + smoothstep(angle, 0.85 * pupil, 1.15 * pupil)[:, None] * (brown - dark)
    colours = colours * (1 - 0.5 * smoothstep(angle, 0.75, 1.0))[:, None]
    behind = smoothstep(BINS, np.radians(45), np.radians(85))[:, None]
    white = np.array(WHITE) * (1 - behind) + np.array(RED) * behind
    edge = smoothstep(angle, 0.93, 1.05)[:, None]
    return light * (colours * (1 - edge) + white * edge)


def _line_socket(texture: np.ndarray, part: np.ndarray, window: tuple[slice, slice], ball: np.ndarray) -> None:
    """Colour what surrounds the ball in its free rectangle: the lids' own colour, darkening inwards."""
    margin = max(4, texture.shape[0] // 64)
    rows, columns = (slice(max(s.start - margin, 0), s.stop + margin) for s in window)
    skin = (part[rows, columns] == 1).astype(np.float32)
    rest = skin == 0
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(window, (rows, columns)))
    rest[inner] &= ~ball
    depth = cv2.distanceTransform(1 - skin.astype(np.uint8), cv2.DIST_L2, 5)[..., None]
    lids = fill(texture[rows, columns], skin)
    dark = 0.15 + 0.85 * np.exp(-depth / (0.004 * texture.shape[0]))
    texture[rows, columns] = np.where(rest[..., None], lids * dark, texture[rows, columns])
