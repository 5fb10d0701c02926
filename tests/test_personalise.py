"""From frames of one person to a personal face model: albedo, pixels, what it is worth, and the command."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from likeness import color
from likeness.assets import person as person_file
from likeness.assets import toy
from likeness.assets.albedo import AlbedoModel
from likeness.assets.arkit import EXPRESSIONS
from likeness.cli import personalise as command
from likeness.cli.evaluate_person import compared, some_weights
from likeness.data.someone import someone
from likeness.errors import NoFaceError, OutputError, PhotoError, UsageError
from likeness.fit.persons import alignment, complexion, personal
from likeness.fit.persons.deformation import Deformation
from likeness.fit.persons.frames import Frame, choose, observed, posed
from likeness.fit.persons.person import KnownPerson, learn, painted
from likeness.fit.photo import synthesis
from likeness.geometry import harmonics
from likeness.geometry.cameras import project, project_with_depth
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.render.rasterize_numba import interpolate, rasterize
from likeness.runtime.draw import sample
from likeness.types import Landmarks, View

SIDE, TEXELS = 160, 64


@pytest.fixture(scope="module")
def albedo():
    """Skin that is lighter or darker, and nothing else."""
    mean = np.full((TEXELS, TEXELS, 3), [0.78, 0.6, 0.5], np.float32)
    brighter = np.full((1, TEXELS, TEXELS, 3), 0.08, np.float32)
    return AlbedoModel.of(mean, brighter, np.array([1]), np.zeros((16, 16)))


@pytest.fixture(scope="module")
def correspondence():
    return SimpleNamespace(offset=np.zeros((478, 3)), sigma=np.full(478, 0.3))


@pytest.fixture(scope="module")
def texture():
    """sRGB-encoded albedo with stripes and a mole, which no code of the model has."""
    y, x = np.mgrid[:TEXELS, :TEXELS] / TEXELS
    stripes = 0.07 * np.sin(2 * np.pi * 5 * x) * np.cos(2 * np.pi * 4 * y)
    encoded = np.array([0.74, 0.56, 0.46]) + stripes[..., None] * [1, 0.8, 0.6]
    encoded[(x - 0.62) ** 2 + (y - 0.62) ** 2 < 0.04**2] = [0.45, 0.3, 0.25]
    return encoded.astype(np.float32)


def drawn(vertices, view, texture, light):
    """A picture (H, W, 3) uint8 of the toy before grey."""
    topology = toy.head().topology("base")
    triangle, weights, _ = rasterize(project_with_depth(vertices, view), topology.triangles, view.size)
    normals = vertex_normals(vertices, topology.triangles) @ np.asarray(view.rotation).T
    attributes = np.concatenate([topology.uv, harmonics.shade(normals, light)], 1).astype(np.float32)
    seen = interpolate(attributes, topology.triangles, triangle, weights)
    image = color.linear_from_srgb(sample(texture, seen[..., :2])) * seen[..., 2:]
    return color.encode(np.where((triangle >= 0)[..., None], image, 0.12).astype(np.float32))


@pytest.fixture(scope="module")
def frames(texture):
    """Sixteen pictures of a toy person in side light, with landmarks of half a pixel's noise and cameras that are a little off."""
    head, random, result = toy.head(), np.random.default_rng(3), []
    identity = np.array([0.5, -0.5, 0.3, 0.8, 0, 0], np.float32)
    light = np.zeros((9, 3))
    light[0], light[3], light[1] = 2.6, 0.7, 0.4
    for i in range(16):
        weights = np.zeros(51, np.float32)
        weights[random.choice(51, 3, replace=False)] = random.uniform(0.2, 0.8, 3)
        weights[EXPRESSIONS.index("mouthClose")] = 0
        shape = head.decode(identity, weights).astype(np.float64)
        turned = from_euler(*(random.normal(size=3) * [0.35, 0.12, 0.05]))
        view = View(turned, np.array([0, 0, -800.0]), np.array(480.0), np.array([SIDE / 2, SIDE / 2]), (SIDE, SIDE))
        points = (
            project(head.topology("base").landmarks["dense"].points(shape), view) + random.normal(size=(478, 2)) * 0.5
        )
        marks = Landmarks(points.astype(np.float32), np.full(478, 0.5, np.float32))
        image = drawn(shape, view, texture, light)
        result.append(
            Frame(f"{i}", image, identity + 0.2 * random.normal(size=6).astype(np.float32), 0.8 * weights, view, marks)
        )
    return result


@pytest.fixture(scope="module")
def learned(frames, albedo, correspondence):
    return learn(frames, toy.head(), albedo, correspondence, "Ada", Deformation.of(toy.head(), 60))


