"""The composed call: spheres against analysis, mirrors, batches, both cameras, every light, a head found by descent."""

import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.assets.builtin import flip
from likeness.geometry import cameras, harmonics, rotation
from likeness.render.coverage import region
from likeness.render.render import render
from likeness.types import Face, Highlight, Light, PointLights, Topology, View

RADIUS, DISTANCE = 80.0, 600.0
MIRROR = torch.tensor([1.0, 1, 1, -1, -1, 1, 1, -1, 1]).double()
"""What x -> -x does to the harmonics 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2."""


def random(seed, *shape):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


@cache
def sphere(n=48):
    """A sphere (V, 3) from a grid on each side of a cube, and its topology."""
    line = np.linspace(-np.pi / 4, np.pi / 4, n)
    x, y = np.tan(np.meshgrid(line, line))
    side = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    ids = np.arange(n * n).reshape(n, n)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, 1:].ravel(), ids[1:, :-1].ravel()
    quad = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    turns = [np.roll(np.eye(3), k, 0) * sign for k in range(3) for sign in (1, -1)]
    turns = [turn if np.linalg.det(turn) > 0 else turn[:, [1, 0, 2]] for turn in turns]
    vertices = np.concatenate([side @ turn.T for turn in turns])
    _, first, place = np.unique(vertices.round(9) + 0.0, axis=0, return_index=True, return_inverse=True)
    vertices = vertices[first]
    triangles = place.ravel()[np.concatenate([quad + k * n * n for k in range(6)])].astype(np.int32)
    vertices *= RADIUS / np.linalg.norm(vertices, axis=1, keepdims=True)
    topology = Topology(triangles, triangles, np.zeros((len(vertices), 2), np.float32), np.arange(len(vertices)), {})
    return torch.as_tensor(vertices), topology


def front(size=(96, 96), focal=300.0, distance=DISTANCE):
    return View(
        torch.eye(3).double(), torch.tensor([0.0, 0, -distance]).double(), torch.tensor(focal).double(),
        torch.tensor([size[1] / 2, size[0] / 2]).double(), size,
    )  # fmt: skip


