"""A person from many frames: a personal face model, and what it is worth on frames that it was not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from likeness.arrays import even
from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import OUTER_EYE_CORNERS, Correspondence
from likeness.assets.person import Person
from likeness.errors import PhotoError
from likeness.fit.landmarks.bases import LandmarkBases, builtin_bases
from likeness.fit.landmarks.solver import fit
from likeness.fit.persons import alignment, complexion, personal
from likeness.fit.persons.deformation import Deformation
from likeness.fit.persons.frames import Frame, Posed, known_fit, observed, posed
from likeness.fit.persons.personal import Personal
from likeness.fit.photo import synthesis
from likeness.fit.photo.evidence import Evidence
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Paints, Surface
from likeness.geometry.uv import Chart

FEWEST = 8
"""Frames that a person can be learned from at least."""
HELD_OUT = 4
"""Every so-manieth frame is not learned from."""
PAINTED, ALIGNED, MEASURED = 12, 24, 12
"""Frames that albedo is taken from, that pixels are aligned in, and that errors are measured on, at most; evenly spread."""
KINSHIP = 0.4
"""Share of what pixels and landmarks of one frame say wrongly about a person that the others say too. On a rendered person 0.4 and 0.1
find the same face in one step, and the second step of 0.1 loses a tenth of a millimetre again."""
RANGE = 3.0
"""Standard deviations that no identity code leaves."""


@dataclass(frozen=True)
class Worth:
    """Errors on frames that nothing was learned from, with the generic and with the personal model.

    For each, expression, camera and light are fitted to the frame; identity and albedo come from the other frames.

    Attributes:
        landmarks: (F, 2) mean distance of the dense landmarks, percent of the distance between the outer eye corners.
        photometric: (F, 2) mean distance of linear RGB over the skin.
        expression: (2, F, E) the weights that were found.
    """

    landmarks: np.ndarray
    photometric: np.ndarray
    expression: np.ndarray


@dataclass(frozen=True)
class Learned:
    """A person, and what it is worth.

    Attributes:
        person: The personal face model.
        generic: The same frames' identity and albedo code in the generic model, without offsets.
        worth: On frames held out.
        tested: Numbers of these frames.
    """

    person: Person
    generic: Person
    worth: Worth
    tested: tuple[int, ...]


@dataclass(frozen=True)
class KnownPerson:
    """A person in fits of photos: identity and texture stay; expression, camera and light are the photo's.

    Attributes:
        person: From a file.
        steps: Stages of a fit without the person's groups.
    """

    person: Person
    steps: tuple[synthesis.Step, ...]

    @classmethod
    def of(cls, person: Person) -> KnownPerson:
        """With the stages of other fits; albedo stays free where the person has no texture."""
        own = {"identity"} if person.texture is None else {"identity", "albedo"}
        steps = []
        for step in synthesis.STEPS:
            rates = {name: rate for name, rate in step.stage.rates.items() if name not in own}
            steps.append(replace(step, stage=replace(step.stage, rates=rates)))
        return cls(person, tuple(steps))

    def surface(self, model: Builtin, albedo: AlbedoModel, correspondence: Correspondence) -> Surface:
        """What a fit draws, from the generic face model."""
        surface, texture = Surface.of(self.person.model(model), albedo, correspondence), self.person.texture
        return surface if texture is None else painted(surface, torch.from_numpy(texture.astype(np.float32) / 255))

    def fit(
        self,
        surface: Surface,
        evidence: Evidence,
        progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    ) -> synthesis.Fitted:
        """One photo of the person."""
        evidence = replace(evidence, identity=self.person.identity.astype(np.float32))
        return synthesis.fit(surface, [evidence], steps=self.steps, progress=progress)


def learn(
    frames: Sequence[Frame],
    model: Builtin,
    albedo: AlbedoModel,
    correspondence: Correspondence,
    name: str,
    deformation: Deformation | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Learned:
    """Learn a person from frames that all show it.

    Landmarks first; then the person's texture; then a step in which the texture, drawn, comes to lie upon what every frame shows;
    then the texture again.

    Args:
        frames: At least `FEWEST`, better sixty, with many expressions and from several sides.
        model: The face model that ships, or another.
        albedo: The albedo model.
        correspondence: Of the automatic landmarks.
        name: The person's.
        deformation: For the model, where it is known already.
        progress: Is told what is being done.

    Raises:
        PhotoError: When there are too few frames.
    """
    if len(frames) < FEWEST:
        few = f"{FEWEST} are the least that a face model is learned from"
        raise PhotoError(f"{len(frames)} pictures show the person; {few}")
    tested = range(HELD_OUT // 2, len(frames), HELD_OUT)
    known = [frame for i, frame in enumerate(frames) if i not in tested]
    progress("landmarks")
    points, sigma, start = observed(known)
    bases = builtin_bases(model, correspondence)
    one = torch.zeros(len(known), dtype=torch.long)
    generic = fit(bases, points, personal.LEARNING, start, sigma, one).identity[0]
    deformation = deformation or Deformation.of(model)
    found, fits, _ = personal.personalise(model, bases, points, sigma, deformation=deformation, start=start)
    licence = licence_of(model, name)
    person = made(found, deformation, name, licence, len(known))
    progress("texture")
    chart = complexion.chart_of(model)
    person, surface = _painted(person, posed(known, fits), model, albedo, correspondence, chart)
    progress("pixels")
    aligned = _spread(posed(known, fits), ALIGNED)
    problem = synthesis.Problem(
        surface, complexion.evidence(aligned, person.model(model), person.identity), [0] * len(aligned)
    )
    scene, _ = problem.descend(problem.start, complexion.LIGHT, lambda done: None)
    found = aligned_step(deformation, found, problem, scene)
    person = replace(made(found, deformation, name, licence, len(known)), albedo=person.albedo)
    progress("texture again")
    own = personal.personal_bases(bases, deformation.offsets(found.numbers), model.topology("base").landmarks["dense"])
    again = posed(known, known_fit(own, known, found.identity))
    person, surface = _painted(person, again, model, albedo, correspondence, chart)
    plain = replace(nobody(model, name), identity=generic.numpy())
    before = posed(known, known_fit(bases, known, generic))
    code, _, bare = complexion.colours(_spread(before, PAINTED), model, plain.identity, albedo, correspondence)
    plain = replace(plain, albedo=code)
    progress("frames held out")
    tested = _spread(tested, MEASURED)
    held = [frames[i] for i in tested]
    bare = painted(bare, bare.encoded(torch.as_tensor(code)))
    worth = joined([measured(held, plain, model, bases, bare), measured(held, person, model, own, surface)])
    return Learned(person, plain, worth, tuple(tested))


def made(found: Personal, deformation: Deformation, name: str, licence: str, frames: int) -> Person:
    """The person of identity and numbers."""
    offsets = deformation.offsets(found.numbers).numpy()
    return Person(name, found.identity.numpy(), offsets[0], offsets[1:], frames, licence)


def nobody(model: Builtin, name: str) -> Person:
    """A person who is the model's mean."""
    zeros = np.zeros(len(model.identity), np.float32)
    return Person(name, zeros, np.zeros_like(model.mean), np.zeros_like(model.expression), licence=model.licence)


