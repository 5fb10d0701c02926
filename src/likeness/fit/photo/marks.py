"""The landmark term: where the model's points lie in the picture against where they were seen, each with its spread."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likeness.assets.correspondence import COUNT, OUTLINE
from likeness.fit.landmarks.terms import IRIS_STARTS, LIDS
from likeness.fit.photo import pose
from likeness.fit.photo.quadratic import Layout, Quadratic
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.losses.contour import outline_choice
from likeness.losses.landmark import ALONG, outline_tangents
from likeness.render.normals import vertex_normals

FREEDOM = 4.0
"""Degrees of freedom of the errors' Student distribution; smaller forgives more. As in the fits of training targets."""
JAW = slice(0, 17)
"""The outline among the 68 points."""
HIDDEN = 0.02
"""Least weight of a point whose skin faces away: there a detector guesses."""


class Compared(NamedTuple):
    """One frame's landmarks: the model's n points and how far the measured ones are off.

    Attributes:
        vertices: (n, 3) long and weights (n, 3): the points of the model that were compared; jaw points of the 68 slide.
        about: (n, 3) mm, turned about the pivot.
        pixels: (n, 2) px, the model's.
        whitening: (n, 2, 2) takes px to standard deviations.
        white: (n, 2) residuals, model minus measured, in standard deviations.
        seen: (n,) in [0, 1], visibility; 0 where nothing was measured.
    """

    vertices: Tensor
    weights: Tensor
    about: Tensor
    pixels: Tensor
    whitening: Tensor
    white: Tensor
    seen: Tensor

    def cost(self) -> Tensor:
        """Half the robust squared error, mean over the points that count."""
        square = self.white.square().sum(-1)
        each = 0.5 * (FREEDOM + 2) * torch.log1p(square / FREEDOM)
        return (self.seen * each).sum() / self.seen.sum().clamp(min=1.0)

    def error(self, points: Tensor) -> Tensor:
        """Mean distance of points in px, outlines across themselves only; over points that count."""
        return (self.seen * (self.pixels - points).norm(dim=-1)).sum() / self.seen.sum().clamp(min=1.0)


def compare(surface: Surface, scene: Scene, frame: int, points: Tensor, sigma: Tensor) -> Compared:
    """Project the model's landmarks of one frame.

    Args:
        points: (n, 2) px of the scene's pictures; n is 478 or 68.
        sigma: (n,) px, infinite where nothing was measured.
    """
    marks = surface.marks[len(points)]
    rotation, place = scene.rotation[frame], pose.of_scene(scene)[frame]
    vertices = surface.vertices(scene.identity[scene.person[frame]], scene.expression[frame])
    normals = vertex_normals(vertices, surface.triangles) @ rotation.T
    ids, weights = marks.vertices, marks.weights
    if len(points) == 68 and surface.topology.contour is not None:
        rows = torch.as_tensor(surface.topology.contour).long()
        camera = vertices[rows] @ rotation.T + scene.translation[frame]
        chosen = rows.gather(1, outline_choice(camera, normals[rows])[:, None])
        ids = torch.cat([chosen.expand(-1, 3), ids[JAW.stop :]])
        weights = torch.cat([weights.new_tensor([[1.0, 0.0, 0.0]]).expand(len(rows), -1), weights[JAW.stop :]])
    model = (vertices[ids] * weights[..., None]).sum(1) + marks.offset
    about = pose.turned(model, rotation)
    pixels = pose.pixels(about, place, scene.principal[frame])
    measured = torch.isfinite(sigma) & torch.isfinite(points).all(-1)
    spread = torch.hypot(marks.sigma * place[2].exp(), torch.where(measured, sigma, torch.ones_like(sigma)))
    shown = torch.where(measured[:, None], points, pixels)
    whitening = _whitening(shown, spread)
    white = (whitening @ (pixels - shown)[..., None])[..., 0]
    facing = (
        (normals[ids] * weights[..., None]).sum(1)
        * -torch.nn.functional.normalize(
            about + scene.rotation[frame] @ about.new_tensor(pose.PIVOT) + scene.translation[frame], dim=-1
        )
    ).sum(-1)
    seen = torch.sigmoid((facing - 0.1) / 0.07).clamp(min=HIDDEN) * measured
    if len(points) == 68:
        seen = torch.cat([measured[JAW].to(seen), seen[JAW.stop :]])  # an outline is seen where skin turns away
    return Compared(ids, weights, about, pixels, whitening, white, seen)


def _whitening(points: Tensor, spread: Tensor) -> Tensor:
    """(n, 2, 2): across the outline of dense points all counts, along it little; an iris under a closed lid is a guess."""
    whitening = torch.eye(2).repeat(len(points), 1, 1)
    if len(points) == COUNT:
        tangent = outline_tangents(points[None], OUTLINE)[0]
        across = torch.stack([-tangent[:, 1], tangent[:, 0]], -1)
        whitening[list(OUTLINE)] = torch.stack([ALONG * tangent, across], -2)
        for first, (outer, inner, upper, lower) in zip(IRIS_STARTS, LIDS):
            opening = (points[upper] - points[lower]).norm() / (points[outer] - points[inner]).norm().clamp(min=1e-6)
            whitening[first : first + 5] *= ((opening - 0.1) / 0.1).clamp(0.02, 1)
    return whitening / spread[:, None, None]


def quadratic(surface: Surface, scene: Scene, frame: int, compared: Compared, free: Layout, weight: float) -> Quadratic:
    """The term of one frame; the points count as `weight` independent ones, because neighbours err together."""
    flow = pose.motion(
        compared.about, surface.moving(compared.vertices, compared.weights), scene.rotation[frame],
        pose.of_scene(scene)[frame],
    )  # fmt: skip
    rows = torch.zeros(*flow.shape[:2], free.count)
    codes = surface.identities
    rows[..., free.identity], rows[..., free.expression] = (
        flow[..., :codes],
        flow[..., codes : codes + surface.expressions],
    )
    rows[..., free.pose] = flow[..., -pose.COUNT :]
    rows = compared.whitening @ rows
    square = compared.white.square().sum(-1)
    share = weight * compared.seen * (FREEDOM + 2) / (FREEDOM + square) / compared.seen.sum().clamp(min=1.0)
    root = share.sqrt()[:, None]
    flat = (rows * root[..., None]).flatten(0, 1)
    return Quadratic(weight * compared.cost(), flat.T @ (compared.white * root).flatten(), flat.T @ flat)
