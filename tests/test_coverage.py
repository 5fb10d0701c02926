"""Soft coverage: areas, their gradients against the shoelace formula, and what hides what."""

import math

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.geometry import cameras, mesh, rotation
from likeness.render import separate, separate_numba
from likeness.render.coverage import coverage, region, within
from likeness.render.rasterize_numba import rasterize
from likeness.types import View

SIZE = 48, 64


def fan(corners, depth=500.0):
    """Points and triangles of a polygon (n, 2) px around its middle, which faces the camera."""
    corners = np.asarray(corners, float)
    points = np.column_stack([np.vstack([corners, corners.mean(0)]), np.full(len(corners) + 1, depth)])
    ids = np.arange(len(corners))
    triangles = np.stack([ids, np.full_like(ids, len(corners)), np.roll(ids, -1)], 1)
    return points, triangles if shoelace(corners) > 0 else triangles[:, ::-1].copy()


def shoelace(corners):
    """Signed area of a polygon."""
    x, y = np.asarray(corners).T
    return 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()


def shoelace_gradient(corners):
    """Of the area, (n, 2)."""
    before, after = np.roll(corners, 1, 0), np.roll(corners, -1, 0)
    gradient = 0.5 * np.stack([after[:, 1] - before[:, 1], before[:, 0] - after[:, 0]], 1)
    return gradient * np.sign(shoelace(corners))


def star(seed, count=9, radius=(12, 21), centre=(32, 24)):
    """A polygon around a centre, not convex, edges of several pixels."""
    random = np.random.default_rng(seed)
    angle = (np.arange(count) + random.uniform(-0.2, 0.2, count)) * 2 * np.pi / count
    return np.array(centre) + random.uniform(*radius, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def drawn(points, triangles, size=SIZE, **options):
    return torch.as_tensor(rasterize(points, triangles, size, **options)[0])


def covered(points, triangles, inside=None, size=SIZE, cull=True, dtype=torch.float64):
    """Coverage and the gradient of its sum to the points."""
    free = torch.tensor(points, dtype=dtype, requires_grad=True)
    shares = coverage(free, drawn(points, triangles, size, cull=cull), region(triangles, inside), cull=cull)
    assert shares.shape == size and shares.min() >= 0 and shares.max() <= 1
    (gradient,) = torch.autograd.grad(shares.sum(), free)
    assert (gradient[:, 2] == 0).all()
    return shares.detach().numpy(), gradient[:, :2].numpy()


def supersampled(points, triangles, inside, size=SIZE, factor=16):
    """Shares of pixels by counting centres of a finer picture."""
    fine = rasterize(points * [factor, factor, 1], triangles, (size[0] * factor, size[1] * factor))[0]
    seen = np.append(inside, False)[fine]
    return seen.reshape(size[0], factor, size[1], factor).mean((1, 3))


def assert_same_direction(gradient, expected, relative, bias=0.01):
    """As vectors: relative l2 distance, cosine, and the mean of the difference along the expected one."""
    a, b = np.ravel(gradient), np.ravel(expected)
    assert np.linalg.norm(a - b) < relative * np.linalg.norm(b)
    assert a @ b > (1 - relative**2) * np.linalg.norm(a) * np.linalg.norm(b)
    assert abs((a - b) @ b) < bias * (b @ b)


@pytest.mark.parametrize("radius", [3.2, 9.7, 20.3])
def test_the_area_of_a_disc(radius):
    angle = np.arange(720) * 2 * np.pi / 720
    for x, y in ((32, 24), (31.7, 24.2), (32.49, 23.51)):
        points, triangles = fan(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1))
        shares, gradient = covered(points, triangles)
        # an outline of chords between crossings, which loses half a pixel in a whole turn, whatever the radius
        assert math.pi * radius**2 - 0.6 < shares.sum() < math.pi * radius**2
        inside = np.ones(len(triangles), bool)
        assert np.abs(shares - supersampled(points, triangles, inside)).max() < 0.08
        # edges are far shorter than a pixel, so that few vertices carry the gradient; growing, shifting, bending are right
        around = gradient[:-1]
        outwards = np.stack([np.cos(angle), np.sin(angle)], 1)
        assert (around * outwards).sum() == pytest.approx(2 * np.pi * radius, rel=0.02)
        np.testing.assert_allclose(around.sum(0), 0, atol=1e-9)
        for k in (2, 3):
            bend = (around * outwards * np.cos(k * angle)[:, None]).sum()
            assert bend == pytest.approx(0, abs=0.03 * 2 * np.pi * radius)


