"""One body of tests for all rasterizers: what is seen, where in its triangle, and how far away."""

import numpy as np
import pytest
import torch
from rasterizers import SIMULATED, clipped, distance_inside, every_backend, head, sheet, solved, soup, turned

from likeness.geometry import cameras
from likeness.render import rasterize_torch
from likeness.render.rasterize_numba import NEAR
from likeness.types import View

both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
both_cameras = pytest.mark.parametrize("perspective", [True, False], ids=["perspective", "weak"])
EXACT = {torch.float32: 2e-5, torch.float64: 1e-10}
"""Largest difference allowed in a weight, and in a depth as a share of it."""


def assert_sees(drawn, points, triangles, perspective):
    """All pixels hold what polygons and equations of the same triangles say, but those within 1e-3 px of an edge."""
    size, points = drawn.triangle.shape, points.double().numpy()
    nearest, winner, beta = np.full(size, np.inf), np.full(size, -1), np.zeros((*size, 3))
    doubtful = np.zeros(size, bool)
    for t, ids in enumerate(triangles.tolist()):
        polygon = clipped(points[ids], NEAR) if perspective else points[ids]
        inside = distance_inside(polygon, size)
        weights, depth = solved(points[ids], size, perspective)
        doubtful |= (abs(inside) < 1e-3) | ((inside > 0) & (abs(depth - nearest) < 1e-3))
        better = (inside > 0) & (depth < nearest)
        nearest[better], winner[better], beta[better] = depth[better], t, weights[better]
    assert doubtful.mean() < 0.1
    triangle, barycentric, depth = (value.double().numpy()[~doubtful] for value in drawn)
    np.testing.assert_array_equal(triangle, winner[~doubtful])
    exact, seen = EXACT[drawn.depth.dtype], triangle >= 0
    np.testing.assert_allclose(barycentric, beta[~doubtful], atol=exact)
    np.testing.assert_allclose(depth[seen], nearest[~doubtful][seen], rtol=exact, atol=exact)
    assert np.isinf(depth[~seen]).all() and (barycentric[~seen] == 0).all()


@every_backend
@both_dtypes
@both_cameras
def test_a_triangle_is_where_equations_say(draw, dtype, perspective):
    height, width = draw.side, draw.side + 5
    corners = [[1.3, 0.4, 20.0], [0.8 * width, 0.3 * height, 70.0], [0.4 * width, 1.1 * height, 35.0]]
    points = torch.tensor(corners, dtype=dtype)
    drawn = draw(points, [[0, 2, 1]], (height, width), perspective=perspective)
    assert drawn.triangle.dtype == torch.int32 and drawn.depth.dtype == drawn.barycentric.dtype == dtype
    assert drawn.triangle.shape == drawn.depth.shape == (height, width)
    assert drawn.barycentric.shape == (height, width, 3)
    assert (drawn.triangle == 0).sum() > height * width / 5
    assert_sees(drawn, points, torch.tensor([[0, 2, 1]]), perspective)


@every_backend
@both_dtypes
@both_cameras
def test_triangles_that_cross_the_camera_are_cut_as_polygons_are(draw, dtype, perspective):
    """Loose triangles with corners before and behind the camera; without perspective, depth has no limits."""
    for seed in range(1 if SIMULATED else 5):
        points, triangles = soup(seed, 6 if SIMULATED else 12, draw.side)
        points = points.to(dtype)
        crossing = (points.reshape(-1, 3, 3)[..., 2] < NEAR).any(1) & (points.reshape(-1, 3, 3)[..., 2] > NEAR).any(1)
        assert crossing.any()
        triangles = turned(points, triangles) if perspective else triangles
        drawn = draw(points, triangles, (draw.side + 3, draw.side), cull=perspective, perspective=perspective)
        assert (drawn.triangle >= 0).float().mean() > 0.15
        assert_sees(drawn, points, triangles, perspective)