def licence_of(model: Builtin, name: str) -> str:
    """The line that travels with a person: the face model's, and whose likeness it is."""
    whose = f"personal face model of {name}: a likeness of a person, to be used with that person's consent"
    return f"{model.licence}; {whose}" if model.licence else whose


def aligned_step(deformation: Deformation, found: Personal, problem: synthesis.Problem, scene: Scene) -> Personal:
    """Fit the frames to the person as it is, then let identity and offsets follow landmarks and pixels once."""
    scene = problem.descend(scene, alignment.FRAME, lambda done: None)[0]
    kinship = 1 + KINSHIP * (len(problem.evidence) - 1)
    moved = personal.improved(deformation, found, alignment.frame_rows(problem, scene), kinship)
    return replace(moved, identity=moved.identity.clamp(-RANGE, RANGE))


def _painted(
    person: Person,
    frames: Sequence[Posed],
    model: Builtin,
    albedo: AlbedoModel,
    correspondence: Correspondence,
    chart: Chart,
) -> tuple[Person, Surface]:
    """The person with albedo code and texture from some of the frames, and the surface that a fit draws."""
    sample, shown = _spread(frames, PAINTED), person.model(model)
    code, lights, surface = complexion.colours(sample, shown, person.identity, albedo, correspondence)
    texture = complexion.texture(sample, lights, shown, person.identity, albedo.texture(code), chart)
    return replace(person, albedo=code, texture=texture), painted(
        surface, torch.from_numpy(texture.astype(np.float32) / 255)
    )


def painted(surface: Surface, chart: Tensor) -> Surface:
    """A surface whose albedo is a given map (S, S, 3), sRGB-encoded, and has no code."""
    return replace(surface, chart=chart, paints=Paints.none(len(chart)))


def measured(
    frames: Sequence[Frame], person: Person, model: Builtin, bases: LandmarkBases, surface: Surface
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmark errors (F,), photometric errors (F,) and weights (F, E) of a person in frames; see `Worth`."""
    identity = torch.as_tensor(person.identity)
    evidence = complexion.evidence(
        posed(frames, known_fit(bases, frames, identity)), person.model(model), person.identity
    )
    problem = synthesis.Problem(painted(surface, surface.chart), evidence)
    scene, _ = problem.descend(problem.start, complexion.LIGHT, lambda done: None)
    scene = problem.descend(scene, alignment.FRAME, lambda done: None)[0]
    errors = problem.errors(scene)
    right, left = OUTER_EYE_CORNERS
    eyes = torch.stack([(one[right] - one[left]).norm() for one in problem.points])
    landmarks = 100 * errors.landmarks / torch.maximum(eyes, eyes.max() / 2)  # in profile the eyes are near each other
    return landmarks.numpy(), errors.photometric.numpy(), scene.expression.numpy()


def joined(pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Worth:
    """The generic and the personal model's errors."""
    landmarks, photometric, expression = zip(*pairs)
    return Worth(np.stack(landmarks, 1), np.stack(photometric, 1), np.stack(expression))


def _spread(rows: Sequence, most: int) -> list:
    """At most so many of the rows, evenly spread."""
    return [rows[i] for i in even(len(rows), most)]
