"""The composed call: a face, a camera and a light become a picture. Its parts are public; this is how they fit together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from likeness.render.coverage import coverage
from likeness.render.interpolate import interpolate, sample_texture
from likeness.render.normals import vertex_normals
from likeness.render.project import project
from likeness.render.rasterize import Fragments, rasterize
from likeness.render.separate import Region
from likeness.render.shade import Surface, shade
from likeness.types import Face, Light, PointLights, Rendering, Topology, View, WeakView


def render(
    face: Face,
    topology: Topology,
    view: View | WeakView,
    light: Light | PointLights,
    *,
    texture: Tensor | None = None,
    background: Tensor | None = None,
    region: Region | None = None,
    cull: bool = True,
) -> Rendering:
    """Draw a face, or a batch of faces, views and lights; each may also be one for the whole batch.

    Shading is deferred (Genova et al. 2018, sec. 3.2): normals, positions and albedos are interpolated to the pixels, and
    every pixel is shaded for itself, so that highlights are sharp. Differentiable in everything but which triangle a pixel
    sees; what an outline covers is differentiable in the coverage of a region.

    Args:
        face: Vertices; diffuse albedo, white if the model has none; specular albedo, none if the model has none.
        topology: Triangles, and the chart where a texture is given.
        view: Camera; its size is the picture's.
        light: In the camera frame.
        texture: (..., h, w, 3) linear RGB diffuse albedo over the chart, instead of the vertices'.
        background: Linear RGB that broadcasts to (..., H, W, 3); by default black.
        region: What `Rendering.coverage` is about, softly (`coverage.region`); by default 1 where there is a face, else 0.
        cull: Whether triangles seen from behind are left out.
    """
    camera, points = project(face.vertices, view)
    perspective = isinstance(view, View)
    fragments = rasterize(points, topology.triangles, view.size, cull=cull, perspective=perspective)
    surface = visible_surface(face, topology, camera, fragments, texture)
    shading = shade(surface, light, view)
    diffuse, specular, normal = (value.unflatten(-2, view.size) for value in (*shading, surface.normal))
    there = fragments.triangle >= 0
    image = diffuse + specular
    if background is not None:
        image = torch.where(there[..., None], image, background)
    share = there.to(points.dtype)
    if region is not None:
        share = coverage(points, fragments.triangle, region, cull=cull, perspective=perspective)
    return Rendering(image, diffuse, specular, share, normal, *fragments)


def visible_surface(
    face: Face, topology: Topology, camera: Tensor, fragments: Fragments, texture: Tensor | None = None
) -> Surface:
    """The points (..., H * W) of the surface that the pixels see, all zero where they see none.

    Args:
        camera: (..., V, 3) mm, the face's vertices in the camera frame, whose normals are interpolated too.
        texture: As for `render`.
    """
    attributes = [vertex_normals(camera, topology.triangles), camera]
    albedo = face.albedo if texture is None else torch.as_tensor(topology.uv).to(camera)
    given = [value for value in (albedo, face.specular) if value is not None]
    attributes += [value.expand(*camera.shape[:-2], *value.shape[-2:]) for value in given]
    pixels = interpolate(torch.cat(attributes, -1), topology.triangles, fragments).flatten(-3, -2)
    normal, position, *rest = pixels.split([value.shape[-1] for value in attributes], -1)
    normal = normalize(normal, dim=-1)
    specular = rest[-1] if face.specular is not None else None
    if albedo is None:
        there = fragments.triangle.flatten(-2)[..., None] >= 0
        return Surface(position, normal, there.to(camera).expand(position.shape), specular)
    if texture is None:
        return Surface(position, normal, rest[0], specular)
    there = fragments.triangle.flatten(-2)[..., None] >= 0
    texels = sample_texture(texture.expand(*camera.shape[:-2], *texture.shape[-3:]), rest[0])
    return Surface(position, normal, texels * there, specular)
