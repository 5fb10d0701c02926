"""Renders of people by codes and skin, in any light, pose and expression, cut out as `data.identities` wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from likeness import color
from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.data import backgrounds
from likeness.data.booth import five_points
from likeness.data.identities import SIDE, template
from likeness.data.lamps import draw_lamps
from likeness.data.synthetic import draw_expression, draw_light
from likeness.encoders.recognition.templates import photo_from_crop
from likeness.geometry import cameras
from likeness.geometry.rotation import from_euler
from likeness.models.albedo import AlbedoDecoder
from likeness.models.linear import LinearModel
from likeness.render.render import render
from likeness.types import Face, Highlight, Light, PointLights, View

NEUTRAL = 0.4
"""Share of renders without expression."""
LAMPS = 0.5
"""Share of batches lit by lamps; the others have soft light with a highlight."""
WARM = np.array([0.25, 0.0, -0.35])
"""Logarithms of red, green and blue by which the light of a bulb differs from that of the sky, halved."""


@dataclass(frozen=True)
class Part:
    """Who is drawn.

    Attributes:
        identity: (100,) and albedo (K,), codes.
        skin: (S, S, 3) uint8 sRGB over the chart; None for the albedo model's own.
        expression: (51,) that may be shown, or None.
    """

    identity: np.ndarray
    albedo: np.ndarray
    skin: np.ndarray | None = None
    expression: np.ndarray | None = None


class Casting:
    """Draws people with the renderer.

    Args:
        fitted: (n, 51) expressions of photos.
        surroundings: Pictures (SIDE, SIDE, 3) uint8 that may lie behind a head; beside them procedural ones are used.
    """

    def __init__(
        self, model: Builtin, albedo: AlbedoModel, fitted: np.ndarray, surroundings: Sequence[np.ndarray]
    ) -> None:
        self.topology = model.topology("base")
        self.shapes, self.colours = LinearModel.of(model), AlbedoDecoder(albedo, self.topology)
        self.mean, self.modes = (five_points(self.topology).points(shape) for shape in (model.mean, model.identity))
        self.fitted, self.surroundings = fitted, list(surroundings)

    def draw(self, parts: Sequence[Part], random: np.random.Generator) -> np.ndarray:
        """A picture of each, (n, SIDE, SIDE, 3) uint8 sRGB."""
        expression = np.stack([self._expression(part, random) for part in parts]).astype(np.float32)
        views = [self.view(part.identity, random) for part in parts]
        identity = torch.from_numpy(np.stack([part.identity for part in parts]).astype(np.float32))
        codes = torch.from_numpy(np.stack([part.albedo for part in parts]).astype(np.float32))
        behind = np.stack([color.decode(self.background(random)) for _ in parts])
        with torch.no_grad():
            face = self.shapes(identity, torch.from_numpy(expression))
            shine = self.colours(codes)[1]
            image = render(
                Face(face.vertices, specular=shine), self.topology, _batch(views), self.light(views, random),
                texture=torch.stack([self._skin(part) for part in parts]), background=torch.from_numpy(behind),
            ).image  # fmt: skip
        return color.encode(image.clip(0, 1).numpy())

    def _skin(self, part: Part) -> Tensor:
        if part.skin is not None:
            return torch.from_numpy(color.decode(part.skin))
        whole = self.colours.texture(torch.from_numpy(part.albedo.astype(np.float32)))
        return whole.unflatten(0, (-1, 2)).mean(1).unflatten(1, (-1, 2)).mean(2)  # a face has no more pixels than that

    def _expression(self, part: Part, random: np.random.Generator) -> np.ndarray:
        kind = random.random()
        if kind < NEUTRAL:
            return np.zeros(self.fitted.shape[1])
        if kind < NEUTRAL + 0.2 and part.expression is not None:
            return part.expression
        return draw_expression(random, self.fitted)

    def view(self, identity: np.ndarray, random: np.random.Generator) -> View:
        """A camera that shows the five points where a cut-out has them, as near as it can."""
        yaw = math.radians(np.clip(random.normal(0, 24), -60, 60))
        pitch = math.radians(np.clip(random.normal(0, 11), -30, 30))
        rotation = from_euler(np.float64(yaw), np.float64(pitch), np.float64(0))
        distance = float(np.clip(800 * math.exp(0.35 * random.standard_normal()), 350, 3000))
        points = self.mean + np.tensordot(identity, self.modes, 1)
        translation = np.array([0, 0, -distance]) - rotation @ points.mean(0)
        view = View(rotation, translation, np.float64(distance), np.zeros(2), (SIDE, SIDE))
        back = photo_from_crop(cameras.project(points, view), template())
        motion = np.linalg.inv(np.concatenate([back, [[0, 0, 1]]]))
        return cameras.transform_view(view, motion, (SIDE, SIDE))

    @staticmethod
    def light(views: Sequence[View], random: np.random.Generator) -> Light | PointLights:
        """A light for each of a batch: two lamps, or soft light with a highlight."""
        count = len(views)
        if random.random() < LAMPS:
            generator = torch.Generator().manual_seed(int(random.integers(1 << 62)))
            return draw_lamps(count, _float(np.stack([view.translation for view in views])), generator)
        harmonics = np.stack([draw_light(random) for _ in range(count)])
        harmonics *= np.exp(WARM * random.normal(0, 0.35, (count, 1)))[:, None]
        place = random.normal(0, 1, (count, 3)) * [500, 400, 200] + [0, 200, 300]
        highlight = Highlight(_float(place), _float(random.uniform(8, 40, count)))
        return Light(_float(harmonics), highlight)

    def background(self, random: np.random.Generator) -> np.ndarray:
        """(SIDE, SIDE, 3) uint8: half of them surroundings of photos, where there are any."""
        if not self.surroundings or random.random() < 0.5:
            return backgrounds.background(SIDE, random)
        picture = self.surroundings[random.integers(len(self.surroundings))]
        return np.ascontiguousarray(picture[:, ::-1]) if random.random() < 0.5 else picture


def made_up(count: int, shape: int, albedo: int, random: np.random.Generator) -> list[Part]:
    """People in fours: two shapes by two skins, so that neither alone tells who it is."""
    parts = []
    while len(parts) < count:
        shapes, skins = (random.standard_normal((2, n)) * random.uniform(0.6, 1.15) for n in (shape, albedo))
        parts += [Part(a, b) for a in shapes for b in skins]
    return parts[:count]


def relatives(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For places (n,) in the order of `made_up`: who has one shape, and who has one skin with whom, (n,) int each."""
    return place // 2, place // 4 * 2 + place % 2


def faceless(picture: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """A cut-out whose face is filled from around it: hair, neck and clothes for a render to lie on."""
    middle = outline.mean(0)
    hole = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(hole, cv2.convexHull(np.rint(middle + (outline - middle) * 1.02).astype(np.int32)), 1)
    small = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, cv2.resize(hole, (48, 48), interpolation=cv2.INTER_NEAREST), 3, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(hole[..., None] > 0, large, picture)


def _batch(views: Sequence[View]) -> View:
    """Views as one with a batch dimension, torch."""
    keys = ("rotation", "translation", "focal", "principal")
    return View(*(_float(np.stack([getattr(view, key) for view in views])) for key in keys), views[0].size)


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
