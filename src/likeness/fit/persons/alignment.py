"""What frames say about a person's offsets through pixels: how far the person's own texture, drawn, lies beside what is seen.

The photometric term of Mallikarjun et al. 2021, eq. 8, in the least-squares form of `fit.photo.pixels`. The material under a pixel moves
and takes what is drawn on it along; how its normal turns is left out: of one person in one place, light and form explain each
other too well, while moles, brows and lips are drawn on the skin and lie where the form puts them in every view.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from likeness.fit.persons.personal import Rows
from likeness.fit.photo import beliefs, marks, pixels, pose, synthesis
from likeness.fit.photo.quadratic import Quadratic
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.geometry import harmonics
from likeness.losses.photometric import robust
from likeness.types import Stage

SIZE = 112
"""Side of the pictures that are compared, px."""
FRAME = synthesis.Step(
    Stage("frames", 4, {**synthesis.SEEN, **synthesis.BELIEVED}, {"expression": 1.0, "pose": 1.0, "light": 1.0}), SIZE
)
"""Everything that is a frame's own, with the person as it is."""
BELIEFS = ("expression", "opposed", "closing", "distance", "light")


def frame_rows(problem: synthesis.Problem, scene: Scene) -> list[Rows]:
    """Landmarks and pixels of every frame about a scene, as rows of one number each.

    Args:
        problem: The frames, with the person's surface; the surface's albedo is taken as it is.
        scene: Their fit.
    """
    free, surface = problem.free, problem.surface
    believed = Quadratic(*(sum(parts) for parts in zip(*(getattr(beliefs, name)(scene, free) for name in BELIEFS))))
    own = torch.zeros(free.count, dtype=torch.bool)
    own[free.expression], own[free.pose], own[free.light] = True, True, True
    place, result = pose.of_scene(scene), []
    for i, (picture, compared) in enumerate(zip(problem.pictures(SIZE), problem.compared(scene))):
        parts = [_pixels(surface, scene, i, pixels.look(surface, scene, i, picture), synthesis.SEEN["photometric"])]
        if compared is not None:
            parts.append(_landmarks(surface, scene, i, place[i], compared, synthesis.SEEN["landmarks"]))
        vertices, shares, residual, by_point, by_code, weight = (torch.cat(values) for values in zip(*parts))
        weights = scene.expression[i]
        loose = torch.cat([(weights > 0) & (weights < 1), torch.ones(pose.COUNT + 27, dtype=torch.bool)])
        result.append(Rows(
            vertices, shares, residual[:, None], by_point[:, None], by_code[:, None], weight,
            weights, loose, believed.hessian[i][own][:, own], believed.gradient[i][own],
        ))  # fmt: skip
    return result


def _pixels(surface: Surface, scene: Scene, i: int, seen: pixels.Seen, weight: float) -> Sequence[Tensor]:
    """Three rows for each pixel."""
    place = pose.of_scene(scene.resized(seen.size))[i]
    codes = _codes(surface, seen.about, seen.corners, seen.shares, scene.rotation[i], place)
    by_code = -seen.gradient @ codes[..., :-3]
    by_point = -seen.gradient @ codes[..., -3:]
    basis, light = harmonics.basis(seen.normal), torch.zeros(len(seen.place), 3, 9, 3)
    for channel in range(3):
        light[:, channel, :, channel] = seen.albedo[:, channel, None] * basis
    by_code = torch.cat([by_code, light.flatten(-2)], -1) / seen.sigma
    share = weight * seen.weight * robust(seen.residual.square().sum(-1))[1] / seen.weight.sum().clamp(min=1.0)
    return _flat(seen.corners, seen.shares, seen.residual, by_point / seen.sigma, by_code, share)


def _landmarks(
    surface: Surface, scene: Scene, i: int, place: Tensor, compared: marks.Compared, weight: float
) -> Sequence[Tensor]:
    """Two rows for each landmark; light moves none."""
    codes = compared.whitening @ _codes(
        surface, compared.about, compared.vertices, compared.weights, scene.rotation[i], place
    )
    by_code = torch.cat([codes[..., :-3], codes.new_zeros(*codes.shape[:2], 27)], -1)
    square = compared.white.square().sum(-1)
    share = weight * compared.seen * (marks.FREEDOM + 2) / (marks.FREEDOM + square) / compared.seen.sum().clamp(min=1.0)
    return _flat(compared.vertices, compared.weights, compared.white, codes[..., -3:], by_code, share)


def _codes(
    surface: Surface, about: Tensor, vertices: Tensor, shares: Tensor, rotation: Tensor, place: Tensor
) -> Tensor:
    """(n, 2, I + E + 7 + 3) px per unit of identity, expression and camera, and per mm of the point itself."""
    modes = surface.moving(vertices, shares)
    flow = pose.motion(about, torch.cat([modes, torch.eye(3).expand(len(about), 3, 3)], -1), rotation, place)
    codes = modes.shape[-1]
    return torch.cat([flow[..., :codes], flow[..., codes + 3 :], flow[..., codes : codes + 3]], -1)


def _flat(
    vertices: Tensor, shares: Tensor, residual: Tensor, by_point: Tensor, by_code: Tensor, weight: Tensor
) -> Sequence[Tensor]:
    """Rows of one number each."""
    r = residual.shape[1]
    each = (values.repeat_interleave(r, 0) for values in (vertices, shares))
    return (*each, residual.flatten(), by_point.flatten(0, 1), by_code.flatten(0, 1), weight.repeat_interleave(r))