@pytest.mark.parametrize("seed", range(12))
def test_the_gradient_of_a_polygons_area_is_the_shoelace_formulas(seed):
    corners = star(seed)
    points, triangles = fan(corners)
    shares, gradient = covered(points, triangles)
    assert shares.sum() == pytest.approx(abs(shoelace(corners)), abs=1.5)
    assert_same_direction(gradient[:-1], shoelace_gradient(corners), 0.05)
    np.testing.assert_array_equal(gradient[-1], 0)


def test_straight_borders_fill_pixels_exactly():
    """Away from its corners a rectangle's shares are the product of two lengths."""
    left, right, top, bottom = 10.3, 40.85, 7.6, 30.1
    shares, _ = covered(*fan([[left, top], [right, top], [right, bottom], [left, bottom]]))
    width, height = (np.clip(np.minimum(high, np.arange(n) + 1) - np.maximum(low, np.arange(n)), 0, 1)
                     for low, high, n in ((left, right, 64), (top, bottom, 48)))  # fmt: skip
    away = np.ones(SIZE, bool)
    for x in (left, right):
        for y in (top, bottom):
            away[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = False
    np.testing.assert_allclose(shares[away], np.outer(height, width)[away], atol=1e-9)


def test_sloping_borders_fill_pixels_exactly():
    """A half plane in every direction, against counting."""
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False) + 0.05:
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        corners = np.array([[0.3, -500], [0.3, 500], [900, 500], [900, -500]]) @ turn + [32.1, 24.3]
        points, triangles = fan(corners)
        shares, _ = covered(points, triangles)
        error = shares - supersampled(points, triangles, np.ones(len(triangles), bool))
        assert np.abs(error[1:-1, 1:-1]).max() < 0.03


THROUGH_CENTRES = (
    [[12.5, 24.5], [32.5, 4.5], [52.5, 24.5], [32.5, 44.5]], [[10.5, 8.5], [40.5, 8.5], [40.5, 30.5], [10.5, 30.5]],
)  # fmt: skip


@pytest.mark.parametrize("corners", THROUGH_CENTRES)
def test_borders_through_pixels_centres(corners):
    """Ties: every crossing of the outline is a pixel's centre, and belongs to one pixel or to another."""
    points, triangles = fan(corners)
    shares, gradient = covered(points, triangles)
    assert np.abs(shares - supersampled(points, triangles, np.ones(len(triangles), bool))).max() < 0.26
    assert shares.sum() == pytest.approx(abs(shoelace(corners)), abs=1)
    assert_same_direction(gradient[:-1], shoelace_gradient(np.array(corners)), 0.1, bias=0.03)


@pytest.mark.parametrize("side", [1, -1])
def test_corners_that_touch_are_two_regions(side):
    """Of four neighbouring pixels two opposite ones are in: each keeps its corner, none is filled between them."""
    squares = [[[8, 8], [19.9, 8], [19.9, 20.0], [8, 20.0]], [[20.1, 20.2], [33, 20.2], [33, 33], [20.1, 33]]]
    squares = [[[x if side > 0 else 41 - x, y] for x, y in square] for square in squares]
    (first, a), (second, b) = (fan(square) for square in squares)
    points, triangles = np.vstack([first, second]), np.vstack([a, b + len(first)])
    shares, _ = covered(points, triangles)
    middle = (
        drawn(points, triangles).numpy()[19:21, 19:21] if side > 0 else drawn(points, triangles).numpy()[19:21, 20:22]
    )
    assert (middle >= 0).sum() == 2 and (middle[0, 0] >= 0) == (middle[1, 1] >= 0)
    assert shares.sum() == pytest.approx(11.9 * 12.0 + 12.9 * 12.8, abs=1)
    assert np.abs(shares - supersampled(points, triangles, np.ones(len(triangles), bool))).max() < 0.25


