"""A face through a clip: one person, one camera, and for every frame an expression and a pose, solved together in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from likeness.arrays import even
from likeness.assets.arkit import EXPRESSIONS
from likeness.fit.clips import temporal
from likeness.fit.clips.clip_problem import COUNT, State, Subject, bend_of, between, groups, quadratic, residuals
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import FitConfig, Guess, fit
from likeness.fit.landmarks.terms import IDENTITY, Problem
from likeness.geometry.rotation import from_axis_angle, to_euler
from likeness.types import Landmarks, View

WINDOW, MARGIN = 400, 24
"""Frames that are solved at once, and how many of them at each end only give the others a past and a future. Ours."""
SAMPLE, INDEPENDENT = 60, 20
"""Frames that landmarks' habits are learned from, and as how many independent ones they count at most. Ours."""
HABIT_RIDGE = 1.0
"""Pulls habits to zero, in frames. Ours."""
LEAST = 0.6
"""mm; no landmark is believed to be steadier than this. Ours."""
LIDS = ("eyeBlink", "eyeSquint", "eyeWide")
"""What a regressor that sees pixels knows better than landmarks do."""


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is fitted. All values are ours, chosen on three rendered clips and two filmed ones (docs/fitting.md).

    Attributes:
        landmarks: How landmarks are weighed, as for photos.
        keys: Frames that the identity is taken from.
        rounds: Gauss-Newton steps on all frames of a window.
        spread: mm per (1/30 s)^2 that a group of weights accelerates by while nothing happens.
        pose_spread: The same of the head.
        trust: How far the regressor's expression is believed to be off, in weights; infinite for not at all believed.
        lids: The same for lids, which a regressor that sees pixels knows better than landmarks do.
        smooth: Whether frames know of each other at all; without it this is the raw measurement.
        habits: Whether what landmarks always keep from the model is told from movement.
    """

    landmarks: FitConfig = field(default_factory=FitConfig)
    keys: int = 12
    rounds: int = 6
    spread: float = 0.4
    pose_spread: float = 0.15
    trust: float = 0.3
    lids: float = 0.06
    smooth: bool = True
    habits: bool = True


@dataclass(frozen=True)
class Evidence:
    """What was seen of one face in N frames, in the order of time.

    Attributes:
        frame: (N,) numbers of the frames.
        stretch: (N,) number of the unbroken stretch that each belongs to.
        points, sigma: (N, 478, 2) and (N, 478) px, landmarks and their spread.
        identity, expression: (N, 100) and (N, 51), the regressor's codes.
        rotation, translation, focal, principal: The regressor's cameras, (N, 3, 3), (N, 3), (N,) and (N, 2).
        sharpness: (N,), the larger the sharper.
    """

    frame: np.ndarray
    stretch: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    principal: np.ndarray
    sharpness: np.ndarray

    @classmethod
    def of(cls, stretches: Sequence[Sequence[tuple[int, Landmarks, np.ndarray, np.ndarray, View, float]]]) -> Evidence:
        """Gather rows (frame, landmarks, identity, expression, view, sharpness), stretch by stretch."""
        rows = [(number, *row) for number, stretch in enumerate(stretches) for row in stretch]
        number, frame, landmarks, identity, expression, view, sharpness = zip(*rows)
        return cls(
            np.array(frame), np.array(number), *(np.stack([getattr(seen, key) for seen in landmarks]) for key in ("points", "sigma")),
            np.stack(identity), np.stack(expression),
            *(np.stack([np.asarray(getattr(v, key), np.float64) for v in view])
              for key in ("rotation", "translation", "focal", "principal")),
            np.array(sharpness),
        )  # fmt: skip


@dataclass(frozen=True)
class ClipFit:
    """One person through the frames of a clip.

    Attributes:
        identity: (100,) standard deviations.
        focal: px.
        principal: (2,) px.
        frame: (M,) numbers of the frames that there is an answer for: those seen, and short gaps between them.
        stretch: (M,) number of the unbroken stretch of each.
        seen: (M,) bool; false in the gaps.
        expression, rotation, translation: (M, 51), (M, 3, 3) and (M, 3) mm.
        keys: Frames that the identity was taken from.
    """

    identity: np.ndarray
    focal: float
    principal: np.ndarray
    frame: np.ndarray
    stretch: np.ndarray
    seen: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    keys: np.ndarray


@threadpool_limits.wrap(
    limits=1, user_api="blas"
)  # small blocks: threads would only wait for each other, many times as long
def fit_clip(
    bases: LandmarkBases,
    evidence: Evidence,
    times: np.ndarray,
    size: tuple[int, int],
    config: ClipConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    kept: np.ndarray | None = None,
) -> ClipFit:
    """Fit one person to a clip.

    Args:
        bases: The face model at the dense landmarks.
        evidence: Of one face.
        times: (F,) seconds, of all frames of the clip.
        size: (height, width) of the frames; the camera looks through their middle.
        progress: Called with the number of frames solved and to solve.
        kept: (478, 3) mm that `bases.mean` keeps from the surface, as automatic landmarks do; by default nothing.
    """
    config = config or ClipConfig()
    principal = np.array([size[1] / 2, size[0] / 2])
    keys = key_frames(evidence, config.keys)
    identity, focal = _person(bases, evidence, keys, principal, config)
    subject = Subject(bases, np.zeros_like(bases.mean) if kept is None else kept, identity, focal, principal)
    if config.habits:
        subject, evidence = _habits(subject, evidence, config)
    answers, done = [], 0
    total = sum(len(_filled(evidence, number)) for number in np.unique(evidence.stretch))
    for number in np.unique(evidence.stretch):
        frames = _filled(evidence, number)
        parts = []
        for begin in range(0, len(frames), WINDOW - 2 * MARGIN):
            low, high = max(0, begin - MARGIN), min(len(frames), begin + WINDOW - MARGIN)
            kept = slice(begin - low, min(begin + WINDOW - 2 * MARGIN, len(frames)) - low)
            solved = _solve(subject, evidence, frames[low:high], times, config)
            parts.append([values[kept] for values in solved])
            progress(done + min(begin + WINDOW - 2 * MARGIN, len(frames)), total)
        done += len(frames)
        expression, rotation, translation = (np.concatenate(values) for values in zip(*parts))
        answers.append(
            (frames, np.full(len(frames), number), np.isin(frames, evidence.frame), expression, rotation, translation)
        )
    frame, stretch, seen, expression, rotation, translation = (np.concatenate(values) for values in zip(*answers))
    return ClipFit(
        identity, focal, principal, frame, stretch, seen, expression, rotation, translation, evidence.frame[keys]
    )


def key_frames(evidence: Evidence, most: int) -> np.ndarray:
    """(K,) rows of the evidence that show the person best: sharp, and from as different sides as there are.

    The first is the sharpest near the median pose; then always the one that is farthest from those chosen, in head
    angles and the opening of the jaw, weighed by its sharpness.
    """
    angles = np.degrees(np.stack(to_euler(evidence.rotation), -1))
    place = np.concatenate([angles / 10, 2 * evidence.expression[:, [EXPRESSIONS.index("jawOpen")]]], 1)
    certain = evidence.sharpness / np.median(evidence.sharpness)
    certain = np.clip(certain, 0, 1.2) * np.median(evidence.sigma) / np.median(evidence.sigma, 1)
    distance = np.linalg.norm(place - np.median(place, 0), axis=1)
    chosen = [int(np.argmin((1 + distance) / certain))]
    apart = np.linalg.norm(place - place[chosen[0]], axis=1)
    while len(chosen) < min(most, len(place)):
        score = apart * certain
        score[chosen] = -1
        chosen.append(int(np.argmax(score)))
        apart = np.minimum(apart, np.linalg.norm(place - place[chosen[-1]], axis=1))
    return np.sort(chosen)


def toward(view: View, principal: np.ndarray) -> View:
    """About the same picture by a camera at the same place that looks through another point of the picture.

    The face's own ray stays exactly where it is; what is beside it moves in the second order of the angle between the axes.
    """
    offset = (np.asarray(view.principal) - principal) / view.focal
    axis = np.array([offset[0], -offset[1], -1.0]) / np.sqrt(1 + offset @ offset)
    turn = np.cross([0.0, 0.0, -1.0], axis)
    angle = np.arctan2(np.linalg.norm(turn), -axis[2])
    rotation = from_axis_angle(turn * angle / max(np.linalg.norm(turn), 1e-12))
    return replace(
        view, rotation=rotation @ view.rotation, translation=rotation @ view.translation, principal=principal
    )


def _guess(evidence: Evidence, rows: np.ndarray, principal: np.ndarray) -> Guess:
    """The regressor's answers for some rows, by cameras through the middle of the frame."""
    views = [
        toward(
            View(evidence.rotation[i], evidence.translation[i], evidence.focal[i], evidence.principal[i], (0, 0)),
            principal,
        )
        for i in rows
    ]
    rotation, translation = (np.stack([getattr(v, name) for v in views]) for name in ("rotation", "translation"))
    values = evidence.identity[rows], evidence.expression[rows], rotation, translation, evidence.focal[rows]
    return Guess(
        *(
            torch.as_tensor(np.ascontiguousarray(v), dtype=torch.float64)
            for v in (*values, np.tile(principal, (len(rows), 1)))
        )
    )


