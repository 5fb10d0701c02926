"""Personal face models: learned from frames, kept in a file, and used in place of the generic one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from likeness.assets import person as person_file
from likeness.assets import toy
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.person import Person
from likeness.cli.reconstruct import Reconstruct
from likeness.cli.reconstruct import reconstruct as reconstruct_command
from likeness.errors import AssetError
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.fit.landmarks.solver import FitConfig
from likeness.fit.persons import personal
from likeness.fit.persons.deformation import Deformation
from likeness.geometry.alignment import similarity
from likeness.geometry.cameras import project_with_depth
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.runtime.person import fitted
from likeness.runtime.person import personal as personal_system
from likeness.runtime.reconstruct import reconstruct
from likeness.types import View

NODES = 60
CONFIG = FitConfig(trust=1.0, kinship=0.0, expression_cost=0.2)


@pytest.fixture(scope="module")
def deformation():
    return Deformation.of(toy.head(), NODES)


@pytest.fixture(scope="module")
def bases():
    """The toy at its dense landmarks."""
    head = toy.head()
    dense = head.topology("base").landmarks["dense"]
    normals = dense.points(vertex_normals(head.mean.astype(np.float64), head.topology("base").triangles))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    shapes = (head.mean, head.identity, head.expression)
    mean, identity, expression = (dense.points(shape.astype(np.float64)) for shape in shapes)
    return LandmarkBases(mean, identity, expression, normals, np.full(len(normals), 0.3))


def some_person(seed=0):
    """The toy with a bump on a cheek, which no mode of it has, and a jaw that opens wider on his left."""
    head = toy.head()
    x, y = (2 * head.topology("base").uv - 1).T
    neutral = 4.0 * np.exp(-(((x - 0.5) / 0.2) ** 2) - ((y - 0.1) / 0.2) ** 2)[:, None] * np.array([0.6, 0, 0.8])
    for name in ("eye_left", "eye_right"):
        neutral[head.topology("base").parts[name]] = 0
    expression = np.zeros_like(head.expression)
    jaw = EXPRESSIONS.index("jawOpen")
    expression[jaw] = 0.4 * np.tanh(x / 0.2)[:, None] * head.expression[jaw]
    identity = np.random.default_rng(seed).normal(size=toy.IDENTITY).astype(np.float32) * 0.7
    return Person(
        "Ada", identity, neutral.astype(np.float32), expression.astype(np.float32), 24, "procedural, and Ada's own"
    )


def frames(person, count=24, seed=1):
    """Landmarks (F, 478, 3) px of a person in `count` frames, and the vertices (F, V, 3)."""
    random, head = np.random.default_rng(seed), toy.head()
    model = person.model(head)
    points, vertices = [], []
    for _ in range(count):
        weights = np.zeros(51)
        weights[random.choice(51, 3, replace=False)] = random.uniform(0.2, 0.9, 3)
        weights[EXPRESSIONS.index("jawOpen")] = random.uniform(0.2, 1)
        weights[EXPRESSIONS.index("mouthClose")] = 0
        shape = model.decode(person.identity, weights)
        turned = from_euler(*(random.normal(size=3) * [0.4, 0.2, 0.1]))
        view = View(turned, np.array([0, 0, -800.0]), np.array(1200.0), np.array([150.0, 150.0]), (300, 300))
        seen = project_with_depth(head.topology("base").landmarks["dense"].points(shape), view)
        seen[:, 2] *= 1200 / 800
        points.append(seen + random.normal(size=seen.shape) * 0.1)
        vertices.append(shape)
    return torch.tensor(np.stack(points), dtype=torch.float32), np.stack(vertices)


def apart(shape, truth):
    """Distances (n,) in mm after the best motion and growth, which no camera tells from distance."""
    return np.linalg.norm(similarity(shape, truth).apply(shape) - truth, axis=-1)


@pytest.fixture(scope="module")
def learned(deformation, bases):
    person = some_person()
    points, _ = frames(person)
    found, fits, _ = personal.personalise(toy.head(), bases, points, config=CONFIG, deformation=deformation)
    return person, found, fits, deformation.offsets(found.numbers).numpy()


def test_gathering_is_the_transpose_of_spreading(deformation):
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(deformation.shape, generator=random)
    pull = torch.randn((deformation.shape[0], len(toy.head().mean), 3), generator=random)
    one, other = (deformation.offsets(numbers) * pull).sum(), (numbers * deformation.gathered(pull)).sum()
    assert abs(one - other) < 1e-3 * deformation.offsets(numbers).norm()


def test_offsets_are_smooth_and_leave_heads_where_they_are_and_eyeballs_whole(deformation):
    head, topology = toy.head(), toy.head().topology("base")
    numbers = torch.randn(deformation.shape, generator=torch.Generator().manual_seed(1))
    offsets = deformation.offsets(numbers).numpy()
    grid = offsets[0][: head.layout.size**2].reshape(head.layout.size, head.layout.size, 3)
    steps, size = np.linalg.norm(np.diff(grid, axis=0), axis=-1), np.linalg.norm(grid, axis=-1)
    assert 0.3 < size.mean() and steps.mean() < 0.35 * size.mean()
    start = topology.parts["eye_left"].start
    ball = slice(start, start + head.layout.ball)
    assert np.ptp(offsets[0][ball], axis=0).max() < 1e-4 and np.abs(offsets[1:, ball]).max() == 0
    assert np.abs(offsets[0][ball]).max() > 0.01
    loop = head.layout.mouth.loop()  # the bag's first ring lies on the lips and moves with them
    lips = loop[:, 0] * head.layout.size + loop[:, 1]
    bag = topology.parts["mouth_bag"].start + np.arange(len(loop))
    assert np.allclose(np.sort(offsets[0][bag], 0), np.sort(offsets[0][lips], 0), atol=1e-5)


def test_an_expression_changes_only_where_it_moves_skin(deformation):
    numbers = torch.randn(deformation.shape, generator=torch.Generator().manual_seed(2))
    offsets = np.linalg.norm(deformation.offsets(numbers).numpy()[1:], axis=-1)
    blink, head = EXPRESSIONS.index("eyeBlinkLeft"), toy.head()
    moved = np.linalg.norm(head.expression[blink], axis=-1)
    skin = head.topology("base").regions["skin"]
    assert offsets[blink][skin & (moved > 2)].mean() > 10 * offsets[blink][skin & (head.mean[:, 1] < -40)].mean()


def test_a_planted_person_is_found(learned):
    person, found, _, offsets = learned
    head = toy.head()
    skin = head.topology("base").regions["skin"]
    truth = person.neutral_face(head)[skin]
    generic = head.mean + np.tensordot(found.identity.numpy(), head.identity, 1)
    bump = np.linalg.norm(person.neutral[skin], axis=-1) > 1
    before, after = (apart(shape[skin], truth) for shape in (generic, generic + offsets[0]))
    assert after[bump].mean() < 0.4 * before[bump].mean() and after.mean() < 0.7 * before.mean()
    jaw = EXPRESSIONS.index("jawOpen")
    lopsided, expected = offsets[1 + jaw][skin].ravel(), person.expression[jaw][skin].ravel()
    assert lopsided @ expected / np.linalg.norm(lopsided) / np.linalg.norm(expected) > 0.7
    assert 0.3 < np.linalg.norm(lopsided) / np.linalg.norm(expected) < 1.5


def test_frames_that_were_not_seen_are_explained_better(learned, bases, deformation):
    person, found, _, _ = learned
    points, _ = frames(person, 8, seed=7)
    errors = []
    for numbers in (torch.zeros(deformation.shape), found.numbers):
        own = personal.personal_bases(
            bases, deformation.offsets(numbers), toy.head().topology("base").landmarks["dense"]
        )
        fits = personal.fit(own, points, CONFIG, person=torch.zeros(len(points), dtype=torch.long))
        errors.append((fits.points - points[..., :2]).norm(dim=-1).mean())
    assert errors[1] < 0.6 * errors[0]


def test_expressions_keep_their_meaning(learned):
    _, _, _, offsets = learned
    head = toy.head()
    for name, generic, offset in zip(EXPRESSIONS, head.expression.reshape(51, -1), offsets[1:].reshape(51, -1)):
        mine = generic + offset
        if np.linalg.norm(generic) > 0:
            assert mine @ generic / np.linalg.norm(mine) / np.linalg.norm(generic) > 0.9, name


def test_nobody_special_has_no_offsets(bases, deformation):
    person = replace(
        some_person(), neutral=np.zeros_like(toy.head().mean), expression=np.zeros_like(toy.head().expression)
    )
    points, _ = frames(person, 12)
    found, _, _ = personal.personalise(toy.head(), bases, points, config=CONFIG, deformation=deformation)
    assert deformation.offsets(found.numbers)[0].norm(dim=-1).mean() < 0.1


def test_nothing_seen_leaves_the_generic_model(learned, bases, deformation):
    _, found, fits, _ = learned
    points, _ = frames(some_person())
    dense = toy.head().topology("base").landmarks["dense"]
    rows = personal.landmark_rows(bases, points, None, CONFIG, fits, dense)
    blind = [replace(one, weight=0 * one.weight, pull=0 * one.pull) for one in rows]
    nobody = personal.improved(deformation, found, blind, 1.0)
    assert nobody.numbers.abs().max() < 1e-4 and nobody.identity.abs().max() < 1e-4


def test_conjugate_gradients_solve():
    random = torch.Generator().manual_seed(3)
    root = torch.randn(20, 20, generator=random, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(20), torch.randn(20, generator=random, dtype=torch.float64)
    found = personal.conjugate_gradients(lambda x: matrix @ x, right, 200, 1e-9)
    assert torch.allclose(found, torch.linalg.solve(matrix, right), atol=1e-6)


def test_the_file_comes_back(tmp_path):
    head, person = toy.head(), some_person()
    texture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    person = replace(person, texture=texture, albedo=np.arange(4, dtype=np.float32))
    path = tmp_path / "ada.safetensors"
    path.write_bytes(person_file.to_bytes(person, head))
    assert path.read_bytes() == person_file.to_bytes(person, head)
    again = person_file.read(path, head)
    assert (again.name, again.frames, again.licence) == (person.name, person.frames, person.licence)
    for name in ("identity", "neutral", "texture", "albedo"):
        assert np.array_equal(getattr(again, name), getattr(person, name))
    assert np.abs(again.expression - person.expression).max() < 0.01
    bare = replace(person, texture=None, albedo=None)
    path.write_bytes(person_file.to_bytes(bare, head))
    assert person_file.read(path, head).texture is None


@pytest.mark.parametrize(
    "harm, reason",
    [
        (lambda content: content[:200], "no personal face model"),
        (lambda content: b"nothing at all", "no personal face model"),
        (lambda content: content.replace(b'version\\": 1', b'version\\": 7'), "reads up to 1"),
        (lambda content: content.replace(b"likeness.person", b"likeness.parson"), "no personal face model"),
    ],
)
def test_bad_files_are_one_line(tmp_path, harm, reason):
    head, path = toy.head(), tmp_path / "ada.safetensors"
    path.write_bytes(harm(person_file.to_bytes(some_person(), head)))
    with pytest.raises(AssetError, match=reason) as caught:
        person_file.read(path, head)
    assert "\n" not in str(caught.value)


def test_files_of_other_models_and_broken_numbers_are_refused(tmp_path):
    head, path = toy.head(), tmp_path / "ada.safetensors"
    path.write_bytes(person_file.to_bytes(some_person(), replace(head, mean=head.mean + 1)))
    with pytest.raises(AssetError, match="another version of the face model"):
        person_file.read(path, head)
    broken = some_person()
    broken.neutral[3] = np.nan
    path.write_bytes(person_file.to_bytes(broken, head))
    with pytest.raises(AssetError, match="neutral"):
        person_file.read(path, head)
    with pytest.raises(AssetError, match="cannot be read"):
        person_file.read(tmp_path / "nobody", head)


def test_the_camera_follows_the_person():
    random = np.random.default_rng(4)
    points = random.normal(size=(50, 3)) * 60
    turned = from_euler(*(np.float64(a) for a in (0.2, -0.1, 0.05)))
    others = 1.1 * points @ turned.T + np.array([3.0, -4.0, 8.0])
    view = View(
        from_euler(*(np.float64(a) for a in (0.4, 0.1, 0.0))),
        np.array([5.0, 6, -700]),
        np.float64(900),
        np.zeros(2),
        (9, 9),
    )
    mine = fitted(view, points, others)
    seen, wanted = project_with_depth(points, mine), project_with_depth(others, view)
    assert np.allclose(seen[:, :2], wanted[:, :2]) and np.allclose(seen[:, 2], wanted[:, 2] / 1.1)


def test_reconstruct_gives_the_person(toy_system, photo, tmp_path):
    head, person = toy.head(), some_person()
    image = photo((160, 120, 100))
    system = personal_system(toy_system, person)
    face = reconstruct(image, system=system)[0]
    assert np.allclose(face.neutral, person.neutral_face(head), atol=1e-4)
    assert face.expression["jawOpen"] == 0.5 and list(face.expression) == list(EXPRESSIONS)
    half = 0.5 * (head.expression + person.expression)[EXPRESSIONS.index("jawOpen")]
    assert np.allclose(face.vertices, person.neutral_face(head) + half, atol=1e-3)
    assert face.record().licences == ("procedural, and Ada's own",)
    other = reconstruct(image, system=toy_system)[0]
    gaps = np.linalg.norm(face.landmarks["dense"] - other.landmarks["dense"], axis=-1)
    assert gaps.mean() < 2.0  # it stays where the network saw the face
    asset = face.asset(textured=False)
    assert np.allclose(asset.targets[EXPRESSIONS.index("jawOpen")], 2 * half, atol=1e-3)


def test_the_command_takes_a_person(toy_system, photo, tmp_path):
    head, person = toy.head(), some_person()
    cv2.imwrite(str(tmp_path / "p.png"), photo((160, 120, 100))[..., ::-1])
    (tmp_path / "ada").write_bytes(person_file.to_bytes(person, head))
    config = Reconstruct(photos=(tmp_path / "p.png",), output=tmp_path / "out", format="json", person=tmp_path / "ada")
    assert reconstruct_command(config, toy_system) == 0
    assert "Ada's own" in (tmp_path / "out/p/face-1/face.json").read_text()
    with pytest.raises(AssetError, match="cannot be read"):
        reconstruct_command(replace(config, person=tmp_path / "nobody", output=tmp_path / "other"), toy_system)
