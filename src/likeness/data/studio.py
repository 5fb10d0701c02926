"""A simple studio: the full ICT head with skin colours from a photo, procedural eyes, teeth and hair, under a random light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse

from likeness import color
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.ict import FACE, NARROW, IctModel
from likeness.geometry import cameras, harmonics, sphere
from likeness.geometry.mesh import edges, triangulate, vertex_normals
from likeness.geometry.rotation import from_axis_angle
from likeness.render.rasterize_numba import interpolate, rasterize
from likeness.types import View

HEAD, SOCKETS, GUMS, TEETH, EYES = 11248, 14062, 17039, 21451, 24591
"""Ends of ICT's vertex blocks: head and neck; mouth and eye sockets; gums and tongue; teeth; eyeballs."""
SHELLS = {"Left": slice(22221, 23021), "Right": slice(23791, 24591)}
"""The inner shells of the eyeballs, which carry the iris; the outer ones are clear."""
GAZE = {"eyeLookUp": (-25.0, 0.0), "eyeLookDown": (30.0, 0.0), "eyeLookIn": (0.0, -30.0), "eyeLookOut": (0.0, 30.0)}
"""Turn of the left eyeball at weight 1 about +X and +Y, degrees; mirrored for the right one."""


@dataclass(frozen=True)
class Look:
    """Everything about a render but its codes and camera.

    Attributes:
        skin: (11248, 3) linear RGB of face, head and neck.
        iris: (3,) linear RGB.
        hair: (3,) linear RGB.
        hairline: mm, height above which there is hair; large for a bald head.
        thickness: mm, by which hair lifts the surface.
        light: (9, 3) spherical harmonics, see `types.Light`.
    """

    skin: np.ndarray
    iris: np.ndarray
    hair: np.ndarray
    hairline: float
    thickness: float
    light: np.ndarray


