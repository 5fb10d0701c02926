"""Fit the face model to the dense landmarks of photos: regularised, robust, non-linear least squares, many photos at once.

Photos of one person share the person's identity; a person of one photo is the ordinary case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.bounded import bounded_step, summed
from likeness.fit.landmarks.terms import EXPRESSION, POSE, Problem, face_box
from likeness.geometry.rotation import from_axis_angle
from likeness.types import View

__all__ = [
    "FitConfig",
    "Guess",
    "IdentityMeasurement",
    "LandmarkFit",
    "face_box",
    "fit",
    "identity_precision",
    "stacked",
]
KNOWN = 1e4
"""Precision with which an identity counts as known."""
CHUNK = 32
"""Photos whose derivatives are held at once; 5 MB each. Ours."""


@dataclass(frozen=True)
class FitConfig:
    """How photos are fitted. All values are ours.

    Attributes:
        steps: Gauss-Newton steps.
        trust: Share of the landmarks that count as independent measurements; neighbours err together.
        freedom: Degrees of freedom of the errors' Student distribution; smaller forgives more.
        distance: Median distance of camera from head, mm.
        distance_spread: Standard deviation of the logarithm of that distance.
        expression_spread: Scale of an expression weight.
        expression_cost: Slope of the penalty on weights, which sends the needless ones to zero.
        opposed_cost: Penalty on the product of opposing weights.
        kinship: Share of what a photo says wrongly about an identity that the person's other photos say too: n photos
            count as n / (1 + kinship (n - 1)) independent ones.
    """

    steps: int = 7
    trust: float = 0.12
    freedom: float = 4.0
    distance: float = 900.0
    distance_spread: float = 0.35
    expression_spread: float = 0.5
    expression_cost: float = 1.5
    opposed_cost: float = 30.0
    kinship: float = 0.1


class Answer(Protocol):
    """What the regressor says of one photo: identity (I,), expression (E,), and a camera in the pixels of its landmarks."""

    identity: np.ndarray
    expression: np.ndarray
    view: View


def stacked(values: Iterable[np.ndarray]) -> Tensor:
    """Arrays of B photos as one float32 tensor (B, ...)."""
    return torch.as_tensor(np.stack([np.asarray(value, np.float32) for value in values]))


@dataclass(frozen=True)
class Guess:
    """Codes, pose and camera of B photos, to begin a fit with.

    Attributes:
        identity: (B, 100) standard deviations.
        expression: (B, 51) in [0, 1].
        rotation: (B, 3, 3) camera from model.
        translation: (B, 3) mm.
        focal: (B,) px.
        principal: (B, 2) px; a fit keeps it.
    """

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    focal: Tensor
    principal: Tensor

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Guess:
        """The regressor's answers for B photos, expressions brought into their range."""
        views = [one.view for one in answers]
        return cls(
            stacked(one.identity for one in answers), stacked(one.expression for one in answers).clamp(0, 1),
            *(stacked(getattr(view, key) for view in views) for key in ("rotation", "translation", "focal", "principal")),
        )  # fmt: skip


@dataclass(frozen=True)
class LandmarkFit(Guess):
    """Codes, pose and camera of B photos; those of one person have equal identities.

    Attributes:
        points: (B, n, 2) px, the model's landmarks.
        trusts: (B, n) final weight of each landmark, 0..1; low where the head hides it or the measurement is an outlier,
            0 where there was none.
    """

    points: Tensor
    trusts: Tensor


@dataclass(frozen=True)
class IdentityMeasurement:
    """What else is known of each photo's identity: a normal likelihood, beside the prior and not in place of it.

    An estimate that already contains the prior (a posterior mean m with covariance C, as a regressor's) is divided by it
    first: precision = inv(C) - 1, and mean = inv(precision) inv(C) m.

    Attributes:
        mean: (B, 100) standard deviations.
        precision: (B, 100, 100) or (100, 100), positive semi-definite.
    """

    mean: Tensor
    precision: Tensor

    @classmethod
    def known(cls, identity: Tensor) -> IdentityMeasurement:
        """Identities (B, I) so sure that a fit keeps them."""
        return cls(identity, KNOWN * torch.eye(identity.shape[1]))


