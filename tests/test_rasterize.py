"""The z-buffer: coverage, shared edges, perspective, bad input."""

import numpy as np

from likeness.render.rasterize_numba import interpolate, rasterize


def fan(seed, size=32.0, depth=500.0):
    """A square of triangles around a random centre, corners on pixel centres: many shared edges and exact ties."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0.5, 0.5], [size - 0.5, 0.5], [size - 0.5, size - 0.5], [0.5, size - 0.5]])
    centre = np.floor(rng.uniform(4, size - 4, 2)) + 0.5
    points = np.concatenate([np.concatenate([corners, centre[None]]), np.full((5, 1), depth)], 1)
    return points, np.array([[4, (i + 1) % 4, i] for i in range(4)], np.int32)


def test_shared_edges_are_drawn_exactly_once():
    for seed in range(20):
        points, triangles = fan(seed)
        count = sum((rasterize(points, t[None], (32, 32))[0] >= 0).astype(int) for t in triangles)
        assert count.max() == 1
        assert (count[:-1, :-1] == 1).all()  # the last row and column lie on bottom and right edges
        assert (count[-1] == 0).all() and (count[:, -1] == 0).all()


def test_the_nearer_surface_wins_and_back_faces_are_culled():
    points, triangles = fan(0)
    near = points - [0, 0, 100.0]
    both = np.concatenate([points, near])
    triangle, _, depth = rasterize(both, np.concatenate([triangles, triangles + 5]), (32, 32))
    assert set(np.unique(triangle[:-1, :-1])) <= {4, 5, 6, 7}
    np.testing.assert_allclose(depth[:-1, :-1], 400)
    backwards = triangles[:, ::-1]
    assert (rasterize(points, backwards, (32, 32))[0] == -1).all()
    assert (rasterize(points, backwards, (32, 32), cull=False)[0] >= 0).any()


def test_weights_are_perspective_correct():
    """Interpolated camera positions project back onto the pixel's centre."""
    camera = np.array([[-40.0, 30.0, -300.0], [50.0, 35.0, -900.0], [5.0, -40.0, -400.0]])
    focal, centre = 200.0, 32.0
    points = np.stack([
        centre + focal * camera[:, 0] / -camera[:, 2], centre - focal * camera[:, 1] / -camera[:, 2], -camera[:, 2]
    ], 1)  # fmt: skip
    triangles = np.array([[0, 2, 1]], np.int32)
    triangle, weights, depth = rasterize(points, triangles, (64, 64))
    rows, columns = np.nonzero(triangle >= 0)
    assert len(rows) > 100
    seen = interpolate(camera, triangles, triangle, weights)[rows, columns]
    np.testing.assert_allclose(centre + focal * seen[:, 0] / -seen[:, 2], columns + 0.5, atol=1e-3)
    np.testing.assert_allclose(centre - focal * seen[:, 1] / -seen[:, 2], rows + 0.5, atol=1e-3)
    np.testing.assert_allclose(-seen[:, 2], depth[rows, columns], rtol=1e-5)


def test_bad_triangles_are_ignored():
    points, triangles = fan(1)
    bad = np.concatenate([points, [[np.nan, 1, 500], [1e30, -1e30, 500], [3, 3, -5]]])
    extra = np.array([[5, 1, 2], [6, 0, 1], [7, 1, 2], [0, 0, 1]], np.int32)
    drawn = rasterize(bad, np.concatenate([triangles, extra]), (32, 32))[0]
    assert (drawn[drawn >= 0] < 4).mean() > 0.4
    assert (rasterize(np.zeros((0, 3)), np.zeros((0, 3), np.int32), (1, 1))[0] == -1).all()