class Studio:
    """Renders of the ICT head."""

    def __init__(self, ict: IctModel) -> None:
        self.mean = ict.mean[:EYES].astype(np.float32)
        modes = np.concatenate([ict.identity, ict.expression])[:, :EYES]
        self.modes = np.ascontiguousarray(modes.reshape(len(modes), -1), np.float32)
        triangles = triangulate(ict.faces[(ict.faces < EYES).all(1)])
        outer = (triangles >= TEETH).any(1) & ~np.isin(triangles, self._shells()).all(1)
        self.triangles = np.ascontiguousarray(triangles[~outer])
        skin = self.triangles[(self.triangles < HEAD).all(1)]
        pairs = edges(skin)
        both = np.concatenate([pairs, pairs[:, ::-1]])
        graph = sparse.csr_matrix((np.ones(len(both), np.float32), both.T), shape=(HEAD, HEAD))
        self.smooth = sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
        self.skin_triangles = skin
        flipped = self.mean[:FACE] * [-1, 1, 1]
        from scipy.spatial import cKDTree

        self.mirror = cKDTree(self.mean[:FACE]).query(flipped)[1]
        self.centres = {side: sphere.centre(self.mean[shell].astype(np.float64)) for side, shell in SHELLS.items()}

    @staticmethod
    def _shells() -> np.ndarray:
        return np.concatenate([np.arange(shell.start, shell.stop) for shell in SHELLS.values()])

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """(V, 3) mm with eyeballs turned."""
        moved = self.mean + (np.concatenate([identity, expression]).astype(np.float32) @ self.modes).reshape(-1, 3)
        neutral = (identity.astype(np.float32) @ self.modes[: len(identity)]).reshape(-1, 3)
        weight = dict(zip(EXPRESSIONS, expression))
        for side, shell in SHELLS.items():
            sign = 1.0 if side == "Left" else -1.0
            turn = sum(weight[name + side] * np.array(angles) for name, angles in GAZE.items())
            rotation = from_axis_angle(np.radians([turn[0], sign * turn[1], 0.0])).astype(np.float32)
            centre = (self.centres[side] + neutral[shell].mean(0)).astype(np.float32)
            moved[shell] = (moved[shell] - centre) @ rotation.T + centre
        return moved

    def skin_colors(self, image: np.ndarray, vertices: np.ndarray, view: View) -> np.ndarray:
        """Skin (11248, 3) linear RGB seen in a photo: visible vertices read it, hidden ones take their mirror image's
        colour, and what is left is filled smoothly.

        Args:
            image: (H, W, 3) uint8 sRGB.
            vertices: (V, 3) the head fitted to the photo, model frame.
            view: The photo's camera.
        """
        points = cameras.project(vertices[:NARROW], view)
        normals = vertex_normals(vertices[:HEAD], self.skin_triangles)[:NARROW]
        camera = cameras.to_camera(vertices[:NARROW], view)
        ray = -camera / np.linalg.norm(camera, axis=-1, keepdims=True)
        facing = ((normals @ view.rotation.T) * ray).sum(-1)
        height, width = image.shape[:2]
        inside = (points > 1).all(1) & (points[:, 0] < width - 1) & (points[:, 1] < height - 1)
        seen = np.zeros(FACE, bool)
        seen[:NARROW] = inside & (facing > 0.3)
        where = points.astype(np.float32)[:, None] - np.float32(0.5)
        values = np.zeros((HEAD, 3), np.float32)
        values[:NARROW] = color.decode(cv2.remap(image, where, None, cv2.INTER_LINEAR)[:, 0])
        by_mirror = ~seen & seen[self.mirror]
        values[:FACE][by_mirror] = values[self.mirror][by_mirror]
        known = np.zeros(HEAD, bool)
        known[:FACE] = seen | by_mirror
        values[~known] = np.median(values[known], 0)
        for _ in range(120):
            values[~known] = (self.smooth @ values)[~known]
        return values

    def colors(self, vertices: np.ndarray, look: Look, random: np.random.Generator) -> np.ndarray:
        """Linear RGB (V, 3) before light."""
        result = np.zeros((len(self.mean), 3), np.float32)
        result[:HEAD] = look.skin
        result[HEAD:SOCKETS] = np.array([0.12, 0.02, 0.02])
        result[SOCKETS:GUMS] = np.array([0.35, 0.09, 0.08]) * random.uniform(0.6, 1.2)
        result[GUMS:TEETH] = np.array([0.75, 0.68, 0.55]) * random.uniform(0.6, 1.1)
        for side, shell in SHELLS.items():
            away = (self.mean[shell] - self.centres[side]).astype(np.float64)
            angle = np.arccos(np.clip(away[:, 2] / np.linalg.norm(away, axis=1), -1, 1))
            white, black = np.array([0.62, 0.56, 0.52]), np.full(3, 0.01)
            edge = 1 / (1 + np.exp((angle - 0.47) / 0.02))[:, None]
            pupil = 1 / (1 + np.exp((angle - 0.17) / 0.02))[:, None]
            result[shell] = white + edge * (look.iris - white) + pupil * (black - look.iris)
        hair = self.hair_weight(look)
        strands = np.exp(0.5 * random.standard_normal((HEAD, 1)))
        result[:HEAD] += hair[:, None] * (look.hair * strands - result[:HEAD])
        return result

    def hair_weight(self, look: Look) -> np.ndarray:
        """(11248,) in [0, 1]: scalp above the hairline, which runs behind the ears."""
        _, y, z = self.mean[:HEAD].T
        line = look.hairline - 1.2 * np.clip(70 - z, 0, 110)
        return 1 / (1 + np.exp(np.clip((line - y) / 3.0, -30, 30)))

    def render(self, identity, expression, view: View, look: Look, background: np.ndarray, random) -> np.ndarray:
        """A picture uint8 (h, w, 3) of the view's size, drawn at twice its size and averaged.

        Args:
            background: uint8, of the view's size.
        """
        vertices = self.vertices(identity, expression)
        normals = vertex_normals(vertices, self.triangles)
        hair = self.hair_weight(look)
        bumps = look.thickness * np.clip(1 + 0.3 * np.sin(self.mean[:HEAD] @ random.normal(0, 0.05, (3,)) + 3), 0, 2)
        vertices[:HEAD] += (normals[:HEAD] * (hair * bumps)[:, None]).astype(np.float32)
        shaded = self.colors(vertices, look, random) * np.clip(
            harmonics.shade(normals @ view.rotation.T, look.light), 0.02, None
        )
        size = (2 * view.size[0], 2 * view.size[1])
        points = cameras.project_with_depth(vertices.astype(np.float64), view)
        points[:, :2] *= 2
        triangle, barycentric, _ = rasterize(points, self.triangles, size)
        image = color.decode(cv2.resize(background, size[::-1], interpolation=cv2.INTER_LINEAR))
        seen = triangle >= 0
        image[seen] = interpolate(shaded.astype(np.float32), self.triangles, triangle[seen], barycentric[seen])
        return color.encode(cv2.resize(image, view.size[::-1], interpolation=cv2.INTER_AREA))