@every_backend
@both_dtypes
@pytest.mark.parametrize("snap", [None, 0.5], ids=["free", "centres on edges"])
def test_shared_edges_are_drawn_exactly_once(draw, dtype, snap):
    """Every triangle of a sheet alone, in a batch; together they cover each pixel once, at any depth and scale."""
    rng = np.random.default_rng(0)
    for cells in {"torch": [1, 7], None: [2]}.get(draw.backend, [1, 3, 9] if snap else [1, 3, 9, 40]):
        for perspective in (True,) if draw.backend == "torch" else (True, False):
            points, triangles = sheet(cells, cells, draw.side, snap)
            depth = np.exp(rng.uniform(1, 9, (len(points), 1)))
            alone = torch.tensor(np.concatenate([points, depth], 1)[triangles], dtype=dtype)  # (T, 3, 3)
            for scale in (1.0,) if snap else (1.0, 1e-3, 1e3):  # px between which and beyond which a triangle lies
                moved = alone * torch.tensor([scale, scale, 1], dtype=dtype)
                drawn = draw(moved, [[0, 1, 2]], (draw.side, draw.side), perspective=perspective)
                count = (drawn.triangle >= 0).sum(0)
                if scale == 1:
                    assert (count == 1).all()
                else:
                    assert count.max() <= 1


@every_backend
@both_dtypes
def test_a_ground_that_runs_under_the_camera_has_no_seams(draw, dtype):
    """Edges that cross the near plane are drawn once too, and the horizon is where it must be."""
    points, triangles = sheet(5, 2 if SIMULATED else 9, 400.0)
    # from 100 mm behind the camera to 300 mm before it
    ground = np.stack([points[:, 0] - 200, np.full(len(points), -20.0), points[:, 1] - 300], -1)
    side = draw.side
    view = View(np.eye(3), np.zeros(3), np.float64(side * 0.8), np.array([side / 2, side / 4]), (side, side))
    screen = cameras.project_with_depth(ground, view)
    assert (screen[:, 2] < 0).any()
    drawn = draw(torch.tensor(screen[triangles], dtype=dtype), [[0, 1, 2]], (side, side), cull=False)
    count = (drawn.triangle >= 0).sum(0).numpy()
    down = (np.arange(side) + 0.5 - side / 4) / (side * 0.8)
    depth = np.where(down > 0, 20 / np.where(down > 0, down, 1), np.inf)
    assert (count[depth > 310] == 0).all()
    safe = depth < 290
    assert safe.sum() > 3
    aside = abs(np.arange(side) + 0.5 - side / 2)[None] / (side * 0.8) * depth[safe, None] < 190
    assert (count[safe][aside] == 1).all()
    assert count.max() == 1


@every_backend
def test_what_is_behind_the_camera_is_not_seen(draw):
    side = float(draw.side)
    points = torch.tensor([[0, 0, 50.0], [0, 2 * side, 50], [2 * side, 0, 50]])
    ahead = draw(points, [[0, 1, 2]], (draw.side, draw.side), cull=False)
    assert (ahead.triangle == 0).any()
    for depth in (-50.0, -NEAR, 0.5 * NEAR):
        behind = points.clone()
        behind[:, 2] = depth
        assert (draw(behind, [[0, 1, 2], [0, 2, 1]], (draw.side, draw.side), cull=False).triangle == -1).all()
        weak = draw(behind, [[0, 1, 2]], (draw.side, draw.side), cull=False, perspective=False)
        torch.testing.assert_close(weak.triangle, ahead.triangle, rtol=0, atol=0)


@every_backend
def test_the_nearest_triangle_wins_and_of_equals_the_first(draw):
    side = float(draw.side)
    square = torch.tensor([[-1, -1, 30.0], [-1, 2 * side + 2, 30], [2 * side + 2, -1, 30]])
    points = torch.cat([square, square * torch.tensor([1, 1, 0.5]), square])
    triangles = torch.tensor([[0, 1, 2], [6, 7, 8], [3, 4, 5], [3, 4, 5]], dtype=torch.int32)
    for order in ([0, 1, 2, 3], [2, 3, 1, 0], [1, 0]):
        drawn = draw(points, triangles[order], (draw.side, draw.side))
        nearest = triangles[order, 0].tolist().index(3) if 2 in order else 0
        assert (drawn.triangle == nearest).all()
    depths = draw(points * torch.tensor([1, 1, -1.0]), triangles, (draw.side, draw.side), perspective=False)
    assert (depths.triangle == 0).all() and torch.allclose(depths.depth, torch.tensor(-30.0))


