"""A face through a clip: one person, one camera, and for every frame an expression and a pose, solved together in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from likeness.assets.arkit import EXPRESSIONS
from likeness.fit import temporal
from likeness.fit.bases import LandmarkBases
from likeness.fit.landmark_terms import IDENTITY, Problem
from likeness.fit.landmarks import CHUNK, FitConfig, Guess, fit
from likeness.fit.temporal import Calm
from likeness.geometry.rotation import from_axis_angle, to_euler
from likeness.losses.landmark import LIPS
from likeness.types import Landmarks, View

COUNT = len(EXPRESSIONS)
TURN, SHIFT, SCALE = slice(COUNT, COUNT + 3), slice(COUNT + 3, COUNT + 5), COUNT + 5
"""A frame's unknowns after the weights: turn (radians), shift x and y (mm), log scale (px/mm). The distance follows from the
scale, because the clip has one focal length."""
WINDOW, MARGIN = 400, 24
"""Frames that are solved at once, and how many of them at each end only give the others a past and a future. Ours."""
SAMPLE, INDEPENDENT = 60, 20
"""Frames that landmarks' habits are learned from, and as how many independent ones they count at most. Ours."""
HABIT_RIDGE = 1.0
"""Pulls habits to zero, in frames. Ours."""
LEAST = 0.6
"""mm; no landmark is believed to be steadier than this. Ours."""
LIDS = ("eyeBlink", "eyeSquint", "eyeWide")
CONTACT, SLACK = 0.4, 0.25
"""mm by which the measured gap between two lips is off where they touch, and the share of it where they do not. Two points
of a pair err together, so that this is much less than each one's own error; a mouth that is shut is seen to be. Ours."""
HEAD_RADIUS = 90.0
"""mm that the surface moves by a turn of one radian."""


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is fitted. All values are ours, chosen on a rendered clip and two filmed ones (docs/fitting.md).

    Attributes:
        landmarks: How landmarks are weighed, as for photos.
        keys: Frames that the identity is taken from.
        rounds: Gauss-Newton steps on all frames of a window.
        spread: mm per (1/30 s)^2 that a group of weights accelerates by while nothing happens.
        pose_spread: The same of the head.
        trust: How far the regressor's expression is believed to be off, in weights; infinite for not at all believed.
        lids: The same for lids, which a regressor that sees pixels knows better than landmarks do.
        smooth: Whether frames know of each other at all; without it this is the raw measurement.
    """

    landmarks: FitConfig = FitConfig()
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
            np.array(frame), np.array(number), *(np.stack([getattr(l, key) for l in landmarks]) for key in ("points", "sigma")),
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


def fit_clip(
    bases: LandmarkBases, evidence: Evidence, times: np.ndarray, size: tuple[int, int], config: ClipConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None, kept: np.ndarray | None = None,
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
    subject = _Subject(bases, np.zeros_like(bases.mean) if kept is None else kept, identity, focal, principal)
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
        answers.append((frames, np.full(len(frames), number), np.isin(frames, evidence.frame), expression, rotation, translation))
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
    return replace(view, rotation=rotation @ view.rotation, translation=rotation @ view.translation, principal=principal)


def _guess(evidence: Evidence, rows: np.ndarray, principal: np.ndarray) -> Guess:
    """The regressor's answers for some rows, by cameras through the middle of the frame."""
    views = [
        toward(View(evidence.rotation[i], evidence.translation[i], evidence.focal[i], evidence.principal[i], (0, 0)), principal)
        for i in rows
    ]
    rotation, translation = (np.stack([getattr(v, name) for v in views]) for name in ("rotation", "translation"))
    values = evidence.identity[rows], evidence.expression[rows], rotation, translation, evidence.focal[rows]
    return Guess(*(torch.as_tensor(np.ascontiguousarray(v), dtype=torch.float64) for v in (*values, np.tile(principal, (len(rows), 1)))))


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


@dataclass(frozen=True)
class _Subject:
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


def _problem(subject: _Subject, evidence: Evidence, rows: np.ndarray, config: ClipConfig) -> Problem:
    """Rows of the evidence as a least-squares problem of a known person: of the modes only the expression's are left."""
    guess = _guess(evidence, rows, subject.principal)
    person = torch.as_tensor(subject.identity, dtype=torch.float32)
    points, sigma = (torch.as_tensor(x[rows], dtype=torch.float32) for x in (evidence.points, evidence.sigma))
    problem = Problem(subject.bases, points, config.landmarks, sigma, replace(guess, identity=person.expand(len(rows), -1)))
    problem.mean = problem.mean + problem.modes[..., :IDENTITY] @ person
    problem.modes = problem.modes[..., IDENTITY:].contiguous()
    return problem


