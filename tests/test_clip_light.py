"""Light through a clip: found in pictures drawn with a known one, in the clip's own frame, and calm between measurements."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from likeness import color
from likeness.assets import albedo, builtin
from likeness.fit.clips import clip_light
from likeness.fit.clips.clip_light import Look
from likeness.fit.photo.result import drawn
from likeness.fit.photo.surface import Surface
from likeness.fit.photo.synthesis import scene_of
from likeness.geometry.harmonics import shade
from likeness.geometry.rotation import from_euler
from likeness.types import View


@cache
def surface():
    return Surface.of(builtin.load(), albedo.load())


def example(light, code, yaw=0.0):
    """A picture of somebody in a light, and its fit. The head is not in the middle, so that its square looks elsewhere."""
    size = 240
    turn = from_euler(np.float64(yaw), np.float64(0.1), np.float64(0.25))
    view = View(turn, np.array([40.0, -20, -800]), np.float64(560.0), np.array([120.0, 120.0]), (size, size))
    identity, expression = 0.5 * np.sin(np.arange(100.0)).astype(np.float32), np.zeros(51, np.float32)
    expression[17] = 0.3
    scene = scene_of(
        identity[None], expression[None], [view], torch.zeros(1, dtype=torch.long), surface().albedos, size
    )
    known = (torch.as_tensor(values, dtype=torch.float32)[None] for values in (light, code))
    scene = replace(scene, **dict(zip(("light", "albedo"), known)))
    picture, _ = drawn(surface(), scene, np.full((size, size, 3), 0.3, np.float32))
    return identity, Look(color.encode(picture), expression, view)


def light(strength=0.35):
    """From the upper left."""
    values = np.zeros((9, 3))
    values[0] = 0.9
    values[1], values[3], values[2] = strength, -strength, 0.2
    return values * [1.0, 0.95, 0.9]


def test_a_known_light_comes_back_in_the_frame_of_the_clip():
    code = np.zeros(surface().albedos)
    identity, look = example(light(), code)
    found = clip_light.lights(surface(), identity, code, [look])[0]
    ways = np.array([[0, 0, 1], [0.5, 0, 0.87], [-0.5, 0, 0.87], [0, 0.5, 0.87], [0, -0.5, 0.87]])
    wanted, given = shade(ways, light()), shade(ways, found)
    assert np.abs(given / wanted - 1).max() < 0.12
    mirrored = np.abs(shade(ways * [-1, 1, 1], found) / wanted - 1).max()
    assert mirrored > 0.3  # left and right are told apart


def test_albedo_and_light_are_told_apart_by_several_frames():
    code = np.zeros(surface().albedos)
    code[:2] = [1.0, -0.7]
    looks = [example(light(s), code, yaw)[1] for s, yaw in ((0.35, 0.0), (-0.2, 0.3), (0.1, -0.3))]
    identity, _ = example(light(), code)
    found = clip_light.albedo(surface(), identity, looks)
    there, none = (np.linalg.norm(colours(x) - colours(code), axis=-1).mean() for x in (found, np.zeros_like(code)))
    assert there < 0.75 * none


def colours(code):
    """The skin's albedo, its overall brightness, which is the light's as well, taken out."""
    texture = surface().texture(torch.as_tensor(np.asarray(code), dtype=torch.float32)).numpy()[80:200, 40:216]
    return texture / texture.mean()


def test_light_goes_on_smoothly_and_without_lag():
    times = np.arange(90) / 30
    true = light()[None] * (1 + 0.3 * np.sin(2 * np.pi * 0.4 * times))[:, None, None]
    measured = list(range(0, 90, 6))
    found = clip_light.through(times, measured, true[measured])
    assert np.abs(found - true).max() < 0.05
    noisy = true[measured] + np.random.default_rng(0).normal(0, 0.02, (len(measured), 9, 3))
    assert np.abs(clip_light.through(times, measured, noisy) - true).std() < 0.02
    assert clip_light.through(times[:1], [0], true[:1]) == pytest.approx(true[:1])
