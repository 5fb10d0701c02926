"""Closest points on surfaces, against trimesh's closed form on every triangle."""

import numpy as np
import pytest

from likeness.geometry.closest import closest_points

trimesh = pytest.importorskip("trimesh")


def everywhere(points, vertices, triangles):
    """(n,) distances by asking every triangle."""
    corners = vertices[triangles]
    best = [
        np.linalg.norm(trimesh.triangles.closest_point(corners, np.tile(p, (len(corners), 1))) - p, axis=1).min()
        for p in points
    ]
    return np.array(best)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_distances_are_the_smallest_over_all_triangles(spread):
    random = np.random.default_rng(1)
    vertices = random.normal(size=(120, 3)) * np.array([1, 1, 0.1])
    triangles = np.array([random.choice(120, 3, replace=False) for _ in range(200)])
    points = vertices[random.integers(120, size=60)] + spread * random.normal(size=(60, 3))
    found = closest_points(points, vertices, triangles)
    np.testing.assert_allclose(found.distances, everywhere(points, vertices, triangles), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.barycentric.sum(1), 1, atol=1e-12)
    assert found.barycentric.min() >= -1e-12
    np.testing.assert_allclose(
        found.points, np.einsum("nk,nkc->nc", found.barycentric, vertices[triangles[found.triangle]])
    )


def test_points_of_the_surface_land_on_themselves():
    random = np.random.default_rng(2)
    vertices = random.normal(size=(30, 3))
    triangles = np.array([[k, k + 1, k + 2] for k in range(28)])
    weights = random.dirichlet([1, 1, 1], 28)
    points = np.einsum("nk,nkc->nc", weights, vertices[triangles])
    assert closest_points(points, vertices, triangles).distances.max() < 1e-12
