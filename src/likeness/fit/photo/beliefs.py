"""What is believed besides landmarks and pixels: the regressor's answer with its spread, and priors on codes, light and camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from likeness.assets.arkit import EXPRESSIONS
from likeness.fit.landmarks.terms import OPPOSED
from likeness.fit.photo import pose
from likeness.fit.photo.quadratic import LIGHT, Layout, Quadratic
from likeness.fit.photo.scene import Scene
from likeness.geometry import harmonics

EXPRESSION_SPREAD, EXPRESSION_SLOPE, OPPOSED_COST = 0.5, 1.5, 30.0
"""As in the fits of training targets (`fit.landmarks.solver.FitConfig`): scale of a weight, and what sends the needless ones to zero."""
STIFF = 1000.0
"""Stiffness of the bound mouthClose <= jawOpen, and of the bound of light at zero."""
DISTANCE, DISTANCE_SPREAD = 900.0, 0.35
"""mm, median distance of a camera from a head in photos, and the standard deviation of its logarithm."""
AMBIENT = 3.545
"""First coefficient of light that shows albedo as it is: one over the constant harmonic."""
BRIGHTNESS, TINT = (2.0, 0.5, 0.25), (0.25, 0.08, 0.05)
"""Standard deviations of a light's coefficients by band, times `AMBIENT`: of what its channels have in common and of each
channel by itself. Ours: photos are white-balanced, and a face is rarely lit from behind alone."""
BANDS = (1, 3, 5)


@dataclass(frozen=True)
class Measured:
    """The regressor's answers for F frames, and how far such answers are off.

    Attributes:
        scene: Identity (F, I), one row a frame; the other numbers as in a scene.
        precision: (D, D) inverse covariance of identity, expression and pose (`fit.photo.pose`) about the answer, given the photo.
    """

    scene: Scene
    precision: Tensor

    @cached_property
    def news(self) -> Tensor:
        """(D, D): the precision less that of the identity's prior, positive semi-definite: what a photo adds."""
        result = self.precision.double().clone()
        result.diagonal()[: self.scene.identity.shape[1]] -= 1
        values, vectors = torch.linalg.eigh(result)
        return ((vectors * values.clamp(min=0)) @ vectors.T).to(self.precision)

    def quadratic(self, scene: Scene, free: Layout) -> Quadratic:
        """Half the squared Mahalanobis distance of each frame from its answer, less the identity's prior.

        An answer is a posterior mean, in which the prior is contained. It must count once for a person and not once for each
        photo: `news` leaves it out, `priors` has it, and here it is moved to the mean of the person's answers, so that one
        photo alone gives the answer back.
        """
        off = difference(scene, self.scene)
        rows = torch.cat([torch.arange(free.count)[part] for part in (free.identity, free.expression, free.pose)])
        share = 1 / torch.bincount(scene.person)[scene.person].to(off)
        result, pull = Quadratic.zero(len(scene), free.count), off @ self.news
        result.gradient[:, rows] = pull
        result.gradient[:, free.identity] -= share[:, None] * self.scene.identity
        result.hessian[:, rows[:, None], rows] = self.news
        aside = share * (self.scene.identity * (scene.identity[scene.person] - self.scene.identity)).sum(1)
        return result._replace(cost=0.5 * (off * pull).sum(1) - aside)


def difference(scene: Scene, answers: Scene) -> Tensor:
    """(F, D): how far frames are from answers with one identity a frame: identity, expression, turn, place, scale, distance."""
    return torch.cat([
        scene.identity[scene.person] - answers.identity, scene.expression - answers.expression,
        axis_angle(scene.rotation @ answers.rotation.mT), pose.of_scene(scene) - pose.of_scene(answers),
    ], 1)  # fmt: skip


def axis_angle(rotation: Tensor) -> Tensor:
    """Axis times angle (..., 3) of rotation matrices (..., 3, 3) that turn by less than a half circle."""
    skew = torch.stack([
        rotation[..., 2, 1] - rotation[..., 1, 2], rotation[..., 0, 2] - rotation[..., 2, 0],
        rotation[..., 1, 0] - rotation[..., 0, 1],
    ], -1) / 2  # fmt: skip
    sine = skew.norm(dim=-1)
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    return skew * torch.where(sine > 1e-6, angle / sine.clamp(min=1e-6), torch.ones_like(sine))[..., None]


def priors(scene: Scene, free: Layout, identity: float, albedo: float) -> tuple[Tensor, Tensor, Tensor]:
    """Standard normal priors of each person's codes: cost (P,), gradient (P, S) and Hessian (P, S, S); weighted."""
    state = torch.cat([scene.identity, scene.albedo], 1)
    weight = torch.cat([state.new_full((free.identities,), identity), state.new_full((free.albedos,), albedo)])
    return 0.5 * (weight * state.square()).sum(1), weight * state, torch.diag(weight).expand(len(state), -1, -1)


