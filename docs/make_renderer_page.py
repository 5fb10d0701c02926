"""The page of pictures in docs/renderer.md: `python docs/make_renderer_page.py -o docs/pictures/renderer.jpg`."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from likeness import color
from likeness.assets import builtin
from likeness.geometry import cameras, harmonics, rotation
from likeness.render.coverage import coverage, region, within
from likeness.render.interpolate import interpolate
from likeness.render.normals import vertex_normals
from likeness.render.project import project
from likeness.render.rasterize import Fragments, rasterize
from likeness.render.render import render
from likeness.render.sample import sample
from likeness.types import Face, Highlight, Light, PointLights, Topology, View

TILE, COLUMNS, SAMPLES = 256, 5, 3
"""Side of a picture in pixels, pictures side by side, and samples along each axis of a pixel."""
GREY = torch.full((3,), 0.8)
"""Linear RGB of backgrounds."""


def make_page() -> Image.Image:
    """All pictures with their captions."""
    model = builtin.load()
    topology, smile = model.topology("dense"), head(model, mouthSmileLeft=0.5, mouthSmileRight=0.5, jawOpen=0.12)
    pictures = [*lights(smile, topology), *surfaces(smile, topology), *views(smile, topology)]
    pictures += gradients(model, topology, smile)
    rows, caption = -(-len(pictures) // COLUMNS), 24
    page = Image.new("RGB", (COLUMNS * (TILE + 8) - 8, rows * (TILE + caption + 6)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for place, (title, picture) in enumerate(pictures):
        x, y = place % COLUMNS * (TILE + 8), place // COLUMNS * (TILE + caption + 6)
        page.paste(Image.fromarray(picture), (x, y))
        draw.text((x + TILE / 2, y + TILE + 4), title, "black", font, anchor="ma")
    return page


def lights(face: Face, topology: Topology) -> list[tuple[str, np.ndarray]]:
    """One face in every kind of light."""
    soft, eye = daylight(), camera(0.35)
    lamps = PointLights(
        torch.tensor([[-900.0, 500, 300], [900, 100, 200]]), torch.tensor([[0.9, 0.75, 0.55], [0.2, 0.35, 0.8]]),
        torch.full((3,), 0.12), torch.tensor(14.0),
    )  # fmt: skip
    glossy = Light(soft.harmonics, Highlight(torch.tensor([-350.0, 450, 100]), torch.tensor(22.0)))
    shiny = render(face, topology, eye, glossy, background=GREY)
    return [
        (
            "spherical harmonics",
            finished(render(replace(face, specular=None), topology, eye, soft, background=GREY).image),
        ),
        ("Phong, two lights", finished(render(face, topology, eye, lamps, background=GREY).image)),
        ("Blinn-Phong: both parts", finished(shiny.image)),
        ("... diffuse", finished(shiny.diffuse)),
        ("... specular, twice as bright", finished(2 * shiny.specular)),
    ]


def surfaces(face: Face, topology: Topology) -> list[tuple[str, np.ndarray]]:
    """What the pixels know about the surface."""
    eye = camera(0.35)
    seen = render(face, topology, eye, daylight())
    there = (seen.triangle >= 0)[..., None]
    near, far = seen.depth[there[..., 0]].quantile(torch.tensor([0.0, 0.97]))
    depth = (1 - (seen.depth.clip(max=far) - near) / (far - near))[..., None].expand(-1, -1, 3) ** 1.5
    line = torch.arange(1024) // 16
    light, dark = torch.tensor([[0.75, 0.6, 0.5], [0.1, 0.2, 0.35]])
    checker = torch.where(((line[:, None] + line) % 2 == 0)[..., None], light, dark)
    fragments = Fragments(seen.triangle, seen.barycentric, seen.depth)
    chart = interpolate(torch.as_tensor(topology.uv), topology.triangles, fragments)
    chart = torch.cat([chart, torch.full_like(chart[..., :1], 0.3)], -1)
    mapped = render(Face(face.vertices), topology, eye, daylight(), texture=checker, background=GREY)
    return [
        ("normals", finished(torch.where(there, (seen.normal + 1) / 2, GREY))),
        ("depth", finished(torch.where(there, 0.02 + 0.95 * depth, 0))),
        ("chart (UV)", finished(torch.where(there, chart, GREY))),
        ("texture by UV", finished(mapped.image)),
        ("photo sampled at visible vertices", sampled(face, topology)),
    ]


def views(face: Face, topology: Topology) -> list[tuple[str, np.ndarray]]:
    """Cameras."""
    close = camera(0.0, distance=300.0)
    weak = cameras.weak_from(close, torch.tensor(245.0))
    inside = camera(math.pi - 0.5, distance=25.0, focal=0.4)
    within_head = render(face, topology, inside, daylight(), background=GREY, cull=False)
    return [
        ("perspective, from 30 cm", finished(render(face, topology, close, daylight(), background=GREY).image)),
        ("weak perspective", finished(render(face, topology, weak, daylight(), background=GREY).image)),
        ("from inside, cut by the near plane", finished(within_head.image)),
    ]


def gradients(model: builtin.Builtin, topology: Topology, face: Face) -> list[tuple[str, np.ndarray]]:
    """Soft coverage of the mouth, and what every vertex is told when the picture should be one pixel to the right."""
    opened = head(model, jawOpen=0.5, mouthSmileLeft=0.4)
    size = (32, 32)
    small = replace(camera(0.25), focal=torch.tensor(190.0), principal=torch.tensor([16.0, -1.5]), size=size)
    _, points = project(opened.vertices, small)
    fragments = rasterize(points, topology.triangles, size)
    part = region(topology.triangles, within(topology.triangles, topology.regions["inner_mouth"]))
    share = coverage(points, fragments.triangle, part)
    fine = TILE // size[0]
    enlarged = share.repeat_interleave(fine, 0).repeat_interleave(fine, 1)[..., None]
    detail = replace(small, focal=small.focal * fine, principal=small.principal * fine, size=(TILE, TILE))
    under = render(opened, topology, detail, daylight(), background=GREY).image
    mouth = torch.lerp(0.35 * under, torch.tensor([1.0, 0.75, 0.1]), enlarged)
    return [
        ("coverage of the mouth, 32 px", color.encode(mouth.numpy())),
        ("gradient of a shift by one pixel", shifted(face, topology)),
    ]


def shifted(face: Face, topology: Topology) -> np.ndarray:
    """Where |picture - picture moved to the right|^2 sends each vertex: to the right is red, to the left blue."""
    eye = camera(0.35)
    eye = replace(eye, focal=eye.focal / SAMPLES, principal=eye.principal / SAMPLES, size=(TILE, TILE))
    vertices = face.vertices.clone().requires_grad_()
    seen = render(replace(face, vertices=vertices, specular=None), topology, eye, daylight())
    loss = (seen.image - seen.image.detach().roll(1, 1)).square().sum()
    (gradient,) = torch.autograd.grad(loss, vertices)
    across = -(gradient @ eye.rotation.T)[:, :1]
    strength = across.sign() * (across.abs() / across.abs().quantile(0.998)).clip(max=1) ** 0.45
    tint = 0.3 + 0.3 * strength * torch.tensor([1.0, -0.4, -1.0])
    even = torch.zeros(9, 3)
    even[0] = 1 / harmonics.CONSTANTS[0]
    seen = render(Face(face.vertices, albedo=tint), topology, camera(0.35), Light(even), background=GREY)
    return finished(seen.image)


def sampled(face: Face, topology: Topology) -> np.ndarray:
    """Every vertex that is visible as a dot of the colour that a picture has there."""
    eye = camera(-0.5)
    photo = render(replace(face, specular=None), topology, eye, daylight(), background=GREY).image
    samples = sample(photo, face.vertices, vertex_normals(face.vertices, topology.triangles), eye)
    _, points = project(face.vertices, eye)
    canvas = torch.ones_like(photo)
    dots = samples.visible.nonzero()[::2, 0]
    place = points[dots].long()
    for y in range(-2, 2):
        for x in range(-2, 2):
            canvas[place[:, 1] + y, place[:, 0] + x] = samples.colors[dots]
    return finished(canvas)


def head(model: builtin.Builtin, **expression: float) -> Face:
    """The mean head with an expression, dense, painted."""
    codes = np.zeros(len(model.expression_names))
    for name, weight in expression.items():
        codes[model.expression_names.index(name)] = weight
    vertices = torch.as_tensor(model.refine(model.decode(np.zeros(len(model.identity)), codes))).float()
    albedo, specular = paint(model)
    return Face(vertices, albedo=albedo, specular=specular)


def paint(model: builtin.Builtin) -> tuple[Tensor, Tensor]:
    """Diffuse and specular albedo (V, 3) of the dense head, from its regions."""
    topology, layout = model.topology("dense"), model.layout
    albedo = np.full((len(topology.uv), 3), [0.55, 0.34, 0.25])
    shine = np.full(len(albedo), 0.10)
    for name, tone in (("cheeks", [0.58, 0.31, 0.24]), ("nose", [0.57, 0.32, 0.24])):
        albedo[topology.regions[name]] = tone
    for name, tone, gloss in (
        ("upper_lip", [0.45, 0.14, 0.12], 0.2), ("lower_lip", [0.48, 0.16, 0.14], 0.25),
        ("brow_left", [0.10, 0.06, 0.04], 0.04), ("brow_right", [0.10, 0.06, 0.04], 0.04),
    ):  # fmt: skip
        albedo[topology.regions[name]], shine[topology.regions[name]] = tone, gloss
    grid, skin = layout.grid("dense"), topology.parts["skin"]
    for values in (albedo, shine[:, None]):
        image = values[skin].reshape(grid, grid, -1)
        for _ in range(4):
            padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
            image = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + 2 * image) / 6
        values[skin] = image.reshape(grid * grid, -1)
    for name in ("eye_left", "eye_right"):
        ball = np.arange(layout.ball) + topology.parts[name].start
        ring = np.concatenate([[-1], np.repeat(np.arange(len(layout.eye_rings)), layout.eye_segments), [99]])
        albedo[topology.parts[name]], shine[topology.parts[name]] = [0.35, 0.18, 0.14], 0.02
        pupil, iris = ring[:, None] < layout.iris_ring / 2, ring[:, None] <= layout.iris_ring
        albedo[ball] = np.select([pupil, iris], [[0.01], [0.13, 0.07, 0.03]], [0.75])
        shine[ball] = 0.6
    albedo[topology.parts["mouth_bag"]], shine[topology.parts["mouth_bag"]] = [0.15, 0.03, 0.03], 0.0
    return torch.as_tensor(albedo).float(), torch.as_tensor(shine).float()[:, None].expand(-1, 3)


def daylight() -> Light:
    """Soft light from the upper left, a little blue from the right."""
    radiance = torch.zeros(9, 3)
    radiance[0] = 2.9
    radiance[1:4] = torch.tensor([1.0, 1.6, -1.3])[:, None]
    radiance[3, 2] += 0.25
    radiance[6] = 0.25
    return Light(harmonics.from_radiance(radiance))


def camera(yaw: float, distance: float = 800.0, focal: float | None = None) -> View:
    """A camera of many samples a pixel that sees the face, its focal length in sides of the picture."""
    side = float(TILE * SAMPLES)
    focal = distance / 250 if focal is None else focal
    turn = rotation.from_euler(torch.tensor(yaw), torch.tensor(0.05), torch.tensor(0.0))
    middle = turn @ torch.tensor([0.0, -10.0, 40.0])
    return View(
        turn, torch.tensor([0.0, 0, -distance]) - middle * torch.tensor([1.0, 1, 0]), torch.tensor(focal * side),
        torch.tensor([side / 2, side / 2]), (TILE * SAMPLES, TILE * SAMPLES),
    )  # fmt: skip


def finished(image: Tensor) -> np.ndarray:
    """(TILE, TILE, 3) uint8 sRGB of a linear picture with many samples a pixel."""
    image = image.detach().reshape(TILE, SAMPLES, TILE, SAMPLES, 3).clip(0, 1).mean((1, 3))
    return color.encode(image.numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures/renderer.jpg"))
    torch.set_num_threads(1)  # sums are the same on every machine of a kind
    make_page().save(parser.parse_args().output, quality=88)


if __name__ == "__main__":
    main()
