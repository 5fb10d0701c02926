"""Genova et al. 2018: identity and albedo of a face from what a recognition network sees in it; expressionless.

The graph: `image` uint8 (1, S, S, 3), the crop in which eyes, nose tip and mouth corners lie at the card's template; `identity`
(1, I) and `albedo` (1, K), standard deviations. Pose and expression, which the system says nothing about, come from landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.assets import albedo, builtin
from likeness.encoders.recognition import templates
from likeness.photos.crop import sample
from likeness.photos.detect import Detection
from likeness.runtime import encode, landmarks
from likeness.runtime.decode import Decoder
from likeness.runtime.detect import find_faces
from likeness.runtime.reconstruct import Reconstruction, System
from likeness.runtime.systems.card import Card, Graph
from likeness.runtime.systems.face import SystemFace, extended
from likeness.runtime.systems.pose import Poser
from likeness.types import Crop, View

NAME = "genova2018"


@dataclass(frozen=True)
class Estimate:
    """What the system and the landmarks say.

    Attributes:
        codes: "identity" (I,), "albedo" (K,) standard deviations, by the system; "expression" (51,) in [0, 1], by landmarks.
        view: The camera by landmarks, in pixels of the photo.
        crop: What the recognition network saw.
    """

    codes: dict[str, np.ndarray]
    view: View
    crop: Crop


def system(graph: Graph, level: str = "dense") -> System:
    """The system of a file.

    Raises:
        AssetError: When its codes belong to other models than those that ship.
    """
    model, skin = builtin.load(), albedo.load()
    graph.check(model, skin)
    regressor, landmarker, poser = encode.shipped(), landmarks.shipped(), Poser(model)

    def look(image: np.ndarray, face: Detection) -> Estimate:
        begin, seen = regressor.encode(image, face), landmarker(image, face)
        crop = aligned(image, seen.points, graph.card)
        answer = graph(crop.image)
        codes = {"identity": answer["identity"], "expression": begin.codes["expression"], "albedo": answer["albedo"]}
        codes["expression"], view = poser(codes, begin.view, seen)
        return Estimate(codes, view, crop)

    def complete(face: Reconstruction, estimate: Any) -> SystemFace:
        return extended(face, graph.card, skin.texture(face.codes["albedo"]), resting=True)

    return System(find_faces, look, Decoder(level).decode, model, level, complete)


def aligned(image: np.ndarray, dense: np.ndarray, card: Card) -> Crop:
    """The crop in which five of the dense landmarks (478, 2), pixels of the photo, lie at the card's template.

    Args:
        image: (H, W, 3) uint8 sRGB.
    """
    photo_from_crop = np.eye(3)
    photo_from_crop[:2] = templates.photo_from_crop(
        templates.five(np.asarray(dense, np.float64)), np.array(card.template)
    )
    return Crop(sample(image, photo_from_crop, card.crop), photo_from_crop)