def test_the_area_moves_smoothly():
    """A shift by fractions of a pixel keeps the area; growth changes it as its gradient says."""
    corners = star(3)
    areas = [covered(*fan(corners + shift))[0].sum() for shift in np.linspace(0, 1, 11)[:, None] * [1, 0.6]]
    assert np.ptp(areas) < 1.2
    middle, rates, measured = corners.mean(0), [], []
    for scale in np.linspace(0.9, 1.1, 21):
        shares, gradient = covered(*fan(middle + scale * (corners - middle)))
        rates.append((gradient[:-1] * (corners - middle)).sum())
        measured.append(shares.sum())
    assert measured[-1] - measured[0] == pytest.approx(np.mean(rates) * 0.2, rel=0.01)


def hidden(depth):
    """A rectangle, and in the middle of it a triangle at another depth that belongs to something else."""
    back, back_triangles = fan([[9.3, 6.2], [54.6, 6.9], [53.1, 41.4], [10.2, 40.7]])
    front, front_triangles = fan([[20.4, 12.3], [43.7, 15.1], [29.8, 35.6]], depth)
    triangles = np.vstack([back_triangles, front_triangles + len(back)])
    return back, front, triangles, np.arange(len(triangles)) < len(back_triangles)


def test_what_hides_a_region_takes_its_share_and_its_gradient():
    back, front, triangles, inside = hidden(400.0)
    points = np.vstack([back, front])
    shares, gradient = covered(points, triangles, inside)
    area = abs(shoelace(back[:-1, :2])) - abs(shoelace(front[:-1, :2]))
    assert shares.sum() == pytest.approx(area, abs=1.5)
    assert np.abs(shares - supersampled(points, triangles, inside)).max() < 0.25
    n = len(back)
    assert_same_direction(gradient[: n - 1], shoelace_gradient(back[:-1, :2]), 0.05)
    assert_same_direction(gradient[n:-1], -shoelace_gradient(front[:-1, :2]), 0.05)
    other, gradient = covered(points, triangles, ~inside)
    assert other.sum() == pytest.approx(abs(shoelace(front[:-1, :2])), abs=1.5)
    np.testing.assert_array_equal(gradient[:n], 0)
    whole, _ = covered(points, triangles)
    np.testing.assert_allclose((shares + other)[10:38, 15:48], whole[10:38, 15:48], atol=1e-9)


def test_what_lies_behind_a_region_does_nothing():
    back, front, triangles, inside = hidden(600.0)
    shares, gradient = covered(np.vstack([back, front]), triangles, inside)
    assert shares.sum() == pytest.approx(abs(shoelace(back[:-1, :2])), abs=1)
    np.testing.assert_array_equal(gradient[len(back) :], 0)


def test_the_border_between_two_regions_of_one_surface_belongs_to_both():
    """A square cut in two: the halves add up to the whole, and shifting the cut moves area from one to the other."""
    points = np.array([[8.2, 8.4], [30.3, 8.4], [55.6, 8.4], [8.2, 40.3], [33.1, 40.3], [55.6, 40.3]])
    points = np.column_stack([points, np.full(6, 500.0)])
    triangles = np.array([[0, 3, 4], [0, 4, 1], [1, 4, 5], [1, 5, 2]])
    left = np.array([True, True, False, False])
    (first, a), (second, b) = (covered(points, triangles, inside) for inside in (left, ~left))
    whole, _ = covered(points, triangles)
    np.testing.assert_allclose((first + second)[10:38, 10:54], whole[10:38, 10:54], atol=1e-9)
    assert a[[1, 4], 0] == pytest.approx([(40.3 - 8.4) / 2] * 2, rel=0.05)
    np.testing.assert_allclose(a[[1, 4], 0], -b[[1, 4], 0], rtol=0.05)


def head(jaw, size=(112, 112), yaw=0.3):
    """Projected toy head with an open mouth."""
    model, codes = toy.head(), np.zeros(51)
    codes[model.expression_names.index("jawOpen")] = jaw
    turn = rotation.from_euler(np.float64(yaw), np.float64(0.1), np.float64(0))
    view = View(turn, np.array([3.0, 25, -500]), np.float64(400), np.array([56.0, 56]), size)
    return cameras.project_with_depth(model.decode(np.zeros(toy.IDENTITY), codes), view)


def mouth():
    topology = toy.head().topology()
    return topology.triangles, within(topology.triangles, topology.regions["inner_mouth"])