@every_backend
@both_cameras
def test_back_faces_are_culled(draw, perspective):
    points, triangles = soup(3, 3, draw.side, near=10.0)
    front = turned(points, triangles)
    back = front[:, [0, 2, 1]]
    size = (draw.side, draw.side)
    seen = draw(points, front, size, perspective=perspective)
    assert (seen.triangle >= 0).any()
    assert (draw(points, back, size, perspective=perspective).triangle == -1).all()
    for open_ in (front, back):
        drawn = draw(points, open_, size, cull=False, perspective=perspective)
        torch.testing.assert_close(drawn.triangle, seen.triangle)


@every_backend
@both_dtypes
def test_bad_triangles_are_ignored(draw, dtype):
    points, triangles = soup(1, 4, draw.side, near=5.0)
    points, good = points.to(dtype), len(triangles)
    nan, inf = float("nan"), float("inf")
    wrong = [[nan, 1, 50], [1, nan, 50], [3, 3, nan], [inf, 2, 50], [2, -inf, 50], [4, 4, inf], [4, 4, -inf], [2, 5, 0]]
    n = len(points)
    bad = [[0, 0, 1], [1, 2, 2], [2, 2, 2], *([n + i, 0, 1] for i in range(7)), [n, n + 1, n + 2]]
    both = torch.cat([points, torch.tensor(wrong, dtype=dtype)])
    for perspective in (True, False):
        expected = draw(points, triangles, (draw.side, draw.side), cull=False, perspective=perspective)
        triangles_and_bad = torch.cat([triangles, torch.tensor(bad, dtype=torch.int32)])
        drawn = draw(both, triangles_and_bad, (draw.side, draw.side), cull=False, perspective=perspective)
        assert (expected.triangle >= 0).any() and drawn.triangle.max() < good
        for value, truth in zip(drawn, expected, strict=True):
            torch.testing.assert_close(value, truth, rtol=0, atol=0)


@every_backend
def test_bad_triangles_are_refused_when_checked(draw):
    points, triangles = soup(1, 2, draw.side, near=5.0)
    size = (draw.side, draw.side)
    drawn = draw(points, triangles, size, checked=True, cull=False)
    torch.testing.assert_close(drawn.triangle, draw(points, triangles, size, cull=False).triangle)
    for value in (float("nan"), float("inf")):
        wrong = points.clone()
        wrong[4, 1] = value
        with pytest.raises(ValueError, match="vertex 4"):
            draw(wrong, triangles, size, checked=True)
    with pytest.raises(ValueError, match="triangle 1"):
        draw(points, [[0, 1, 2], [3, 3, 4]], size, checked=True)


@every_backend
@both_cameras
def test_pictures_of_one_pixel(draw, perspective):
    hit = torch.tensor([[0.4, 0.4, 9.0], [0.4, 0.7, 9], [0.7, 0.4, 9]])
    for size in ((1, 1), (1, 4), (4, 1)):
        drawn = draw(hit, [[0, 1, 2]], size, perspective=perspective)
        assert drawn.triangle.shape == size and drawn.triangle.ravel().tolist() == [0] + [-1] * (size[0] * size[1] - 1)
        torch.testing.assert_close(drawn.depth[0, 0], torch.tensor(9.0))
    miss = hit + torch.tensor([0.2, 0, 0])
    assert draw(miss, [[0, 1, 2]], (1, 1), perspective=perspective).triangle.item() == -1


@every_backend
@both_dtypes
def test_empty_meshes_give_empty_pictures(draw, dtype):
    nothing = torch.zeros(0, 3, dtype=torch.int32)
    for points in (torch.zeros(0, 3), torch.ones(2, 5, 3), torch.zeros(0, 5, 3), torch.zeros(2, 0, 3)):
        points = points.to(dtype).requires_grad_()
        drawn = draw(points, nothing, (3, 2))
        assert drawn.triangle.shape == (*points.shape[:-2], 3, 2) and drawn.barycentric.dtype == dtype
        assert (drawn.triangle == -1).all() and drawn.depth.isinf().all() and (drawn.barycentric == 0).all()
        drawn.barycentric.sum().backward()
        assert points.grad.shape == points.shape and (points.grad == 0).all()


