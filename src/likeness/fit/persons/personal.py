"""Personalise the face model: the offsets and the identity of one person that explain many frames together.

Mallikarjun et al. 2021, sec. 3.6. Two steps by turns: with the person's model as it is, every frame's expression and camera are
fitted (`fit.landmarks.solver`); then identity and offsets make a Gauss-Newton step in which every frame's expression and camera follow
(they are eliminated, as in bundle adjustment), so that what a camera or an expression explains does not become a face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from likeness.assets.builtin import Builtin
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import FitConfig, Guess, LandmarkFit, fit
from likeness.fit.landmarks.terms import Problem
from likeness.fit.persons.deformation import Deformation

LEARNING = FitConfig(trust=0.02, kinship=0.3)
"""Photo by photo landmarks err together far more than expressions show; as in `fit.people.together.FOR_IDENTITY`, which was
chosen on people with many photos."""
ROUNDS = 3
"""Turns of the two steps. Ours: on a toy head the jaw's cosine with its true movement is 0.75, 0.82 and 0.84 after 2, 3 and 5."""
STEPS = 40
"""Steps of the conjugate gradients within a turn at most."""
ENOUGH = 1e-3
"""They end when the residual of their equations has fallen to this share."""


@dataclass(frozen=True)
class Rows:
    """What one frame measures: n places on the surface, r numbers each.

    Attributes:
        vertices: (n, 3) long, and shares (n, 3): the places.
        residual: (n, r) model less measurement, standard deviations.
        by_point: (n, r, 3) how they change per mm of the place, model frame.
        by_code: (n, r, I + E + 7) per unit of identity, expression and camera.
        weight: (n,).
        weights: (E,) the frame's expression; free (E + 7,) bool: which of its expression and camera may follow.
        curvature: (E + 7, E + 7), and pull (E + 7,): what is believed of them besides.
    """

    vertices: Tensor
    shares: Tensor
    residual: Tensor
    by_point: Tensor
    by_code: Tensor
    weight: Tensor
    weights: Tensor
    free: Tensor
    curvature: Tensor
    pull: Tensor


@dataclass(frozen=True)
class Personal:
    """A person's model while it is being learned.

    Attributes:
        identity: (I,) standard deviations.
        numbers: (1 + E, G, 3) of `Deformation`.
    """

    identity: Tensor
    numbers: Tensor


def personalise(
    model: Builtin,
    bases: LandmarkBases,
    points: Tensor,
    sigma: Tensor | None = None,
    config: FitConfig = LEARNING,
    deformation: Deformation | None = None,
    start: Guess | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Personal, LandmarkFit, Deformation]:
    """Learn a person from dense landmarks in F frames.

    Args:
        model: The face model.
        bases: The same at the dense landmarks.
        points: (F, 478, 2 or 3) px.
        sigma: (F, 478) px, or None; see `fit.landmarks.solver.fit`.
        config: How far landmarks are believed; what frames say wrongly together counts once, see its `kinship`.
        deformation: For the model, where it is known already.
        start: A regressor's answers to begin with.

    Returns:
        The person, the fits of the frames with it, and the deformation that gives the person's offsets.
    """
    deformation = deformation or Deformation.of(model)
    frames = len(points)
    person = torch.zeros(frames, dtype=torch.long)
    dense = model.topology("base").landmarks["dense"]
    fitted = fit(bases, points, config, start, sigma, person)
    current = Personal(fitted.identity[0], torch.zeros(deformation.shape))
    for step in range(rounds):
        progress(step, rounds)
        own = personal_bases(bases, deformation.offsets(current.numbers), dense)
        rows = landmark_rows(own, points, sigma, config, fitted, dense)
        current = improved(deformation, current, rows, 1 + config.kinship * (frames - 1))
        own = personal_bases(bases, deformation.offsets(current.numbers), dense)
        start = replace(fitted, identity=current.identity.expand(frames, -1))
        fitted = fit(own, points, replace(config, steps=4), start, sigma, person)
        current = replace(current, identity=fitted.identity[0])
    progress(rounds, rounds)
    return current, fitted, deformation


def personal_bases(bases: LandmarkBases, offsets: Tensor, dense) -> LandmarkBases:
    """The landmarks' model with a person's offsets (1 + E, V, 3) of the vertices."""
    at = dense.points(offsets.double().numpy())
    return replace(bases, mean=bases.mean + at[0], expression=bases.expression + at[1:])


def landmark_rows(
    bases: LandmarkBases, points: Tensor, sigma: Tensor | None, config: FitConfig, fitted: LandmarkFit, dense
) -> list[Rows]:
    """The landmarks of each frame about their fit."""
    problem = Problem(bases, points, config, sigma, fitted)
    residual, turned, depth = problem.project(problem.codes, problem.rotation, problem.pose)
    white, weight, _ = problem.robust(residual, problem.visibility(problem.rotation))
    by_code = problem.whitening @ problem.jacobian(problem.rotation, problem.pose, turned, depth)
    single = copy(problem)
    single.modes = torch.eye(3).to(problem.mean).expand(len(problem.mean), 3, 3)  # each point by itself
    by_point = problem.whitening @ single.jacobian(problem.rotation, problem.pose, turned, depth)[..., :3]
    _, pull, curvature = problem.penalties(problem.codes, problem.pose)
    vertices, shares = torch.as_tensor(np.asarray(dense.vertices, np.int64)), torch.as_tensor(np.asarray(dense.weights))
    own = slice(problem.identities, None)
    result = []
    for f in range(len(points)):
        weights = problem.codes[f, own]
        free = torch.cat([(weights > 0) & (weights < 1), torch.ones(7, dtype=torch.bool)])
        result.append(Rows(
            vertices, shares.to(white), white[f], by_point[f], by_code[f], config.trust * weight[f],
            weights, free, curvature[f][own, own], pull[f][own],
        ))  # fmt: skip
    return result


