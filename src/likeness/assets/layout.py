"""Connectivity of our own face topology: everything that follows from a handful of whole numbers.

The skin is an N x N grid over the chart with three free rectangles (two eyes, mouth); eyeballs with their sockets and
the mouth bag are small polar grids whose chart coordinates lie inside those rectangles. The vertex array is
[skin | left eye | right eye | mouth bag]; only the skin has a dense level, a regular refinement to 2N - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from likeness.types import Embedding

SOCKET_INSET = 0.12
"""Share of an eye rectangle's half side that the socket takes; the eyeball has the rest. Ours: sockets are dark."""


class Rectangle(NamedTuple):
    """A free rectangle of the chart in base grid lines, borders included in the skin."""

    top: int
    bottom: int
    left: int
    right: int

    def scaled(self, factor: int) -> Rectangle:
        """The same rectangle in the lines of a grid refined `factor` times."""
        return Rectangle(*(factor * line for line in self))

    def loop(self) -> np.ndarray:
        """(n, 2) int rows and columns of the border, once around: counter-clockwise seen from outside the face."""
        rows, columns = np.arange(self.top, self.bottom), np.arange(self.left, self.right)
        sides = [
            [(row, self.left) for row in rows],
            [(self.bottom, column) for column in columns],
            [(row + 1, self.right) for row in rows[::-1]],
            [(self.top, column + 1) for column in columns[::-1]],
        ]
        return np.array([place for side in sides for place in side], int)


