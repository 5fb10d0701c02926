"""Pictures of heads whose shape is known exactly, in a light that no training draws.

Training lights its renders by spherical harmonics. Here a lamp casts hard shadows and highlights under a sky and above a
ground of their own colours, and the picture then passes through a camera: exposure, white balance, noise, JPEG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from likeness import color
from likeness.geometry.cameras import project, project_with_depth, to_camera
from likeness.geometry.mesh import vertex_normals
from likeness.render.rasterize_numba import interpolate, rasterize
from likeness.types import View

OVERSAMPLING = 2
"""Samples along each axis of a pixel."""
SHADOW_SIZE, SHADOW_BIAS, SHADOW_SOFT = 384, 4.0, 3.0
"""Pixels of the lamp's own depth picture; mm that a surface may lie behind what the lamp sees and still be lit, and over
which the shadow fades in."""
LAMP_DISTANCE = 4000.0
"""mm from the head: far enough that the lamp's rays are nearly parallel."""


@dataclass(frozen=True)
class Surface:
    """A posed head with colours.

    Attributes:
        vertices: (V, 3) mm, model frame.
        triangles: (T, 3).
        uv: (V, 2) places in the texture, v down; read where `textured` is 1.
        colours: (V, 3) linear RGB where `textured` is 0.
        textured: (V,) in [0, 1].
        texture: (S, S, 3) float32 linear RGB albedo.
        normals: (V, 3), or None to compute them; a mesh that is cut open along its chart brings those of the whole one.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    textured: np.ndarray
    texture: np.ndarray
    normals: np.ndarray | None = None


@dataclass(frozen=True)
class Lighting:
    """A lamp, a sky and a ground. Directions are in the camera's frame and point towards the light.

    Attributes:
        lamp: (3,) unit vector.
        lamp_colour, sky, ground: (3,) linear RGB.
        shine: Strength of the highlight, and `hardness` its exponent (Blinn 1977).
    """

    lamp: np.ndarray
    lamp_colour: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    shine: float
    hardness: float


@dataclass(frozen=True)
class Lens:
    """What the camera does to the picture.

    Attributes:
        exposure: Factor on linear light.
        balance: (3,) factors of red, green and blue.
        noise: Standard deviation in linear light at white; it falls with the root of the brightness.
        jpeg: Quality from 1 to 100.
    """

    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0
    jpeg: int = 92


def draw_lighting(random: np.random.Generator) -> Lighting:
    """A lamp from any side in front, from dim sky with a hard lamp to an overcast day."""
    azimuth, height = random.uniform(-1.5, 1.5), random.uniform(-0.35, 1.2)
    lamp = np.array([math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height)])
    strength = random.uniform(0.15, 1.1)
    warm = np.array([1.0, 0.0, -1.0]) * random.normal(0, 0.12)
    ambient = random.uniform(0.35, 0.75) * (1.3 - 0.7 * strength)
    sky = ambient * np.exp(-0.7 * warm) * random.uniform(0.9, 1.3)
    ground = ambient * random.uniform(0.4, 0.9) * np.exp(0.1 * random.standard_normal(3))
    return Lighting(lamp, strength * np.exp(warm), sky, ground, random.uniform(0.0, 0.25), random.uniform(8, 50))


def draw_lens(random: np.random.Generator) -> Lens:
    """From a good camera to a poor one."""
    balance = np.exp(0.06 * random.standard_normal(3))
    noise, jpeg = random.choice([0.0, 0.01, 0.03]), int(random.integers(60, 97))
    return Lens(math.exp(random.normal(0, 0.2)), tuple(balance), noise, jpeg)


def shoot(surface: Surface, view: View, lighting: Lighting, background: np.ndarray) -> np.ndarray:
    """The head before the background, (H, W, 3) float32 linear RGB of the view's size.

    Args:
        background: (H, W, 3) uint8 sRGB.
    """
    size = (OVERSAMPLING * view.size[0], OVERSAMPLING * view.size[1])
    normals = vertex_normals(surface.vertices, surface.triangles) if surface.normals is None else surface.normals
    camera = to_camera(surface.vertices, view)
    lit = _lit(surface, view, lighting)
    points = project_with_depth(surface.vertices, view) * [OVERSAMPLING, OVERSAMPLING, 1]
    triangle, weights, _ = rasterize(points, surface.triangles, size)
    turned = normals @ np.asarray(view.rotation).T
    attributes = [surface.uv, surface.colours, surface.textured[:, None], turned, camera, lit[:, None]]
    seen = triangle >= 0
    values = interpolate(
        np.concatenate(attributes, 1).astype(np.float32), surface.triangles, triangle[seen], weights[seen]
    )
    painted = _at(surface.texture, values[:, :2] * np.array(surface.texture.shape[1::-1], np.float32))
    albedo = values[:, 2:5] + values[:, 5:6] * (painted - values[:, 2:5])
    image = np.zeros((*size, 3), np.float32)
    image[seen] = _shaded(albedo, values[:, 6:9], values[:, 9:12], values[:, 12], lighting)
    smaller = view.size[::-1]
    image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    coverage = cv2.resize(seen.astype(np.float32), smaller, interpolation=cv2.INTER_AREA)[..., None]
    return image + (1 - coverage) * color.decode(background)


def _at(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values (n, ...) of a picture (H, W, ...) float32 at pixels (n, 2), bilinear, clamped at its border.

    Read in rows of 1024, because OpenCV bounds the sides of what it makes.
    """
    count, row = len(places), 1024
    spots = places.astype(np.float32) - np.float32(0.5)
    spots = np.concatenate([spots, np.zeros((-count % row, 2), np.float32)]).reshape(-1, row, 2)
    found = cv2.remap(picture, spots, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *picture.shape[2:])[:count]


