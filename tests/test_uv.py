"""Vertices to texture and back."""

import numpy as np
import pytest

from likeness.assets import toy
from likeness.geometry import uv


def sheet(count=9):
    """Chart (V, 2) of a square grid and its triangles."""
    v, u = np.mgrid[0:count, 0:count] / (count - 1)
    ids = np.arange(count * count).reshape(count, count)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([u, v], -1).reshape(-1, 2), triangles


def centres(size):
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    return np.stack([columns / size[1], rows / size[0]], -1)


@pytest.mark.parametrize("size", [(16, 16), (12, 31)])
def test_linear_values_are_painted_and_read_exactly(size):
    places, triangles = sheet()
    chart = uv.Chart.of(places, triangles, size)
    texture = chart.to_texture(places)
    np.testing.assert_allclose(texture, centres(size), atol=1e-12)
    assert chart.covered.all()
    inside = (places > 0.5 / np.array(size[::-1])).all(1) & (places < 1 - 0.5 / np.array(size[::-1])).all(1)
    np.testing.assert_allclose(chart.to_vertices(texture)[inside], places[inside], atol=1e-12)


def test_there_and_back_errs_little_and_less_on_a_finer_texture():
    places, triangles = sheet(33)
    smooth = np.stack([np.sin(4 * places[:, 0]), np.cos(5 * places[:, 1]) * places[:, 0]], -1)
    errors = []
    for size in (32, 128):
        chart = uv.Chart.of(places, triangles, (size, size))
        errors.append(np.abs(chart.to_vertices(chart.to_texture(smooth)) - smooth)[sheet(33)[0].min(1) > 0.1].mean())
    assert errors[0] < 5e-3 and errors[1] < errors[0] / 3.5
    picture = np.sin(6 * centres((64, 64)))
    chart = uv.Chart.of(*sheet(65), (64, 64))
    assert np.abs(chart.to_texture(chart.to_vertices(picture)) - picture)[1:-1, 1:-1].max() < 5e-3


def test_texels_beyond_the_chart_take_the_nearest_value():
    places, triangles = sheet()
    chart = uv.Chart.of(places, triangles[(places[triangles][..., 0] < 0.6).all(1)], (16, 16))
    np.testing.assert_array_equal(chart.covered, centres((16, 16))[..., 0] < 0.5)
    texture = chart.to_texture(places)
    np.testing.assert_allclose(texture[:, 8:, 0], 0.5, atol=1e-12)
    np.testing.assert_allclose(texture[..., 1], centres((16, 16))[..., 1], atol=1e-12)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_torch_as_numpy_with_gradients(batch):
    torch = pytest.importorskip("torch")
    places, triangles = sheet(5)
    chart = uv.Chart.of(places, triangles, (7, 6))
    values = np.random.default_rng(0).standard_normal((*batch, 25, 3))
    tensor = torch.tensor(values, requires_grad=True)
    texture = chart.to_texture(tensor)
    assert texture.shape == (*batch, 7, 6, 3)
    np.testing.assert_allclose(texture.detach(), chart.to_texture(values))
    back = chart.to_vertices(texture)
    np.testing.assert_allclose(back.detach(), chart.to_vertices(chart.to_texture(values)))
    (back * back).sum().backward()
    both = chart.read.apply(chart.paint.apply(np.eye(25)))
    np.testing.assert_allclose(tensor.grad, 2 * both.T @ both @ values)


def test_reading_is_what_the_renderer_samples():
    torch = pytest.importorskip("torch")
    from likeness.render.interpolate import sample_texture

    random = np.random.default_rng(0)
    places, texture = random.uniform(0, 1, (50, 2)), random.standard_normal((9, 14, 3))
    found = uv.bilinear(places, (9, 14)).apply(texture.reshape(-1, 3))
    np.testing.assert_allclose(found, sample_texture(torch.tensor(texture), torch.tensor(places)), atol=1e-12)


def test_a_mirrored_face_has_the_mirrored_texture():
    topology = toy.head().topology()
    chart = uv.Chart.of(topology.uv, topology.triangles, (32, 32))
    values = np.random.default_rng(0).standard_normal((len(topology.uv), 2))
    mirrored = chart.to_texture(uv.mirrored_values(values, topology.mirror))
    inside = chart.covered & chart.covered[:, ::-1]
    apart = np.abs(uv.mirrored_texture(chart.to_texture(values)) - mirrored)[inside].max(-1)
    assert (apart < 1e-5).mean() > 0.99  # but for centres on the seam of two parts, which is either one's
    np.testing.assert_array_equal(
        uv.mirrored_values(uv.mirrored_values(values, topology.mirror), topology.mirror), values
    )
    texture = np.random.default_rng(1).standard_normal((32, 32, 1))
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(uv.mirrored_texture(torch.tensor(texture)), texture[:, ::-1])


def test_a_texture_of_another_size_is_refused():
    with pytest.raises(ValueError, match="height, width"):
        uv.Chart.of(*sheet(3), (4, 5)).to_vertices(np.zeros((5, 4, 1)))