def test_colours_and_texture_are_the_persons(learned, texture, albedo):
    person, head = learned.person, toy.head()
    topology = head.topology("base")
    cheeks = topology.regions["cheeks"] | topology.regions["nose"]
    places = topology.uv[cheeks][None]

    def at(picture):
        encoded = sample(picture.astype(np.float32), places)[0]
        return encoded / encoded.mean(0)  # how bright all of it is, light may know

    truth = at(texture)
    found, plain = at(person.texture / 255.0), at(color.srgb_from_linear(albedo.texture(person.albedo)))
    assert np.abs(found - truth).mean() < 0.5 * np.abs(plain - truth).mean()


def test_frames_held_out_look_more_like_it(learned):
    worth = learned.worth
    assert worth.photometric[:, 1].mean() < 0.7 * worth.photometric[:, 0].mean()
    assert (worth.photometric[:, 1] < worth.photometric[:, 0]).mean() > 0.7
    assert np.isfinite(worth.landmarks).all() and worth.landmarks[:, 1].mean() < 1.2 * worth.landmarks[:, 0].mean()
    assert learned.tested == (2, 6, 10, 14) and learned.person.frames == 12


def test_an_ordinary_person_stays_near_the_span_and_expressions_keep_their_names(learned):
    head, person = toy.head(), learned.person
    skin = head.topology("base").regions["skin"]
    assert np.linalg.norm(person.neutral[skin], axis=-1).mean() < 0.5
    mine = person.model(head)
    assert mine.expression_names == EXPRESSIONS
    jaw = EXPRESSIONS.index("jawOpen")
    a, b = head.expression[jaw].ravel(), mine.expression[jaw].ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
    assert head.licence in person.licence and "Ada" in person.licence


def test_rows_of_pixels_and_landmarks_are_derivatives(frames, texture, albedo, correspondence):
    """A small step along identity, expression, camera and offsets changes residuals of landmarks as the rows say."""
    head, known = toy.head(), KnownPerson.of(person_file.Person("", np.zeros(6, np.float32), np.zeros_like(toy.head().mean),
                                                                np.zeros_like(toy.head().expression)))  # fmt: skip
    surface = painted(known.surface(head, albedo, correspondence), torch.from_numpy(texture))
    _, _, start = observed(frames[:1])
    fits = SimpleNamespace(
        **{name: getattr(start, name) for name in ("expression", "rotation", "translation", "focal", "principal")}
    )
    evidence = complexion.evidence(posed(frames[:1], fits), head, frames[0].identity)
    problem = synthesis.Problem(surface, evidence, [0])
    scene = problem.descend(problem.start, complexion.LIGHT, lambda done: None)[0]
    rows = alignment.frame_rows(problem, scene)[0]
    marks = slice(len(rows.residual) - 2 * 478, None)
    step = 0.02
    moved = problem.compared(replace(scene, identity=scene.identity + step))[0]
    expected = (moved.white - problem.compared(scene)[0].white).flatten() / step
    predicted = rows.by_code[marks, 0, :6].sum(-1)
    trusted = problem.compared(scene)[0].seen.repeat_interleave(2) > 0.5
    assert (predicted - expected)[trusted].norm() < 0.05 * expected[trusted].norm()
    assert rows.by_code.shape[-1] == 6 + 51 + 7 + 27 and len(rows.free) == 51 + 7 + 27


def test_a_texture_that_slipped_is_pulled_back(frames, texture, albedo, correspondence):
    """Pixels alone: vertices moved aside under the right texture come back."""
    head, deformation = toy.head(), Deformation.of(toy.head(), 60)
    identity = np.array([0.5, -0.5, 0.3, 0.8, 0, 0], np.float32)
    numbers = 0.8 * torch.randn(deformation.shape, generator=torch.Generator().manual_seed(5))
    numbers[1:] = 0
    away = deformation.offsets(numbers).numpy()
    person = person_file.Person("", identity, away[0], np.zeros_like(head.expression))
    surface = painted(KnownPerson.of(person).surface(head, albedo, correspondence), torch.from_numpy(texture))
    _, _, start = observed(frames)
    fits = SimpleNamespace(
        **{name: getattr(start, name) for name in ("expression", "rotation", "translation", "focal", "principal")}
    )
    evidence = complexion.evidence(posed(frames, fits), head, identity)
    for one in evidence:
        one.sigma[:] = np.inf
    problem = synthesis.Problem(surface, evidence, [0] * len(evidence))
    scene = problem.descend(problem.start, complexion.LIGHT, lambda done: None)[0]
    rows = alignment.frame_rows(problem, scene)
    found = personal.improved(deformation, personal.Personal(torch.from_numpy(identity), numbers), rows, 1.0)
    skin = head.topology("base").regions["skin"]
    left = deformation.offsets(found.numbers)[0].numpy()[skin]
    assert np.linalg.norm(left, axis=-1).mean() < 0.8 * np.linalg.norm(away[0][skin], axis=-1).mean()


