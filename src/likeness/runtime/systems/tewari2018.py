"""Tewari et al. 2018: shape, expression, reflectance, pose and light of a face at two levels, the final one beyond the face model.

The graph: `image` uint8 (1, S, S, 3), the crop around the face's box; answers, each with a batch dimension of 1: the base level's
`identity` (I,), `expression` (E,) in [0, 1] and `albedo` (K,); `geometry` (V, 3) mm, what the final level adds to the base vertices
(eq. 1); `reflectance` (C, C, 3) over the chart, what it adds to sRGB-encoded albedo (eq. 2), bilinear between its texels; the
camera of the crop `rotation` (3, 3), `translation` (3,), `focal` (); and `light` (9, 3), see `types.Light`, in the crop's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from likeness.assets import albedo, builtin
from likeness.assets.albedo import decoded
from likeness.color import srgb_from_linear
from likeness.geometry import harmonics
from likeness.geometry.cameras import transform_view
from likeness.photos.crop import crop
from likeness.photos.detect import Detection, face_frame, square
from likeness.runtime import landmarks
from likeness.runtime.decode import Decoder
from likeness.runtime.detect import find_faces
from likeness.runtime.reconstruct import Reconstruction, System
from likeness.runtime.systems.card import Card, Graph
from likeness.runtime.systems.face import SystemFace, extended
from likeness.types import Crop, Light, View

NAME = "tewari2018"
ANSWERS = (
    "identity", "expression", "albedo", "geometry", "reflectance", "rotation", "translation", "focal", "light",
)  # fmt: skip
"""Outputs of the graph."""


@dataclass(frozen=True)
class Estimate:
    """What the system says.

    Attributes:
        codes: "identity", "albedo" in standard deviations, "expression" in [0, 1].
        view: The camera, in pixels of the photo.
        crop: What the network saw.
        geometry: (V, 3) mm that the final level adds to the base vertices.
        reflectance: (C, C, 3) that it adds to sRGB-encoded albedo, over the chart.
        light: In the camera frame of the photo.
    """

    codes: dict[str, np.ndarray]
    view: View
    crop: Crop
    geometry: np.ndarray
    reflectance: np.ndarray
    light: Light


def system(graph: Graph, level: str = "dense") -> System:
    """The system of a file.

    Raises:
        AssetError: When its codes belong to other models than those that ship.
    """
    model, skin = builtin.load(), albedo.load()
    graph.check(model, skin)
    landmarker, decoder = landmarks.shipped(), Decoder(level)

    def look(image: np.ndarray, face: Detection) -> Estimate:
        cutout = framed(image, landmarker(image, face).points, graph.card)
        return estimate(graph(cutout.image), cutout, image.shape[:2])

    def complete(face: Reconstruction, found: Any) -> SystemFace:
        texture = skin.texture(face.codes["albedo"])
        base = extended(face, graph.card, texture, found.light)
        final = replace(model, mean=(model.mean + found.geometry).astype(np.float32))
        added = model.refine(found.geometry) if level == "dense" else found.geometry
        above = replace(face, model=final, vertices=(face.vertices + added).astype(np.float32))
        fine = cv2.resize(found.reflectance, texture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return extended(above, graph.card, decoded(srgb_from_linear(texture) + fine), found.light, base=base)

    return System(find_faces, look, decoder.decode, model, level, complete)


def framed(image: np.ndarray, dense: np.ndarray, card: Card) -> Crop:
    """The crop around the box of dense landmarks (478, 2), pixels of the photo, as in training."""
    center, side, roll = face_frame(dense)
    return crop(image, square(center, side), roll, card.crop, card.margin)


def estimate(answer: dict[str, np.ndarray], cutout: Crop, size: tuple[int, int]) -> Estimate:
    """The graph's answer, its camera and light brought from the crop to the photo.

    Args:
        answer: Outputs of the graph by name.
        size: (height, width) of the photo.
    """
    shape = cutout.image.shape[:2]
    middle = np.array([shape[1] / 2, shape[0] / 2])
    view = View(
        np.float64(answer["rotation"]), np.float64(answer["translation"]), np.float64(answer["focal"]), middle, shape
    )
    seen = transform_view(view, cutout.photo_from_crop, size)
    crop_from_photo = view.rotation @ seen.rotation.T
    light = Light(harmonics.turned(np.float64(answer["light"]), crop_from_photo))
    codes = {name: answer[name] for name in ("identity", "expression", "albedo")}
    return Estimate(codes, seen, cutout, answer["geometry"], answer["reflectance"], light)