@dataclass(frozen=True)
class People:
    """Whose photos a batch holds, and what is known of identities besides the photos' landmarks.

    Attributes:
        person: (B,) from 0 to P - 1.
        kinship: (P,) factor on the prior, 1 for a person of one photo; see `FitConfig.kinship`.
        measured: A further measurement from each photo.
    """

    person: Tensor
    kinship: Tensor
    measured: IdentityMeasurement | None

    @classmethod
    def of(
        cls, person: Tensor | None, count: int, like: Tensor, config: FitConfig, measured: IdentityMeasurement | None
    ):
        """People of `count` photos; by default each photo shows another one. Persons may be any whole numbers."""
        person = torch.arange(count) if person is None else torch.unique(person, return_inverse=True)[1]
        photos = torch.bincount(person).to(like)
        if measured is not None:
            precision = measured.precision.to(like).expand(count, *measured.precision.shape[-2:])
            measured = IdentityMeasurement(measured.mean.to(like), precision)
        return cls(person, 1 + config.kinship * (photos - 1), measured)

    def first(self, identity: Tensor) -> Tensor:
        """(P, 100): the mean of what is guessed from each photo."""
        count = torch.bincount(self.person).to(identity)
        return summed(identity, self.person, len(self.kinship)) / count[:, None]

    def prior(self, identity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (P,), gradient (P, 100) and Hessian (P, 100, 100) of identities (P, 100)."""
        weight = self.kinship[:, None]
        gradient, hessian = weight * identity, weight[..., None] * torch.eye(identity.shape[1]).to(identity)
        cost = 0.5 * (weight * identity**2).sum(1)
        if self.measured is not None:
            off = identity[self.person] - self.measured.mean
            pull = (self.measured.precision @ off[..., None])[..., 0]
            gradient = gradient + self.of_people(pull)
            hessian = hessian + self.of_people(self.measured.precision)
            cost = cost + 0.5 * self.of_people((off * pull).sum(1))
        return cost, gradient, hessian

    def of_people(self, values: Tensor) -> Tensor:
        """Sum over each person's photos: (B, ...) -> (P, ...)."""
        return summed(values, self.person, len(self.kinship))


@dataclass(frozen=True)
class _State:
    """Where the search stands: identity (P, 100), weights (B, 51), rotation (B, 3, 3), pose (B, 4), damping (P,)."""

    identity: Tensor
    weights: Tensor
    rotation: Tensor
    pose: Tensor
    damping: Tensor

    def codes(self, person: Tensor) -> Tensor:
        """(B, 151)."""
        return torch.cat([self.identity[person], self.weights], 1)


def fit(
    bases: LandmarkBases,
    points: Tensor,
    config: FitConfig | None = None,
    start: Guess | None = None,
    sigma: Tensor | None = None,
    person: Tensor | None = None,
    measured: IdentityMeasurement | None = None,
) -> LandmarkFit:
    """Fit identity, expression, pose and focal length to dense landmarks.

    Levenberg-Marquardt on a Student likelihood of the projected points with a normal prior on identity and on the
    logarithm of the camera's distance, an exponential one on expression weights (kept in [0, 1], mouthClose <= jawOpen),
    and a penalty on opposed expressions. The principal point is the centre of the face's box, as in the crop that the
    regressor sees, unless there is a start, whose principal point is kept. z serves for the first pose only.

    Args:
        bases: Model of the first n landmarks.
        points: (B, n, 3) px, n = 478 or 468; z in the same unit, smaller is nearer. (B, n, 2) where z is not known.
        config: Weights; the defaults are those of the shipped targets.
        start: A guess to begin with, such as an earlier fit or a regressor's answer.
        sigma: (B, n) px, standard deviation of each measured landmark, infinite where it is missing (any subset will do);
            added to the spread that landmarks have about the model anyway, `bases.sigma`. None is 0 everywhere.
        person: (B,) whole numbers; photos with equal numbers share one identity. None: each photo its own.
        measured: A further normal measurement of the identity from each photo.
    """
    config = config or FitConfig()
    problem = Problem(bases, points, config, sigma, start)
    people = People.of(person, len(points), problem.mean, config, measured)
    state = _State(
        people.first(problem.codes[:, : problem.identities]), problem.codes[:, problem.identities :], problem.rotation, problem.pose,
        torch.full_like(people.kinship, 1e-2),
    )  # fmt: skip
    for _ in range(config.steps):
        state = _improve(problem, people, state)
    weights, pose = state.weights, state.pose
    weights[:, problem.close] = torch.minimum(weights[:, problem.close], weights[:, problem.open])  # a trace is left
    codes = state.codes(people.person)
    residual, _, _ = problem.project(codes, state.rotation, pose)
    _, weight, _ = problem.robust(residual, problem.visibility(state.rotation))
    return LandmarkFit(
        identity=codes[:, : problem.identities],
        expression=weights,
        rotation=state.rotation,
        translation=torch.cat([pose[:, :2], -pose[:, 3:].exp()], 1),
        focal=(pose[:, 2] + pose[:, 3]).exp(),
        principal=problem.principal,
        points=problem.pixels(codes, state.rotation, pose),
        trusts=weight * config.freedom / (config.freedom + 2),
    )


def identity_precision(
    bases: LandmarkBases,
    points: Tensor,
    fitted: Guess,
    config: FitConfig | None = None,
    sigma: Tensor | None = None,
    person: Tensor | None = None,
    measured: IdentityMeasurement | None = None,
) -> Tensor:
    """How sure a fit is of each person's identity: (P, 100, 100), the inverse covariance of the posterior about it.

    Laplace's approximation: the curvature of the cost at the fit, expression and pose eliminated (weights that the
    fit left at 0 or 1 count as known). Arguments are those of `fit`; `fitted` is its answer. People are in the order
    of their numbers.
    """
    config = config or FitConfig()
    problem = Problem(bases, points, config, sigma, fitted)
    people = People.of(person, len(points), problem.mean, config, measured)
    _, _, hessian = _normal_equations(problem, problem.codes, problem.rotation, problem.pose)
    who, rest = slice(0, problem.identities), slice(problem.identities, None)
    weights = problem.codes[:, rest]
    free = torch.cat([(weights > 0) & (weights < 1), torch.ones(len(points), POSE, dtype=torch.bool)], 1).double()
    hessian = hessian.double()
    inner = hessian[:, rest, rest] * free[:, :, None] * free[:, None] + torch.diag_embed(1 - free)
    arm = hessian[:, rest, who] * free[..., None]
    left = hessian[:, who, who] - arm.transpose(1, 2) @ torch.linalg.solve(inner, arm)
    _, _, prior = people.prior(people.first(problem.codes[:, who]))
    return (people.of_people(left) + prior) / people.kinship[:, None, None]


def _normal_equations(problem: Problem, codes: Tensor, rotation: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cost (B,), gradient (B, 158) and Gauss-Newton Hessian (B, 158, 158) of the landmarks and of what is known of pose and
    expression; photo by photo, without the people's part."""
    seen = problem.visibility(rotation)
    residual, turned, depth = problem.project(codes, rotation, pose)
    white, weight, data_cost = problem.robust(residual, seen)
    cost, gradient, hessian = problem.penalties(codes, pose)
    root = (problem.config.trust * weight).sqrt()[..., None]
    for part in torch.arange(len(codes)).split(CHUNK):
        derivative = problem.jacobian(rotation[part], pose[part], turned[part], depth[part], part)
        rows = (root[part][..., None] * (problem.whitening[part] @ derivative)).flatten(1, 2)
        gradient[part] += (rows.transpose(1, 2) @ (root * white)[part].flatten(1)[..., None])[..., 0]
        hessian[part] += rows.transpose(1, 2) @ rows
    return cost + data_cost, gradient, hessian


def _cost(problem: Problem, codes: Tensor, rotation: Tensor, pose: Tensor, seen: Tensor) -> Tensor:
    """The cost (B,) of `_normal_equations`, at fixed visibility."""
    residual, _, _ = problem.project(codes, rotation, pose)
    return problem.robust(residual, seen)[2] + problem.penalties(codes, pose)[0]


def _improve(problem: Problem, people: People, state: _State) -> _State:
    """One damped step; people whose cost would rise stay where they are and are damped more."""
    person = people.person
    cost, gradient, hessian = _normal_equations(problem, state.codes(person), state.rotation, state.pose)
    prior_cost, prior_gradient, prior_hessian = people.prior(state.identity)
    hessian.diagonal(dim1=1, dim2=2).mul_(1 + state.damping[person][:, None])
    prior_hessian.diagonal(dim1=1, dim2=2).mul_(1 + state.damping[:, None])
    weights = state.weights.double()
    move, step = bounded_step(
        hessian.double(),
        gradient.double(),
        (prior_hessian.double(), prior_gradient.double()),
        person,
        -weights,
        1 - weights,
    )
    move, step, split = move.to(gradient), step.to(gradient), EXPRESSION
    moved = _State(
        state.identity + move,
        (state.weights + step[:, :split]).clamp(0, 1),
        from_axis_angle(step[:, split : split + 3]) @ state.rotation,
        state.pose + step[:, split + 3 :],
        state.damping,
    )
    moved_cost = _cost(problem, moved.codes(person), moved.rotation, moved.pose, problem.visibility(state.rotation))
    change = people.of_people(moved_cost) + people.prior(moved.identity)[0] - people.of_people(cost) - prior_cost
    better = change <= 0
    photos = better[person]
    return _State(
        torch.where(better[:, None], moved.identity, state.identity),
        torch.where(photos[:, None], moved.weights, state.weights),
        torch.where(photos[:, None, None], moved.rotation, state.rotation),
        torch.where(photos[:, None], moved.pose, state.pose),
        torch.where(better, state.damping * 0.2, state.damping * 10).clamp(1e-5, 1e3),
    )