def _person(
    bases: LandmarkBases, evidence: Evidence, keys: np.ndarray, principal: np.ndarray, config: ClipConfig
) -> tuple[np.ndarray, float]:
    """Identity (100,) and focal length from the key frames."""
    fitted = fit(
        bases, torch.as_tensor(evidence.points[keys], dtype=torch.float64), config.landmarks, _guess(evidence, keys, principal),
        torch.as_tensor(evidence.sigma[keys], dtype=torch.float64), torch.zeros(len(keys), dtype=torch.long),
    )  # fmt: skip
    return fitted.identity[0].numpy(), float(fitted.focal.log().median().exp())


def _filled(evidence: Evidence, number: int) -> np.ndarray:
    """All frames of a stretch, those between its sightings too."""
    frames = evidence.frame[evidence.stretch == number]
    return np.arange(frames[0], frames[-1] + 1)


def _problem(subject: Subject, evidence: Evidence, rows: np.ndarray, config: ClipConfig) -> Problem:
    """Rows of the evidence as a least-squares problem of a known person: of the modes only the expression's are left."""
    guess = _guess(evidence, rows, subject.principal)
    person = torch.as_tensor(subject.identity, dtype=torch.float32)
    points, sigma = (torch.as_tensor(x[rows], dtype=torch.float32) for x in (evidence.points, evidence.sigma))
    problem = Problem(
        subject.bases, points, config.landmarks, sigma, replace(guess, identity=person.expand(len(rows), -1))
    )
    problem.mean = problem.mean + problem.modes[..., :IDENTITY] @ person
    problem.modes = problem.modes[..., IDENTITY:].contiguous()
    return problem


