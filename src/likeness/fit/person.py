"""A person from many frames: a personal face model, and what it is worth on frames that it was not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import OUTER_EYE_CORNERS, Correspondence
from likeness.assets.person import Person
from likeness.errors import PhotoError
from likeness.fit import complexion, personal
from likeness.fit.bases import LandmarkBases, builtin_bases
from likeness.fit.complexion import Posed
from likeness.fit.deformation import Deformation
from likeness.fit.landmarks import IdentityMeasurement, LandmarkFit, fit
from likeness.fit.together import FOR_PHOTOS, KNOWN, Portrait, observed
from likeness.types import View

FEWEST = 8
"""Frames that a person can be learned from at least."""
HELD_OUT = 4
"""Every so-manieth frame is not learned from."""
MEASURED = 12
"""Frames on which photometric errors are measured at most, evenly spread."""


@dataclass(frozen=True)
class Worth:
    """Errors on frames that nothing was learned from, with the generic and with the personal model.

    For each, expression, camera and light are fitted to the frame; identity and albedo come from the other frames.

    Attributes:
        landmarks: (F, 2) mean distance of the dense landmarks, percent of the distance between the outer eye corners.
        photometric: (f, 2) mean distance of linear RGB over the skin.
        names: (F,) of the frames.
    """

    landmarks: np.ndarray
    photometric: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Learned:
    """A person, the frames it was learned from, and what it is worth.

    Attributes:
        person: The personal face model.
        posed: The frames with their fits under it.
        worth: On the others.
    """

    person: Person
    posed: tuple[Posed, ...]
    worth: Worth


def learn(
    portraits: Sequence[Portrait],
    model: Builtin,
    albedo: AlbedoModel,
    correspondence: Correspondence,
    name: str,
    deformation: Deformation | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Learned:
    """Learn a person from frames that all show it.

    Args:
        portraits: At least `FEWEST`, better sixty, with many expressions and from several sides.
        model: The face model that ships, or another.
        albedo: The albedo model.
        correspondence: Of the automatic landmarks.
        name: The person's.
        deformation: For the model, where it is known already.
        progress: Is told what is being done.

    Raises:
        PhotoError: When there are too few frames.
    """
    if len(portraits) < FEWEST:
        raise PhotoError(
            f"{len(portraits)} frames show the person; {FEWEST} are the least that a face model is learned from"
        )
    tested = list(portraits[HELD_OUT // 2 :: HELD_OUT])
    known = [one for i, one in enumerate(portraits) if i % HELD_OUT != HELD_OUT // 2]
    bases = builtin_bases(model, correspondence)
    progress("face and movements")
    points, sigma, start = observed(known)
    together = torch.zeros(len(known), dtype=torch.long)
    generic = fit(bases, points, personal.LEARNING, start, sigma, together)
    found, _, deformation = personal.personalise(model, bases, points, sigma, deformation=deformation, start=start)
    offsets = deformation.offsets(found.numbers)
    own = personal.personal_bases(bases, offsets, model.topology("base").landmarks["dense"])
    person = Person(
        name, found.identity.numpy(), offsets[0].numpy(), offsets[1:].numpy(), len(known), licence_of(model, name)
    )
    progress("colours")
    pairs = []
    for which, basis, identity, shown in (
        ("generic", bases, generic.identity[0], model),
        ("personal", own, found.identity, person.model(model)),
    ):
        posed = _posed(basis, known, identity)
        sample = _spread(posed, complexion.FRAMES)
        code, lights, surface = complexion.colours(sample, shown, identity.numpy(), albedo, correspondence)
        if which == "personal":
            base = albedo.texture(code)
            person = replace(
                person, albedo=code, texture=complexion.texture(sample, lights, shown, identity.numpy(), base)
            )
        pairs.append((basis, identity, shown, surface, code, posed))
    progress("frames held out")
    worth = _worth(pairs, person, tested)
    return Learned(person, tuple(pairs[1][-1]), worth)


def licence_of(model: Builtin, name: str) -> str:
    """The line that travels with a person: the face model's, and whose likeness it is."""
    whose = f"personal face model of {name}: a likeness of a person, to be used with that person's consent"
    return f"{model.licence}; {whose}" if model.licence else whose


def known_fit(bases: LandmarkBases, portraits: Sequence[Portrait], identity: torch.Tensor) -> LandmarkFit:
    """Expression and camera of frames whose identity (I,) is known."""
    points, sigma, start = observed(portraits)
    count = len(identity)
    same = IdentityMeasurement(identity.expand(len(portraits), -1), KNOWN * torch.eye(count))
    return fit(
        bases, points, FOR_PHOTOS, replace(start, identity=identity.expand(len(portraits), -1)), sigma, None, same
    )


def _posed(bases: LandmarkBases, portraits: Sequence[Portrait], identity: torch.Tensor) -> list[Posed]:
    fits = known_fit(bases, portraits, identity)
    views = [
        View(
            *(getattr(fits, key)[i].double().numpy() for key in ("rotation", "translation", "focal", "principal")),
            p.image.shape[:2],
        )
        for i, p in enumerate(portraits)
    ]
    return [Posed(p, fits.expression[i].numpy(), views[i]) for i, p in enumerate(portraits)]


def _spread(rows: Sequence, most: int) -> list:
    """At most so many of the rows, evenly spread."""
    places = np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))
    return [rows[i] for i in places]


def _worth(pairs: Sequence[tuple], person: Person, tested: Sequence[Portrait]) -> Worth:
    """Errors of the generic and of the personal model on frames."""
    landmarks, photometric = [], []
    for basis, identity, shown, surface, code, _ in pairs:
        fits = known_fit(basis, tested, identity)
        points = observed(tested)[0]
        right, left = OUTER_EYE_CORNERS
        eyes = (points[:, right] - points[:, left]).norm(dim=-1).median()
        landmarks.append(100 * ((fits.points - points).norm(dim=-1).mean(1) / eyes).numpy())
        posed = _spread(_posed(basis, tested, identity), MEASURED)
        painted = person.texture if shown is pairs[1][2] else None
        photometric.append(complexion.errors(posed, shown, identity.numpy(), surface, code, painted))
    return Worth(np.stack(landmarks, 1), np.stack(photometric, 1), tuple(one.name for one in tested))
