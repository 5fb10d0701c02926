"""From a photo to a texture: what the camera saw of the skin, then its mirror image, then smooth continuation.

All mixing is done in linear light. How much a texel can be trusted follows from geometry alone: whether the surface
faces the camera, whether something stands in front of it, and whether the photo reaches that far.
"""

from __future__ import annotations

import cv2
import numpy as np

from likeness import color
from likeness.export.textures import fill
from likeness.geometry.cameras import to_camera, to_pixels
from likeness.runtime import eyes, mouth
from likeness.runtime.sight import FACING, Photo, Sight, Texels, feather, locate, look, smoothstep
from likeness.types import Topology, View

GRAZING = 0.12
"""Cosine between surface and line of sight below which a texel is not trusted; above `FACING` it is fully. Ours: at 0.12
a pixel of the photo is stretched over eight texels."""
BIAS = 1.0
"""mm that a texel may lie behind the z-buffer and still be the surface seen there."""
NEARBY = 6
"""z-buffer pixels (about 2.5 mm): texels so near to something in front of them are not trusted, because fits are off by
that much and the front's colour would be printed on what lies behind (the nose on the cheek)."""
STEP = 3.0
"""mm; how much nearer something must be to count as in front."""
MIRRORED = 0.9
"""Trust in the mirror image of a texel, relative to the texel itself."""
LIGHT_LIMIT = 3.0
"""Largest factor by which the light of the two halves may differ."""


def unwrap(image: np.ndarray, vertices: np.ndarray, view: View, topology: Topology, size: int = 1024) -> np.ndarray:
    """The texture of a face, unwrapped from its photo.

    Args:
        image: (H, W, 3) uint8 sRGB.
        vertices: (V, 3) mm, model frame, posed as in the photo.
        view: Camera of the photo.
        topology: Connectivity, chart and parts of the vertices.
        size: Texels along a side.

    Returns:
        (size, size, 3) uint8 sRGB over the chart, row 0 at v = 0. Every texel has a colour.
    """
    vertices = np.asarray(vertices, np.float64)
    camera = to_camera(vertices, view)
    points = np.concatenate([to_pixels(camera, view), -camera[:, 2:]], -1)
    sight = look(points, view, topology)
    texels = locate(vertices, camera, view, topology, size)
    photo = Photo.around(image, points[np.unique(topology.triangles), :2], texels)
    skin = texels.part == 1 + list(topology.parts).index("skin")
    trust = np.where(skin, trusted(texels, sight, image.shape[:2]), np.float32(0))
    texture = complete(photo.sample(texels.places), trust)
    texture = eyes.paint(texture, texels, sight, photo, vertices, view, topology)
    texture = mouth.paint(texture, texels, sight, photo, topology)
    return color.encode(texture)


def trusted(texels: Texels, sight: Sight, size: tuple[int, int]) -> np.ndarray:
    """How far each texel's colour can be believed: (S, S) float32 in [0, 1]."""
    near = cv2.erode(sight.depth, np.ones((2 * NEARBY + 1, 2 * NEARBY + 1)))
    here = cv2.dilate(np.where(np.isinf(sight.depth), 0, sight.depth), np.ones((3, 3)))
    here = np.where(here == 0, np.inf, here).astype(np.float32)
    spots = ((texels.places - sight.corner) * sight.scale - 0.5).astype(np.float32)
    spots = np.clip(spots, -2, np.array(sight.depth.shape[1::-1], np.float32) + 2)
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": np.inf}
    surface, front = (cv2.remap(d, spots, None, cv2.INTER_NEAREST, **border) for d in (here, near))
    cosine = np.clip(texels.cosine, 1e-3, 1)
    slope = np.sqrt(1 - cosine**2) / cosine
    visible = (texels.cosine > 0) & (texels.depth <= surface + BIAS)
    visible &= texels.depth <= front + STEP + 1.3 * NEARBY * sight.millimetres * slope
    height, width = size
    x, y = texels.places[..., 0], texels.places[..., 1]
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    trust = feather(visible, texels.places.shape[0]) * smoothstep(texels.cosine, GRAZING, FACING)
    return (trust * smoothstep(edge * sight.scale, 0, NEARBY)).astype(np.float32)


def complete(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Colours (S, S, 3) where they are trusted, else the mirrored side in this side's light, else a continuation."""
    other, other_trust = colours[:, ::-1], MIRRORED * trust[:, ::-1]
    lit = other * light_ratio(colours, trust)
    rest = (1 - trust) * other_trust
    total = trust + rest
    mixed = (trust[..., None] * colours + rest[..., None] * lit) / np.maximum(total, 1e-6)[..., None]
    return fill(mixed, np.clip(total, 0, 1))


def light_ratio(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """By how much each place is brighter than its mirror image, smooth, (S, S, 3); from places where both are trusted."""
    size = trust.shape[0]
    small = (128, 128)
    both = trust * trust[:, ::-1]
    here = cv2.resize(colours * both[..., None], small, interpolation=cv2.INTER_AREA)
    mass = cv2.resize(both, small, interpolation=cv2.INTER_AREA)
    here, mass = (cv2.GaussianBlur(a, (0, 0), 6) for a in (here, mass))
    there = here[:, ::-1]
    ratio = np.log((here + 1e-4 * mass[..., None] + 1e-9) / (there + 1e-4 * mass[..., None] + 1e-9))
    known = np.clip(8 * mass, 0, 1)
    ratio = fill(ratio * (mass > 1e-4)[..., None], known * (mass > 1e-4))
    ratio = np.exp(np.clip(ratio, -np.log(LIGHT_LIMIT), np.log(LIGHT_LIMIT)))
    return cv2.resize(ratio, (size, size), interpolation=cv2.INTER_LINEAR)