def improved(deformation: Deformation, current: Personal, rows: Sequence[Rows], kinship: float) -> Personal:
    """One Gauss-Newton step of identity and numbers, by conjugate gradients on the frames' reduced equations.

    Args:
        kinship: Weight of what is believed before any frame is seen; see `FitConfig.kinship`.
    """
    count = len(current.identity)
    frames = [_Reduced.of(one, count) for one in rows]

    def flat(identity: Tensor, numbers: Tensor) -> Tensor:
        return torch.cat([identity, numbers.reshape(-1)])

    def split(vector: Tensor) -> tuple[Tensor, Tensor]:
        return vector[:count], vector[count:].reshape(deformation.shape)

    def pulled(values: Sequence[Tensor]) -> Tensor:
        """The transpose of the frames' derivatives, applied to (n, r) each."""
        identity = sum(frame.of_identity.T @ value.reshape(-1) for frame, value in zip(frames, values))
        pull = torch.stack([frame.scattered(value, deformation.skin.shape[0]) for frame, value in zip(frames, values)])
        weights = torch.stack([frame.rows.weights for frame in frames])
        by_expression = (weights.T @ pull.flatten(1)).unflatten(1, pull.shape[1:])
        return flat(identity, deformation.gathered(torch.cat([pull.sum(0)[None], by_expression])))

    def moved(vector: Tensor) -> list[Tensor]:
        identity, numbers = split(vector)
        offsets = deformation.offsets(numbers)
        weights = torch.stack([frame.rows.weights for frame in frames])
        field = offsets[0] + (weights @ offsets[1:].flatten(1)).unflatten(1, offsets.shape[1:])
        return [frame.residual_of(identity, own) for frame, own in zip(frames, field)]

    def curved(vector: Tensor) -> Tensor:
        return pulled([frame.reduced(value) for frame, value in zip(frames, moved(vector))]) + prior * vector

    # a landmark that is taken to be elsewhere is so in all frames: the face itself is doubted for it, its movements are less
    prior = flat(torch.full_like(current.identity, kinship), torch.full(deformation.shape, kinship**0.5))
    prior[count : count + current.numbers[0].numel()] = kinship
    start = flat(current.identity, current.numbers)
    gradient = pulled([frame.first() for frame in frames]) + prior * start
    return Personal(*split(start + conjugate_gradients(curved, -gradient)))


class _Reduced:
    """A frame with its expression and camera eliminated."""

    def __init__(self, rows: Rows, of_identity: Tensor, own: Tensor, inverse: Tensor) -> None:
        self.rows, self.of_identity, self.own, self.inverse = rows, of_identity, own, inverse

    @classmethod
    def of(cls, rows: Rows, identities: int) -> _Reduced:
        derivative = rows.by_code.flatten(0, 1)
        of_identity, own = derivative[:, :identities], derivative[:, identities:] * rows.free
        weight = rows.weight.repeat_interleave(rows.residual.shape[1])[:, None]
        free = rows.free.to(own)
        hessian = own.T @ (weight * own) + rows.curvature * free * free[:, None] + torch.diag(1 - free)
        hessian.diagonal().add_(1e-6 * hessian.diagonal().mean())
        return cls(rows, of_identity, own, torch.cholesky_inverse(torch.linalg.cholesky(hessian.double())).to(own))

    def residual_of(self, identity: Tensor, field: Tensor) -> Tensor:
        """(n, r): how the residuals change with the identity (I,) and offsets (V, 3)."""
        at = (field[self.rows.vertices] * self.rows.shares[..., None]).sum(1)
        change = (self.rows.by_point @ at[..., None])[..., 0]
        return change + (self.of_identity @ identity).reshape(change.shape)

    def reduced(self, change: Tensor) -> Tensor:
        """Weighted residuals (n, r) after expression and camera have followed a change of them."""
        weighted = (self.rows.weight[:, None] * change).reshape(-1)
        follow = self.own @ (self.inverse @ (self.own.T @ weighted))
        return self.rows.weight[:, None] * (change - follow.reshape(change.shape))

    def first(self) -> Tensor:
        """The same of the residuals as they are, with what is believed of expression and camera."""
        weighted = (self.rows.weight[:, None] * self.rows.residual).reshape(-1)
        slope = self.own.T @ weighted + self.rows.pull * self.rows.free
        follow = (self.own @ (self.inverse @ slope)).reshape(self.rows.residual.shape)
        return self.rows.weight[:, None] * (self.rows.residual - follow)

    def scattered(self, value: Tensor, count: int) -> Tensor:
        """(V, 3): the transpose of the part of `residual_of` that offsets have, applied to (n, r)."""
        pull = (value[:, None] @ self.rows.by_point)[:, 0]
        spread = (self.rows.shares[..., None] * pull[:, None]).reshape(-1, 3)
        return pull.new_zeros(count, 3).index_add_(0, self.rows.vertices.reshape(-1), spread)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], right: Tensor, steps: int = STEPS, enough: float = ENOUGH
) -> Tensor:
    """The solution of `product(x) = right`, symmetric and positive definite (Hestenes and Stiefel 1952), from zero."""
    answer, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), residual @ residual
    first = square
    for _ in range(steps):
        if square <= enough**2 * first or first == 0:
            break
        curved = product(direction)
        length = square / (direction @ curved)
        answer, residual = answer + length * direction, residual - length * curved
        following = residual @ residual
        direction = residual + (following / square) * direction
        square = following
    return answer
