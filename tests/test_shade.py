"""Light on surfaces: against integrals, against plain loops, and what must hold for any light."""

import math

import numpy as np
import pytest
import torch

from likeness.geometry import harmonics, rotation
from likeness.render import shade
from likeness.render.shade import Surface
from likeness.types import Highlight, Light, PointLights, View, WeakView

BATCHES = [(), (2,), (2, 3)]
N = 5


def random(seed, *shape):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def unit(seed, *shape):
    return torch.nn.functional.normalize(random(seed, *shape, 3), dim=-1)


def surface(batch=()):
    """Points about 500 mm in front of the camera, with normals of all directions."""
    position = 60 * random(0, *batch, N, 3) - torch.tensor([0.0, 0, 500])
    return Surface(position, unit(1, *batch, N), random(2, *batch, N, 3).abs(), random(3, *batch, N, 3).abs())


def point_lights(batch=(), count=3):
    positions = 900 * random(4, *batch, count, 3)
    return PointLights(
        positions, random(5, *batch, count, 3).abs(), random(6, *batch, 3).abs(), 1 + random(7, *batch).abs()
    )


def highlight(batch=()):
    return Highlight(torch.tensor([100.0, 300, 200]) + 50 * random(8, *batch, 3), 3 + random(9, *batch).abs())


def camera(batch=()):
    return View(None, None, None, None, (1, 1))


def parts(value, index):
    """One item of a batch of a dataclass or a named tuple."""
    fields = value if isinstance(value, tuple) else vars(value).values()
    return type(value)(*(field[index] for field in fields))


def test_harmonics_have_the_stated_order_and_constants():
    """Real spherical harmonics, orthonormal; written out, without the code's constants."""
    x, y, z = unit(10, 40).T
    expected = [
        0.282095 * torch.ones_like(x), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
        0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ]  # fmt: skip
    np.testing.assert_allclose(harmonics.basis(torch.stack([x, y, z], -1)), torch.stack(expected, -1), atol=1e-6)


def test_harmonic_light_is_the_integral_over_the_hemisphere():
    """Gauss's quadrature about each normal, in which the integrand is a polynomial: exact, not sampled."""
    radiance, normals, albedo = random(11, 9, 3), unit(12, 6), random(13, 6, 3).abs()
    nodes, weights = np.polynomial.legendre.leggauss(8)
    cosine, weights = torch.as_tensor((nodes + 1) / 2), torch.as_tensor(weights / 2)
    angle = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    sine = torch.sqrt(1 - cosine**2)[:, None]
    around = torch.stack([sine * angle.cos(), sine * angle.sin(), cosine[:, None].expand(-1, 16)], -1)
    expected = []
    for normal in normals:
        frame = torch.linalg.qr(torch.column_stack([normal, torch.eye(3, dtype=torch.float64)[:, :2]]))[0]
        frame = torch.column_stack([frame[:, 1], frame[:, 2], normal])
        arriving = harmonics.basis(around @ frame.T) @ radiance
        irradiance = (arriving * (cosine * weights)[:, None, None]).sum((0, 1)) * (2 * math.pi / 16)
        expected.append(irradiance / math.pi)
    light = Light(harmonics.from_radiance(radiance))
    seen = shade.harmonic(Surface(None, normals, albedo), light)
    np.testing.assert_allclose(seen, albedo * torch.stack(expected), atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES)
def test_phong_equals_a_plain_loop(batch):
    points, lights = surface(batch), point_lights(batch)
    seen = shade.phong(points, lights, shade.towards_viewer(points.position, camera()))
    for index in np.ndindex(*batch):
        one, lamp = parts(points, index), parts(lights, index)
        for i in range(N):
            x, n = one.position[i].numpy(), one.normal[i].numpy()
            v = -x / np.linalg.norm(x)
            diffuse, specular = lamp.ambient.numpy().copy(), np.zeros(3)
            for place, color in zip(lamp.positions.numpy(), lamp.colors.numpy()):
                to = (place - x) / np.linalg.norm(place - x)
                if n @ to > 0:
                    diffuse += color * (n @ to)
                    specular += color * max((2 * (n @ to) * n - to) @ v, 0) ** float(lamp.shininess)
            np.testing.assert_allclose(seen.diffuse[index][i], one.albedo[i].numpy() * diffuse, atol=1e-9)
            np.testing.assert_allclose(seen.specular[index][i], one.specular[i].numpy() * specular, atol=1e-9)