@every_backend
@both_dtypes
def test_huge_coordinates(draw, dtype):
    """Exact as long as pixels are exact beside them; never a crash, and never weights that are none."""
    size = (draw.side, draw.side)
    for far in (1e4, 1e6):
        points = torch.tensor([[-far, -far, 50.0], [-far, 3 * far, 80], [3 * far, -far, 20]], dtype=dtype)
        drawn = draw(points, [[0, 1, 2]], size)
        assert (drawn.triangle == 0).all()
        expected = solved(points.double().numpy(), size, True)
        np.testing.assert_allclose(drawn.barycentric, expected[0], atol=EXACT[dtype])
        np.testing.assert_allclose(drawn.depth, expected[1], rtol=EXACT[dtype])
    for far in (1e15, 1e30, 3e38):
        corners = [[-far, -far, 50.0], [-far, far, far], [far, -far, -far], [2, 1, 1e-30], [far, 3, 9]]
        points = torch.tensor(corners, dtype=dtype, requires_grad=True)
        triangles = [[0, 1, 2], [0, 1, 3], [1, 3, 2], [4, 3, 0]]
        for perspective in (True, False):
            drawn = draw(points, triangles, size, cull=False, perspective=perspective)
            seen = drawn.triangle >= 0
            assert drawn.depth[seen].isfinite().all() and drawn.barycentric.isfinite().all()
            total = drawn.barycentric[seen].sum(-1)
            torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
            drawn.barycentric[..., 0].sum().backward()


@every_backend
@both_cameras
def test_batches_are_stacks_of_single_pictures(draw, perspective):
    """Leading dimensions (), (2,) and (2, 3); ids of both widths; points whose memory is not in order."""
    points, triangles = soup(4, 3, draw.side, near=5.0)
    batch = points + torch.arange(6.0, dtype=points.dtype).reshape(2, 3, 1, 1) * torch.tensor([0.7, -0.4, 3])
    size = (draw.side, draw.side + 2)
    drawn = draw(batch, triangles, size, cull=False, perspective=perspective)
    strided = batch[0, :2].mT.contiguous().mT
    assert not strided.is_contiguous()
    pair = draw(strided, triangles.long(), size, cull=False, perspective=perspective)
    for i, j in [(0, 0), (0, 1), (1, 2)]:
        single = draw(batch[i, j], triangles, size, cull=False, perspective=perspective)
        for value, stack, two in zip(single, drawn, pair, strict=True):
            assert stack.shape[:2] == (2, 3) and two.shape[:1] == (2,)
            torch.testing.assert_close(stack[i, j], value, rtol=0, atol=0)
            if i == 0:
                torch.testing.assert_close(two[j], value, rtol=0, atol=0)


@every_backend
@both_dtypes
@both_cameras
def test_backends_agree_with_the_twin_on_a_head(draw, dtype, perspective):
    """The same ids at every pixel: all decide in float64 what a centre lies in."""
    points, triangles = head(2 * draw.side, perspective)
    points = points.to(dtype)
    drawn = draw(points, triangles, (2 * draw.side, 2 * draw.side), perspective=perspective)
    truth = rasterize_torch.rasterize(points.double(), triangles, (2 * draw.side, 2 * draw.side), True, perspective)
    assert len(drawn.triangle.unique()) > 6
    assert torch.equal(drawn.triangle, truth[0])
    torch.testing.assert_close(drawn.barycentric.double(), truth[1], atol=EXACT[dtype], rtol=0)
    rounding = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(drawn.depth.double(), truth[2], atol=EXACT[dtype], rtol=rounding)


@every_backend
@both_dtypes
def test_two_runs_agree_to_the_last_bit(draw, dtype):
    points, triangles = soup(6, 6 if SIMULATED else 200, draw.side)
    runs = []
    for _ in range(2):
        free = points.to(dtype).requires_grad_()
        drawn = draw(free, triangles, (draw.side, draw.side), cull=False)
        weight = torch.linspace(-1, 1, drawn.barycentric.numel(), dtype=dtype).reshape(drawn.barycentric.shape)
        ((drawn.barycentric * weight).sum() + drawn.depth[drawn.triangle >= 0].sum()).backward()
        assert free.grad.abs().max() > 0
        runs.append((*drawn, free.grad))
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)
