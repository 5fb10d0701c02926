"""Laplacians by the facts that define them, and the sparse matrices they are."""

import numpy as np
import pytest

from likeness.geometry import laplacian
from likeness.geometry.sparse import Sparse


def sheet(count=9, seed=0):
    """An irregular planar sheet (V, 3), its triangles and which vertices lie inside."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:count, 0:count].astype(float)
    inside = np.zeros((count, count), bool)
    inside[1:-1, 1:-1] = True
    x, y = (v + inside * random.uniform(-0.25, 0.25, v.shape) for v in (x, y))
    ids = np.arange(count * count).reshape(count, count)
    a, b, c, d = ids[:-1, :-1], ids[:-1, 1:], ids[1:, 1:], ids[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3), triangles, inside.ravel()


def sphere(radius):
    trimesh = pytest.importorskip("trimesh")
    ball = trimesh.creation.icosphere(3, radius)
    return np.asarray(ball.vertices), np.asarray(ball.faces)


def kinds(vertices, triangles):
    return {
        "uniform": laplacian.uniform(triangles, len(vertices)),
        "umbrella": laplacian.umbrella(triangles, len(vertices)),
        "cotangent": laplacian.cotangent(vertices, triangles),
    }


@pytest.mark.parametrize("kind", ["uniform", "umbrella", "cotangent"])
def test_constants_vanish_and_what_stands_out_is_positive(kind):
    vertices, triangles, _ = sheet()
    matrix = kinds(vertices, triangles)[kind]
    np.testing.assert_allclose(matrix.apply(np.full((len(vertices), 2), 7.0)), 0, atol=1e-12)
    peak = np.eye(len(vertices))[:, [40]]
    assert matrix.apply(peak)[40] > 0


@pytest.mark.parametrize("kind", ["uniform", "cotangent"])
def test_they_are_symmetric_and_nowhere_negative(kind):
    vertices, triangles, _ = sheet()
    dense = kinds(vertices, triangles)[kind].apply(np.eye(len(vertices)))
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    assert np.linalg.eigvalsh(dense).min() > -1e-10


def test_linear_functions_are_harmonic_on_irregular_planes():
    vertices, triangles, inside = sheet()
    linear = vertices @ [[1.0, 2], [-3, 0.5], [0, 0]]
    np.testing.assert_allclose(laplacian.cotangent(vertices, triangles).apply(linear)[inside], 0, atol=1e-10)
    assert np.abs(laplacian.uniform(triangles, len(vertices)).apply(linear)[inside]).max() > 0.1  # it knows no angles


def test_a_sphere_has_twice_its_mean_curvature_along_its_normal():
    vertices, triangles = sphere(50.0)
    areas = laplacian.voronoi_areas(vertices, triangles)
    found = laplacian.cotangent(vertices, triangles).apply(vertices) / areas[:, None]
    np.testing.assert_allclose(found, 2 / 50 * vertices / 50, atol=0.02 * 2 / 50)


def test_the_dirichlet_energy_is_that_of_the_gradient():
    vertices, triangles, _ = sheet()
    slope = np.array([2.0, -1, 0])
    values = (vertices @ slope)[:, None]
    energy = (values * laplacian.cotangent(vertices, triangles).apply(values)).sum()
    assert energy == pytest.approx(slope @ slope * 64)  # |gradient|^2 times area


def test_areas_add_up_where_triangles_are_obtuse_too():
    vertices, triangles, _ = sheet(seed=3)
    areas = laplacian.voronoi_areas(vertices, triangles)
    assert areas.min() > 0 and areas.sum() == pytest.approx(64)
    right = laplacian.voronoi_areas(np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0.0]]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(right, [1, 0.5, 0.5])


def test_triangles_without_area_count_for_nothing():
    vertices, triangles, _ = sheet(4)
    vertices = np.concatenate([vertices, [[0.5, 0, 0], [9, 9, 9]]])
    worse = np.concatenate([triangles, [[0, 16, 1], [3, 3, 3], [5, 5, 6]]])
    for build in (laplacian.cotangent, laplacian.voronoi_areas):
        assert np.isfinite(getattr(build(vertices, worse), "values", build(vertices, worse))).all()
    before, after = (laplacian.cotangent(vertices, t).apply(vertices) for t in (triangles, worse))
    np.testing.assert_allclose(after, before, atol=1e-12)
    np.testing.assert_array_equal(kinds(vertices, triangles)["umbrella"].apply(vertices)[17], np.zeros(3))


def test_the_umbrella_is_the_difference_to_the_neighbours_mean():
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    values = np.array([[1.0], [5], [2], [9]])
    expected = [[1 - 16 / 3], [5 - 1.5], [2 - 5], [9 - 1.5]]
    np.testing.assert_allclose(laplacian.umbrella(triangles, 4).apply(values), expected)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_numpy_and_torch_apply_alike(batch):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    matrix = Sparse.gathered(*random.integers(0, 6, (2, 20)), random.standard_normal(20), (8, 6))
    dense = matrix.apply(np.eye(6))
    assert dense.shape == (8, 6) and not dense[6:].any()
    values = random.standard_normal((*batch, 6, 3))
    np.testing.assert_allclose(matrix.apply(values), dense @ values)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        tensor = torch.tensor(values, dtype=dtype, requires_grad=True)
        product = matrix.apply(tensor)
        assert product.dtype == dtype
        np.testing.assert_allclose(product.detach(), dense @ values, atol=tolerance)
        weights = torch.randn(product.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
        (product * weights).sum().backward()
        np.testing.assert_allclose(tensor.grad, dense.T @ weights.numpy(), atol=tolerance)
    np.testing.assert_allclose(matrix.transposed().apply(np.eye(8)), dense.T)
    np.testing.assert_allclose(matrix.scaled(np.arange(8)).apply(np.eye(6)), np.arange(8)[:, None] * dense)
    assert matrix.apply(values.astype(np.float32)).dtype == np.float32


def test_the_product_has_derivatives_of_every_order():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    matrix = Sparse.gathered(*random.integers(0, 5, (2, 9)), random.standard_normal(9), (5, 5))
    tensor = torch.tensor(random.standard_normal((2, 5, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(matrix.apply, (tensor,)) and torch.autograd.gradgradcheck(matrix.apply, (tensor,))


def test_entries_of_one_place_are_added_and_wrong_sizes_refused():
    matrix = Sparse.gathered([1, 0, 1], [2, 0, 2], [1.0, 2, 3], (2, 3))
    np.testing.assert_array_equal(matrix.apply(np.eye(3)), [[2, 0, 0], [0, 0, 4]])
    with pytest.raises(ValueError, match="give"):
        matrix.apply(np.zeros((2, 2)))
