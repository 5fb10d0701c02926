"""From a photo to a texture: what the camera saw of the skin, then its mirror image, then smooth continuation.

All mixing is done in linear light. How much a texel can be trusted follows from geometry alone: whether the surface
faces the camera, whether something stands in front of it, and whether the photo reaches that far.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from likeness import color
from likeness.export.textures import fill, fill_over
from likeness.geometry.cameras import to_camera, to_pixels
from likeness.geometry.mesh import vertex_normals
from likeness.runtime import eyes, mouth
from likeness.runtime.linings import line
from likeness.runtime.sight import FACING, OUTLINE, ROWS, Photo, Sight, Texels, feather, locate, look, smoothstep
from likeness.types import Topology, View

GRAZING = 0.17
"""Cosine between surface and line of sight below which a texel is not trusted; above `FACING` it is fully. Ours: at
0.17 a pixel of the photo is stretched over six texels."""
BIAS = 1.0
"""mm that a texel may lie behind the z-buffer and still be the surface seen there."""
NEARBY = 6
"""z-buffer pixels (about 2.5 mm): texels so near to something in front of them are hardly trusted, because fits are off
by that much and the front's colour would be printed on what lies behind (the nose on the cheek)."""
STEP = 3.0
"""mm; how much nearer something must be to count as in front."""
DOUBT = 0.3
"""Trust in texels that are visible but near to something in front; it counts only where nothing better is known."""
NOTHING, ENOUGH = 0.12, 0.3
"""Trust up to which a colour does not count at all (summed over a large hole, little trust would win over the distant
surroundings), and from which on it is not mixed with their continuation."""
MIRRORED = 0.9
"""Trust in the mirror image of a texel, relative to the texel itself."""
DARKEST = np.float32(0.01)
"""Linear brightness below which differences of colour are noise."""
LIGHT_LIMIT = 3.0
"""Largest factor by which the light of the two halves may differ."""


@dataclass(frozen=True)
class Seen:
    """What one photo shows of the chart.

    Attributes:
        colours: (S, S, 3) float32 linear RGB; anything where the trust is 0.
        trust: (S, S) float32 in [0, 1] that a texel's colour is that of the skin there.
        texels: Where the texels lie in the photo.
        sight: What the camera sees.
        photo: The photo's colours.
        vertices: (V, 3) float64 mm, model frame, posed as in the photo.
        view: Camera of the photo.
    """

    colours: np.ndarray
    trust: np.ndarray
    texels: Texels
    sight: Sight
    photo: Photo
    vertices: np.ndarray
    view: View


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
    seen = see(image, vertices, view, topology, size)
    seen = replace(seen, texels=seen.texels.without("depth", "cosine"))
    return finish(seen.colours, seen.trust, seen, topology)


def see(image: np.ndarray, vertices: np.ndarray, view: View, topology: Topology, size: int = 1024) -> Seen:
    """What a photo shows of each texel, and how far that can be believed. Arguments are those of `unwrap`."""
    vertices = np.asarray(vertices, np.float64)
    camera = to_camera(vertices, view)
    normals = vertex_normals(vertices, topology.triangles) @ np.asarray(view.rotation).T
    sight = look(camera, normals, view, topology)
    texels = locate(camera, normals, view, topology, size)
    photo = Photo.around(image, to_pixels(camera[np.unique(topology.triangles)], view), texels)
    skin = texels.part == 1 + list(topology.parts).index("skin")
    colours = photo.sample(texels.places)
    half = texels.halved()
    trust = trusted(half, sight, image.shape[:2]) * skin[::2, ::2]
    trust *= 1 - doubtful(half, sight) * foreign(colours[::2, ::2], trust, surroundings(sight, photo))
    trust = cv2.resize(trust, (size, size), interpolation=cv2.INTER_LINEAR) * skin
    return Seen(colours, trust, texels, sight, photo, vertices, view)


def finish(colours: np.ndarray, trust: np.ndarray, seen: Seen, topology: Topology) -> np.ndarray:
    """A texture (S, S, 3) uint8 sRGB from what is known of the skin: linings, the mirrored side, continuation, eyes, mouth.

    Args:
        colours: (S, S, 3) float32 linear RGB of the skin; they are used up.
        trust: (S, S) float32 in [0, 1]; so is this.
        seen: The photo whose eyes and mouth are shown.
        topology: Connectivity, chart and parts.
    """
    texels, sight, photo, vertices = seen.texels, seen.sight, seen.photo, seen.vertices
    texture = complete(*line(colours, trust, texels, vertices, topology))
    texture = eyes.paint(texture, texels, sight, photo, vertices, seen.view, topology)
    texture = mouth.paint(texture, texels, sight, photo, topology)
    return color.encode(texture)


def trusted(texels: Texels, sight: Sight, size: tuple[int, int]) -> np.ndarray:
    """How far each texel's colour can be believed: (S, S) float32 in [0, 1]."""
    near = cv2.erode(sight.depth, np.ones((2 * NEARBY + 1, 2 * NEARBY + 1)))
    here = cv2.dilate(np.where(np.isinf(sight.depth), 0, sight.depth), np.ones((3, 3)))
    here = np.where(here == 0, np.inf, here).astype(np.float32)
    surface, front = sight.at(here, texels.places, np.inf), sight.at(near, texels.places, np.inf)
    cosine = np.clip(texels.cosine, 1e-3, 1)
    slope = np.sqrt(1 - cosine**2) / cosine
    visible = (texels.cosine > 0) & (texels.depth <= surface + BIAS)
    clear = visible & (texels.depth <= front + STEP + 1.3 * NEARBY * sight.millimetres * slope)
    size_of_chart = texels.part.shape[0]
    trust = DOUBT * feather(visible, size_of_chart) + (1 - DOUBT) * feather(clear, size_of_chart)
    x, y = texels.places[..., 0], texels.places[..., 1]
    edge = np.minimum(np.minimum(x, size[1] - x), np.minimum(y, size[0] - y))
    trust *= smoothstep(texels.cosine, GRAZING, FACING) * smoothstep(edge * sight.scale, 0, NEARBY)
    return (trust * smoothstep(sight.at(sight.inland, texels.places, 0), 4, OUTLINE)).astype(np.float32)