def _habits(subject: _Subject, evidence: Evidence, config: ClipConfig) -> tuple[_Subject, Evidence]:
    """What the landmarks of this person always keep from the model, and how far they stray from that.

    A landmark network errs on a person mostly in the same way in every frame, and the model misses the same wrinkle. That
    says nothing about movement. The constant part becomes an offset of the landmark on the model, in three dimensions where
    the head turns; what is left is the noise that counts from frame to frame, several times smaller.

    Returns:
        The subject with offsets and with that noise as the landmarks' spread, and the evidence with a spread of its own
        only where it is less sure than usual.
    """
    rows = np.unique(np.linspace(0, len(evidence.frame) - 1, SAMPLE).round().astype(int))
    problem = _problem(subject, evidence, rows, config)
    seen = np.ones(len(rows), bool)
    start = _between(np.arange(len(rows)), seen, problem)
    state = _search(problem, start, seen, rows / temporal.RATE, subject, evidence.expression[rows], replace(config, smooth=False))
    residual, trust, derivative = _residuals(problem, state, subject.focal)
    weight = trust / (trust.sum(0) + 1e-9) * min(len(rows), INDEPENDENT)
    system = np.einsum("fn,fnki,fnkj->nij", weight, derivative, derivative) + np.eye(3) * HABIT_RIDGE
    offset = -np.linalg.solve(system, np.einsum("fn,fnki,fnk->ni", weight, derivative, residual)[..., None])[..., 0]
    left = residual + np.einsum("fnki,ni->fnk", derivative, offset)
    spread = np.maximum(np.sqrt((trust * (left**2).mean(-1)).sum(0) / (trust.sum(0) + 1e-9)), LEAST)
    usual = np.median(evidence.sigma, 0)  # px: what is usual for this landmark counts in `spread` already
    extra = np.sqrt(np.maximum((evidence.sigma / usual) ** 2 - 1, 0)) * spread * float(problem.unit.median())
    bases = replace(subject.bases, mean=subject.bases.mean + offset, sigma=spread)
    return replace(subject, bases=bases, kept=subject.kept + offset), replace(evidence, sigma=extra)


