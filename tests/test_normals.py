"""Fused vertex normals and their readable twin: the same values, the same gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.geometry.mesh import vertex_normals as twin
from likeness.render.normals import _forward, vertex_normals


def sheet(count=12, batch=(), dtype=torch.float64, seed=0):
    """A crumpled sheet (..., V, 3) and its triangles."""
    y, x = np.mgrid[0:count, 0:count].astype(float)
    noise = 0.3 * np.random.default_rng(seed).standard_normal((*batch, count * count, 3))
    ids = np.arange(count * count).reshape(count, count)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    points = np.stack([x, -y, np.sin(x) + np.cos(y)], -1).reshape(-1, 3) + noise
    return torch.tensor(points, dtype=dtype), torch.from_numpy(triangles)


def pulled(function, vertices, triangles, weights):
    """Values and the gradient of their weighted sum."""
    vertices = vertices.clone().requires_grad_()
    normals = function(vertices, triangles)
    (normals * weights).sum().backward()
    return normals.detach(), vertices.grad


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("whole", [torch.int32, torch.int64])
def test_the_kernel_is_its_twin_in_value_and_gradient(batch, dtype, tolerance, whole):
    vertices, triangles = sheet(batch=batch, dtype=dtype)
    weights = torch.randn(vertices.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    normals, gradient = pulled(vertex_normals, vertices, triangles.to(whole), weights)
    expected, wanted = pulled(twin, vertices, triangles, weights)
    assert normals.dtype == gradient.dtype == dtype
    torch.testing.assert_close(normals, expected, atol=tolerance, rtol=0)
    assert (gradient - wanted).norm() < tolerance * wanted.norm()
    assert torch.cosine_similarity(gradient.ravel(), wanted.ravel(), 0) > 1 - tolerance
    assert abs(((gradient - wanted) * wanted).sum() / (wanted * wanted).sum()) < tolerance


def test_the_gradient_is_that_of_finite_differences():
    vertices, triangles = sheet(4)
    assert torch.autograd.gradcheck(vertex_normals, (vertices.requires_grad_(), triangles))


def test_the_normal_of_a_tilted_plane_points_outwards_and_does_not_depend_on_place_or_unit():
    vertices, triangles = sheet(5)
    plane = torch.stack([vertices[:, 0], vertices[:, 1], 0.5 * vertices[:, 0]], -1)
    expected = torch.tensor([-0.5, 0, 1], dtype=torch.float64) / 1.25**0.5
    for scale, shift in ((1.0, 0.0), (1e-3, 7.0), (1e3, -4e4)):
        torch.testing.assert_close(
            vertex_normals(scale * plane + shift, triangles), expected.expand_as(plane), atol=1e-7, rtol=0
        )


def test_vertices_of_no_area_have_no_normal_and_no_gradient():
    vertices = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [5, 5, 5], [3, 3, 3]], dtype=torch.float32)
    triangles = torch.tensor(
        [[0, 1, 3], [1, 2, 2], [4, 4, 4]]
    )  # the second and third have no area, no one has vertex 5
    for function in (vertex_normals, twin):
        normals, gradient = pulled(function, vertices, triangles, torch.ones(6, 3))
        np.testing.assert_array_equal(normals, [[0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
        assert torch.isfinite(gradient).all() and gradient[0].abs().sum() > 0
        np.testing.assert_array_equal(gradient[[4, 5]], np.zeros((2, 3)))
    np.testing.assert_array_equal(twin(vertices.numpy(), triangles.numpy()), normals)


def test_empty_meshes_and_empty_batches():
    vertices, triangles = sheet(3)
    assert vertex_normals(vertices[:0], triangles[:0]).shape == (0, 3)
    np.testing.assert_array_equal(vertex_normals(vertices, triangles[:0]), np.zeros((9, 3)))
    assert vertex_normals(vertices.expand(0, 9, 3), triangles).shape == (0, 9, 3)


def test_strided_input_and_expanded_gradient():
    vertices, triangles = sheet(6, (2,))
    spread = vertices.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    vertex_normals(spread, triangles).sum().backward()
    _, wanted = pulled(twin, vertices, triangles, torch.ones_like(vertices))
    torch.testing.assert_close(spread.grad, wanted)


def test_any_number_of_threads_gives_the_same_bits():
    vertices, triangles = sheet(30, (3,), torch.float32)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(pulled(vertex_normals, vertices, triangles, vertices))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for result in results for a, b in zip(results[0], result))


def test_the_operator_keeps_torchs_rules():
    vertices, triangles = sheet(4, (2,), torch.float64)
    torch.library.opcheck(_forward, (vertices.requires_grad_(), triangles))


def test_it_compiles_without_a_break_in_the_graph():
    vertices, triangles = sheet(5, (2,))
    compiled = torch.compile(lambda v, t: 2 * vertex_normals(v, t), backend="aot_eager", fullgraph=True)
    normals, gradient = pulled(compiled, vertices, triangles, vertices)
    expected, wanted = pulled(lambda v, t: 2 * twin(v, t), vertices, triangles, vertices)
    torch.testing.assert_close(normals, expected)
    torch.testing.assert_close(gradient, wanted)


def test_what_makes_no_mesh_is_refused():
    vertices, triangles = sheet(3)
    for wrong in (9, -1):
        with pytest.raises(IndexError, match="outside the 9"):
            vertex_normals(vertices, torch.tensor([[0, 1, wrong]]))
    with pytest.raises(ValueError, match="give"):
        vertex_normals(vertices[:, :2], triangles)
    with pytest.raises(ValueError, match="int32 or int64"):
        vertex_normals(vertices, triangles.to(torch.int16))


def test_other_precisions_use_the_twin():
    vertices, triangles = sheet(3, dtype=torch.float32)
    normals = vertex_normals(vertices.bfloat16(), triangles)
    assert normals.dtype == torch.bfloat16
    torch.testing.assert_close(normals, twin(vertices.bfloat16(), triangles))
