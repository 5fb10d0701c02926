"""Heads that rest and then move before a camera that stands still: clips of which every true point is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.evaluate.benchmark import scene
from likeness.evaluate.benchmark.heads import SEEDS, Skin, draw_person, whole_head
from likeness.evaluate.benchmark.items import Item, Truth
from likeness.geometry.cameras import project
from likeness.geometry.rotation import from_euler

RATE = 25.0
"""Frames per second."""
RESTING, MOVING = 16, 32
"""Frames of rest, and of movement behind them."""
SIDE, SIZE = 110.0, 220
"""Pixels: height of the face and side of the picture."""
NECK = np.array([0.0, -70.0, -60.0])
"""mm, model frame: about what the head turns."""


def pose_at(frame: int, turn: float, nod: float) -> tuple[float, float, float]:
    """Yaw and pitch in radians off the pose at rest, and how open the jaw is, in a frame of a clip."""
    time = max(0, frame - RESTING) / RATE
    swing = math.sin(2 * math.pi * 0.9 * time) * min(1.0, 4 * time)
    return turn * swing, nod * swing, 0.35 * (1 - math.cos(2 * math.pi * 1.3 * time))


def items(
    model: Builtin,
    skins: Sequence[Skin],
    split: str,
    count: int,
    background: Callable[[int, np.random.Generator], np.ndarray],
) -> list[Item]:
    """The frames of `count` clips, each of a person of its own; light and background stand still, noise does not.

    Args:
        model: The face model.
        skins: Albedos.
        split: A key of `heads.SEEDS`.
        count: How many clips.
        background: (side in px, random) -> uint8 (side, side, 3) without a face.
    """
    topology = model.topology("base")
    jaw = model.expression_names.index("jawOpen")
    found = []
    for k in range(count):
        random = np.random.default_rng((SEEDS[split], 10_000 + k))
        person = draw_person(model, skins[(2 * k + 1) % len(skins)], random)
        lighting, behind = scene.draw_lighting(random), background(SIZE, random)
        lens = replace(scene.draw_lens(random), noise=0.015)
        yaw, turn, nod = random.uniform(-0.25, 0.25), random.uniform(0.25, 0.45), random.uniform(-0.15, 0.15)
        rest = np.asarray(model.decode(person.identity, np.zeros(len(model.expression))), np.float64)
        start = from_euler(np.float64(yaw), np.float64(0), np.float64(random.normal(0, 0.05)))
        skin = rest[topology.parts["skin"]]
        camera = scene.frame(skin, start, random.uniform(450, 1200), SIDE, SIZE, np.full(2, SIZE / 2))
        pivot = start @ NECK + camera.translation
        for frame in range(RESTING + MOVING):
            across, down, opened = pose_at(frame, turn, nod)
            rotation = from_euler(np.float64(across), np.float64(down), np.float64(0)) @ start
            view = replace(camera, rotation=rotation, translation=pivot - rotation @ NECK)
            weights = np.zeros(len(model.expression))
            weights[jaw] = opened
            vertices = np.asarray(model.decode(person.identity, weights), np.float64)
            image = scene.shoot(whole_head(model, vertices, person), view, lighting, behind)
            points, dense = (project(topology.landmarks[name].points(vertices), view) for name in ("68", "dense"))
            picture = scene.expose(image, lens, random)
            truth = Truth(points=points, dense=dense, view=view)
            found.append(Item(f"moving-{k}-{frame:02d}", f"clip {k}", lambda picture=picture: picture, truth))
    return found
