"""Eyeballs, sockets and mouth bag of the face model that ships, as linear functions of ICT's vertices and of the skin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.ict import IctModel
from likeness.assets.layout import Layout
from likeness.geometry import sphere
from likeness.geometry.closest import closest_points
from likeness.geometry.mesh import triangulate

LEFT_EYEBALL = slice(21451, 22221)
"""ICT's vertices of the outer shell of the left eyeball, cornea included; open at the pupil and behind."""
RIGHT_FROM_LEFT = 1570
"""From a vertex of the left eyeball to its mirror image in the right one."""
SIZES: dict[str, Any] = {
    "eye_rings": tuple(float(a) for a in np.radians([6, 11, 17, 22, 25, 31, 39, 49, 61, 76, 94, 118, 148])),
    "eye_segments": 32, "iris_ring": 3, "socket_rings": 2, "bag_rings": 6,
}  # fmt: skip
"""Arguments of `Layout`. The iris has 22 degrees: 5.8 mm on a ball of 15.5 mm, as ICT's; rings crowd around its border."""
SOCKET_DEPTH = 0.85
"""Where a socket ends, in distances from the eyeball's middle to its surface: inside, so that no gap stays open. Ours."""
BAG_CLOSING = (0.0, 0.08, 0.2, 0.35, 0.52, 0.74)
BAG_DEPTH = (0.0, 8.0, 18.0, 27.0, 34.0, 39.0, 41.0)
"""How far the bag's rings have shrunk towards the middle of the lips, and how far behind they lie, in mm. Ours."""
LOOK_DEGREES = {
    "eyeLookUp": (-25, 0), "eyeLookDown": (25, 0), "eyeLookIn": (0, -32), "eyeLookOut": (0, 32),
}  # fmt: skip
"""Turn of the left eyeball about +X and +Y at weight 1, degrees. ICT moves only lids; the ranges are about the eye's own."""

CORNEA = 14.6
"""mm from an eyeball's middle beyond which it is pressed in: ICT's cornea would come through lids that close. Ours."""
BLINK_RETREAT = 1.2
"""mm that an eyeball draws back while its lids close; a straight lid path cuts the ball, and eyes do so too. Ours."""


@dataclass(frozen=True)
class Ball:
    """The left eyeball as weighted sums of ICT's vertices.

    Attributes:
        vertices: (n, 3) ICT vertex ids.
        weights: (n, 3) their weights.
        press: (n, 1) share of its distance from the middle that a vertex keeps, 1 but where the cornea stands out.
        centre: (3,) mm, middle of the mean's eyeball, about which it turns.
    """

    vertices: np.ndarray
    weights: np.ndarray
    press: np.ndarray
    centre: np.ndarray

    @staticmethod
    def sample(ict: IctModel, layout: Layout) -> Ball:
        """Find the ICT points on a polar grid about the axis from the back opening to the pupil of the mean's left eye."""
        ids = np.arange(LEFT_EYEBALL.start, LEFT_EYEBALL.stop)
        shell = ict.mean[ids].astype(np.float64)
        inside = (ict.faces >= LEFT_EYEBALL.start) & (ict.faces < LEFT_EYEBALL.stop) | (ict.faces < 0)
        triangles = triangulate(ict.faces[inside.all(axis=1)]) - LEFT_EYEBALL.start
        centre = sphere.centre(shell)
        axis = shell[shell[:, 2].argmax()] - centre
        axis = np.array([axis[0], 0.0, axis[2]]) / np.hypot(axis[0], axis[2])
        aside = np.array([axis[2], 0.0, -axis[0]])
        turn = 2 * np.pi * np.arange(layout.eye_segments) / layout.eye_segments
        angle = np.array(layout.eye_rings)[:, None, None]
        around = np.cos(turn)[:, None] * aside + np.sin(turn)[:, None] * np.array([0.0, 1.0, 0.0])
        rings = np.cos(angle) * axis + np.sin(angle) * around
        directions = np.concatenate([axis[None], rings.reshape(-1, 3), -axis[None]])
        local = shell - centre
        unit = local / np.linalg.norm(local, axis=1, keepdims=True)
        found = closest_points(directions, unit, triangles)
        radius = np.linalg.norm((found.barycentric[..., None] * local[triangles[found.triangle]]).sum(axis=1), axis=1)
        press = np.minimum(1, CORNEA / radius)[:, None]
        return Ball(ids[triangles[found.triangle]], found.barycentric, press, centre)

    def apply(self, surface: np.ndarray, offset: bool) -> np.ndarray:
        """The left eyeball (..., n, 3) of ICT shapes (..., V, 3), or of offsets of them."""
        ball = sum(self.weights[:, k, None] * surface[..., self.vertices[:, k], :] for k in range(3))
        middle = ball.mean(axis=-2, keepdims=True) if offset else self.centre
        return middle + self.press * (ball - middle)

    def apply_right(self, surface: np.ndarray, offset: bool) -> np.ndarray:
        """The right eyeball of ICT shapes, mirrored to the left; ICT numbers both alike."""
        flip = np.array([-1, 1, 1])
        other = replace(self, vertices=self.vertices + RIGHT_FROM_LEFT, centre=self.centre * flip)
        return other.apply(surface, offset) * flip

    def looks(self, layout: Layout, mean: np.ndarray) -> np.ndarray:
        """(51, V, 3) offsets of the mean's eyeballs: turns by the eyeLook expressions, exact at weight 1, and blinks."""
        parts = layout.parts("base")
        left = slice(parts["eye_left"].start, parts["eye_left"].start + layout.ball)
        right = slice(parts["eye_right"].start, parts["eye_right"].start + layout.ball)
        local = mean[left] - self.centre
        result = np.zeros((len(EXPRESSIONS), *mean.shape))
        for name, (pitch, yaw) in LOOK_DEGREES.items():
            turned = local @ _turn(np.radians(pitch), np.radians(yaw)).T - local
            result[EXPRESSIONS.index(name + "Left"), left] = turned
            result[EXPRESSIONS.index(name + "Right"), right] = turned * np.array([-1, 1, 1])
        result[EXPRESSIONS.index("eyeBlinkLeft"), left, 2] = -BLINK_RETREAT
        result[EXPRESSIONS.index("eyeBlinkRight"), right, 2] = -BLINK_RETREAT
        return result