@pytest.mark.parametrize("jaw", [0.4, 0.7, 1.0])
def test_the_inner_mouth_is_what_lips_leave_free(jaw):
    """Deng et al. 2022, sec. 4.1.4. Against a finer picture, in value and in the rate at which the mouth opens."""
    triangles, inside = mouth()
    size, step = (112, 112), 0.02
    points = head(jaw)
    shares, gradient = covered(points, triangles, inside, size)
    fine = supersampled(points, triangles, inside, size, 8)
    assert 100 < fine.sum() and shares.sum() == pytest.approx(fine.sum(), rel=0.01)
    assert np.abs(shares - fine).mean() < 0.002
    areas = [supersampled(head(j), triangles, inside, size, 8).sum() for j in (jaw - step, jaw + step)]
    rate = (gradient * (head(jaw + step) - head(jaw - step))[:, :2]).sum() / (2 * step)
    assert rate == pytest.approx((areas[1] - areas[0]) / (2 * step), rel=0.05)


def test_a_mouth_opens_until_its_area_is_right():
    """Deng et al. 2022, eq. 11, descended: over a hard mask it has no gradient at all."""
    triangles, inside = mouth()
    parts, still = region(triangles, inside), torch.as_tensor(head(0.0))
    wanted = coverage(torch.as_tensor(head(0.8)), drawn(head(0.8), triangles, (112, 112)), parts).sum()
    jaw = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    opening = torch.as_tensor(head(1.0)) - still
    for _ in range(60):
        points = still + jaw * opening  # nearly what the head does, and linear
        area = coverage(points, drawn(points.detach().numpy(), triangles, (112, 112)), parts).sum()
        (gradient,) = torch.autograd.grad((area - wanted).abs(), jaw)
        jaw = (jaw - 0.01 * gradient.sign() * min(1, (area - wanted).abs().item() / 5)).detach().requires_grad_()
    assert area.item() == pytest.approx(wanted.item(), abs=2)
    assert jaw.item() == pytest.approx(0.8, abs=0.05)


def soup(seed, count=40):
    """Triangles of all sizes, orders and depths, some of them broken, behind or across the camera."""
    random = np.random.default_rng(seed)
    points = np.column_stack([random.uniform(-10, 75, (count, 2)), random.uniform(100, 900, count)])
    points[:4] = [[np.nan, 3, 500], [20, 30, -50], [20, 30, 0.1], [1e9, -1e9, 400]]
    points[4:7] = [[30, np.nan, 400], [30, 20, np.nan], [np.inf, 20, 300]]
    triangles = random.integers(0, count, (count, 3))
    return points, triangles, random.random(count) < 0.5


@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("perspective", [True, False])
def test_the_fast_search_finds_what_the_readable_one_does(cull, perspective):
    triangles, inside = mouth()
    cases = [(head(0.7), triangles, inside, (112, 112)), (head(0.5, yaw=0.9), triangles, None, (112, 112))]
    cases += [(*soup(seed), SIZE) for seed in range(6)]
    cases += [(*fan(corners), None, SIZE) for corners in THROUGH_CENTRES]
    found = 0
    for points, triangles, inside, size in cases:
        parts = region(triangles, inside)
        seen = parts.triangle[drawn(points, triangles, size, cull=cull)][None].repeat(2, 1, 1)
        seen[1] = seen[1].roll(1, 1)  # a second picture, in which edges are elsewhere
        both = torch.as_tensor(np.stack([points, points + [1.0, 0, 0]]))
        for dtype in (torch.float32, torch.float64):
            slow = separate.separating(both.to(dtype), parts, seen, cull, perspective)
            fast = separate_numba.separating(both.to(dtype), parts, seen, cull, perspective)
            for a, b in zip(slow, fast):
                np.testing.assert_array_equal(a, b)
                found += (a >= 0).sum().item()
    assert found > 2000


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_are_pictures_side_by_side(batch, dtype):
    triangles, inside = mouth()
    jaws = np.linspace(0.4, 1, int(np.prod(batch)))
    points = np.stack([head(jaw) for jaw in jaws]).reshape(*batch, -1, 3)
    seen = torch.stack([drawn(p, triangles, (112, 112)) for p in points.reshape(-1, *points.shape[-2:])])
    free = torch.tensor(points, dtype=dtype, requires_grad=True)
    shares = coverage(free, seen.reshape(*batch, 112, 112), region(triangles, inside))
    assert shares.shape == (*batch, 112, 112) and shares.dtype == dtype
    (shares.sum((-2, -1)) * torch.as_tensor(jaws.reshape(batch), dtype=dtype)).sum().backward()
    for jaw, index in zip(jaws, np.ndindex(*batch)):
        alone, gradient = covered(head(jaw), triangles, inside, (112, 112), dtype=dtype)
        np.testing.assert_array_equal(shares[index].detach(), alone)
        np.testing.assert_allclose(free.grad[index][:, :2], jaw * gradient, atol=1e-5)