def _habits(subject: Subject, evidence: Evidence, config: ClipConfig) -> tuple[Subject, Evidence]:
    """What the landmarks of this person always keep from the model, and how far they stray from that.

    A landmark network errs on a person mostly in the same way in every frame, and the model misses the same wrinkle. That
    says nothing about movement. The constant part becomes an offset of the landmark on the model, in three dimensions where
    the head turns; what is left is the noise that counts from frame to frame, several times smaller.

    Returns:
        The subject with offsets and with that noise as the landmarks' spread, and the evidence with a spread of its own
        only where it is less sure than usual.
    """
    rows = even(len(evidence.frame), SAMPLE)
    problem = _problem(subject, evidence, rows, config)
    seen = np.ones(len(rows), bool)
    start = between(np.arange(len(rows)), seen, problem)
    state = _search(
        problem, start, seen, rows / temporal.RATE, subject, evidence.expression[rows], replace(config, smooth=False)
    )
    residual, trust, derivative = residuals(problem, state, subject.focal)
    weight = trust / (trust.sum(0) + 1e-9) * min(len(rows), INDEPENDENT)
    system = np.einsum("fn,fnki,fnkj->nij", weight, derivative, derivative) + np.eye(3) * HABIT_RIDGE
    offset = -np.linalg.solve(system, np.einsum("fn,fnki,fnk->ni", weight, derivative, residual)[..., None])[..., 0]
    left = residual + np.einsum("fnki,ni->fnk", derivative, offset)
    spread = np.maximum(np.sqrt((trust * (left**2).mean(-1)).sum(0) / (trust.sum(0) + 1e-9)), LEAST)
    usual = np.median(evidence.sigma, 0)  # px: what is usual for this landmark counts in `spread` already
    extra = np.sqrt(np.maximum((evidence.sigma / usual) ** 2 - 1, 0)) * spread * float(problem.unit.median())
    bases = replace(subject.bases, mean=subject.bases.mean + offset, sigma=spread)
    return replace(subject, bases=bases, kept=subject.kept + offset), replace(evidence, sigma=extra)


def _solve(
    subject: Subject, evidence: Evidence, frames: np.ndarray, times: np.ndarray, config: ClipConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expression (M, 51), rotation (M, 3, 3) and translation (M, 3) of neighbouring frames, with everything else known."""
    rows = np.flatnonzero(np.isin(evidence.frame, frames))
    seen = np.isin(frames, evidence.frame)
    problem = _problem(subject, evidence, rows, config)
    start = between(frames, seen, problem)
    state = _search(problem, start, seen, times[frames], subject, evidence.expression[rows], config)
    weights = state.weights.copy()
    weights[:, problem.close] = np.minimum(weights[:, problem.close], weights[:, problem.open])
    distance = subject.focal / np.exp(state.scale)
    return weights, state.rotation, np.concatenate([state.shift, -distance[:, None]], 1)


def _search(
    problem: Problem,
    state: State,
    seen: np.ndarray,
    times: np.ndarray,
    subject: Subject,
    believed: np.ndarray,
    config: ClipConfig,
) -> State:
    """Gauss-Newton steps on all frames together."""
    stencil, calms = temporal.curvature(times), groups(subject.bases, config.spread, config.pose_spread)
    spread = np.array([config.lids if name.startswith(LIDS) else config.trust for name in EXPRESSIONS])
    for round_ in range(config.rounds):
        hessian, gradient = quadratic(problem, state, seen, subject)
        places, rows = np.arange(COUNT), np.flatnonzero(seen)[:, None]
        hessian[rows, places, places] += spread**-2.0
        gradient[rows, places] += (state.weights[seen] - believed) * spread**-2.0
        bend = bend_of(state, stencil)
        # the first time nothing is taken for a sudden move: every measurement trembles
        precision = temporal.looseness(bend if round_ else np.zeros_like(bend), calms)
        if not config.smooth:  # only what lies in gaps follows its neighbours
            precision *= 1e-6
        low, high = np.full_like(bend, -np.inf), np.full_like(bend, np.inf)
        low[:, :COUNT], high[:, :COUNT] = -state.weights, 1 - state.weights
        state = state.moved(temporal.step(hessian, gradient, bend, precision, stencil, low, high))
    return state
