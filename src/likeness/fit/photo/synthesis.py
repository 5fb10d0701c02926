"""Analysis by synthesis: all that forms the photos of some people, found together through the renderer.

Levenberg-Marquardt on a sum of terms, stage by stage, coarse to fine. Frames of a person share identity and albedo; everything
else is each frame's own. `fit.photo.pixels` and `fit.photo.marks` say what is seen, `fit.photo.beliefs` what is believed;
docs/fitting.md has the equations, where each comes from, and what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from likeness.fit.landmarks.bounded import bounded_step, summed
from likeness.fit.photo import beliefs, marks, pixels, pose
from likeness.fit.photo.evidence import Evidence
from likeness.fit.photo.quadratic import Layout, Quadratic
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.types import Stage, View

RANGE = 3.0
"""Standard deviations that no code of a person leaves."""
KINSHIP = 0.1
"""Share of what one photo says wrongly about a person that the others say too (`fit.landmarks.solver.FitConfig`)."""
DAMPING, LEAST, GREATEST = 1e-3, 1e-6, 1e4
"""First damping of a stage, and its limits."""
CONVERGED = 1e-4
"""A stage ends when a step lowers the cost by a smaller share than this."""


@dataclass(frozen=True)
class Step:
    """A stage at one size of the pictures.

    Attributes:
        stage: Terms and groups; a rate is the share of each step that is taken.
        size: Side of the pictures that are compared, px.
        shading: Whether brightness may bend the surface. On skin whose colours no model explains exactly it bends it wrongly
            (docs/fitting.md), so that by default geometry follows what is drawn on the skin alone.
    """

    stage: Stage
    size: int
    shading: bool = False


SEEN = {"landmarks": 20.0, "photometric": 100.0}
"""How many independent measurements all landmarks, and all pixels, count for. Chosen on validation renders and photos, as all
weights here (docs/fitting.md)."""
BELIEVED = {
    "regressor": 1.0, "identity": 1.0, "albedo": 1.0, "expression": 0.3, "opposed": 1.0, "closing": 1.0, "distance": 1.0,
    "light": 1.0,
}  # fmt: skip
COLOURED = {"photometric": SEEN["photometric"], "albedo": 1.0, "light": 1.0}
MOVING = {"landmarks": SEEN["landmarks"], "contrast": 20.0, **BELIEVED}
"""What finds colours with the face held still, and what moves the face with its colours held."""
SHAPE = {"identity": 1.0, "expression": 1.0, "pose": 1.0}
COLOURS = {"albedo": 1.0, "light": 1.0}
STEPS = (
    Step(Stage("light", 8, {"photometric": SEEN["photometric"], "light": 1.0}, {"light": 1.0}), 112),
    Step(Stage("colours", 16, COLOURED, COLOURS), 112),
    Step(Stage("landmarks", 6, {"landmarks": SEEN["landmarks"], **BELIEVED}, SHAPE), 112),
    Step(Stage("coarse colours", 3, COLOURED, COLOURS), 56),
    Step(Stage("coarse", 4, MOVING, SHAPE), 56),
    Step(Stage("fine colours", 3, COLOURED, COLOURS), 112),
    Step(Stage("fine", 4, MOVING, SHAPE), 112),
    Step(Stage("last colours", 16, COLOURED, COLOURS), 112),
)
"""The stages of one photo or a few."""


@dataclass(frozen=True)
class Errors:
    """How far a scene is from what was seen, frame by frame.

    Attributes:
        landmarks: (F,) mean distance of the given landmarks, px of the square; NaN where there are none.
        photometric: (F,) mean distance of colours over the pixels that count, linear RGB.
    """

    landmarks: Tensor
    photometric: Tensor


@dataclass(frozen=True)
class Report:
    """What a fit did.

    Attributes:
        plain: Errors of the regressor's geometry with the mean albedo, under the best light for it.
        before: Errors of the regressor's geometry with the best light and albedo for it.
        after: Errors of the result.
        diverged: (F,) bool: frames of people whose fit was not finite or made both errors worse; they keep the start.
        stages: By stage: its cost before and after, steps that helped, seconds.
    """

    plain: Errors
    before: Errors
    after: Errors
    diverged: Tensor
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """A scene and how it came about.

    Attributes:
        scene: The result.
        report: Numbers.
        scenes: What each stage ended with.
    """

    scene: Scene
    report: Report
    scenes: Mapping[str, Scene] = field(default_factory=dict)


def fit(
    surface: Surface,
    evidence: Sequence[Evidence],
    person: Sequence[int] | None = None,
    precision: Tensor | None = None,
    steps: Sequence[Step] = STEPS,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Fitted:
    """Fit F frames of P people.

    Args:
        surface: The face model.
        evidence: F frames, all of one size.
        person: Whom each frame shows, from 0 to P - 1; by default each another one.
        precision: Of the regressor's answers (`beliefs.Measured`); without it they are only the start, and the term
            "regressor" is left out.
        steps: Stages, in order.
        progress: Is told the stage's name, and steps done and to do in all.
    """
    problem = Problem(surface, evidence, person, precision)
    scene, total, done = problem.start, sum(step.stage.steps for step in steps), 0
    stages, scenes, still = {}, {}, []  # errors while only colours have moved
    shape = False
    for step in steps:
        begin, first = perf_counter(), scene
        scene, numbers = problem.descend(scene, step, _telling(progress, step.stage.name, done, total))
        if not scene.finite():
            scene = first
        shape |= not set(step.stage.rates) <= {"albedo", "light"}
        if not shape:
            problem.start = scene
            still.append(problem.errors(scene))
        scenes[step.stage.name] = scene
        stages[step.stage.name] = numbers | {"seconds": perf_counter() - begin}
        done += step.stage.steps
    still = still or [problem.errors(problem.start)]
    scene, after, diverged = problem.kept(scene, still[-1])
    progress("done", total, total)
    return Fitted(scene, Report(still[0], still[-1], after, diverged, stages), scenes)


def _telling(progress: Callable[[str, int, int], None], name: str, done: int, total: int) -> Callable[[int], None]:
    return lambda k: progress(name, done + k, total)


class Problem:
    """Terms of some frames and how they are lowered."""

    def __init__(
        self,
        surface: Surface,
        evidence: Sequence[Evidence],
        person: Sequence[int] | None = None,
        precision: Tensor | None = None,
    ) -> None:
        self.surface, self.evidence = surface, list(evidence)
        self.free = Layout(surface.identities, surface.albedos, surface.expressions)
        self.start = first_scene(surface, self.evidence, person)
        self.points = [torch.as_tensor(one.points) for one in self.evidence]
        self.sigma = [torch.as_tensor(one.sigma) for one in self.evidence]
        answers = replace(self.start, identity=_stack(self.evidence, "identity"))
        self.measured = None if precision is None else beliefs.Measured(answers, precision)
        photos = torch.bincount(self.start.person)
        self.kinship = 1 + KINSHIP * (photos - 1)
        self._pictures: dict[int, list[pixels.Picture]] = {}

    def pictures(self, size: int) -> list[pixels.Picture]:
        """The frames' photos at one size; made once."""
        if size not in self._pictures:
            self._pictures[size] = [
                pixels.Picture.at(torch.as_tensor(one.image), torch.as_tensor(one.skin), size) for one in self.evidence
            ]
        return self._pictures[size]

    def compared(self, scene: Scene) -> list[marks.Compared | None]:
        """Landmarks of all frames; None where none were seen."""
        return [
            marks.compare(self.surface, scene, i, points, sigma) if torch.isfinite(sigma).any() else None
            for i, (points, sigma) in enumerate(zip(self.points, self.sigma))
        ]

    def seen(self, scene: Scene, size: int) -> list[pixels.Seen]:
        """Pixels of all frames."""
        return [pixels.look(self.surface, scene, i, picture) for i, picture in enumerate(self.pictures(size))]

    def errors(self, scene: Scene) -> Errors:
        """At the size of the squares themselves."""
        nothing = torch.tensor(float("nan"))
        pairs = zip(self.compared(scene), self.points)
        return Errors(
            torch.stack([nothing if one is None else one.error(torch.nan_to_num(points)) for one, points in pairs]),
            torch.stack([one.error() for one in self.seen(scene, scene.size)]),
        )

    def model(self, scene: Scene, step: Step, steep: bool) -> tuple[Quadratic, tuple[Tensor, Tensor, Tensor]]:
        """All terms of a stage: each frame's quadratic (only its cost unless `steep`), and the people's priors."""
        terms, count = step.stage.terms, self.free.count
        unit = [Quadratic(torch.zeros(()), torch.zeros(count), torch.zeros(count, count)) for _ in self.evidence]
        drawn = terms.get("photometric") or terms.get("contrast")
        for i, one in enumerate(self.seen(scene, step.size) if drawn else ()):
            unit[i] = self.by_pixels(scene, i, one, step, steep)
        if terms.get("landmarks"):
            for i, one in enumerate(self.compared(scene)):
                if one is not None:
                    term = marks.quadratic(self.surface, scene, i, one, self.free, terms["landmarks"])
                    unit[i] = unit[i] + term
        total = Quadratic(*(torch.stack(parts) for parts in zip(*unit)))
        priced = {name: getattr(beliefs, name) for name in ("expression", "opposed", "closing", "distance", "light")}
        if self.measured is not None:
            priced["regressor"] = self.measured.quadratic
        for name, term in priced.items():
            if terms.get(name):
                total = total + Quadratic(*(terms[name] * part for part in term(scene, self.free)))
        cost, gradient, hessian = beliefs.priors(scene, self.free, terms.get("identity", 0.0), terms.get("albedo", 0.0))
        wide = self.kinship.to(cost)
        return total, (wide * cost, wide[:, None] * gradient, wide[:, None, None] * hessian)

    def by_pixels(self, scene: Scene, frame: int, seen: pixels.Seen, step: Step, steep: bool) -> Quadratic:
        """The terms of one frame's colours."""
        count, terms = self.free.count, step.stage.terms
        total = Quadratic(torch.zeros(()), torch.zeros(count), torch.zeros(count, count))
        for name in ("photometric", "contrast"):
            weight = terms.get(name, 0.0)
            if weight:
                one = seen.contrast() if name == "contrast" else seen
                total = total + pixels.quadratic(
                    self.surface, scene, frame, one, self.free, weight, step.stage.rates, step.shading
                ) if steep else total._replace(cost=total.cost + weight * one.cost())  # fmt: skip
        return total

    def cost(self, scene: Scene, step: Step) -> Tensor:
        """(P,) what is minimised."""
        total, prior = self.model(scene, step, steep=False)
        return summed(total.cost, scene.person, len(scene.identity)) + prior[0]

    def descend(self, scene: Scene, step: Step, tell: Callable[[int], None]) -> tuple[Scene, dict[str, float]]:
        """Lower a stage's cost; people whose cost would rise stay where they are and are damped more."""
        people = len(scene.identity)
        damping = torch.full((people,), DAMPING)
        helped, first, last = 0, None, None
        for k in range(step.stage.steps):
            total, prior = self.model(scene, step, steep=True)
            before = summed(total.cost, scene.person, people) + prior[0]
            first = before if first is None else first
            moved = self.moved(scene, step, total, prior, damping)
            after = self.cost(moved, step)
            better = torch.isfinite(after) & (after <= before)
            scene = chosen(moved, scene, better)
            damping = torch.where(better, damping * 0.2, damping * 10).clamp(LEAST, GREATEST)
            last = torch.where(better, after, before)
            helped += int(better.any())
            tell(k + 1)
            if bool((better & (before - after < CONVERGED * before)).all()):
                break
        nothing = torch.full((people,), float("nan"))
        first, last = (nothing if value is None else value for value in (first, last))
        return scene, {"before": float(first.mean()), "after": float(last.mean()), "steps": helped}

    def moved(self, scene: Scene, step: Step, total: Quadratic, prior: tuple, damping: Tensor) -> Scene:
        """The scene after one damped step within the bounds of the codes."""
        free, rates = self.free, step.stage.rates
        loose = free.chosen(rates).double()
        sound = torch.isfinite(total.hessian).all(-1) & torch.isfinite(
            total.gradient
        )  # what is not finite moves nothing
        sound = sound.all(-1)[:, None, None]
        total = total._replace(
            hessian=torch.where(sound, total.hessian, torch.zeros(())),
            gradient=torch.where(sound[..., 0], total.gradient, torch.zeros(())),
        )
        hessian = _only(total.hessian.double(), damping[scene.person], loose, 1.0)
        shared = loose[: free.shared]
        prior_hessian = _only(prior[2].double(), damping, shared, 0.0)
        weights = scene.expression.double()
        low, high = (-weights, 1 - weights) if "expression" in rates else (0 * weights, 0 * weights)
        move, own = bounded_step(
            hessian,
            total.gradient.double() * loose,
            (prior_hessian, prior[1].double() * shared),
            scene.person,
            low,
            high,
        )
        move, own = move.to(scene.identity), own.to(scene.identity)
        count, expressions = free.identities, free.expressions
        take = {name: float(rates.get(name, 0.0)) for name in ("identity", "albedo", "expression", "pose", "light")}
        identity = (scene.identity + take["identity"] * move[:, :count]).clamp(-RANGE, RANGE)
        albedo = (scene.albedo + take["albedo"] * move[:, count:]).clamp(-RANGE, RANGE)
        expression = (scene.expression + take["expression"] * own[:, :expressions]).clamp(0, 1)
        light = scene.light + take["light"] * own[:, expressions + pose.COUNT :].unflatten(1, (9, 3))
        result = replace(scene, identity=identity, albedo=albedo, expression=expression, light=light)
        return (
            pose.moved(result, take["pose"] * own[:, expressions : expressions + pose.COUNT])
            if take["pose"]
            else result
        )

    def kept(self, scene: Scene, before: Errors) -> tuple[Scene, Errors, Tensor]:
        """The scene, with people put back to the start whose fit made both errors worse, its errors, and who was."""
        after = self.errors(scene)
        worse = after.photometric > before.photometric
        worse &= (after.landmarks > before.landmarks) | torch.isnan(before.landmarks)
        worse |= ~torch.isfinite(after.photometric)
        people = len(scene.identity)
        bad = summed(worse.float(), scene.person, people) > 0.5 * torch.bincount(scene.person)
        if bad.any():
            scene = chosen(self.start, scene, bad)
            after = self.errors(scene)
        return scene, after, bad[scene.person]