def expression(scene: Scene, free: Layout) -> Quadratic:
    """Weights are small and most of them zero."""
    result = Quadratic.zero(len(scene), free.count)
    weights = scene.expression
    result.gradient[:, free.expression] = weights / EXPRESSION_SPREAD**2 + EXPRESSION_SLOPE
    result.hessian.diagonal(dim1=1, dim2=2)[:, free.expression] = EXPRESSION_SPREAD**-2
    return result._replace(cost=(0.5 * weights.square() / EXPRESSION_SPREAD**2 + EXPRESSION_SLOPE * weights).sum(1))


def opposed(scene: Scene, free: Layout) -> Quadratic:
    """Pairs of weights that pull the same skin in opposite directions are not both at work: their products are small."""
    result = Quadratic.zero(len(scene), free.count)
    weights, start = scene.expression, free.expression.start
    first, second = (torch.tensor([EXPRESSIONS.index(pair[i]) for pair in OPPOSED]) for i in (0, 1))
    product = weights[:, first] * weights[:, second]
    for mine, other in ((first, second), (second, first)):
        result.gradient.index_add_(1, start + mine, OPPOSED_COST * product * weights[:, other])
        result.hessian.diagonal(dim1=1, dim2=2).index_add_(1, start + mine, OPPOSED_COST * weights[:, other] ** 2)
    return result._replace(cost=0.5 * OPPOSED_COST * product.square().sum(1))


def closing(scene: Scene, free: Layout) -> Quadratic:
    """mouthClose corrects jawOpen and does not exceed it."""
    result = Quadratic.zero(len(scene), free.count)
    i, j = (free.expression.start + EXPRESSIONS.index(name) for name in ("mouthClose", "jawOpen"))
    excess = (scene.expression[:, i - free.expression.start] - scene.expression[:, j - free.expression.start]).clamp(
        min=0
    )
    stiff = STIFF * (excess > 0)
    for row, sign in ((i, 1.0), (j, -1.0)):
        result.gradient[:, row] = sign * stiff * excess
        result.hessian[:, row, row] = stiff
    result.hessian[:, i, j] = result.hessian[:, j, i] = -stiff
    return result._replace(cost=0.5 * STIFF * excess.square())


def distance(scene: Scene, free: Layout) -> Quadratic:
    """The camera is about as far from the head as cameras are."""
    result = Quadratic.zero(len(scene), free.count)
    far = pose.of_scene(scene)[:, 3] - torch.tensor(DISTANCE).log()
    row = free.pose.stop - 1
    result.gradient[:, row] = far / DISTANCE_SPREAD**2
    result.hessian[:, row, row] = DISTANCE_SPREAD**-2
    return result._replace(cost=0.5 * (far / DISTANCE_SPREAD).square())


def light(scene: Scene, free: Layout) -> Quadratic:
    """Light is about white and even, and negative from nowhere (a stiff bound, checked in directions all around)."""
    result = Quadratic.zero(len(scene), free.count)
    mean, precision = _light_prior()
    off = scene.light.flatten(1) - mean
    pull = off @ precision
    basis = harmonics.basis(directions())
    lack = (basis @ scene.light).clamp(max=0)
    active = (lack < 0).to(lack)
    hessian = torch.zeros(len(scene), 9, 3, 9, 3)
    for channel in range(3):
        hessian[:, :, channel, :, channel] = STIFF * torch.einsum("fd,da,db->fab", active[..., channel], basis, basis)
    result.gradient[:, free.light] = pull + STIFF * (basis.T @ lack).flatten(1)
    result.hessian[:, free.light, free.light] = precision + hessian.reshape(-1, LIGHT, LIGHT)
    return result._replace(cost=0.5 * (off * pull).sum(1) + 0.5 * STIFF * lack.square().sum((1, 2)))


@cache
def _light_prior() -> tuple[Tensor, Tensor]:
    """Mean (27,) and inverse covariance (27, 27) of a light's coefficients."""
    mean, blocks = torch.zeros(9, 3), []
    mean[0] = AMBIENT
    for count, common, own in zip(BANDS, BRIGHTNESS, TINT):
        covariance = AMBIENT**2 * (common**2 * torch.ones(3, 3) + own**2 * torch.eye(3))
        blocks += [torch.linalg.inv(covariance)] * count
    return mean.flatten(), torch.block_diag(*blocks)


@cache
def directions(count: int = 96) -> Tensor:
    """Unit directions (count, 3) spread evenly over the sphere (a Fibonacci spiral)."""
    place = torch.arange(count, dtype=torch.float32) + 0.5
    up = 1 - 2 * place / count
    turn = torch.pi * (1 + 5**0.5) * place
    across = (1 - up**2).sqrt()
    return torch.stack([across * turn.cos(), up, across * turn.sin()], -1)
