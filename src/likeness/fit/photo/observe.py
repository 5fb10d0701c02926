"""From a photo and a face's place to evidence: several looks by the regressor, landmarks, and which pixels are skin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from likeness import color
from likeness.assets.arkit import EXPRESSIONS, mirrored
from likeness.assets.builtin import Builtin
from likeness.encoders import camera
from likeness.fit.photo.evidence import Evidence, gather
from likeness.geometry.cameras import transform_view
from likeness.photos import skin
from likeness.photos.crop import similarity
from likeness.photos.detect import Detection, face_frame, square
from likeness.render.regions import bare_skin
from likeness.types import Landmarks, View

LOOKS = ((0.0, 0.0, 0.0, 0.0), (0.03, -0.02, 0.04, 0.03))
"""Crops that the regressor looks at, each as it is and mirrored: shift right and down (box sides), log side, roll (radians).
Ours: on validation renders the shape error falls from 0.877 of the mean face's to 0.855, with twelve looks to 0.853."""
ROUGH = 0.03
"""Spread of the regressor's own landmarks, in distances of the outer eye corners, where no landmark network is."""
_SWAP = [EXPRESSIONS.index(mirrored(name)) for name in EXPRESSIONS]


@dataclass(frozen=True)
class Answer:
    """What the regressor says about a face, the mean of several looks.

    Attributes:
        codes: "identity" (I,) and "expression" (E,).
        view: Camera in pixels of the photo.
        landmarks: (478, 2) px of the photo, of the first look.
    """

    codes: dict[str, np.ndarray]
    view: View
    landmarks: np.ndarray


def observe(
    image: np.ndarray,
    face: Detection,
    encode: Callable[[np.ndarray, Detection], Any],
    model: Builtin,
    measure: Callable[[np.ndarray, Detection], Landmarks] | None = None,
    given: Landmarks | None = None,
) -> Evidence:
    """Everything that is known of one face before a fit.

    Args:
        image: (H, W, 3) uint8 sRGB.
        face: Where it is.
        encode: The regressor: (photo, face) -> `codes`, `view` and `landmarks` in pixels of the photo.
        model: The face model of the codes.
        measure: The landmark network; without it the regressor's own landmarks serve, with a wide spread.
        given: Landmarks that are known, 478 or 68, instead of measured ones.
    """
    answer = averaged(image, face, encode, model)
    if given is None:
        given = rough(answer.landmarks) if measure is None else measure(image, face)
    evidence = gather(image, answer, given)
    return _with_skin(evidence, model)


def averaged(
    image: np.ndarray,
    face: Detection,
    encode: Callable[[np.ndarray, Detection], Any],
    model: Builtin,
    looks: Sequence[tuple[float, float, float, float]] = LOOKS,
) -> Answer:
    """The mean of the regressor's answers to several crops and their mirror images.

    What is random in its errors averages out; mirror images make it answer alike for both sides.
    """
    first = encode(image, face)
    centre, side, roll = face_frame(first.landmarks)
    back = np.linalg.inv(similarity(centre, side, roll, 256))
    flipped = np.ascontiguousarray(image[:, ::-1])
    width = image.shape[1]
    identities, expressions, cameras = [], [], []
    for right, down, larger, turn in looks:
        place = centre + side * np.array([right, down])
        box = square(place, side * math.exp(larger))
        plain = encode(image, Detection(box, roll + turn, face.score))
        other = encode(flipped, Detection((width - box[2], box[1], width - box[0], box[3]), -roll - turn, face.score))
        identities += [plain.codes["identity"], other.codes["identity"] * model.symmetry]
        expressions += [plain.codes["expression"], other.codes["expression"][_SWAP]]
        for view in (plain.view, mirrored_view(other.view, width)):
            cameras.append(camera.from_view(transform_view(view, back, (256, 256))))
    turn = np.mean([one.rotation for one in cameras], 0)
    u, _, v = np.linalg.svd(turn)
    mean = (np.mean([getattr(one, name) for one in cameras], 0) for name in ("offset", "size", "distance"))
    view = camera.to_view(camera.CropCamera(u @ v, *mean), 256)
    codes = {"identity": np.mean(identities, 0, np.float32), "expression": np.mean(expressions, 0, np.float32)}
    return Answer(codes, transform_view(view, np.linalg.inv(back), image.shape[:2]), first.landmarks)


def mirrored_view(view: View, width: int) -> View:
    """The camera of a mirrored picture of `width` pixels, for the mirrored head."""
    flip = np.array([-1.0, 1.0, 1.0])
    principal = np.array([width - view.principal[0], view.principal[1]])
    return View(view.rotation * flip * flip[:, None], view.translation * flip, view.focal, principal, view.size)


def rough(points: np.ndarray) -> Landmarks:
    """The regressor's own landmarks (478, 2) as measured ones."""
    unit = float(np.linalg.norm(points[33] - points[263]))
    return Landmarks(np.asarray(points, np.float32), np.full(len(points), max(ROUGH * unit, 1.0), np.float32))


def _with_skin(evidence: Evidence, model: Builtin) -> Evidence:
    """The evidence with the pixels that show skin; lids, brows and lips of the face count as they are."""
    vertices = model.decode(evidence.identity, evidence.expression)
    seen, bare = bare_skin(vertices, evidence.view, model.topology("base"))
    probable = skin.weights(color.encode(evidence.image), bare)
    shown = np.where(seen & ~bare, np.maximum(probable, 0.5), probable)
    return replace(evidence, skin=(evidence.skin * shown).astype(np.float32))
