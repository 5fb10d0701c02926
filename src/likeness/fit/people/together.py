"""Several photos of one person: one identity from all of them, and for each photo its own expression and camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from likeness.assets.correspondence import OUTER_EYE_CORNERS
from likeness.encoders.camera import centred
from likeness.errors import PhotoError
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import (
    FitConfig,
    Guess,
    IdentityMeasurement,
    LandmarkFit,
    fit,
    identity_precision,
    stacked,
)
from likeness.fit.people.kin import alikeness
from likeness.fit.photo import synthesis
from likeness.fit.photo.evidence import Evidence
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.geometry import harmonics
from likeness.geometry.cameras import transform_view
from likeness.photos.detect import Detection
from likeness.types import View

FOR_IDENTITY = FitConfig(trust=0.02, kinship=0.3)
"""How identity is fitted: photo by photo, landmarks err together far more than expressions show, because lens, pose and
expression bend all of a face at once. Chosen on the validation people of video_frames (docs/fitting.md)."""
FOR_PHOTOS = FitConfig()
"""How each photo's expression and camera are fitted once the identity is known."""
KNOWN_SHAPE = tuple(
    replace(step, stage=replace(
        step.stage,
        terms={name: weight for name, weight in step.stage.terms.items() if name not in ("identity", "regressor")},
        rates={name: rate for name, rate in step.stage.rates.items() if name != "identity"},
    ))
    for step in synthesis.STEPS
)  # fmt: skip
"""The stages of `fit.photo.synthesis` for a face whose shape is known."""
STRANGER = -12.0
"""Nats below which a photo is said to show somebody else; see `fit.people.kin.alikeness` and docs/fitting.md for what it finds."""


@dataclass(frozen=True)
class Portrait:
    """The face of the person in one photo, as the product sees it.

    Attributes:
        name: Of the photo.
        image: (H, W, 3) uint8 sRGB.
        face: Where the face is.
        evidence: What the photo says: the regressor's answer and dense landmarks among it.
    """

    name: str
    image: np.ndarray
    face: Detection
    evidence: Evidence


@dataclass(frozen=True)
class Person:
    """What several photos say about one person.

    Attributes:
        portraits: The n photos that the person was fitted to.
        identity: (100,) standard deviations.
        covariance: (100, 100) of the identity's posterior.
        expression: (n, 51) in [0, 1].
        views: n cameras, px of each photo.
        error: (n,) mean distance of landmark and fit over the distance of the outer eye corners (in the photo, no less than
            half of the widest of all photos).
        strangers: Photos that were left out because they do not agree with the others, and by how much (nats, negative).
        alike: (n,) nats for each photo that it shows the same person as the others; NaN for a single photo.
        albedo: (K,) code of the person's diffuse albedo; None where pixels were not compared.
        light: (n, 9, 3) light of each photo, in its camera's frame, as in `types.Light`; None likewise.
    """

    portraits: tuple[Portrait, ...]
    identity: np.ndarray
    covariance: np.ndarray
    expression: np.ndarray
    views: tuple[View, ...]
    error: np.ndarray
    alike: np.ndarray
    strangers: tuple[tuple[Portrait, float], ...] = ()
    albedo: np.ndarray | None = None
    light: np.ndarray | None = None


def choose(candidates: Sequence[Sequence[Portrait]]) -> list[Portrait]:
    """One face of each photo: the largest, but of several the one whose identity is most like that of the other photos.

    Args:
        candidates: The faces of each photo, at least one.
    """
    largest = [max(faces, key=lambda portrait: portrait.face.side) for faces in candidates]
    single = [faces[0].evidence.identity for faces in candidates if len(faces) == 1]
    chosen = []
    for i, faces in enumerate(candidates):
        others = single or [portrait.evidence.identity for j, portrait in enumerate(largest) if j != i]
        if len(faces) == 1 or not others:
            chosen.append(largest[i])
        else:
            wanted = np.mean(others, 0)
            chosen.append(min(faces, key=lambda portrait: float(np.linalg.norm(portrait.evidence.identity - wanted))))
    return chosen


def together(portraits: Sequence[Portrait], bases: LandmarkBases, precision: torch.Tensor | None = None) -> Person:
    """Fit one person to photos; photos of others are found and left out.

    Args:
        portraits: Photos that are said to show one person.
        bases: The face model at the dense landmarks.
        precision: (D, D) of the regressor's answers, identity first (`fit.photo.trust`); without it they are only the start.

    Raises:
        PhotoError: When no photo is given.
    """
    if not portraits:
        raise PhotoError("no photo with a face is left to fit a person to")
    mean, sure = alone(portraits, bases, precision)
    kept, left = list(range(len(portraits))), []
    alike = np.full(len(portraits), np.nan)
    while len(kept) > 1:
        alike[kept] = alikeness(mean[kept], sure[kept], FOR_IDENTITY.kinship).numpy()
        worst = min(kept, key=lambda i: alike[i])
        if len(kept) == 2 or alike[worst] > STRANGER:
            break
        kept.remove(worst)
        left.append(worst)
    person = fitted([portraits[i] for i in kept], bases, precision)
    strangers = tuple((portraits[i], float(alike[i])) for i in left)
    return replace(person, alike=alike[kept], strangers=strangers)