def _shaded(
    albedo: np.ndarray, normals: np.ndarray, camera: np.ndarray, lit: np.ndarray, lighting: Lighting
) -> np.ndarray:
    """Lambert and Blinn-Phong at n points, (n, 3): the lamp where it is seen, sky and ground from above and below."""
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    ray = -camera / np.maximum(np.linalg.norm(camera, axis=-1, keepdims=True), 1e-6)
    half = ray + lighting.lamp.astype(np.float32)
    half = half / np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
    cosine = np.clip(normals @ lighting.lamp.astype(np.float32), 0, None) * lit
    up = 0.5 + 0.5 * normals[..., 1:2]
    diffuse = cosine[..., None] * lighting.lamp_colour + lighting.ground + up * (lighting.sky - lighting.ground)
    shine = lighting.shine * np.clip((normals * half).sum(-1), 0, None) ** lighting.hardness * cosine
    return (albedo * diffuse + shine[..., None] * lighting.lamp_colour).astype(np.float32)


def _lit(surface: Surface, view: View, lighting: Lighting) -> np.ndarray:
    """(V,) in [0, 1]: how much of the lamp each vertex sees, from the lamp's depth picture (Williams 1978)."""
    lamp = lighting.lamp @ np.asarray(view.rotation)  # towards the lamp, in the model frame
    across = np.cross([0.0, 1.0, 0.0] if abs(lamp[1]) < 0.9 else [1.0, 0.0, 0.0], lamp)
    across /= np.linalg.norm(across)
    rotation = np.stack([across, np.cross(lamp, across), lamp])
    middle = (surface.vertices.max(0) + surface.vertices.min(0)) / 2
    radius = np.linalg.norm(surface.vertices - middle, axis=1).max()
    focal = 0.48 * SHADOW_SIZE / radius * LAMP_DISTANCE
    centre = np.full(2, SHADOW_SIZE / 2)
    away = np.array([0, 0, -LAMP_DISTANCE]) - rotation @ middle
    eye = View(rotation, away, np.float64(focal), centre, (SHADOW_SIZE, SHADOW_SIZE))
    points = project_with_depth(surface.vertices, eye)
    depth = rasterize(points, surface.triangles, eye.size)[2]
    depth = np.where(np.isinf(depth), 1e6, depth).astype(np.float32)
    nearest = _at(depth, points[:, :2])
    return np.clip(1 - (points[:, 2] - nearest - SHADOW_BIAS) / SHADOW_SOFT, 0, 1)