def test_the_gradient_of_each_pixel_says_how_its_share_changes():
    """Per pixel, with random weights, for a rectangle whose borders move."""
    corners = np.array([[10.3, 7.6], [40.8, 9.1], [42.2, 33.2], [8.9, 30.4]])
    weights = np.random.default_rng(1).uniform(-1, 1, SIZE)
    weights = torch.as_tensor(weights + np.roll(weights, 1, 0) + np.roll(weights, 1, 1))

    def weighted(corners):
        points, triangles = fan(corners)
        free = torch.tensor(points, requires_grad=True)
        value = (coverage(free, drawn(points, triangles), region(triangles)) * weights).sum()
        return value.item(), torch.autograd.grad(value, free)[0][:-1, :2].numpy()

    _, gradient = weighted(corners)
    measured, step = np.zeros((4, 2)), 1e-3
    for index in np.ndindex(4, 2):
        change = np.zeros((4, 2))
        change[index] = step
        measured[index] = (weighted(corners + change)[0] - weighted(corners - change)[0]) / (2 * step)
    assert_same_direction(gradient, measured, 0.05, bias=0.03)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_small_pictures_and_regions_that_are_everywhere_or_nowhere(size):
    points, triangles = fan([[-90, -90], [90, -90], [90, 90], [-90, 90]])
    for inside, value in ((None, 1), (np.zeros(4, bool), 0)):
        shares, gradient = covered(points, triangles, inside, size)
        np.testing.assert_array_equal(shares, value)
        np.testing.assert_array_equal(gradient, 0)
    shares, _ = covered(np.zeros((3, 3)), np.zeros((0, 3), int), None, size)
    np.testing.assert_array_equal(shares, 0)


def test_back_faces_count_where_they_are_drawn():
    corners = star(5)
    points, triangles = fan(corners)
    shares, gradient = covered(points, triangles[:, ::-1].copy(), cull=False)
    assert shares.sum() == pytest.approx(abs(shoelace(corners)), abs=1.5)
    assert_same_direction(gradient[:-1], shoelace_gradient(corners), 0.05)
    assert covered(points, triangles[:, ::-1].copy())[0].sum() == 0


def test_a_region_knows_the_meshs_edges():
    topology = toy.head().topology()
    parts = region(topology.triangles)
    edges = parts.edges.numpy()
    np.testing.assert_array_equal(edges, mesh.edges(topology.triangles))
    for k in (0, 1):
        side, there = parts.sides[:, k].numpy(), parts.sides[:, k].numpy() >= 0
        corners = topology.triangles[side[there]]
        third = parts.across[there, k].numpy()
        np.testing.assert_array_equal(np.sort(np.column_stack([edges[there], third]), 1), np.sort(corners, 1))
        runs = np.zeros(len(corners), bool)
        for i in range(3):
            runs |= (corners[:, i] == edges[there, 0]) & (corners[:, (i + 1) % 3] == edges[there, 1])
        np.testing.assert_array_equal(parts.forward[there, k], runs)
    assert (parts.sides[:, 0] >= 0).all() and 0 < (parts.sides[:, 1] < 0).sum() < len(edges) / 5
    three = region([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # a third triangle at an edge becomes an edge of its own
    assert len(three.edges) == 8 and (three.sides[:2] == torch.tensor([[0, 1], [2, -1]])).all()


def test_triangles_within_a_set_of_vertices():
    assert within([[0, 1, 2], [1, 2, 3]], [True, True, True, False]).tolist() == [True, False]