@dataclass(frozen=True)
class Layout:
    """Sizes from which faces, chart and symmetry of both levels follow.

    Attributes:
        size: N, vertices along a side of the base grid; odd, so that a column lies on the symmetry plane.
        eye: Free rectangle of the left eye (larger u); the right eye's is its mirror image.
        mouth: Free rectangle of the mouth, symmetric.
        eye_rings: Angles in radians from the front pole of an eyeball's rings; poles in front and behind are added.
        eye_segments: Vertices of a ring, a multiple of four; the first lies on the temple's side, then upwards.
        iris_ring: Which ring is the border of the iris.
        socket_rings: Rings of a socket, the first one on the skin's loop around the eye.
        bag_rings: Rings of the mouth bag, the first one on the skin's loop inside the lips; a closing vertex is added.
    """

    size: int
    eye: Rectangle
    mouth: Rectangle
    eye_rings: tuple[float, ...]
    eye_segments: int
    iris_ring: int
    socket_rings: int
    bag_rings: int

    def grid(self, level: str) -> int:
        """Vertices along a side of the skin's grid at "base" or "dense"."""
        return _factor(level) * (self.size - 1) + 1

    @property
    def right_eye(self) -> Rectangle:
        """Free rectangle of the right eye."""
        last = self.size - 1
        return Rectangle(self.eye.top, self.eye.bottom, last - self.eye.right, last - self.eye.left)

    @property
    def ball(self) -> int:
        """Vertices of one eyeball."""
        return 2 + len(self.eye_rings) * self.eye_segments

    def parts(self, level: str = "base") -> dict[str, slice]:
        """Slices of the vertex array by part."""
        eye = self.ball + self.socket_rings * len(self.eye.loop())
        bag = self.bag_rings * len(self.mouth.loop()) + 1
        ends = np.cumsum([0, self.grid(level) ** 2, eye, eye, bag])
        names = ("skin", "eye_left", "eye_right", "mouth_bag")
        return {name: slice(int(a), int(b)) for name, a, b in zip(names, ends[:-1], ends[1:])}

    def count(self, level: str = "base") -> int:
        """Vertices of the whole face."""
        return self.parts(level)["mouth_bag"].stop

    def free(self, level: str = "base") -> dict[str, np.ndarray]:
        """(n, n) masks by hole of the membrane: grid vertices strictly inside a free rectangle, in no face."""
        masks = {}
        for name, hole in self.holes.items():
            hole = hole.scaled(_factor(level))
            masks[name] = np.zeros((self.grid(level),) * 2, bool)
            masks[name][hole.top + 1 : hole.bottom, hole.left + 1 : hole.right] = True
        return masks

    @cached_property
    def holes(self) -> dict[str, Rectangle]:
        """The three free rectangles, named as the part that lies in each."""
        return {"eye_left": self.eye, "eye_right": self.right_eye, "mouth_bag": self.mouth}

    def faces(self, level: str = "base") -> np.ndarray:
        """(F, 4) int32 quads, counter-clockwise seen from outside; -1 ends a triangle.

        Quads on the left half start at another corner, so that splitting every quad along its first and third corner
        gives a symmetric triangle mesh.
        """
        n, parts = self.grid(level), self.parts(level)
        ids = np.arange(n * n).reshape(n, n)
        quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], axis=-1)
        quads[:, n // 2 :] = np.roll(quads[:, n // 2 :], -1, axis=-1)
        used = np.ones((n - 1, n - 1), bool)
        for hole in self.holes.values():
            hole = hole.scaled(_factor(level))
            used[hole.top : hole.bottom, hole.left : hole.right] = False
        left = self._eye_faces()
        right = np.where(left[:, 3:] < 0, left[:, [0, 2, 1, 3]], left[:, [0, 3, 2, 1]])
        pieces = [quads[used]]
        for name, faces in (("eye_left", left), ("eye_right", right), ("mouth_bag", self._bag_faces())):
            pieces.append(np.where(faces < 0, -1, faces + parts[name].start))
        return np.concatenate(pieces).astype(np.int32)

    def _eye_faces(self) -> np.ndarray:
        """Faces of the left eye's own vertices: front pole, rings, back pole, socket rings."""
        rings, last = len(self.eye_rings), self.ball - 1
        ids = 1 + np.arange(rings * self.eye_segments).reshape(rings, -1)
        front = _fan(ids[0], 0)
        back = _fan(ids[-1], last)[:, [0, 2, 1, 3]]
        loop = len(self.eye.loop())
        socket = self.ball + np.arange(self.socket_rings * loop).reshape(self.socket_rings, loop)
        return np.concatenate([front, _tube(ids)[:, ::-1], back, _tube(socket)])

    def _bag_faces(self) -> np.ndarray:
        """Faces of the mouth bag's own vertices: rings from the lips backwards, then the closing vertex."""
        columns = self.mouth.loop()[:, 1]
        loop = len(columns)
        ids = np.arange(self.bag_rings * loop).reshape(self.bag_rings, loop)
        tube = _tube(ids).reshape(self.bag_rings - 1, loop, 4)
        on_the_left = columns + np.roll(columns, -1) > self.size - 1
        tube[:, on_the_left] = np.roll(tube[:, on_the_left], 1, axis=-1)
        return np.concatenate([tube.reshape(-1, 4), _fan(ids[-1], self.bag_rings * loop)])

    def uv(self, level: str = "base") -> np.ndarray:
        """(V, 2) float32 chart coordinates, v down."""
        n = self.grid(level)
        line = np.arange(n) / (n - 1)
        skin = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        left = self._eye_uv()
        right = np.stack([1 - left[:, 0], left[:, 1]], axis=-1)
        centre, border = self._rays(self.mouth)
        inset = 1 - np.arange(self.bag_rings) / self.bag_rings
        bag = centre + inset[:, None, None] * (border - centre)
        pieces = [skin, left, right, bag.reshape(-1, 2), centre[None]]
        return np.concatenate(pieces).astype(np.float32)

    def _rays(self, hole: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        """Centre (2,) and border (n, 2) of a free rectangle in the chart."""
        last = self.size - 1
        centre = np.array([(hole.left + hole.right) / 2, (hole.top + hole.bottom) / 2]) / last
        return centre, hole.loop()[:, ::-1] / last

    def _eye_uv(self) -> np.ndarray:
        """Chart of the left eye: the eyeball by angle from its front pole, 60 degrees filling three quarters."""
        centre, border = self._rays(self.eye)
        half = border.max(axis=0) - centre
        angles = np.array(self.eye_rings)
        radius = np.interp(angles, [0, np.pi / 3, np.pi], [0, 0.75, 1]) * (1 - SOCKET_INSET)
        turn = 2 * np.pi * np.arange(self.eye_segments) / self.eye_segments
        # Directions on a superellipse of order four: rounder than the rectangle, fuller than the ellipse.
        shape = (np.abs(np.cos(turn)) ** 4 + np.abs(np.sin(turn)) ** 4) ** 0.25
        ring = np.stack([np.cos(turn), -np.sin(turn)], axis=-1) / shape[:, None]
        ball = centre + radius[:, None, None] * half * ring
        back = centre + (1 - SOCKET_INSET) * half * ring[0]
        inset = 1 - SOCKET_INSET * np.arange(self.socket_rings) / max(self.socket_rings - 1, 1)
        socket = centre + inset[:, None, None] * (border - centre)
        return np.concatenate([centre[None], ball.reshape(-1, 2), back[None], socket.reshape(-1, 2)])

    def mirror(self, level: str = "base") -> np.ndarray:
        """(V,) int32 permutation: the vertex at the mirrored place."""
        n, parts = self.grid(level), self.parts(level)
        ids = np.arange(self.count(level))
        mirror = ids.copy()
        mirror[parts["skin"]] = ids[parts["skin"]].reshape(n, n)[:, ::-1].ravel()
        mirror[parts["eye_left"]], mirror[parts["eye_right"]] = ids[parts["eye_right"]], ids[parts["eye_left"]]
        loop = self.mouth.loop()
        place = {tuple(rc): k for k, rc in enumerate(loop)}
        around = np.array([place[row, self.size - 1 - column] for row, column in loop])
        rings = len(loop) * np.arange(self.bag_rings)[:, None] + around
        mirror[parts["mouth_bag"]] = parts["mouth_bag"].start + np.append(rings, self.bag_rings * len(loop))
        return mirror.astype(np.int32)

    def embed(self, places: np.ndarray, level: str = "base") -> Embedding:
        """Fix points of the chart to the skin's triangles.

        Args:
            places: (n, 2) chart coordinates (u, v) in [0, 1].
            level: "base" or "dense".

        Returns:
            Three skin vertices and weights for each point.
        """
        n = self.grid(level)
        scaled = np.clip(np.asarray(places, np.float64), 0, 1) * (n - 1)
        cell = np.minimum(scaled.astype(int), n - 2)
        x, y = (scaled - cell).T
        column, row = cell.T
        corner = row * n + column
        top_left, bottom_left, bottom_right, top_right = corner, corner + n, corner + n + 1, corner + 1
        falling = column < n // 2
        lower = np.where(falling, y >= x, x + y >= 1)
        first = np.where(falling, top_left, bottom_left)
        second = np.where(falling, np.where(lower, bottom_left, bottom_right), np.where(lower, bottom_right, top_right))
        third = np.where(falling, np.where(lower, bottom_right, top_right), np.where(lower, top_right, top_left))
        second_weight = np.where(falling, np.where(lower, y - x, y), np.where(lower, x + y - 1, x))
        third_weight = np.where(falling, np.where(lower, x, x - y), np.where(lower, 1 - y, 1 - x - y))
        weights = np.stack([1 - second_weight - third_weight, second_weight, third_weight], axis=-1)
        return Embedding(np.stack([first, second, third], axis=-1).astype(np.int32), weights.astype(np.float32))


def _factor(level: str) -> int:
    """How many dense grid steps make a base step."""
    if level not in ("base", "dense"):
        raise ValueError(f"level is {level!r}; choose 'base' or 'dense'")
    return {"base": 1, "dense": 2}[level]


def _tube(ids: np.ndarray) -> np.ndarray:
    """(F, 4) quads between the closed rings (K, n) of vertex ids."""
    following = np.roll(ids, -1, axis=1)
    return np.stack([ids[:-1], following[:-1], following[1:], ids[1:]], axis=-1).reshape(-1, 4)


def _fan(ring: np.ndarray, apex: int) -> np.ndarray:
    """(n, 4) triangles, ended by -1, between a closed ring (n,) and a vertex."""
    return np.stack([ring, np.roll(ring, -1), np.full_like(ring, apex), np.full_like(ring, -1)], axis=-1)