def _turn(pitch: float, yaw: float) -> np.ndarray:
    """(3, 3) rotation about +X, then about +Y, radians."""
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ about_x


def assemble(layout: Layout, skin: np.ndarray, ball: Ball, surface: np.ndarray, offset: bool) -> np.ndarray:
    """Whole base shapes (..., V, 3) from skin grids (..., N * N, 3).

    Args:
        layout: The topology.
        skin: Base grid vertices, or offsets of them.
        ball: The left eyeball's sampling.
        surface: (..., V', 3) the ICT shapes, or offsets, that the eyeball is taken from.
        offset: Whether these are offsets (of modes) rather than positions.

    Returns:
        Skin, left eye, right eye, bag. Identity offsets carry a socket's inner end with the eyeball.
    """
    grid = skin.reshape(*skin.shape[:-2], layout.size, layout.size, 3)
    eyeball = ball.apply(surface, offset)
    left = _eye(layout, grid, eyeball, ball.centre, offset)
    mirrored = grid[..., ::-1, :] * np.array([-1, 1, 1])
    right = _eye(layout, mirrored, ball.apply_right(surface, offset), ball.centre, offset) * np.array([-1, 1, 1])
    return np.concatenate([skin, left, right, _bag(layout, grid, offset)], axis=-2)


def _eye(layout: Layout, grid: np.ndarray, eyeball: np.ndarray, centre: np.ndarray, offset: bool) -> np.ndarray:
    """A left eye (..., n, 3): eyeball, then the socket from the lids' inner border into the eyeball."""
    loop = layout.eye.loop()
    rim = grid[..., loop[:, 0], loop[:, 1], :]
    middle = eyeball.mean(axis=-2, keepdims=True)
    if offset:
        inner = np.broadcast_to(middle, rim.shape)
    else:
        radius = np.linalg.norm(eyeball - centre, axis=-1).mean()
        ray = rim - centre
        inner = centre + SOCKET_DEPTH * radius * ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    share = np.linspace(0, 1, layout.socket_rings)[:, None, None]
    socket = (1 - share) * rim[..., None, :, :] + share * inner[..., None, :, :]
    return np.concatenate([eyeball, socket.reshape(*socket.shape[:-3], -1, 3)], axis=-2)


def _bag(layout: Layout, grid: np.ndarray, offset: bool) -> np.ndarray:
    """The mouth bag (..., n, 3): rings that shrink from the lips' inner border to their middle, going back."""
    loop = layout.mouth.loop()
    rim = grid[..., None, loop[:, 0], loop[:, 1], :]
    middle = rim.mean(axis=-2, keepdims=True)
    closing = np.array(BAG_CLOSING)[:, None, None]
    depth = np.array([0, 0, 0.0 if offset else -1.0]) * np.array(BAG_DEPTH)[:, None, None]
    rings = (1 - closing) * rim + closing * middle + depth[:-1]
    end = middle[..., 0, :, :] + depth[-1]
    return np.concatenate([rings.reshape(*rings.shape[:-3], -1, 3), end], axis=-2)
