"""The frames of a stretch as one least-squares problem of a known person: state, residuals, what lips say, what moves together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from likeness.assets.arkit import EXPRESSIONS
from likeness.fit.clips.temporal import Calm
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import CHUNK
from likeness.fit.landmarks.terms import IDENTITY, Problem
from likeness.geometry.rotation import from_axis_angle
from likeness.losses.landmark import LIDS, LIPS

COUNT = len(EXPRESSIONS)
TURN, SHIFT, SCALE = slice(COUNT, COUNT + 3), slice(COUNT + 3, COUNT + 5), COUNT + 5
"""A frame's unknowns after the weights: turn (radians), shift x and y (mm), log scale (px/mm). The distance follows from the
scale, because the clip has one focal length."""
CONTACT, SLACK = 0.4, 0.25
"""mm by which the measured gap between two lips or lids is off where they touch, and the share of it where they do not. Two points
of a pair err together, so that this is much less than each one's own error; a mouth that is shut is seen to be. Ours."""
HEAD_RADIUS = 90.0
"""mm that the surface moves by a turn of one radian."""


@dataclass(frozen=True)
class Subject:
    """Whose face it is and through which camera it is seen.

    Attributes:
        bases: The face model at the landmarks.
        kept: (n, 3) mm that its mean keeps from the surface.
        identity, focal, principal: As in `ClipFit`.
    """

    bases: LandmarkBases
    kept: np.ndarray
    identity: np.ndarray
    focal: float
    principal: np.ndarray


@dataclass(frozen=True)
class State:
    """Weights (M, 51), rotation (M, 3, 3), shift (M, 2) mm and log scale (M,) of neighbouring frames."""

    weights: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    def moved(self, step: np.ndarray) -> State:
        """After a step (M, 57)."""
        return State(
            np.clip(self.weights + step[:, :COUNT], 0, 1), from_axis_angle(step[:, TURN]) @ self.rotation,
            self.shift + step[:, SHIFT], self.scale + step[:, SCALE],
        )  # fmt: skip


def between(frames: np.ndarray, seen: np.ndarray, problem: Problem) -> State:
    """The guess of the frames that were seen, and for those between them their neighbours' mean."""
    known = frames[seen]
    weights, rotation, pose = (
        x.double().numpy() for x in (problem.codes[:, IDENTITY:], problem.rotation, problem.pose)
    )
    columns = np.concatenate([weights, pose[:, :3]], 1)
    filled = np.stack([np.interp(frames, known, column) for column in columns.T], -1)
    nearest = np.abs(frames[:, None] - known).argmin(1)
    return State(filled[:, :COUNT], rotation[nearest], filled[:, COUNT : COUNT + 2], filled[:, COUNT + 2])


def _tensors(problem: Problem, state: State, seen: np.ndarray, focal: float) -> tuple[torch.Tensor, ...]:
    """Pose, weights and rotation of the frames that were seen, as the problem takes them."""
    scale = state.scale[seen, None]
    pose = np.concatenate([state.shift[seen], scale, np.log(focal) - scale], 1)
    return tuple(torch.as_tensor(x, dtype=problem.dtype) for x in (pose, state.weights[seen], state.rotation[seen]))