def expose(image: np.ndarray, lens: Lens, random: np.random.Generator) -> np.ndarray:
    """The file that a camera makes of linear light (H, W, 3): uint8 sRGB after noise and JPEG."""
    image = np.clip(image * lens.exposure * np.array(lens.balance), 0, 1)
    image = image + lens.noise * np.sqrt(image) * random.standard_normal(image.shape)
    picture = cv2.cvtColor(color.encode(image.astype(np.float32)), cv2.COLOR_RGB2BGR)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg])[1]
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def cover(image: np.ndarray, points: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """Something in front of the face: dark glasses on the eyes, a cloth over the mouth, or a bar across one side.

    Args:
        image: (H, W, 3) linear RGB.
        points: (68, 2) px, the true Multi-PIE points.
        kind: "eyes", "mouth" or "side".
    """
    mask = np.zeros(image.shape[:2], np.float32)
    eye = points[45] - points[36]
    across = np.linalg.norm(points[16] - points[0])
    if kind == "eyes":
        for rows in (slice(36, 42), slice(42, 48)):
            middle, wide = points[rows].mean(0), np.linalg.norm(points[rows].max(0) - points[rows].min(0))
            tilt = math.degrees(math.atan2(eye[1], eye[0]))
            cv2.ellipse(mask, (middle, (1.9 * wide, 1.5 * wide), tilt), 1.0, -1)
        ends = [points[rows].mean(0).round().astype(int).tolist() for rows in (slice(36, 42), slice(42, 48))]
        cv2.line(mask, *ends, 1.0, max(1, round(0.02 * across)))
    elif kind == "mouth":
        outline = np.concatenate([points[2:15], points[29:30]])
        cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1.0)
    elif kind == "side":
        side = points[0] if random.random() < 0.5 else points[16]
        middle = 0.55 * side + 0.45 * points[30]
        size = (0.45 * across, 1.6 * np.linalg.norm(points[8] - points[27]))
        cv2.ellipse(mask, (middle, size, random.uniform(-30, 30)), 1.0, -1)
    else:
        raise ValueError(f"{kind!r} covers nothing; choose eyes, mouth or side")
    tone = np.exp(random.uniform(-4, -0.7)) * np.exp(0.3 * random.standard_normal(3))
    if kind == "eyes":
        tone = np.exp(random.uniform(-5, -3.5)) * np.ones(3)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.4, 0.006 * across))[..., None]
    ramp = 1 + 0.3 * np.linspace(-1, 1, image.shape[0])[:, None, None]
    return (image + soft * (tone * ramp - image)).astype(np.float32)


def frame(points: np.ndarray, rotation: np.ndarray, distance: float, side: float, size: int, place: np.ndarray) -> View:
    """A camera at a distance that shows a face so large in a place of a square picture.

    The principal point is the picture's middle, as in real cameras; a face away from it is seen obliquely.

    Args:
        points: (n, 3) mm, the face.
        rotation: (3, 3) camera from model.
        distance: mm.
        side: Wanted height or width of the face, the larger, px.
        size: Side of the picture, px.
        place: (2,) wanted centre of the face, px.
    """
    middle = np.full(2, size / 2)
    turned = (points - points.mean(0)) @ rotation.T
    view = View(rotation, np.zeros(3), np.float64(1), middle, (size, size))
    focal = side / np.ptp(turned[:, :2], axis=0).max() * distance
    for _ in range(3):
        offset = np.array([*(place - middle) * [1, -1] * distance / focal, -distance])
        view = replace(view, translation=offset - rotation @ points.mean(0), focal=np.float64(focal))
        shown = project(points, view)
        focal *= side / np.ptp(shown, axis=0).max()
    return replace(view, focal=np.float64(focal))