def test_robust_means_pass_by_what_differs():
    values = (
        np.ones((9, 4, 4, 3), np.float32) + np.random.default_rng(0).normal(size=(9, 4, 4, 3)).astype(np.float32) * 0.02
    )
    trust = np.ones((9, 4, 4), np.float32)
    values[0], values[1] = 5, -3
    trust[:, 0, 0] = 0
    mean, known = complexion.robust_mean(values, trust)
    assert np.abs(mean[1:] - 1).max() < 0.05 and known[0, 0] == 0 and known[2, 2] > 5


def test_light_turns_with_its_axes():
    turn, light = from_euler(*(np.float64(a) for a in (0.5, 0.2, -0.1))), np.random.default_rng(1).normal(size=(9, 3))
    normals = np.random.default_rng(2).normal(size=(20, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.allclose(
        harmonics.shade(normals @ turn.T, complexion._turned(light, turn)), harmonics.shade(normals, light)
    )


def test_of_several_faces_the_usual_one_is_chosen(frames):
    one, other = frames[0], frames[1]
    stranger = Frame("x", one.image, one.identity + 5, one.expression, one.view, one.landmarks)
    assert choose([[one], [stranger, other], [one]]) == [one, other, one]


def test_too_few_frames_are_refused(frames, albedo, correspondence):
    with pytest.raises(PhotoError, match="7 pictures show the person; 8 are the least"):
        learn(frames[:7], toy.head(), albedo, correspondence, "Ada")


def test_a_known_person_stays_who_it_is_in_fits(learned, frames, albedo, correspondence):
    known = KnownPerson.of(learned.person)
    assert not any({"identity", "albedo"} & set(step.stage.rates) for step in known.steps)
    surface = known.surface(toy.head(), albedo, correspondence)
    evidence = complexion.evidence(posed(frames[2:3], SimpleNamespace(
        **{name: getattr(observed(frames[2:3])[2], name) for name in ("expression", "rotation", "translation", "focal", "principal")}
    )), toy.head(), frames[2].identity)  # fmt: skip
    scene = known.fit(surface, evidence[0]).scene
    assert np.allclose(scene.identity[0].numpy(), learned.person.identity)


def test_the_command(toy_system, photo, tmp_path, monkeypatch, learned, albedo, correspondence):
    seen = {}

    def fake(frames, model, albedo, correspondence, name, progress):
        seen["frames"], seen["name"] = frames, name
        return learned

    monkeypatch.setattr("likeness.fit.persons.person.learn", fake)
    monkeypatch.setattr("likeness.assets.albedo.load", lambda: albedo)
    for i in range(9):
        cv2.imwrite(str(tmp_path / f"{i}.png"), photo((150 + i, 120, 90))[..., ::-1])
    cv2.imwrite(str(tmp_path / "nobody.png"), photo())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "ada.safetensors"
    config = command.Personalise(inputs=(tmp_path,), output=out, name="Ada", report=tmp_path / "report.json")
    assert command.personalise(config, toy_system) == 0
    assert [frame.name for frame in seen["frames"]] == [f"{i}.png" for i in range(9)] and seen["name"] == "Ada"
    again = person_file.read(out, toy.head())
    assert np.array_equal(again.texture, learned.person.texture) and again.name == "Ada"
    assert '"better"' in (tmp_path / "report.json").read_text()
    with pytest.raises(OutputError, match="overwrite"):
        command.personalise(config, toy_system)
    with pytest.raises(UsageError, match="8 are the least"):
        command.personalise(command.Personalise(inputs=(tmp_path,), output=tmp_path / "new", frames=3), toy_system)
    with pytest.raises(NoFaceError):
        command.personalise(command.Personalise(inputs=(tmp_path / "nobody.png",), output=tmp_path / "new"), toy_system)


def test_made_up_people_are_outside_the_span_and_what_they_are_is_measured():
    head = toy.head()
    truth = someone(head, 1)
    skin = head.topology("base").regions["skin"]
    flat = truth.neutral.astype(np.float64).ravel()
    modes = head.identity.reshape(len(head.identity), -1).astype(np.float64)
    inside = np.abs(modes @ flat) / np.linalg.norm(modes, axis=1) / np.linalg.norm(flat)
    assert inside.max() < 0.1 and 1 < np.sqrt((truth.neutral[skin] ** 2).sum(1).mean()) < 2
    played = np.stack([some_weights(np.random.default_rng(i)) for i in range(4)])
    same = compared(truth, truth, head, played, played)
    assert same["vertices mm"] < 1e-4 and same["neutral mm"] < 1e-4 and same["weights rms"] == 0
    assert same["expressions to truth, cosine"] > 1 - 1e-5 and 0.5 < same["least cosine to generic"] < 0.999
    plain = person_file.Person("", truth.identity, 0 * truth.neutral, 0 * truth.expression)
    other = compared(plain, truth, head, played, played)
    assert other["neutral mm"] > 0.5 and other["vertices mm"] > 0.5 and other["least cosine to generic"] > 1 - 1e-5
