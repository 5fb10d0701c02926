"""What light does to a surface: colours of points whose position, normal and albedo are known.

Everything is in the camera frame and in linear RGB, and diffuse and specular light stay apart. A point may be a vertex or a
pixel: arrays are (..., n, 3), lights have the leading dimensions alone. Nothing here is clipped above, and albedo that is
linear in its codes gives colours that are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from likeness.geometry import harmonics
from likeness.types import Highlight, Light, PointLights, View, WeakView

DARK = 1e-6
"""Least cosine that is raised to a shininess: 0 ** shininess has no usable gradient, and this is black. Ours."""


class Surface(NamedTuple):
    """Points of a surface.

    Attributes:
        position: (..., n, 3) mm, camera frame.
        normal: (..., n, 3) unit, camera frame; zero for a point that does not exist.
        albedo: (..., n, 3) linear RGB diffuse albedo.
        specular: (..., n, 3) linear RGB specular albedo, or None for a surface that does not shine.
    """

    position: Tensor
    normal: Tensor
    albedo: Tensor
    specular: Tensor | None = None


class Shading(NamedTuple):
    """Diffuse and specular light that leaves the points towards the viewer, (..., n, 3) each, linear RGB."""

    diffuse: Tensor
    specular: Tensor


def shade(surface: Surface, light: Light | PointLights, view: View | WeakView) -> Shading:
    """Colours of points under either kind of light, as the view's camera sees them.

    The specular part is zero where the light has no highlight, and on a surface without specular albedo.
    """
    shines = surface.specular is not None and (isinstance(light, PointLights) or light.highlight is not None)
    towards = towards_viewer(surface.position, view) if shines else None
    if isinstance(light, PointLights):
        return phong(surface, light, towards)
    diffuse = harmonic(surface, light)
    return Shading(diffuse, blinn_phong(surface, light.highlight, towards) if shines else torch.zeros_like(diffuse))


def towards_viewer(position: Tensor, view: View | WeakView) -> Tensor:
    """Unit vectors to the viewer: to the camera's centre, or along the view for weak perspective, whose camera is far.

    Args:
        position: (..., n, 3) mm, camera frame.
    """
    if isinstance(view, View):
        return normalize(-position, dim=-1)
    return position.new_tensor([0.0, 0.0, 1.0])


def harmonic(surface: Surface, light: Light) -> Tensor:
    """Diffuse colours (..., n, 3): albedo times irradiance / pi.

    Tewari et al. 2018, eq. 5; Mallikarjun et al. 2021, eq. 4; Deng et al. 2022, eq. 4. Order and constants are those of
    `geometry.harmonics`. As in the papers nothing is clipped: unlikely light may be negative somewhere, with a gradient.
    """
    return surface.albedo * harmonics.shade(surface.normal, light.harmonics)


def phong(surface: Surface, lights: PointLights, towards: Tensor | None) -> Shading:
    """Phong's model (1975) with several coloured point lights, as Genova et al. 2018 use it (sec. 3.2.2).

    Diffuse `albedo * (ambient + sum color * max(n.l, 0))`, specular `specular * sum color * max(r.v, 0) ** shininess` over
    lights in front of the surface, where l points to the light, v to the viewer and `r = 2 (n.l) n - l`.

    Args:
        towards: Unit vectors to the viewer (`towards_viewer`); None will do for a surface without specular albedo.
    """
    light, gleam = lights.ambient[..., None, :], torch.zeros_like(surface.albedo)
    for i in range(lights.positions.shape[-2]):
        color = lights.colors[..., i, None, :]
        direction = normalize(lights.positions[..., i, None, :] - surface.position, dim=-1)
        facing = _dot(surface.normal, direction)
        light = light + color * facing.clip(min=0)
        if surface.specular is not None:
            mirrored = _dot(2 * facing * surface.normal - direction, towards)
            gleam = gleam + color * torch.where(facing > 0, _power(mirrored, lights.shininess), 0)
    return Shading(surface.albedo * light, gleam if surface.specular is None else surface.specular * gleam)


def blinn_phong(surface: Surface, highlight: Highlight, towards: Tensor) -> Tensor:
    """Specular colours (..., n, 3) by Blinn and Phong with one light, whose position and shininess may be estimated.

    Deng et al. 2022, eq. 5: `specular * max(h.n, 0) ** shininess`, where h halves the angle between the directions to the
    viewer and to the light. The paper leaves out the maximum; without it a power of a negative number is undefined.
    """
    direction = normalize(highlight.position[..., None, :] - surface.position, dim=-1)
    half = normalize(towards + direction, dim=-1)
    return surface.specular * _power(_dot(half, surface.normal), highlight.shininess)


def specular_from_diffuse(albedo: Tensor, strength: float) -> Tensor:
    """A specular albedo for models that have none: `strength * (1 - albedo)` (Genova et al. 2018, sec. 3.2.2).

    Args:
        albedo: (..., 3) linear RGB in [0, 1].
        strength: The paper's c, in [0, 1].
    """
    return strength - strength * albedo


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(..., n, 1)"""
    return (a * b).sum(-1, keepdim=True)


def _power(cosine: Tensor, shininess: Tensor) -> Tensor:
    """max(cosine, 0) ** shininess, (..., n, 1), with finite gradients to both."""
    return torch.where(cosine > DARK, cosine, DARK) ** shininess[..., None, None] * (cosine > DARK)