@pytest.mark.parametrize("batch", BATCHES)
def test_blinn_phong_equals_the_papers_formula(batch):
    """Deng et al. 2022, eq. 5, with incoming and outgoing vectors as printed."""
    points, lamp = surface(batch), highlight(batch)
    seen = shade.blinn_phong(points, lamp, shade.towards_viewer(points.position, camera()))
    for index in np.ndindex(*batch):
        one, light = parts(points, index), parts(lamp, index)
        incoming = one.position - light.position
        incoming, outgoing = (v / torch.linalg.norm(v, dim=1, keepdim=True) for v in (incoming, -one.position))
        half = outgoing - incoming
        cosine = (half / torch.linalg.norm(half, dim=1, keepdim=True) * one.normal).sum(1, keepdim=True)
        expected = torch.where(cosine > 0, one.specular * cosine.abs() ** light.shininess, 0)
        np.testing.assert_allclose(seen[index], expected, atol=1e-9)


def test_a_mirror_that_faces_half_way_shines_with_its_whole_albedo():
    position = torch.tensor([[0.0, 0, -500]], dtype=torch.float64)
    lamp = Highlight(torch.tensor([500.0, 0, -500], dtype=torch.float64), torch.tensor(80.0, dtype=torch.float64))
    normal = torch.tensor([[1.0, 0, 1]], dtype=torch.float64) / math.sqrt(2)
    specular = torch.tensor([[0.3, 0.2, 0.1]], dtype=torch.float64)
    points = Surface(position, normal, specular, specular)
    towards = shade.towards_viewer(position, camera())
    np.testing.assert_allclose(shade.blinn_phong(points, lamp, towards), specular)
    one = PointLights(lamp.position[None], torch.ones(1, 3).double(), torch.zeros(3).double(), lamp.shininess)
    np.testing.assert_allclose(shade.phong(points, one, towards).specular, specular)


def test_gradients_reach_the_lights_place_and_its_shininess():
    points, lamp, lights = surface((2,)), highlight((2,)), point_lights((2,))

    def gleam(position, normal, specular, place, shininess):
        seen = Surface(position, normal, specular, specular)
        return shade.blinn_phong(seen, Highlight(place, shininess), shade.towards_viewer(position, camera()))

    def lit(position, normal, albedo, specular, *fields):
        seen = Surface(position, normal, albedo, specular)
        return shade.phong(seen, PointLights(*fields), shade.towards_viewer(position, camera()))

    free = [t.clone().requires_grad_() for t in (*points[:2], points.specular, lamp.position, lamp.shininess)]
    assert torch.autograd.gradcheck(gleam, free)
    gleam(*free).sum().backward()
    assert all((tensor.grad.abs() > 0).any() for tensor in free)
    free = [t.clone().requires_grad_() for t in (*points, *vars(lights).values())]
    assert torch.autograd.gradcheck(lit, free)


def test_gradients_are_finite_where_light_and_viewer_see_nothing():
    """Pixels without a surface, surfaces turned away, a light that stands on the surface."""
    zero = torch.zeros(1, 3)
    position = torch.tensor([[0.0, 0, 0], [0, 0, -500], [100, 300, 200]])
    normal = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 0, 1]])
    free = [position, normal, torch.ones(3, 3), torch.ones(3, 3), torch.tensor([100.0, 300, 200]), torch.tensor(20.0)]
    free = [tensor.requires_grad_() for tensor in free]
    points, towards = Surface(*free[:4]), shade.towards_viewer(free[0], camera())
    lights = PointLights(free[4][None], torch.ones(1, 3), zero[0], free[5])
    for seen in (shade.blinn_phong(points, Highlight(*free[4:]), towards), *shade.phong(points, lights, towards)):
        assert torch.isfinite(seen).all() and (seen[:2] == 0).all()
        for gradient in torch.autograd.grad(seen.sum(), free, retain_graph=True, allow_unused=True):
            assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("batch", BATCHES)