def _residuals(problem: Problem, state: _State, focal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (F, n, 2) mm, trust in each (F, n), and their derivative (F, n, 2, 3) by a landmark's place on the model."""
    pose, weights, rotation = _tensors(problem, state, np.ones(len(state.scale), bool), focal)
    residual, _, depth = problem.project(weights, rotation, pose)
    _, trust, _ = problem.robust(residual, problem.visibility(rotation))
    flat = rotation[:, None, :2] * rotation.new_tensor([1.0, -1.0])[:, None] / depth[..., None, None]
    return tuple(x.double().numpy() for x in (residual, trust, flat.expand(*residual.shape, 3)))


def _solve(
    subject: _Subject, evidence: Evidence, frames: np.ndarray, times: np.ndarray, config: ClipConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expression (M, 51), rotation (M, 3, 3) and translation (M, 3) of neighbouring frames, with everything else known."""
    rows = np.flatnonzero(np.isin(evidence.frame, frames))
    seen = np.isin(frames, evidence.frame)
    problem = _problem(subject, evidence, rows, config)
    start = _between(frames, seen, problem)
    state = _search(problem, start, seen, times[frames], subject, evidence.expression[rows], config)
    weights = state.weights.copy()
    weights[:, problem.close] = np.minimum(weights[:, problem.close], weights[:, problem.open])
    distance = subject.focal / np.exp(state.scale)
    return weights, state.rotation, np.concatenate([state.shift, -distance[:, None]], 1)


def _search(
    problem: Problem, state: _State, seen: np.ndarray, times: np.ndarray, subject: _Subject, believed: np.ndarray,
    config: ClipConfig,
) -> _State:
    """Gauss-Newton steps on all frames together."""
    stencil, calms = temporal.curvature(times), groups(subject.bases, config)
    spread = np.array([config.lids if name.startswith(LIDS) else config.trust for name in EXPRESSIONS])
    for round_ in range(config.rounds):
        hessian, gradient = _quadratic(problem, state, seen, subject)
        places, rows = np.arange(COUNT), np.flatnonzero(seen)[:, None]
        hessian[rows, places, places] += spread**-2.0
        gradient[rows, places] += (state.weights[seen] - believed) * spread**-2.0
        bend = _bend(state, stencil)
        # the first time nothing is taken for a sudden move: every measurement trembles
        precision = temporal.looseness(bend if round_ else np.zeros_like(bend), calms)
        if not config.smooth:  # only what lies in gaps follows its neighbours
            precision *= 1e-6
        low, high = np.full_like(bend, -np.inf), np.full_like(bend, np.inf)
        low[:, :COUNT], high[:, :COUNT] = -state.weights, 1 - state.weights
        state = state.moved(temporal.step(hessian, gradient, bend, precision, stencil, low, high))
    return state


@dataclass(frozen=True)
class _State:
    """Weights (M, 51), rotation (M, 3, 3), shift (M, 2) mm and log scale (M,) of neighbouring frames."""

    weights: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    def moved(self, step: np.ndarray) -> _State:
        """After a step (M, 57)."""
        return _State(
            np.clip(self.weights + step[:, :COUNT], 0, 1), from_axis_angle(step[:, TURN]) @ self.rotation,
            self.shift + step[:, SHIFT], self.scale + step[:, SCALE],
        )  # fmt: skip


def _between(frames: np.ndarray, seen: np.ndarray, problem: Problem) -> _State:
    """The guess of the frames that were seen, and for those between them their neighbours' mean."""
    known = frames[seen]
    weights, rotation, pose = (x.double().numpy() for x in (problem.codes[:, IDENTITY:], problem.rotation, problem.pose))
    columns = np.concatenate([weights, pose[:, :3]], 1)
    filled = np.stack([np.interp(frames, known, column) for column in columns.T], -1)
    nearest = np.abs(frames[:, None] - known).argmin(1)
    return _State(filled[:, :COUNT], rotation[nearest], filled[:, COUNT : COUNT + 2], filled[:, COUNT + 2])


def _tensors(problem: Problem, state: _State, seen: np.ndarray, focal: float) -> tuple[torch.Tensor, ...]:
    """Pose, weights and rotation of the frames that were seen, as the problem takes them."""
    scale = state.scale[seen, None]
    pose = np.concatenate([state.shift[seen], scale, np.log(focal) - scale], 1)
    return tuple(torch.as_tensor(x, dtype=problem.dtype) for x in (pose, state.weights[seen], state.rotation[seen]))


def _quadratic(
    problem: Problem, state: _State, seen: np.ndarray, subject: _Subject
) -> tuple[np.ndarray, np.ndarray]:
    """Hessian (M, 57, 57) and gradient (M, 57) of what each frame's landmarks show; zero in the gaps."""
    pose, weights, rotation = _tensors(problem, state, seen, subject.focal)
    residual, turned, depth = problem.project(weights, rotation, pose)
    white, trust, _ = problem.robust(residual, problem.visibility(rotation))
    root = (problem.config.trust * trust).sqrt()[..., None]
    codes = torch.cat([weights.new_zeros(len(weights), IDENTITY), weights], 1)
    _, slope, curve = problem.penalties(codes, pose)
    slope, curve = slope[:, IDENTITY:], curve[:, IDENTITY:, IDENTITY:]
    apart, certain = _contact(problem, residual, rotation, depth, subject)
    upper, lower = torch.tensor(LIPS).T
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
    problem: Problem, residual: torch.Tensor, rotation: torch.Tensor, depth: torch.Tensor, subject: _Subject
) -> tuple[torch.Tensor, torch.Tensor]:
    """By how much the gaps between the surface's lips differ from those measured (F, k, 2) mm, and the root of the
    precision of that (F, k). What landmarks keep from the surface does not count here: lips that touch, touch."""
    upper, lower = torch.tensor(LIPS).T
    kept = torch.as_tensor(subject.kept, dtype=problem.dtype)
    shift = (rotation[:, :2] @ (kept[upper] - kept[lower]).T).transpose(1, 2) / depth[:, upper, None]
    apart = residual[:, upper] - residual[:, lower] - shift * shift.new_tensor([1.0, -1.0])
    measured = (problem.observed[:, upper] - problem.observed[:, lower]).norm(dim=-1) / problem.unit[:, None]
    seen = problem.present[:, upper] & problem.present[:, lower]
    return apart, seen / (CONTACT**2 + (SLACK * measured) ** 2).sqrt()


def _bend(state: _State, stencil: np.ndarray) -> np.ndarray:
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


def groups(bases: LandmarkBases, config: ClipConfig) -> list[Calm]:
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
    calms = [Calm(columns, size[columns], config.spread) for columns in found]
    head = np.array([HEAD_RADIUS] * 3 + [1.0, 1.0, HEAD_RADIUS])
    return [*calms, Calm(np.arange(COUNT, COUNT + 6), head, config.pose_spread)]
