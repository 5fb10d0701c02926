"""The multi-level face model and the losses of its correctives, on the toy head."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.assets.toy import head
from likeness.geometry.laplacian import umbrella
from likeness.losses import reflectance, smoothness
from likeness.losses.contour import slide
from likeness.losses.landmark import confident_squares
from likeness.models.linear import LinearModel
from likeness.models.multilevel import (
    GeometryCorrectives,
    Level,
    LinearSpace,
    MultilevelModel,
    NonLinearSpace,
    ReflectanceCorrectives,
    corrected,
    harmonics,
    skin_of,
    spread,
)

TOPOLOGY, MEAN = head().topology(), head().mean


class Grey(torch.nn.Module):
    """An albedo model of one code: how light everything is."""

    codes = {"albedo": 1}

    def encoded(self, code):
        return (0.5 + 0.1 * code)[:, None].expand(-1, len(MEAN), 3)


def _model(kind="linear", codes=7):
    torch.manual_seed(0)
    geometry = GeometryCorrectives(*spread(MEAN, TOPOLOGY, 40), kind, codes)
    return MultilevelModel(LinearModel.of(head()), Grey(), geometry, ReflectanceCorrectives(TOPOLOGY, 8, kind, codes))


def _codes(count, sizes=(6, 51, 1, 7, 7)):
    return [0.5 * torch.randn(count, size) for size in sizes]


@pytest.mark.parametrize("kind", ["linear", "non-linear"])
def test_no_corrective_code_leaves_the_base_level(kind):
    model, codes = _model(kind), _codes(2)
    base, final = model(*codes[:3], torch.zeros(2, 7), torch.zeros(2, 7))
    torch.testing.assert_close(final.vertices, base.vertices)
    torch.testing.assert_close(final.albedo, base.albedo)
    base, final = model(*codes)
    assert (final.vertices - base.vertices).norm(dim=-1).mean() > 0.1
    torch.testing.assert_close(final.vertices - base.vertices, final.neutral - base.neutral, atol=1e-4, rtol=0)
    assert 0 <= final.albedo.min() and final.albedo.max() <= 1 and not torch.equal(final.albedo, base.albedo)


def test_corrections_are_added_to_colours_that_are_possible():
    tones = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    places, step, tint = torch.ones(1, 1, 3), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 0.2, -0.3])
    final = corrected(Level(places, tones), step, tint)
    torch.testing.assert_close(final.vertices, places + step)
    torch.testing.assert_close(final.tones, torch.tensor([0.1, 0.7, 0.7]))
    torch.testing.assert_close(torch.autograd.grad(final.tones.sum(), tones)[0], torch.tensor([0.0, 1.0, 0.0]))


def test_linear_correctives_add_up_and_others_do_not():
    one, two = torch.randn(2, 1, 7)
    for kind, linear in (("linear", True), ("non-linear", False)):
        space = _model(kind).geometry
        apart = (space(one + two) - space(one) - space(two)).abs().max()
        assert (apart < 1e-5) == linear
    assert isinstance(_model("non-linear").reflectance.space, NonLinearSpace)


def test_everything_moves_with_the_nodes_and_eyeballs_as_wholes():
    matrix, _ = spread(MEAN, TOPOLOGY, 40)
    assert matrix.shape == (len(MEAN), 40)
    np.testing.assert_allclose(matrix.apply(np.ones((40, 1))), 1, atol=1e-9)
    moved = matrix.apply(np.random.default_rng(0).standard_normal((40, 3)))
    start, ball = TOPOLOGY.parts["eye_left"].start, head().layout.ball
    assert np.ptp(moved[start : start + ball], axis=0).max() < 1e-9
    other = TOPOLOGY.parts["eye_right"].start
    assert np.abs(moved[start] - moved[other]).max() > 0.05
    assert np.ptp(moved[TOPOLOGY.parts["skin"]], axis=0).min() > 0.5


def test_harmonics_of_a_line_are_cosines_smoothest_first():
    count = 9
    pairs = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
    found = harmonics(pairs, count)
    np.testing.assert_allclose(found @ found.T, count * np.eye(count), atol=1e-9)
    for k in range(count):
        wave = np.cos(np.pi * k * (np.arange(count) + 0.5) / count)
        assert abs(np.corrcoef(wave, found[k])[0, 1]) > 0.9999 if k else np.ptp(found[0]) < 1e-9


def test_a_basis_begins_smooth_on_each_axis():
    count = 30
    pairs = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
    space = LinearSpace(12, pairs, count, 1.0)
    shapes = space(torch.eye(12)).detach()
    assert ((shapes.abs().amax(1) > 1e-6).sum(1) == 1).all()  # one axis each
    rough = shapes.diff(dim=1).square().sum((1, 2)) / shapes.square().sum((1, 2))
    assert rough.max() < 0.12 and rough[0] < 1e-6 < rough[3] < rough[9]
    assert space.basis.detach().square().mean() == pytest.approx(1 / 3, rel=1e-3)
    assert LinearSpace(20, pairs[:4], 5, 1.0).basis[15:].abs().max() == 0


def test_reflectance_correctives_paint_skin_alone():
    space, code = _model().reflectance, torch.randn(3, 7)
    at_vertices, skin = space(code), torch.from_numpy(skin_of(TOPOLOGY))
    assert at_vertices[:, ~skin].abs().max() == 0 < at_vertices[:, skin].abs().min()
    texture = space.texture(code)
    assert texture.shape == (3, 8, 8, 3)
    read = space.read.apply(texture.flatten(1, 2))
    torch.testing.assert_close(read, at_vertices)


def test_roughness_is_that_of_the_equation():
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    values = torch.randn(2, 4, 3, dtype=torch.float64)
    ring = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3], 3: [0, 2]}
    wanted = torch.stack([(values[:, i] - values[:, j].mean(1)).square().sum(-1) for i, j in ring.items()]).mean()
    found = smoothness.roughness(values, umbrella(triangles, 4))
    torch.testing.assert_close(found, wanted)
    assert smoothness.roughness(torch.ones(1, 4, 3), umbrella(triangles, 4)) < 1e-12
    values.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: smoothness.roughness(x, umbrella(triangles, 4)), values)
    assert smoothness.size(torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]])) == 12.5


def test_shade_does_not_change_chromaticity_and_paint_does():
    skin = torch.tensor([0.5, 0.3, 0.2])
    assert (reflectance.chromaticity(skin) - reflectance.chromaticity(0.4 * skin)).norm() < 0.05
    assert reflectance.alikeness(skin, 0.4 * skin) > 5 * reflectance.alikeness(skin, torch.tensor([0.2, 0.3, 0.5]))
    assert reflectance.alikeness(skin, skin) == 1
    assert torch.isfinite(reflectance.chromaticity(torch.zeros(3))).all()


def test_sparsity_prefers_one_step_to_many():
    step = torch.tensor([0.0, 0.0, 0.0, 0.3])[:, None].expand(4, 3)
    ramp = torch.full((4, 3), 0.075)
    zero, weight = torch.zeros(4, 3), torch.ones(4)
    assert reflectance.sparsity(step, zero, weight) < 0.95 * reflectance.sparsity(ramp, zero, weight)
    one = reflectance.sparsity(torch.tensor([[0.3, 0.0, 0.0]]), zero[:1], torch.tensor([2.0]))
    assert one == pytest.approx(2 * 0.3**0.9, rel=1e-2)
    start = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    reflectance.sparsity(start, zero.double(), weight.double()).backward()
    assert start.grad.isfinite().all() and start.grad.abs().max() == 0


def test_constancy_sums_over_the_others_and_averages_over_places():
    values = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
    others = torch.tensor([[[1.0, 0, 0], [2.0, 0, 0]], [[1.0, 0, 0], [1.0, 2.0, 0]]])
    assert reflectance.constancy(values, others) == pytest.approx((1 + 4 + 0 + 4) / 2)


def test_points_slide_along_the_path_and_pull_it_across():
    path = torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]], requires_grad=True)
    points = torch.tensor([[3.0, 2.0], [12.0, 5.0], [-4.0, 0.0]])
    found = slide(points, path)
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0], [10.0, 5.0], [0.0, 0.0]]))
    confident_squares(found[:1], points[:1], torch.ones(1)).backward()
    torch.testing.assert_close(path.grad, torch.tensor([[0.0, -2.8], [0.0, -1.2], [0.0, 0.0]]))
    batch = slide(points.expand(2, 3, 2), torch.stack([path, path + 1]))
    torch.testing.assert_close(batch[0], found)


def test_landmarks_count_by_confidence():
    found, true = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    assert confident_squares(found, true, torch.tensor([[0.5, 1.0]])) == pytest.approx((12.5 + 1) / 2)