def test_brightness_is_linear_in_light_and_in_albedo(batch):
    points, lights, other = surface(batch), point_lights(batch), random(20, *batch, 9, 3)
    towards, light = shade.towards_viewer(points.position, camera()), random(21, *batch, 9, 3)
    both = shade.harmonic(points, Light(light + 2 * other))
    parts = shade.harmonic(points, Light(light)) + 2 * shade.harmonic(points, Light(other))
    np.testing.assert_allclose(both, parts, atol=1e-9)
    twice = PointLights(lights.positions, 2 * lights.colors, 2 * lights.ambient, lights.shininess)
    for bright, dark in zip(shade.phong(points, twice, towards), shade.phong(points, lights, towards)):
        np.testing.assert_allclose(bright, 2 * dark, atol=1e-9)
    double = points._replace(specular=2 * points.specular)
    dark = shade.blinn_phong(points, highlight(batch), towards)
    np.testing.assert_allclose(shade.blinn_phong(double, highlight(batch), towards), 2 * dark, atol=1e-9)


def test_highlights_are_never_negative_and_shrink_with_shininess():
    normals = unit(30, 4000)
    position = 30 * random(31, 4000, 3) - torch.tensor([0.0, 0, 600])
    points = Surface(position, normals, torch.ones_like(normals), torch.ones_like(normals))
    towards, place = shade.towards_viewer(position, camera()), torch.tensor([300.0, 400, 100]).double()
    last = None
    for shininess in (1.0, 2.0, 8.0, 64.0):
        seen = shade.blinn_phong(points, Highlight(place, torch.tensor(shininess).double()), towards)
        assert (seen >= 0).all() and (seen <= 1).all() and seen.max() > 0.9
        assert last is None or (seen <= last).all() and seen.mean() < 0.9 * last.mean()
        last = seen


def test_the_camera_frame_is_only_a_frame():
    """Turning points, normals, lights and viewer together changes nothing."""
    points, lights, lamp = surface(), point_lights(), highlight()
    turn = rotation.from_sixd(random(40, 6))
    turned = points._replace(position=points.position @ turn.T, normal=points.normal @ turn.T)
    moved = PointLights(lights.positions @ turn.T, lights.colors, lights.ambient, lights.shininess)
    towards, other = (shade.towards_viewer(p.position, camera()) for p in (points, turned))
    for before, after in zip(shade.phong(points, lights, towards), shade.phong(turned, moved, other)):
        np.testing.assert_allclose(after, before, atol=1e-9)
    before = shade.blinn_phong(points, lamp, towards)
    after = shade.blinn_phong(turned, Highlight(lamp.position @ turn.T, lamp.shininess), other)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_the_viewer_is_the_cameras_centre_or_far_along_the_view():
    position = torch.tensor([[30.0, 40, -1200], [0, 0, -3]], dtype=torch.float64)
    expected = -position / position.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(shade.towards_viewer(position, camera()), expected)
    far = shade.towards_viewer(position, WeakView(None, None, None, (1, 1)))
    np.testing.assert_array_equal(far, [0, 0, 1])


@pytest.mark.parametrize("view", [camera(), WeakView(None, None, None, (1, 1))])
def test_either_kind_of_light_shades_and_parts_stay_apart(view):
    points = surface((2,))
    towards, light, lamp = shade.towards_viewer(points.position, view), random(50, 2, 9, 3), highlight((2,))
    seen = shade.shade(points, Light(light, lamp), view)
    np.testing.assert_array_equal(seen.diffuse, shade.harmonic(points, Light(light)))
    np.testing.assert_array_equal(seen.specular, shade.blinn_phong(points, lamp, towards))
    dull = shade.shade(points, Light(light), view)
    np.testing.assert_array_equal(dull.diffuse, seen.diffuse)
    matt = shade.shade(points._replace(specular=None), Light(light, lamp), view)
    assert (dull.specular == 0).all() and (matt.specular == 0).all() and (seen.specular > 0).any()
    lit, expected = shade.shade(points, point_lights((2,)), view), shade.phong(points, point_lights((2,)), towards)
    np.testing.assert_array_equal(lit.diffuse, expected.diffuse)
    np.testing.assert_array_equal(lit.specular, expected.specular)
    matt = shade.shade(points._replace(specular=None), point_lights((2,)), view)
    assert (matt.specular == 0).all() and (matt.diffuse == lit.diffuse).all()


def test_specular_albedo_follows_from_diffuse_albedo():
    albedo = torch.tensor([0.0, 0.25, 1.0])
    np.testing.assert_allclose(shade.specular_from_diffuse(albedo, 0.4), [0.4, 0.3, 0.0])