def _only(hessian: Tensor, damping: Tensor, loose: Tensor, held: float) -> Tensor:
    """Damped rows and columns of what is free; `held` on the diagonal of the rest."""
    result = hessian * loose[:, None] * loose
    diagonal = result.diagonal(dim1=1, dim2=2)
    diagonal.mul_(1 + damping.double()[:, None]).add_(1e-9 + (1 - loose) * held)
    return result


def chosen(new: Scene, old: Scene, people: Tensor) -> Scene:
    """The new scene for some people (P,) bool and their frames, the old one for the others."""
    frames, values = people[old.person], {}
    for name in ("identity", "albedo", "expression", "rotation", "translation", "focal", "principal", "light"):
        theirs, mine = getattr(new, name), getattr(old, name)
        which = people if name in ("identity", "albedo") else frames
        values[name] = torch.where(which.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)
    return replace(old, **values)


def first_scene(surface: Surface, evidence: Sequence[Evidence], person: Sequence[int] | None = None) -> Scene:
    """The regressor's answers as a scene: a person's identity is the mean of the frames', albedo the mean, light even."""
    who = torch.arange(len(evidence)) if person is None else torch.as_tensor(list(person), dtype=torch.long)
    people = int(who.max()) + 1
    count = torch.bincount(who, minlength=people).float()
    identity = summed(_stack(evidence, "identity"), who, people) / count[:, None]
    expression = np.stack([one.expression for one in evidence])
    views = [one.view for one in evidence]
    return scene_of(
        identity.clamp(-RANGE, RANGE), expression.clip(0, 1), views, who, surface.albedos, evidence[0].image.shape[0]
    )


def scene_of(identity, expression, views: Sequence[View], person: Tensor, albedos: int, size: int) -> Scene:
    """A scene of codes and cameras, with the mean albedo in even light.

    Args:
        identity: (P, I).
        expression: (F, E).
        views: F cameras of square pictures of `size` pixels.
        albedos: Length of the albedo's code.
    """
    light = torch.zeros(len(views), 9, 3)
    light[:, 0] = beliefs.AMBIENT
    cameras = {
        name: torch.tensor(np.stack([np.asarray(getattr(view, name)) for view in views]), dtype=torch.float32)
        for name in ("rotation", "translation", "focal", "principal")
    }
    identity, expression = (torch.as_tensor(codes, dtype=torch.float32) for codes in (identity, expression))
    return Scene(
        identity=identity, albedo=torch.zeros(len(identity), albedos), expression=expression, light=light, person=person,
        size=size, **cameras,
    )  # fmt: skip


def _stack(evidence: Sequence[Evidence], name: str) -> Tensor:
    return torch.tensor(np.stack([getattr(one, name) for one in evidence]), dtype=torch.float32)