def true_normals(view, middle=(0.0, 0, 0)):
    """Normals (H, W, 3) where rays through pixels' centres meet the sphere, and whether they do, away from its outline."""
    height, width = view.size
    y, x = np.mgrid[:height, :width] + 0.5
    focal, (px, py) = float(view.focal), view.principal.numpy()
    rays = np.stack([(x - px) / focal, -(y - py) / focal, -np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    centre = np.array([0, 0, -DISTANCE]) + middle
    along = rays @ centre
    rest = RADIUS**2 - (centre @ centre - along**2)
    hit = rest > 0.1 * RADIUS**2
    point = rays * (along - np.sqrt(np.where(hit, rest, 0)))[..., None]
    return (point - centre) / RADIUS * hit[..., None], hit, point


def head(identity=0.0, expression=0.0, seed=0):
    """A toy head (V, 3) float64 with colours, and its topology."""
    model, rng = toy.head(), np.random.default_rng(seed)
    vertices = model.decode(identity * rng.normal(size=toy.IDENTITY), expression * rng.uniform(size=51))
    colors = 0.5 + 0.4 * np.sin(vertices / [17, 13, 19] + [[0, 1, 2]])
    return Face(torch.as_tensor(vertices), albedo=torch.as_tensor(colors)), model.topology()


def head_view(size=(64, 64), angles=(0.3, 0.1, 0.05), focal=140.0):
    turn = rotation.from_euler(*(torch.tensor(angle).double() for angle in angles))
    return replace(front(size, focal, 500.0), rotation=turn)


def soft_light(seed=0):
    radiance = 0.3 * random(seed, 9, 3)
    radiance[0] += 3
    return Light(harmonics.from_radiance(radiance))


def test_a_sphere_in_harmonic_light_shows_the_analytic_irradiance():
    """Projected, drawn, interpolated and shaded: nowhere off by more than the mesh is from a sphere."""
    vertices, topology = sphere()
    light = soft_light()
    seen = render(Face(vertices), topology, front(), light)
    normals, hit, point = true_normals(front())
    assert 3000 < hit.sum() and (seen.triangle.numpy()[hit] >= 0).all()
    expected = harmonics.shade(normals[hit], light.harmonics.numpy())
    np.testing.assert_allclose(seen.image.numpy()[hit], expected, atol=4e-3)
    assert np.abs(seen.image.numpy()[hit] - expected).mean() < 5e-4
    np.testing.assert_allclose(seen.normal.numpy()[hit], normals[hit], atol=0.01)
    np.testing.assert_allclose(seen.depth.numpy()[hit], -point[hit][:, 2], atol=0.2)


def test_a_highlight_stands_where_the_sphere_faces_half_way():
    vertices, topology = sphere()
    place = torch.tensor([400.0, 300, 100]).double()
    face = Face(vertices, specular=0.7 * torch.ones_like(vertices))
    seen = render(face, topology, front(), Light(soft_light().harmonics, Highlight(place, torch.tensor(60.0).double())))
    normals, hit, point = true_normals(front())
    to_light, to_viewer = place.numpy() - point, -point
    half = sum(v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (to_light, to_viewer))
    cosine = (half / np.linalg.norm(half, axis=-1, keepdims=True) * normals).sum(-1)
    expected = 0.7 * np.clip(cosine, 0, None) ** 60
    np.testing.assert_allclose(seen.specular.numpy()[hit], np.repeat(expected[hit][:, None], 3, 1), atol=0.01)
    specular = seen.specular.numpy()[..., 0] * hit
    assert np.unravel_index(specular.argmax(), specular.shape) == np.unravel_index(
        (expected * hit).argmax(), specular.shape
    )
    assert specular.max() > 0.69


def mirrored(view, light):
    """Camera and light as a mirror at x = 0 of the camera shows them."""
    flipped = torch.tensor([-1.0, 1, 1]).double()
    principal = torch.stack([view.size[1] - view.principal[0], view.principal[1]])
    turn = view.rotation * flipped[:, None] * flipped
    view = replace(view, rotation=turn, translation=view.translation * flipped, principal=principal)
    if isinstance(light, PointLights):
        return view, replace(light, positions=light.positions * flipped)
    highlight = light.highlight and replace(light.highlight, position=light.highlight.position * flipped)
    return view, Light(light.harmonics * MIRROR[:, None], highlight)


@pytest.mark.parametrize("kind", ["harmonic", "highlight", "phong"])
def test_a_mirrored_face_in_mirrored_light_is_the_mirrored_picture(kind):
    """Pixel by pixel, but for a few on edges that lie exactly on pixels' centres."""
    face, topology = head(identity=1, expression=0.5)
    face = replace(face, specular=1 - face.albedo)
    light = soft_light(3)
    if kind == "highlight":
        light = replace(light, highlight=Highlight(torch.tensor([300.0, 200, 50]).double(), torch.tensor(9.0).double()))
    if kind == "phong":
        lights = 500 * random(4, 3, 3), random(5, 3, 3).abs(), random(6, 3).abs(), torch.tensor(7.0).double()
        light = PointLights(*lights)
    view = replace(head_view((60, 72)), principal=torch.tensor([35.3, 30.2]).double())
    other = Face(
        torch.as_tensor(flip(face.vertices.numpy(), topology.mirror)),
        albedo=face.albedo[topology.mirror.astype(int)], specular=face.specular[topology.mirror.astype(int)],
    )  # fmt: skip
    first, second = render(face, topology, view, light), render(other, topology, *mirrored(view, light))
    for name in ("image", "diffuse", "specular"):
        a, b = getattr(first, name), getattr(second, name).flip(1)
        same = (a - b).abs().amax(-1) < 1e-6
        assert same.double().mean() > 0.998, name
    assert (first.image - first.image.flip(1)).abs().mean() > 0.02  # the picture is not its own mirror image


def test_brightness_is_linear_in_light():
    face, topology = head()
    first, second = soft_light(1), soft_light(2)
    both = Light(first.harmonics + 2 * second.harmonics)
    pictures = [render(face, topology, head_view(), light).image for light in (first, second, both)]
    np.testing.assert_allclose(pictures[2], pictures[0] + 2 * pictures[1], atol=1e-9)


def test_a_picture_is_made_of_its_parts():
    face, topology = head()
    face = replace(face, specular=1 - face.albedo)
    light = replace(soft_light(), highlight=Highlight(torch.tensor([0.0, 300, 0]).double(), torch.tensor(8.0).double()))
    background = random(8, 64, 64, 3).abs()
    seen = render(face, topology, head_view(), light, background=background)
    there = seen.triangle >= 0
    assert 500 < there.sum() < 3500 and (seen.specular >= 0).all() and (seen.specular > 0.05).any()
    np.testing.assert_array_equal(seen.image[there], (seen.diffuse + seen.specular)[there])
    np.testing.assert_array_equal(seen.image[~there], background[~there])
    for name in ("diffuse", "specular", "normal", "barycentric"):
        assert (getattr(seen, name)[~there] == 0).all() and getattr(seen, name)[there].abs().sum(-1).max() > 0.05, name
    assert torch.isinf(seen.depth[~there]).all() and torch.isfinite(seen.depth[there]).all()
    np.testing.assert_array_equal(seen.coverage, there)
    np.testing.assert_allclose(seen.normal[there].norm(dim=-1), 1)
    without = render(face, topology, head_view(), Light(light.harmonics))
    np.testing.assert_array_equal(without.image[there], seen.diffuse[there])
    assert (without.image[~there] == 0).all() and (without.specular == 0).all()


def test_coverage_is_soft_where_a_region_is_given():
    face, topology = head()
    seen = render(face, topology, head_view(), soft_light(), region=region(topology.triangles))
    share = seen.coverage
    assert ((share > 0.02) & (share < 0.98)).sum() > 80
    assert share.sum() == pytest.approx((seen.triangle >= 0).sum().item(), rel=0.01)
    flat = cameras.weak_from(head_view(), torch.tensor(500.0).double())
    weak = render(face, topology, flat, soft_light(), region=region(topology.triangles)).coverage
    assert weak.sum() == pytest.approx(share.sum().item(), rel=0.25) and ((weak > 0.02) & (weak < 0.98)).sum() > 80


def test_a_face_without_albedo_is_white():
    face, topology = head()
    plain = render(Face(face.vertices), topology, head_view(), soft_light())
    white = render(replace(face, albedo=torch.ones_like(face.albedo)), topology, head_view(), soft_light())
    np.testing.assert_allclose(plain.image, white.image, atol=1e-9)


def test_a_texture_that_is_linear_in_the_chart_equals_albedo_at_vertices():
    """Bilinear reading of a ramp, inside the outermost texels' centres."""
    face, topology = head()
    n = 256
    line = (torch.arange(n).double() + 0.5) / n
    texture = torch.stack([line.expand(n, n), line[:, None].expand(n, n), torch.ones(n, n)], -1)
    uv = torch.as_tensor(topology.uv).double()
    albedo = torch.column_stack([uv, torch.ones(len(uv))])
    skin = replace(face, albedo=albedo)
    mapped = render(replace(face, albedo=None), topology, head_view(), soft_light(), texture=texture)
    painted = render(skin, topology, head_view(), soft_light())
    np.testing.assert_allclose(mapped.image, painted.image, atol=0.004)
    assert (mapped.image - painted.image).abs().mean() < 1e-5
    assert (render(skin, topology, head_view(), soft_light(), texture=texture).image == mapped.image).all()


def test_both_cameras_draw_the_same_from_far_away():
    face, topology = head()
    view = head_view(focal=2e5)
    view = replace(view, translation=torch.tensor([0.0, 0, -5e5]).double())
    near = render(face, topology, view, soft_light())
    weak = render(face, topology, cameras.weak_from(view, torch.tensor(5e5).double()), soft_light())
    assert ((near.image - weak.image).abs().amax(-1) < 2e-3).double().mean() > 0.995
    there = (near.triangle == weak.triangle) & (near.triangle >= 0)
    np.testing.assert_allclose(near.depth[there] - 5e5, weak.depth[there], atol=0.5)


def stacked(view):
    names = "rotation", "translation", "focal", "principal"
    return View(*(torch.stack([getattr(one, name) for one in view]) for name in names), view[0].size)


def test_batches_are_single_pictures_and_one_serves_all():
    faces = [head(1, 0.5, seed)[0] for seed in (1, 2)]
    topology = head()[1]
    views = [head_view(), head_view(angles=(-0.4, 0.2, 0.0))]
    lights = [soft_light(1), soft_light(2)]
    many = Face(torch.stack([f.vertices for f in faces]), albedo=torch.stack([f.albedo for f in faces]))
    both = Light(torch.stack([light.harmonics for light in lights]))
    pictures = render(many, topology, stacked(views), both)
    for i in (0, 1):
        alone = render(faces[i], topology, views[i], lights[i])
        for name in vars(alone):
            np.testing.assert_allclose(getattr(pictures, name)[i], getattr(alone, name), atol=1e-9, err_msg=name)
        shared = render(faces[0], topology, stacked(views), lights[1]).image[i]
        np.testing.assert_allclose(shared, render(faces[0], topology, views[i], lights[1]).image, atol=1e-9)
        one_view = render(replace(many, albedo=faces[0].albedo), topology, views[0], both).image[i]
        painted = replace(faces[i], albedo=faces[0].albedo)
        np.testing.assert_allclose(one_view, render(painted, topology, views[0], lights[i]).image, atol=1e-9)
    lamps = PointLights(500 * random(4, 3, 3), random(5, 3, 3).abs(), random(6, 3).abs(), torch.tensor(7.0).double())
    glossy, texture = replace(many, specular=1 - many.albedo), random(7, 16, 16, 3).abs()
    lit = render(glossy, topology, stacked(views), lamps, texture=texture)
    alone = render(replace(faces[1], specular=1 - faces[1].albedo), topology, views[1], lamps, texture=texture)
    np.testing.assert_allclose(lit.image[1], alone.image, atol=1e-9)
    empty = render(Face(many.vertices[:0]), topology, views[0], lights[0])
    assert empty.image.shape == (0, 64, 64, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_triangles_may_be_tensors_and_dtypes_stay(dtype):
    face, topology = head()

    def cast(value):
        return type(value)(*(f.to(dtype) if isinstance(f, torch.Tensor) else f for f in vars(value).values()))

    args = cast(face), cast(head_view()), cast(soft_light())
    seen = render(args[0], topology, *args[1:])
    assert {getattr(seen, name).dtype for name in ("image", "coverage", "normal", "depth", "specular")} == {dtype}
    tensors = replace(topology, triangles=torch.as_tensor(topology.triangles).long(), uv=torch.as_tensor(topology.uv))
    np.testing.assert_array_equal(render(args[0], tensors, *args[1:]).image, seen.image)


def test_gradients_as_finite_differences_have_them():
    """Of a weighted picture to everything that is free, as vectors; weights leave the outline out, where there is none."""
    face, topology = head()
    view, base = head_view(), soft_light()
    place, shininess = torch.tensor([200.0, 300, 50]).double(), torch.tensor(9.0).double()
    texture = 0.5 + 0.1 * random(9, 12, 12, 3)
    steady = render(face, topology, view, base)
    share = torch.nn.functional.avg_pool2d((steady.triangle >= 0).double()[None], 9, 1, 4, count_include_pad=False)[0]
    weight = (share == 1)[..., None] * random(10, 64, 64, 3)
    assert (weight != 0).sum() > 1500 * 3 / 2

    def value(vertices, specular, texture, harmonic, place, shininess, turn, translation, focal):
        seen = render(
            Face(vertices, specular=specular), topology, replace(view, rotation=turn, translation=translation, focal=focal),
            Light(harmonic, Highlight(place, shininess)), texture=texture,
        )  # fmt: skip
        return (seen.image * weight).sum()

    free = [
        face.vertices,
        face.albedo,
        texture,
        base.harmonics,
        place,
        shininess,
        view.rotation,
        view.translation,
        view.focal,
    ]
    free = [tensor.clone().requires_grad_() for tensor in free]
    gradients = torch.autograd.grad(value(*free), free)
    for number, (tensor, gradient) in enumerate(zip(free, gradients)):
        assert (gradient != 0).any(), number
        directions = random(20 + number, 4, *tensor.shape)
        size = 1e-8 * max(1.0, tensor.abs().max().item())
        measured, said = [], []
        for direction in directions:
            ends = [[*free[:number], (tensor + s * size * direction).detach(), *free[number + 1 :]] for s in (1, -1)]
            measured.append(((value(*ends[0]) - value(*ends[1])) / (2 * size)).item())
            said.append((gradient * direction).sum().item())
        np.testing.assert_allclose(said, measured, rtol=2e-4, atol=2e-4 * np.abs(measured).max(), err_msg=str(number))


def test_a_head_is_found_by_its_silhouette_alone():
    """Descent on soft coverage, which no other part of a picture has a gradient for; several starts as one batch."""
    face, topology = head()
    target, outline = head_view((40, 40), focal=80.0), region(topology.triangles)
    wanted = render(face, topology, target, soft_light(), region=outline).coverage
    shift = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (6, 3)) * [25, 25, 60]).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=4.0, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for _ in range(50):
        view = replace(target, translation=target.translation + shift)
        share = render(face, topology, view, soft_light(), region=outline).coverage
        optimizer.zero_grad()
        (share - wanted).square().mean((1, 2)).sum().backward()
        optimizer.step()
        schedule.step()
    assert shift.detach()[:, :2].abs().max() < 0.5 and shift.detach()[:, 2].abs().max() < 3


DOCS = Path(__file__).parents[1] / "docs"


def test_the_lines_of_the_page_run(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "renderer.md").read_text(), re.S)
    scope = {}
    exec(compile(block, "renderer.md", "exec"), scope)
    assert scope["stored"].shape == (224, 224, 3) and scope["stored"].std() > 20
    said = re.search(r"# (jawOpen .* pixels)", block).group(1)
    assert capsys.readouterr().out.strip() == said


def test_the_pages_pictures_are_drawn_and_alike_each_time(monkeypatch):
    """Small; the command draws the same in full size."""
    spec = importlib.util.spec_from_file_location("make_renderer_page", DOCS / "make_renderer_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    monkeypatch.setattr(page, "TILE", 64)
    monkeypatch.setattr(page, "SAMPLES", 1)
    first, second = np.asarray(page.make_page()), np.asarray(page.make_page())
    np.testing.assert_array_equal(first, second)
    tiles = [first[y : y + 64, x : x + 64] for y in range(0, 3 * 94, 94) for x in range(0, 5 * 72, 72)]
    assert all(tile.std() > 8 for tile in tiles)
