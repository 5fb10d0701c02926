"""What a face in a clip is lit by: one albedo for the person from a few frames, then light through the clip, calm in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import torch

from likeness.fit.clips import temporal
from likeness.fit.clips.temporal import Calm
from likeness.fit.photo.evidence import Evidence, gather
from likeness.fit.photo.surface import Surface
from likeness.fit.photo.synthesis import COLOURS, SEEN, Problem, Step
from likeness.geometry import harmonics
from likeness.geometry.cameras import project
from likeness.types import Stage, View

SIZE = 112
"""Pixels along a side of the squares that are compared."""
TERMS = {"photometric": SEEN["photometric"], "albedo": 3.0, "light": 1.0}
PERSON = Step(Stage("colours", 5, TERMS, COLOURS), SIZE)
FRAME = Step(Stage("light", 2, TERMS, {"light": 1.0}), SIZE // 2)
"""Albedo and light of the key frames; the light alone of any frame. The geometry stays as the clip's fit has it."""
RATE = 5.0
"""Frames a second whose light is measured; between them it goes on smoothly. Ours: clouds and screens are no faster."""
NOISE, CALM = 0.03, 0.01
"""Spread of a measured coefficient, and of its acceleration per (1/30 s)^2, in irradiance / pi. Ours."""


@dataclass(frozen=True)
class Look:
    """A frame with its fit.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        expression: (E,).
        view: Camera, pixels of the frame.
    """

    image: np.ndarray
    expression: np.ndarray
    view: View


def albedo(surface: Surface, identity: np.ndarray, looks: Sequence[Look]) -> np.ndarray:
    """The person's albedo (K,), standard deviations, that explains a few frames under a light of each one's own."""
    problem = Problem(surface, [_evidence(surface, identity, look) for look in looks], [0] * len(looks))
    scene, _ = problem.descend(problem.start, PERSON, lambda done: None)
    return scene.albedo[0].numpy()


def lights(surface: Surface, identity: np.ndarray, code: np.ndarray, looks: Sequence[Look]) -> np.ndarray:
    """The light (N, 9, 3) of each frame, in the frame of its camera, of a person whose albedo is known."""
    problem = Problem(surface, [_evidence(surface, identity, look) for look in looks], [0] * len(looks))
    start = replace(problem.start, albedo=torch.as_tensor(code, dtype=torch.float32)[None])
    scene, _ = problem.descend(start, FRAME, lambda done: None)
    turns = [rotation @ look.view.rotation.T for look, rotation in zip(looks, scene.rotation.double().numpy())]
    return np.stack([harmonics.turned(light, turn) for light, turn in zip(scene.light.double().numpy(), turns)])


def through(times: np.ndarray, measured: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Light (M, 9, 3) at all frames of a stretch, from some: smooth, and without lag.

    Args:
        times: (M,) seconds.
        measured: Rows of the frames whose light is known, at least one.
        values: (len(measured), 9, 3).
    """
    known = values.reshape(len(measured), -1)
    measured = np.asarray(measured)
    state = np.stack([np.interp(times, times[measured], column) for column in known.T], -1)
    seen, wanted = np.zeros(len(times), bool), state.copy()
    seen[measured] = True
    stencil, calm = temporal.curvature(times), Calm(np.arange(27), np.ones(27), CALM)
    wide = np.full_like(state, np.inf)
    for _ in range(2):
        bend = np.zeros_like(state)
        bend[1:-1] = np.einsum("fk,fkn->fn", stencil[1:-1], np.stack([state[:-2], state[1:-1], state[2:]], 1))
        gradient = seen[:, None] * (state - wanted) / NOISE**2
        hessian = seen[:, None, None] * np.eye(27) / NOISE**2
        state = state + temporal.step(hessian, gradient, bend, temporal.looseness(bend, [calm]), stencil, -wide, wide)
    return state.reshape(len(times), 9, 3)


def _evidence(surface: Surface, identity: np.ndarray, look: Look) -> Evidence:
    """A square of the frame with the clip's fit as what is known of its geometry."""
    code, weights = (torch.as_tensor(x, dtype=torch.float32) for x in (identity, look.expression))
    vertices = surface.vertices(code, weights).numpy().astype(np.float64)
    points = project(surface.topology.landmarks["dense"].points(vertices), look.view)
    codes = {"identity": identity, "expression": look.expression}
    return gather(look.image, SimpleNamespace(codes=codes, view=look.view, landmarks=points), size=SIZE)
