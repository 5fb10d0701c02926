"""Pictures of a face: its shape in clay, or with its texture, from any side. For contact sheets, demos and eyes."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from likeness import color
from likeness.geometry.cameras import project, project_with_depth
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.render.rasterize_numba import interpolate, rasterize
from likeness.types import Topology, View

OVERSAMPLING = 2
"""Samples along each axis of a pixel."""
LARGEST = 3000
"""Pixels; pictures whose longer side is above this are drawn with one sample a pixel."""
CLAY = (0.60, 0.55, 0.52)
"""Linear RGB."""
BACKGROUND = (0.86, 0.86, 0.86)
"""Linear RGB."""
LIGHTS = (((-0.45, 0.6, 0.66), 0.75), ((0.8, 0.1, 0.6), 0.25), ((0.0, -0.7, 0.7), 0.08))
"""Directions in the camera's frame and strengths: a key from upper left, a fill from the right, a bounce from below."""
AMBIENT = 0.16


def shaded(
    vertices: np.ndarray,
    topology: Topology,
    view: View,
    background: np.ndarray | tuple[float, float, float] = BACKGROUND,
) -> np.ndarray:
    """The shape as clay under fixed lights.

    Args:
        vertices: (V, 3) mm, model frame.
        topology: Connectivity of the vertices.
        view: Camera; its size is the picture's.
        background: Linear RGB, one colour or a picture (H, W, 3).

    Returns:
        (H, W, 3) uint8 sRGB, antialiased.
    """
    colours = np.array(CLAY, np.float32) * brightness(vertices, topology.triangles, view)[:, None]
    surface, coverage = rendered(vertices, topology.triangles, view, colours, None)
    return color.encode(surface + (1 - coverage) * np.asarray(background, np.float32))


def textured(
    vertices: np.ndarray,
    topology: Topology,
    texture: np.ndarray,
    view: View,
    background: np.ndarray | tuple[float, float, float] = BACKGROUND,
) -> np.ndarray:
    """The shape with its texture, in the light that the texture already holds.

    Args:
        vertices: (V, 3) mm, model frame.
        topology: Connectivity and chart of the vertices.
        texture: (T, T, 3) uint8 sRGB.
        view: Camera; its size is the picture's.
        background: Linear RGB, one colour or a picture (H, W, 3).

    Returns:
        (H, W, 3) uint8 sRGB, antialiased.
    """
    picture = _reduced(color.decode(texture), vertices, topology, view)
    surface, coverage = rendered(vertices, topology.triangles, view, topology.uv, picture)
    return color.encode(surface + (1 - coverage) * np.asarray(background, np.float32))


def portrait(
    vertices: np.ndarray, size: tuple[int, int], yaw: float = 0.0, pitch: float = 0.0, margin: float = 0.08
) -> View:
    """A camera that sees the whole face turned by yaw and pitch.

    Args:
        vertices: (V, 3) mm, model frame.
        size: (height, width) of the picture.
        yaw: Radians; positive turns the face towards the picture's right.
        pitch: Radians; positive lowers the chin.
        margin: Share of the picture left free on each side.
    """
    rotation = from_euler(np.float64(yaw), np.float64(pitch), np.float64(0))
    turned = vertices @ rotation.T
    middle = (turned.max(0) + turned.min(0)) / 2
    distance = 900.0  # mm, where portraits are taken from
    height, width = size
    view = View(rotation, np.array([0, 0, -distance]) - middle, np.float64(1.0), np.zeros(2), size)
    points = project(vertices, view)
    low, high = points.min(0), points.max(0)
    focal = (1 - 2 * margin) * min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    principal = np.array([width, height]) / 2 - focal * (low + high) / 2
    return replace(view, focal=np.float64(focal), principal=principal)


def brightness(vertices: np.ndarray, triangles: np.ndarray, view: View) -> np.ndarray:
    """(V,) light that reaches each vertex, about 1 where the key light falls straight on."""
    normals = vertex_normals(vertices, triangles) @ np.asarray(view.rotation).T
    light = np.full(len(vertices), AMBIENT, np.float32)
    for direction, strength in LIGHTS:
        towards = np.array(direction) / math.hypot(*direction)
        light += strength * np.clip(normals @ towards, 0, None).astype(np.float32)
    return light


def rendered(
    vertices: np.ndarray, triangles: np.ndarray, view: View, attributes: np.ndarray, texture: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Linear RGB (H, W, 3), zero where empty, and coverage (H, W, 1); attributes are colours or places in a texture."""
    factor = OVERSAMPLING if max(view.size) <= LARGEST else 1
    height, width = view.size
    points = project_with_depth(np.asarray(vertices, np.float64), view) * [factor, factor, 1]
    triangle, weights, _ = rasterize(points, triangles, (factor * height, factor * width))
    image = interpolate(np.asarray(attributes, np.float32), triangles, triangle, weights)
    covered = (triangle >= 0).astype(np.float32)
    if texture is not None:
        image = sample(texture, image) * covered[..., None]
    if factor > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        covered = cv2.resize(covered, (width, height), interpolation=cv2.INTER_AREA)
    return image, covered[..., None]


def sample(texture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A texture (T, T, C) float32 at chart places (H, W, 2) in [0, 1], bilinear, clamped at the border."""
    pixels = places * np.array(texture.shape[1::-1], np.float32) - 0.5
    return cv2.remap(texture, pixels.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _reduced(texture: np.ndarray, vertices: np.ndarray, topology: Topology, view: View) -> np.ndarray:
    """The texture at about the resolution at which the view shows it, so that it does not flicker."""
    skin = topology.parts["skin"]
    points, places = project(vertices[skin], view), topology.uv[skin] * texture.shape[0]
    shown = np.linalg.norm(points.max(0) - points.min(0)) * OVERSAMPLING
    scale = shown / max(np.linalg.norm(places.max(0) - places.min(0)), 1e-6)
    if scale >= 0.75:
        return texture
    side = max(16, round(texture.shape[0] * scale))
    return cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA)