def quadratic(problem: Problem, state: State, seen: np.ndarray, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Hessian (M, 57, 57) and gradient (M, 57) of what each frame's landmarks show; zero in the gaps."""
    pose, weights, rotation = _tensors(problem, state, seen, subject.focal)
    residual, turned, depth = problem.project(weights, rotation, pose)
    white, trust, _ = problem.robust(residual, problem.visibility(rotation))
    root = (problem.config.trust * trust).sqrt()[..., None]
    codes = torch.cat([weights.new_zeros(len(weights), IDENTITY), weights], 1)
    _, slope, curve = problem.penalties(codes, pose)
    slope, curve = slope[:, IDENTITY:], curve[:, IDENTITY:, IDENTITY:]
    apart, certain = _contact(problem, residual, rotation, depth, subject)
    upper, lower = torch.tensor(LIPS + LIDS).T
    for part in torch.arange(len(weights)).split(CHUNK):
        derivative = problem.jacobian(rotation[part], pose[part], turned[part], depth[part], part)
        pairs = certain[part, :, None, None] * (derivative[:, upper] - derivative[:, lower])
        rows = torch.cat([root[part][..., None] * (problem.whitening[part] @ derivative), pairs], 1).flatten(1, 2)
        off = torch.cat([(root * white)[part], certain[part][..., None] * apart[part]], 1).flatten(1)
        slope[part] += (rows.transpose(1, 2) @ off[..., None])[..., 0]
        curve[part] += rows.transpose(1, 2) @ rows
    wanted = np.eye(COUNT + 7)[:, :-1]
    wanted[-1, SCALE] = -1  # the log distance falls as the log scale grows
    hessian, gradient = np.zeros((len(seen), COUNT + 6, COUNT + 6)), np.zeros((len(seen), COUNT + 6))
    hessian[seen], gradient[seen] = wanted.T @ curve.double().numpy() @ wanted, slope.double().numpy() @ wanted
    return hessian, gradient


def _contact(
    problem: Problem, residual: torch.Tensor, rotation: torch.Tensor, depth: torch.Tensor, subject: Subject
) -> tuple[torch.Tensor, torch.Tensor]:
    """By how much the gaps between lips, and between lids, differ from those measured (F, k, 2) mm, and the root of the
    precision of that (F, k). What landmarks keep from the surface does not count between lips: where they touch, they touch.
    Lids have thick rims with lashes, which landmarks of another school see elsewhere; there it counts."""
    upper, lower = torch.tensor(LIPS + LIDS).T
    kept = torch.as_tensor(subject.kept, dtype=problem.dtype)
    kept = (kept[upper] - kept[lower]) * (torch.arange(len(upper)) < len(LIPS))[:, None]
    shift = (rotation[:, :2] @ kept.T).transpose(1, 2) / depth[:, upper, None]
    apart = residual[:, upper] - residual[:, lower] - shift * shift.new_tensor([1.0, -1.0])
    measured = (problem.observed[:, upper] - problem.observed[:, lower]).norm(dim=-1) / problem.unit[:, None]
    seen = problem.present[:, upper] & problem.present[:, lower]
    return apart, seen / (CONTACT**2 + (SLACK * measured) ** 2).sqrt()


def bend_of(state: State, stencil: np.ndarray) -> np.ndarray:
    """(M, 57) accelerations of a state, turns as axis times angle from frame to frame."""
    columns = np.concatenate([state.weights, np.zeros((len(stencil), 3)), state.shift, state.scale[:, None]], 1)
    result = np.zeros_like(columns)
    result[1:-1] = np.einsum("fk,fkn->fn", stencil[1:-1], np.stack([columns[:-2], columns[1:-1], columns[2:]], 1))
    turns = axis_angle(state.rotation[1:] @ state.rotation[:-1].swapaxes(1, 2))
    result[1:-1, TURN] = stencil[1:-1, 2:] * turns[1:] - stencil[1:-1, :1] * turns[:-1]
    return result


def axis_angle(rotation: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle of rotations by less than half a turn."""
    skew = np.stack([rotation[..., i, j] - rotation[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1) / 2
    sine = np.linalg.norm(skew, axis=-1, keepdims=True)
    cosine = (np.trace(rotation, axis1=-2, axis2=-1)[..., None] - 1) / 2
    return skew * np.where(sine > 1e-8, np.arctan2(sine, cosine) / np.maximum(sine, 1e-12), 1.0)


def groups(bases: LandmarkBases, spread: float, pose_spread: float) -> list[Calm]:
    """The coordinates that move together: each eye's lids, the gaze, the brows, the mouth with the jaw, the cheeks, the head."""
    square = (bases.expression**2).sum(-1)
    size = np.sqrt((square**2).sum(1) / np.maximum(square.sum(1), 1e-9))  # mm, of the points that move, by how they do
    size = np.maximum(size, 1.0)
    kinds = {
        "lids left": lambda n: n in ("eyeBlinkLeft", "eyeSquintLeft", "eyeWideLeft"),
        "lids right": lambda n: n in ("eyeBlinkRight", "eyeSquintRight", "eyeWideRight"),
        "gaze": lambda n: n.startswith("eyeLook"), "brows": lambda n: n.startswith("brow"),
        "mouth": lambda n: n.startswith(("mouth", "jaw")), "cheeks": lambda n: n.startswith(("cheek", "nose")),
    }  # fmt: skip
    found = [np.array([i for i, name in enumerate(EXPRESSIONS) if kind(name)]) for kind in kinds.values()]
    assert sorted(np.concatenate(found)) == list(range(COUNT))
    calms = [Calm(columns, size[columns], spread) for columns in found]
    head = np.array([HEAD_RADIUS] * 3 + [1.0, 1.0, HEAD_RADIUS])
    return [*calms, Calm(np.arange(COUNT, COUNT + 6), head, pose_spread)]


def residuals(problem: Problem, state: State, focal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (F, n, 2) mm, trust in each (F, n), and their derivative (F, n, 2, 3) by a landmark's place on the model."""
    pose, weights, rotation = _tensors(problem, state, np.ones(len(state.scale), bool), focal)
    residual, _, depth = problem.project(weights, rotation, pose)
    _, trust, _ = problem.robust(residual, problem.visibility(rotation))
    flat = rotation[:, None, :2] * rotation.new_tensor([1.0, -1.0])[:, None] / depth[..., None, None]
    return tuple(x.double().numpy() for x in (residual, trust, flat.expand(*residual.shape, 3)))
