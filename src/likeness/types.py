"""The values that travel between the parts: what a face, a camera, a light, a picture and a training stage are.

Arrays may be numpy arrays or torch tensors; leading batch dimensions are written `...`. Frames and units are those of
CONVENTIONS.md: the model frame is right-handed, +Y up, +Z out of the face, +X towards the subject's left, millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Array = Any  # a numpy array or a torch tensor; this module imports neither


@dataclass(frozen=True)
class Embedding:
    """Points fixed to a surface: each is a weighted sum of three vertices.

    Attributes:
        vertices: (n, 3) int32 vertex ids.
        weights: (n, 3) barycentric weights that sum to one.
    """

    vertices: Array
    weights: Array

    def points(self, vertices: Array) -> Array:
        """Positions of the points on a posed surface: (..., V, 3) -> (..., n, 3), in the surface's frame and unit."""
        return (vertices[..., self.vertices, :] * self.weights[..., None]).sum(-2)


@dataclass(frozen=True)
class Topology:
    """What stays fixed while a face moves: connectivity, chart, symmetry and named places.

    Attributes:
        faces: (F, 4) int32 quads, counter-clockwise seen from outside; -1 in the last place marks a triangle.
        triangles: (T, 3) int32, the same surface.
        uv: (V, 2) chart coordinates in [0, 1], v down, as in glTF.
        mirror: (V,) int32; vertex `mirror[i]` is the left-right mirror image of vertex i.
        parts: Slices of the vertex array by part ("skin", "eye_left", "eye_right", "mouth_bag").
        regions: (V,) boolean masks by name.
        landmarks: Landmark sets by name ("68", "66", "5", "dense").
        contour: (J, K) int32 candidate vertices for each of the J jaw-line points, from the cheek outwards.
    """

    faces: Array
    triangles: Array
    uv: Array
    mirror: Array
    parts: Mapping[str, slice]
    regions: Mapping[str, Array] = field(default_factory=dict)
    landmarks: Mapping[str, Embedding] = field(default_factory=dict)
    contour: Array | None = None


@dataclass(frozen=True)
class Face:
    """One face, or a batch: what a face model answers to codes.

    Attributes:
        vertices: (..., V, 3) mm, model frame, with expression.
        neutral: (..., V, 3) mm, model frame, without expression.
        albedo: (..., V, 3) linear RGB diffuse albedo in [0, 1], where the model has one.
        specular: (..., V, 3) linear RGB specular albedo in [0, 1], where the model has one.
    """

    vertices: Array
    neutral: Array | None = None
    albedo: Array | None = None
    specular: Array | None = None


@dataclass(frozen=True)
class View:
    """A perspective camera as seen from the model: `camera = rotation @ model + translation`, looking along -Z.

    Attributes:
        rotation: (..., 3, 3) camera from model.
        translation: (..., 3) mm; a face in front of the camera has a negative last component.
        focal: (...,) pixels.
        principal: (..., 2) pixels (x, y).
        size: (height, width) of the picture in pixels.
    """

    rotation: Array
    translation: Array
    focal: Array
    principal: Array
    size: tuple[int, int]


@dataclass(frozen=True)
class WeakView:
    """A weak-perspective camera: it looks along -Z, and everything is as large as at one distance.

    `x = shift_x + scale * camera_x` and `y = shift_y - scale * camera_y`, where `camera = rotation @ model`.

    Attributes:
        rotation: (..., 3, 3) camera from model.
        shift: (..., 2) pixels (x, y) of the model's origin.
        scale: (...,) pixels per millimetre, positive.
        size: (height, width) of the picture in pixels.
    """

    rotation: Array
    shift: Array
    scale: Array
    size: tuple[int, int]


@dataclass(frozen=True)
class Highlight:
    """The one point light that shiny skin mirrors (Deng et al. 2022, eq. 5); its brightness is part of the specular albedo.

    Attributes:
        position: (..., 3) mm, camera frame.
        shininess: (...,) exponent, at least 1; the greater, the smaller the highlight.
    """

    position: Array
    shininess: Array


@dataclass(frozen=True)
class Light:
    """Distant light as spherical harmonics, B = 3, in the camera frame; beside it perhaps one light that skin mirrors.

    Attributes:
        harmonics: (..., 9, 3) coefficients of irradiance / pi on linear RGB, in the order of `geometry.harmonics`.
        highlight: The light of the specular part; without it there is none.
    """

    harmonics: Array
    highlight: Highlight | None = None


@dataclass(frozen=True)
class PointLights:
    """Coloured point lights and even ambient light for Phong's model (Genova et al. 2018, sec. 3.2.2), camera frame.

    A light does not weaken with distance: where it stands only says where light comes from.

    Attributes:
        positions: (..., L, 3) mm, camera frame.
        colors: (..., L, 3) linear RGB; white 1 lights a white surface that faces it to 1.
        ambient: (..., 3) linear RGB.
        shininess: (...,) exponent of the specular part, at least 1.
    """

    positions: Array
    colors: Array
    ambient: Array
    shininess: Array


@dataclass(frozen=True)
class Rendering:
    """What a renderer saw, pixel by pixel.

    Attributes:
        image: (..., H, W, 3) linear RGB: `diffuse + specular` on the surface, the background elsewhere.
        diffuse: (..., H, W, 3) linear RGB, zero where empty.
        specular: (..., H, W, 3) linear RGB, zero where empty.
        coverage: (..., H, W) share of the pixel that the surface, or the region asked for, covers, in [0, 1].
        normal: (..., H, W, 3) unit, camera frame, zero where empty.
        triangle: (..., H, W) int32 triangle id, -1 where empty.
        barycentric: (..., H, W, 3) weights of the triangle's corners, perspective-correct where the camera is.
        depth: (..., H, W) mm in front of the camera, infinite where empty.
    """

    image: Array
    diffuse: Array
    specular: Array
    coverage: Array
    normal: Array
    triangle: Array
    barycentric: Array
    depth: Array


@dataclass(frozen=True)
class Landmarks:
    """Dense landmarks measured in a photo, each with how far it may be off.

    Attributes:
        points: (478, 2) pixels of the photo, in the dense layout (`assets.correspondence`).
        sigma: (478,) pixels of the photo: standard deviation of x and of y, each, about the true place.
    """

    points: Array
    sigma: Array


@dataclass(frozen=True)
class Crop:
    """A square, upright cut-out of a photo around one face, and the exact way back.

    Attributes:
        image: (S, S, 3) uint8 sRGB.
        photo_from_crop: (3, 3) similarity that takes homogeneous crop pixels to photo pixels.
    """

    image: Array
    photo_from_crop: Array


@dataclass(frozen=True)
class Stage:
    """A stretch of training or fitting: which terms count, and which parts are free.

    Attributes:
        name: Names the stage in logs and on the command line.
        steps: Number of optimiser steps.
        terms: Weight by loss term; a term left out is not computed.
        rates: Learning rate by parameter group; a group left out is frozen.
        optimizer: "adamw", "adam" or "adadelta"; empty for the one that the settings name.
    """

    name: str
    steps: int
    terms: Mapping[str, float]
    rates: Mapping[str, float]
    optimizer: str = ""


Batch = Mapping[str, Any]  # named tensors, (B, ...) each; the names belong to the recipe
