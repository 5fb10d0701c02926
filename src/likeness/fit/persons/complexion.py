"""One person's albedo from many frames: the code of the albedo model and each frame's light, then what every texel keeps from it.

Mallikarjun et al. 2021, sec. 3.6, fine-tune the reflectance model on the person's clip. Here the model's texture stays where the
frames say nothing, and elsewhere becomes the robust mean over frames of what they show divided by their light.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import cv2
import numpy as np

from likeness import color
from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import Correspondence
from likeness.export.textures import fill
from likeness.fit.persons.frames import Posed
from likeness.fit.photo import synthesis
from likeness.fit.photo.evidence import Evidence, gather
from likeness.fit.photo.surface import Surface
from likeness.geometry import harmonics
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.uv import Chart
from likeness.photos.skin import weights
from likeness.render.regions import bare_skin
from likeness.runtime.unwrap import see
from likeness.types import Stage

SIZE = 512
"""Texels along a side of a person's texture. Ours: a face of 250 pixels has no more to tell."""
COLOURS = synthesis.Step(
    Stage("colours", 6, {"photometric": synthesis.SEEN["photometric"], "albedo": 1.0, "light": 1.0}, synthesis.COLOURS),
    112,
)
"""Albedo code and light together, with the geometry as it is."""
LIGHT = synthesis.Step(
    Stage("light", 5, {"photometric": synthesis.SEEN["photometric"], "light": 1.0}, {"light": 1.0}), 112
)
"""Light alone."""
DARKEST = 0.05
"""Light by which a frame's colours are divided at least."""
DIFFERENT = 0.15
"""Deviation of a frame's logarithm of albedo from the others' at which it counts half: shadows, highlights, hair."""
OWN = 0.35
"""Summed trust of frames at which a texel is half the frames' and half the model's."""
SOFT = 0.012
"""Share of the chart over which the frames' albedo goes over into the model's."""


def evidence(posed: Sequence[Posed], model: Builtin, identity: np.ndarray) -> list[Evidence]:
    """The frames for a fit of colours, with skin weights by the face that was fitted.

    Args:
        model: The person's, or the generic one.
        identity: (I,) code.
    """
    topology, result = model.topology("base"), []
    for one in posed:
        image = one.frame.image
        seen, bare = bare_skin(model.decode(identity, one.expression), one.view, topology)
        codes = {"identity": identity, "expression": one.expression}
        answer = SimpleNamespace(codes=codes, view=one.view, landmarks=one.frame.landmarks.points)
        result.append(gather(image, answer, one.frame.landmarks, weights(image, bare) * seen))
    return result


def colours(
    posed: Sequence[Posed],
    model: Builtin,
    identity: np.ndarray,
    albedo: AlbedoModel,
    correspondence: Correspondence,
) -> tuple[np.ndarray, list[np.ndarray], Surface]:
    """The person's albedo code (K,), and the light (9, 3) of each frame in its camera's frame, found together."""
    surface = Surface.of(model, albedo, correspondence)
    problem = synthesis.Problem(surface, evidence(posed, model, identity), [0] * len(posed))
    scene, _ = problem.descend(problem.start, COLOURS, lambda done: None)
    # `gather` turns cameras to the middle of the square; light belongs to the camera's axes
    turns = [np.asarray(one.view.rotation) @ scene.rotation[i].double().numpy().T for i, one in enumerate(posed)]
    lights = [_turned(light.double().numpy(), turn) for light, turn in zip(scene.light, turns)]
    return scene.albedo[0].numpy(), lights, surface


def chart_of(model: Builtin, size: int = SIZE) -> Chart:
    """The chart of a face model's textures; takes a second or two."""
    topology = model.topology("base")
    return Chart.of(topology.uv, topology.triangles, (size, size))


def texture(
    posed: Sequence[Posed],
    lights: Sequence[np.ndarray],
    model: Builtin,
    identity: np.ndarray,
    base: np.ndarray,
    chart: Chart,
) -> np.ndarray:
    """A person's diffuse albedo (S, S, 3) uint8 sRGB over the chart.

    Args:
        posed: Frames.
        lights: Their light, (9, 3) each.
        model: The person's.
        identity: (I,) code.
        base: Linear RGB, of any size: the albedo model's texture of the person's code.
        chart: A square of S texels; see `chart_of`.
    """
    topology, size = model.topology("base"), chart.size[0]
    base = cv2.resize(np.asarray(base, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    floor = np.log(base + np.float32(0.01))
    ratios, trusts = [], []
    for one, light in zip(posed, lights):
        vertices = model.decode(identity, one.expression).astype(np.float64)
        seen = see(one.frame.image, vertices, one.view, topology, size)
        normals = vertex_normals(vertices, topology.triangles) @ np.asarray(one.view.rotation).T
        shading = chart.to_texture(harmonics.shade(normals, light).astype(np.float32))
        own = np.log(seen.colours / np.maximum(shading, DARKEST) + 0.01)
        ratios.append((own - floor).astype(np.float16))
        trusts.append((seen.trust * np.clip(seen.texels.cosine, 0, 1)).astype(np.float16))
    ratio, trust = robust_mean(np.stack(ratios), np.stack(trusts))
    known = cv2.GaussianBlur(trust / (trust + OWN), (0, 0), SOFT * size)
    return color.encode(np.exp(floor + fill(ratio, np.clip(4 * known, 0, 1)) * known[..., None]) - np.float32(0.01))


def robust_mean(values: np.ndarray, trust: np.ndarray, rounds: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean (h, w, C) of values (n, h, w, C) in which those that differ count little, and the trust (h, w) it has.

    Cauchy weights about the mean of the round before (Holland and Welsch 1977), from the trusted median on.
    """
    values, trust = values.astype(np.float32), trust.astype(np.float32)
    believed = np.sort(np.where(trust[..., None] > 0.1, values, np.inf), 0)
    count = (trust > 0.1).sum(0)
    middle = np.take_along_axis(believed, np.maximum(count - 1, 0)[None, ..., None] // 2, 0)[0]
    mean = np.where((count > 0)[..., None], middle, 0)
    for _ in range(rounds):
        weight = trust / (1 + ((values - mean) ** 2).mean(-1) / DIFFERENT**2)
        mean = (weight[..., None] * values).sum(0) / np.maximum(weight.sum(0), 1e-6)[..., None]
    return mean, weight.sum(0)


def _turned(light: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Coefficients (9, 3) of the same light in axes `turn` times the present ones: what it is in nine directions and more."""
    directions = np.random.default_rng(0).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.linalg.lstsq(harmonics.basis(directions @ turn.T), harmonics.basis(directions) @ light, rcond=None)[0]
