"""A head scan with colour in sixty views."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from likeness import color
from likeness.arrays import even
from likeness.evaluate.benchmark import scene
from likeness.evaluate.benchmark.items import SIDES, YAWS, Item, Truth, bin_of
from likeness.evaluate.scans import RADIUS, Scan
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler

TURNS = np.linspace(-77, 77, 12)
TILTS = (-20.0, -8.0, 0.0, 8.0, 20.0)
"""Degrees of yaw and pitch; every pair is a view."""
SIDES_OF_FACE = (48.0, 96.0, 180.0)
"""px, taken in turn."""
SEED = 7003


def surface_of(scan: Scan) -> scene.Surface:
    """The scan to be photographed: cut open along its chart, with the normals of the whole."""
    corners = scan.triangles.ravel()
    count = len(corners)
    return scene.Surface(
        vertices=scan.vertices[corners],
        triangles=np.arange(count, dtype=np.int32).reshape(-1, 3),
        uv=scan.uv.reshape(-1, 2),
        colours=np.zeros((count, 3)),
        textured=np.ones(count),
        texture=color.decode(scan.texture).astype(np.float32),
        normals=vertex_normals(scan.vertices, scan.triangles)[corners],
    )


def items(scan: Scan, background: Callable[[int, np.random.Generator], np.ndarray], count: int = 60) -> list[Item]:
    """The first `count` views, evenly spread; every view with a light, a distance and a background of its own."""
    surface = surface_of(scan)
    face = scan.vertices[np.linalg.norm(scan.vertices - scan.landmarks[4], axis=1) < RADIUS]
    pairs = [(yaw, pitch) for yaw in TURNS for pitch in TILTS]
    truth, found = Truth(scan), []
    for k in even(len(pairs), count):
        random = np.random.default_rng((SEED, int(k)))
        yaw, pitch = pairs[k]
        side = SIDES_OF_FACE[k % len(SIDES_OF_FACE)]
        angles = (np.float64(math.radians(angle)) for angle in (yaw, pitch, random.normal(0, 5)))
        size = int(2.0 * side)
        place = size / 2 + random.uniform(-0.1, 0.1, 2) * side
        distance = math.exp(random.uniform(math.log(350), math.log(2000)))
        view = scene.frame(face, from_euler(*angles), distance, side, size, place)
        image = scene.shoot(surface, view, scene.draw_lighting(random), background(size, random))
        picture = scene.expose(image, scene.draw_lens(random), random)
        slices = {"yaw": bin_of(abs(yaw), YAWS), "resolution": bin_of(side, SIDES)}
        found.append(Item(f"scan-{k:02d}", "Lee Perry-Smith", lambda picture=picture: picture, truth, slices))
    return found
