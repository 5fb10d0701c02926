"""Frames of one person: pictures with the regressor's answer and landmarks, and how a fit begins with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import FitConfig, Guess, IdentityMeasurement, LandmarkFit, fit, stacked
from likeness.types import Landmarks, View


@dataclass(frozen=True)
class Frame:
    """A face in a picture.

    Attributes:
        name: Of the picture.
        image: (H, W, 3) uint8 sRGB.
        identity: (I,), expression: (E,), view: the regressor's answer, px of the picture.
        landmarks: Dense landmarks, px of the picture.
    """

    name: str
    image: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    view: View
    landmarks: Landmarks


@dataclass(frozen=True)
class Posed:
    """A frame with its fit.

    Attributes:
        frame: The frame.
        expression: (E,) in [0, 1].
        view: Camera, px of the frame, of its size.
    """

    frame: Frame
    expression: np.ndarray
    view: View


def choose(faces: Sequence[Sequence[Frame]]) -> list[Frame]:
    """One face of each picture: the one whose identity is nearest to the median of the first faces of all.

    Args:
        faces: The faces of each picture, at least one, the largest first.
    """
    usual = np.median([found[0].identity for found in faces], 0)
    return [min(found, key=lambda one: float(np.linalg.norm(one.identity - usual))) for found in faces]


def observed(frames: Sequence[Frame]) -> tuple[Tensor, Tensor, Guess]:
    """Points (n, 478, 2) and spreads (n, 478) px, and the regressor's answers."""
    marks = [one.landmarks for one in frames]
    return stacked(one.points for one in marks), stacked(one.sigma for one in marks), Guess.of(frames)


def known_fit(bases: LandmarkBases, frames: Sequence[Frame], identity: Tensor) -> LandmarkFit:
    """Expression and camera of frames whose identity (I,) is known."""
    points, sigma, start = observed(frames)
    same = identity.expand(len(frames), -1)
    return fit(bases, points, FitConfig(), replace(start, identity=same), sigma, None, IdentityMeasurement.known(same))


def posed(frames: Sequence[Frame], fits: LandmarkFit) -> list[Posed]:
    """Frames with their fits."""
    keys, result = ("rotation", "translation", "focal", "principal"), []
    for i, frame in enumerate(frames):
        view = View(*(getattr(fits, key)[i].double().numpy() for key in keys), frame.image.shape[:2])
        result.append(Posed(frame, fits.expression[i].numpy(), view))
    return result
