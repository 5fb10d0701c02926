"""Analysis by synthesis on the toy head: every term, the derivative, recovery of what was rendered, sharing, divergence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.assets.albedo import AlbedoModel, unfold
from likeness.assets.arkit import EXPRESSIONS
from likeness.fit.photo import beliefs, marks, pixels, pose, synthesis
from likeness.fit.photo.evidence import Evidence
from likeness.fit.photo.quadratic import Layout
from likeness.fit.photo.result import drawn
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Paints, Surface
from likeness.fit.photo.synthesis import COLOURS, SHAPE, Problem, Step
from likeness.geometry import harmonics
from likeness.geometry.rotation import from_euler
from likeness.losses.photometric import l21, robust
from likeness.render.interpolate import sample_texture
from likeness.types import Stage, View

SIZE = 112


def paint():
    """A chart with soft spots, and three modes: bright, warm, darker below."""
    line = np.linspace(0, 2 * np.pi, 64, endpoint=False) + np.pi / 64
    u, v = np.meshgrid(np.cos(3 * line), np.sin(5 * line) * np.cos(2 * line))
    spots = 0.55 + 0.2 * u * v
    mean = np.stack([spots + 0.1, spots, spots - 0.1], -1)
    down = np.broadcast_to(np.linspace(-1, 1, 64)[:, None], (64, 64))
    modes = np.stack(
        [np.full((64, 64, 3), 0.08), np.full((64, 64, 3), 0.05) * [1, 0, -1], 0.08 * down[..., None] * [1, 1, 1]]
    )
    return AlbedoModel.of(mean, modes, np.array([1, 1, 1]), np.zeros((32, 32)))


SURFACE = Surface.of(toy.head(), paint())
FREE = Layout(6, 3, 51)


def scene(
    identity=(0.8, -0.6, 0.7, 1.2, 0.5, -0.5), albedo=(0.8, -0.5, 0.6), yaw=0.15, jaw=0.4, brightness=0.9, frames=1
):
    """Frames of one toy person; light from the upper left."""
    expression = torch.zeros(frames, 51)
    expression[:, EXPRESSIONS.index("jawOpen")] = jaw
    light = torch.zeros(frames, 9, 3)
    light[:, 0], light[:, 1], light[:, 2], light[:, 3] = 3.545 * brightness, 0.5, 0.6, -0.4
    angles = (
        torch.linspace(yaw, -yaw, frames, dtype=torch.float64)
        if frames > 1
        else torch.tensor([yaw], dtype=torch.float64)
    )
    rotation = from_euler(angles, 0 * angles + 0.05, 0 * angles).float()
    place = torch.tensor([0.0, 0.0, -900.0]).repeat(frames, 1)
    return Scene(
        torch.tensor([identity]), torch.tensor([albedo]), expression, rotation, place, torch.full((frames,), 900.0 * SIZE / 260),
        torch.full((frames, 2), SIZE / 2), light, torch.zeros(frames, dtype=torch.long), SIZE,
    )  # fmt: skip


def evidence(true, start, count=478):
    """What there is to see of a scene, and another one to start from."""
    result = []
    for i in range(len(true)):
        image, skin = drawn(SURFACE, true, np.full((SIZE, SIZE, 3), 0.3, np.float32), i)
        found = marks.compare(SURFACE, true, i, torch.zeros(count, 2), torch.ones(count))
        view = View(
            *(getattr(start, name)[i].numpy() for name in ("rotation", "translation", "focal", "principal")),
            (SIZE, SIZE),
        )
        result.append(Evidence(
            image, np.eye(3), np.eye(3), found.pixels.numpy(), np.full(count, 0.5, np.float32), skin,
            start.identity[0].numpy(), start.expression[i].numpy(), view,
        ))  # fmt: skip
    return result


def started(true):
    """The true scene with wrong codes and a wrong camera."""
    start = replace(true, identity=true.identity * 0.3, expression=true.expression * 0.5, albedo=0 * true.albedo)
    step = torch.tensor([[0.03, -0.04, 0.02, 1.5, -1.0, 0.02, 0.05]]).repeat(len(true), 1)
    return pose.moved(start, step)


TRUE = scene()
START = started(TRUE)


def test_the_derivative_is_that_of_the_drawn_picture():
    photo = pixels.Picture(torch.as_tensor(drawn(SURFACE, TRUE, np.zeros((SIZE, SIZE, 3), np.float32))[0]), torch.ones(SIZE, SIZE),
                           torch.tensor(0.1))  # fmt: skip
    seen = pixels.look(SURFACE, TRUE, 0, photo)
    rows = pixels.derivative(SURFACE, TRUE, 0, seen, FREE)
    inner = seen.weight > 0.9

    def image(moved):
        one = pixels.look(SURFACE, moved, 0, photo)
        whole = torch.full((SIZE * SIZE, 3), float("nan")).index_copy(0, one.place, one.residual)
        return whole[seen.place]

    problem = Problem(SURFACE, evidence(TRUE, TRUE))
    for group, size in {"identity": 0.05, "expression": 0.02, "pose": 0.004, "albedo": 0.1, "light": 0.05}.items():
        random = torch.Generator().manual_seed(3)
        direction = torch.zeros(FREE.count)
        part = getattr(FREE, group)
        direction[part] = size * torch.randn(direction[part].shape, generator=random).abs()
        slope = []
        for sign in (1, -1):
            step = sign * direction
            moved = replace(
                TRUE, identity=TRUE.identity + step[FREE.identity], albedo=TRUE.albedo + step[FREE.albedo],
                expression=TRUE.expression + step[FREE.expression], light=TRUE.light + step[FREE.light].reshape(1, 9, 3),
            )  # fmt: skip
            slope.append(image(pose.moved(moved, step[FREE.pose][None])))
        measured = ((slope[0] - slope[1]) / 2)[inner]
        there = ~torch.isnan(measured).any(-1)
        measured, predicted = measured[there], (rows @ direction)[inner][there]
        cosine = (measured * predicted).sum() / measured.norm() / predicted.norm()
        ratio = predicted.norm() / measured.norm()
        assert cosine > 0.93 and 0.85 < ratio < 1.15, (group, float(cosine), float(ratio))
    assert len(problem.points[0]) == 478


TERMS = {
    "photometric": ({"photometric": 100.0}, COLOURS), "contrast": ({"contrast": 50.0}, SHAPE), "landmarks": ({"landmarks": 50.0}, SHAPE),
    "regressor": ({"regressor": 1.0, "identity": 1.0}, SHAPE), "identity": ({"identity": 1.0}, {"identity": 1.0}),
    "albedo": ({"albedo": 1.0}, {"albedo": 1.0}), "expression": ({"expression": 1.0}, {"expression": 1.0}),
    "opposed": ({"opposed": 1.0}, {"expression": 1.0}), "closing": ({"closing": 1.0}, {"expression": 1.0}),
    "distance": ({"distance": 1.0}, {"pose": 1.0}), "light": ({"light": 1.0}, {"light": 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_every_term_alone_moves_what_is_free_to_lower_itself(name):
    terms, rates = TERMS[name]
    start = START
    weights = start.expression.clone()
    for pair, value in ((("mouthClose", "jawLeft", "jawRight")), (0.7, 0.5, 0.5)), (("eyeBlinkLeft",), (0.4,)):
        for code, weight in zip(pair, value):
            weights[:, EXPRESSIONS.index(code)] = weight
    precision = torch.eye(64) * 4
    problem = Problem(SURFACE, evidence(TRUE, TRUE if name == "regressor" else start), precision=precision)
    start = replace(pose.moved(start, torch.tensor([[0, 0, 0, 0, 0, 0, 0.4]])), expression=weights, albedo=start.albedo + 1,
                    light=start.light * torch.tensor([1.0, *[4.0] * 8])[:, None])  # fmt: skip
    step = Step(Stage(name, 4, terms, rates), SIZE)
    before = problem.cost(start, step)
    end, numbers = problem.descend(start, step, lambda k: None)
    after = problem.cost(end, step)
    assert after < 0.9 * before if before > 0 else after < before - 0.1, (before, after)
    assert numbers["steps"] >= 1
    groups = {"identity": ("identity",), "albedo": ("albedo",), "expression": ("expression",), "light": ("light",),
              "pose": ("rotation", "translation", "focal")}  # fmt: skip
    moved = {
        g for g, fields in groups.items() if any(not torch.equal(getattr(start, f), getattr(end, f)) for f in fields)
    }
    assert moved and moved <= set(rates), "nothing but what is free moves"


def test_a_rendered_face_gives_its_numbers_back():
    fitted = synthesis.fit(SURFACE, evidence(TRUE, START))
    found, report = fitted.scene, fitted.report
    assert not report.diverged.any()
    assert report.before.photometric < report.plain.photometric, "albedo explains what light alone does not"
    assert (
        report.after.landmarks < 0.2 * report.before.landmarks
        and report.after.photometric < 0.6 * report.before.photometric
    )
    true, first = SURFACE.vertices(TRUE.identity, TRUE.expression), SURFACE.vertices(START.identity, START.expression)
    end = SURFACE.vertices(found.identity, found.expression)

    def inner(vertices):
        centred = vertices - vertices.mean(1, keepdim=True)
        return centred / centred.norm()

    assert (inner(end) - inner(true)).norm() < 0.6 * (inner(first) - inner(true)).norm()
    normals = beliefs.directions()[beliefs.directions()[:, 2] > 0.5]
    wanted, lit = (harmonics.shade(normals, s.light[0]) for s in (TRUE, found))
    colour = (surface_colour(TRUE) * wanted.mean(), surface_colour(found) * lit.mean())
    assert abs(colour[1] / colour[0] - 1) < 0.05, "albedo times light is known even where the two are not"
    assert (lit / lit.mean() - wanted / wanted.mean()).abs().max() < 0.1
    assert found.identity.abs().max() <= 3 and found.expression.min() >= 0 and found.expression.max() <= 1


def surface_colour(one):
    return SURFACE.texture(one.albedo[0]).mean()


def test_two_fits_agree_to_the_last_bit():
    first, second = (synthesis.fit(SURFACE, evidence(TRUE, START), steps=synthesis.STEPS[:5]).scene for _ in range(2))
    for name in ("identity", "albedo", "expression", "rotation", "translation", "focal", "light"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_frames_of_a_person_share_identity_and_albedo_and_nothing_else():
    true = scene(frames=2, yaw=0.4)
    start = started(true)
    fitted = synthesis.fit(SURFACE, evidence(true, start), person=[0, 0], steps=synthesis.STEPS[:3])
    assert fitted.scene.identity.shape == (1, 6) and fitted.scene.albedo.shape == (1, 3) and len(fitted.scene) == 2
    assert not torch.equal(fitted.scene.rotation[0], fitted.scene.rotation[1])
    apart = synthesis.fit(SURFACE, evidence(true, start), steps=synthesis.STEPS[:3])
    assert apart.scene.identity.shape == (2, 6)
    off = [(one.identity - true.identity).norm(dim=1).mean() for one in (fitted.scene, apart.scene)]
    assert off[0] < off[1], "two photos say more than one"


def test_a_fit_that_is_not_finite_is_said_and_leaves_the_start():
    seen = evidence(TRUE, START)
    image = seen[0].image.copy()
    image[40:60, 40:60] = np.nan
    fitted = synthesis.fit(SURFACE, [replace(seen[0], image=image)])
    assert fitted.report.diverged.all()
    torch.testing.assert_close(fitted.scene.identity, START.identity)
    torch.testing.assert_close(fitted.scene.rotation, START.rotation)


def test_a_fit_that_makes_both_errors_worse_is_put_back():
    problem = Problem(SURFACE, evidence(TRUE, TRUE))
    good = problem.errors(TRUE)
    worse = pose.moved(TRUE, torch.tensor([[0.0, 0.2, 0.0, 8.0, 0.0, 0.0, 0.0]]))
    kept, after, diverged = problem.kept(worse, good)
    assert diverged.all() and torch.equal(kept.rotation, problem.start.rotation)
    torch.testing.assert_close(after.landmarks, good.landmarks)
    kept, _, diverged = problem.kept(TRUE, problem.errors(worse))
    assert not diverged.any() and kept is TRUE


def test_jaw_points_of_the_68_slide_to_the_outline():
    turned = replace(
        TRUE, rotation=from_euler(*(torch.tensor([a], dtype=torch.float64) for a in (0.9, 0.0, 0.0))).float()
    )
    frontal, side = (marks.compare(SURFACE, s, 0, torch.zeros(68, 2), torch.ones(68)) for s in (TRUE, turned))
    rows = torch.as_tensor(SURFACE.topology.contour).long()
    assert (side.vertices[:17] == rows.gather(1, torch.full((17, 1), rows.shape[1] - 1))).all(1).sum() < 17
    assert not torch.equal(frontal.vertices[:17], side.vertices[:17])
    assert all(vertex in row for vertex, row in zip(side.vertices[:17, 0].tolist(), rows.tolist()))
    fitted = synthesis.fit(SURFACE, evidence(TRUE, START, 68), steps=synthesis.STEPS[:3])
    assert fitted.report.after.landmarks < 0.4 * fitted.report.before.landmarks


def test_light_is_negative_nowhere():
    harsh = replace(TRUE, light=TRUE.light * torch.tensor([0.6, 4.0, 1.0, 6.0, 1, 1, 1, 1, 1])[:, None])
    fitted = synthesis.fit(SURFACE, evidence(harsh, harsh), steps=synthesis.STEPS[:2])
    bright = harmonics.shade(beliefs.directions(), fitted.scene.light[0])
    free = harmonics.shade(beliefs.directions(), harsh.light[0])
    assert free.min() < -0.3 and bright.min() > -0.05


def test_answers_count_once_for_a_person():
    answers = replace(scene(frames=2, yaw=0.2), identity=TRUE.identity.repeat(2, 1))
    precision = torch.eye(64) * 2
    measured = beliefs.Measured(answers, precision)
    one = replace(answers, identity=TRUE.identity)
    term = measured.quadratic(one, FREE)
    _, prior, _ = beliefs.priors(one, FREE, 1.0, 0.0)
    total = term.gradient[:, FREE.identity].sum(0) + prior[0, FREE.identity]
    torch.testing.assert_close(total, torch.zeros(6), atol=1e-5, rtol=0)
    assert torch.linalg.eigvalsh(measured.news).min() > -1e-5


def test_axis_angles_are_those_of_the_rotation():
    vector = torch.tensor([[0.3, -0.2, 0.5], [0.0, 0.0, 0.0], [1e-7, 0.0, 0.0]], dtype=torch.float64)
    from likeness.geometry.rotation import from_axis_angle

    torch.testing.assert_close(beliefs.axis_angle(from_axis_angle(vector)), vector, atol=1e-6, rtol=1e-6)


def test_texels_are_read_as_the_renderer_reads_them():
    uv = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    uv[:4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.001]])
    chart = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(1))
    ids, shares = pixels.texels(uv, 16)
    torch.testing.assert_close((chart.flatten(0, 1)[ids] * shares[..., None]).sum(1), sample_texture(chart, uv))


def test_half_of_the_paints_is_all_of_them():
    random = np.random.default_rng(0)
    half = random.integers(-127, 128, (5, 16, 8, 3)).astype(np.int8)
    model = AlbedoModel(random.random((16, 8, 3), np.float32), half, random.random(5, np.float32), np.array([1, -1, 1, -1, -1], np.int8),
                        np.zeros((2, 1), np.uint8))  # fmt: skip
    whole = torch.from_numpy(
        np.stack([unfold(mode * scale, sign) for mode, scale, sign in zip(half, model.scale, model.symmetry)], -1)
    )
    paints, code = Paints.of(model), torch.from_numpy(random.standard_normal(5).astype(np.float32))
    torch.testing.assert_close(paints.mixed(code), whole @ code, atol=1e-3, rtol=1e-5)
    ids, shares = pixels.texels(torch.rand(300, 2, generator=torch.Generator().manual_seed(0)), 16)
    torch.testing.assert_close(
        paints.at(ids, shares), (whole.flatten(0, 1)[ids] * shares[..., None, None]).sum(1), atol=1e-3, rtol=1e-5
    )
    assert not Paints.none(16).at(ids, shares).any() and Paints.none(16).mixed(code[:1]).shape == (16, 16, 3)


def test_robust_cost_and_weight_belong_together():
    square = torch.tensor([0.0, 0.3, 2.0, 50.0], dtype=torch.float64, requires_grad=True)
    cost, weight = robust(square)
    (slope,) = torch.autograd.grad(cost.sum(), square)
    torch.testing.assert_close(slope, weight.detach() / 2)
    assert cost[0] == 0


def test_l21_is_a_mean_of_distances_with_a_gradient():
    found = torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    value = l21(found, torch.zeros(2, 3, dtype=torch.float64), weight)
    assert abs(value.item() - 15 / 4) < 1e-6
    (gradient,) = torch.autograd.grad(value, found)
    torch.testing.assert_close(gradient[1], torch.tensor([0.45, 0.6, 0.0], dtype=torch.float64))
    assert torch.equal(gradient[0], torch.zeros(3, dtype=torch.float64))
    away = found.detach() + torch.tensor([[1.0, 0.5, 0.2], [0.0, 0.0, 1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: l21(f, torch.zeros_like(f), weight), away.requires_grad_())