def fitted(portraits: Sequence[Portrait], bases: LandmarkBases, precision: torch.Tensor | None = None) -> Person:
    """Fit one person to photos that all show it: identity first, then expression and camera of each photo for that identity."""
    points, sigma, start = observed(portraits)
    person, said = torch.zeros(len(portraits), dtype=torch.long), answers(start, precision)
    shared = fit(bases, points, FOR_IDENTITY, start, sigma, person, said)
    sure = identity_precision(bases, points, shared, FOR_IDENTITY, sigma, person, said)[0]
    known = IdentityMeasurement.known(shared.identity)
    final = fit(bases, points, FOR_PHOTOS, shared, sigma, person, known)
    return Person(
        portraits=tuple(portraits), identity=shared.identity[0].numpy(), covariance=torch.linalg.inv(sure).numpy(),
        expression=final.expression.numpy(), views=tuple(_view(final, i, one) for i, one in enumerate(portraits)),
        error=_errors(final, points), alike=np.full(len(portraits), np.nan),
    )  # fmt: skip


def refined(person: Person, surface: Surface) -> Person:
    """Compare pixels too: the person's albedo, each photo's light, and once more its expression and camera.

    The identity stays, because its spread over photos of a person was measured without pixels (docs/fitting.md). Photos whose
    fit diverges keep what they had (`fit.photo.synthesis`).
    """
    begun = []
    for portrait, weights, view in zip(person.portraits, person.expression, person.views):
        found, size = portrait.evidence, portrait.evidence.image.shape[:2]
        view = centred(transform_view(view, found.crop_from_photo, size))
        begun.append(replace(found, identity=person.identity, expression=weights, view=view))
    scene = synthesis.fit(surface, begun, [0] * len(begun), steps=KNOWN_SHAPE).scene
    views = tuple(_view(scene, i, portrait) for i, portrait in enumerate(person.portraits))
    turns = [scene.rotation[i].double().numpy() @ np.asarray(view.rotation).T for i, view in enumerate(views)]
    return replace(
        person, expression=scene.expression.numpy(), views=views, albedo=scene.albedo[0].numpy(),
        light=np.stack([harmonics.turned(light, turn) for light, turn in zip(scene.light.double().numpy(), turns)]),
    )  # fmt: skip


def identities(
    people: Sequence[Sequence[Portrait]], bases: LandmarkBases, precision: torch.Tensor | None = None
) -> np.ndarray:
    """The identities (P, I) of several people at once, as `fitted` finds them, without the rest."""
    points, sigma, start = observed([portrait for portraits in people for portrait in portraits])
    person = torch.cat([torch.full((len(portraits),), i) for i, portraits in enumerate(people)])
    first = torch.tensor([0, *np.cumsum([len(portraits) for portraits in people])[:-1].tolist()])
    return fit(bases, points, FOR_IDENTITY, start, sigma, person, answers(start, precision)).identity[first].numpy()


def alone(
    portraits: Sequence[Portrait], bases: LandmarkBases, precision: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each photo says by itself: identities (n, I) and their precisions (n, I, I)."""
    points, sigma, start = observed(portraits)
    said = answers(start, precision)
    single = fit(bases, points, FOR_IDENTITY, start, sigma, measured=said)
    return single.identity, identity_precision(bases, points, single, FOR_IDENTITY, sigma, measured=said)


def answers(start: Guess, precision: torch.Tensor | None) -> IdentityMeasurement | None:
    """The regressor's identities as measurements: its answers' spread, less the prior that they contain.

    In directions in which an answer is no surer than the prior, nothing was measured.
    """
    if precision is None:
        return None
    size = start.identity.shape[1]
    own = torch.linalg.inv(torch.linalg.inv(precision.double())[:size, :size])
    values, vectors = torch.linalg.eigh(own - torch.eye(size).double())
    sharp = values > 1e-6
    values, vectors = values[sharp], vectors[:, sharp]
    pull = start.identity.double() @ own @ vectors
    return IdentityMeasurement((pull / values) @ vectors.T, (vectors * values) @ vectors.T)


def observed(portraits: Sequence[Portrait]) -> tuple[torch.Tensor, torch.Tensor, Guess]:
    """Points (n, 478, 2), spreads (n, 478) and the regressor's answers, in pixels of each photo's square."""
    found = [portrait.evidence for portrait in portraits]
    return stacked(one.points for one in found), stacked(one.sigma for one in found), Guess.of(found)


def _view(found: Guess | Scene, i: int, portrait: Portrait) -> View:
    """A camera in pixels of its photo."""
    values = (getattr(found, name)[i].double().numpy() for name in ("rotation", "translation", "focal", "principal"))
    view = View(*values, portrait.evidence.image.shape[:2])
    return transform_view(view, portrait.evidence.photo_from_crop, portrait.image.shape[:2])


def _errors(fits: LandmarkFit, points: torch.Tensor) -> np.ndarray:
    right, left = OUTER_EYE_CORNERS
    eyes = (points[:, right] - points[:, left]).norm(dim=-1)
    scale = fits.focal / -fits.translation[:, 2]
    widest = (eyes / scale).max() * scale
    return ((fits.points - points).norm(dim=-1).mean(1) / torch.maximum(eyes, widest / 2)).numpy()