def doubtful(texels: Texels, sight: Sight) -> np.ndarray:
    """Where the photo may show something else than the face: (S, S) in [0, 1].

    Along the outline, where the surface turns away, and at the throat, where clothes begin.
    """
    outline = 1 - smoothstep(sight.at(sight.inland, texels.places, 0), OUTLINE, 2.5 * OUTLINE)
    turning = 1 - smoothstep(texels.cosine, FACING - 0.2, FACING + 0.1)
    rows = np.linspace(0, 1, texels.part.shape[0], dtype=np.float32)[:, None]
    return np.maximum(np.maximum(outline, turning), smoothstep(rows, 0.86, 0.92))


def surroundings(sight: Sight, photo: Photo) -> np.ndarray:
    """Colours (n, 3) of the photo just beyond the head's outline."""
    beyond = cv2.distanceTransform((sight.part == 0).astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.nonzero((sight.inland == 0) & (beyond > 3) & (beyond < 2.5 * OUTLINE))
    places = (np.stack([columns, rows], -1)[::7] + 0.5) / sight.scale + sight.corner
    inside = ((places > photo.corner) & (places < photo.corner + photo.pixels.shape[1::-1] / photo.scale)).all(1)
    return photo.sample(places[inside][None].astype(np.float32))[0] if inside.any() else np.zeros((0, 3), np.float32)


def foreign(colours: np.ndarray, trust: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """How foreign each colour (S, S, 3) is to the face: (S, S) in [0, 1].

    Foreign is what is far from the colours that are surely of this face, or nearer to those beyond its outline; both
    are normal distributions of the logarithm.

    Args:
        colours: (S, S, 3) linear RGB.
        trust: (S, S) in [0, 1].
        beyond: (n, 3) linear RGB, any number.
    """
    sure = colours[::2, ::2][trust[::2, ::2] > 0.8]
    if len(sure) < 100:
        return np.zeros_like(trust)
    tones = np.log(np.maximum(colours, 0) + DARKEST)
    far, face = _unlikeliness(tones, sure)
    result = smoothstep(far, 7, 16)  # 7 and 0.1 percent of a normal distribution in three dimensions lie beyond
    if len(beyond) >= 100:
        result = np.maximum(result, smoothstep(face - _unlikeliness(tones, beyond)[1], 0, 4))
    width = max(3, trust.shape[0] // 40 | 1)  # its edge is a mixture of both, and would be continued inwards
    return cv2.dilate(result, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))


def _unlikeliness(tones: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distance of logarithms (S, S, 3) from colours (n, 3); that plus log det of the covariance."""
    known = np.log(np.maximum(samples, 0) + DARKEST)
    covariance = np.cov(known.T) + 0.03 * np.eye(3)
    offset = tones - known.mean(0).astype(np.float32)
    distance = ((offset @ np.linalg.inv(covariance).astype(np.float32)) * offset) @ np.ones(3, np.float32)
    return distance, distance + np.float32(np.linalg.slogdet(covariance)[1])


def complete(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Colours (S, S, 3) where they are trusted, else the mirrored side in this side's light, else a continuation.

    Both are used up, and the answer is written over the colours, channel by channel: all at once would take four times their
    memory.
    """
    ratio, known = light_ratio(colours, trust), np.empty_like(trust)
    for start in range(0, len(trust), ROWS):
        rows = slice(start, start + ROWS)
        own, other = (
            trust[rows] ** 2,
            (MIRRORED * trust[rows, ::-1]) ** 2,
        )  # of two doubtful sides the better should win clearly
        other *= 1 - own
        total = own + other
        trust[rows] = other / np.maximum(total, 1e-6)  # from here on: the mirror image's part
        known[rows] = smoothstep(np.sqrt(total), NOTHING, ENOUGH)
    for channel in range(colours.shape[-1]):
        plane = colours[..., channel]
        mixed = enlarged(ratio[..., channel], trust.shape)
        mixed *= plane[:, ::-1]
        mixed -= plane
        mixed *= trust
        mixed += plane
        colours[..., channel] = fill_over(mixed[..., None], known.copy())[..., 0]
    return colours


def light_ratio(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """By how much each place is brighter than its mirror image, (128, 128, 3), smooth; from places that are both trusted."""
    small = (128, 128)
    both = trust * trust[:, ::-1]
    planes = (colours[..., i] * both for i in range(colours.shape[-1]))
    here = np.stack([cv2.resize(plane, small, interpolation=cv2.INTER_AREA) for plane in planes], -1)
    mass = cv2.resize(both, small, interpolation=cv2.INTER_AREA)
    here, mass = (cv2.GaussianBlur(a, (0, 0), 6) for a in (here, mass))
    there = here[:, ::-1]
    ratio = np.log((here + 1e-4 * mass[..., None] + 1e-9) / (there + 1e-4 * mass[..., None] + 1e-9))
    known = np.clip(8 * mass, 0, 1)
    ratio = fill(ratio * (mass > 1e-4)[..., None], known * (mass > 1e-4))
    return np.exp(np.clip(ratio, -np.log(LIGHT_LIMIT), np.log(LIGHT_LIMIT)))


def enlarged(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A smooth field at the size of the chart."""
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR)
