"""Several photos of one person: what sharing an identity means for the solver, who is a stranger, and the command."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from likeness import color
from likeness.assets import albedo, builtin, correspondence, toy
from likeness.cli.fit import Fitter
from likeness.cli.fit_together import Together, together
from likeness.errors import NoFaceError, OutputError, PhotoError, UsageError
from likeness.export.codes import from_bytes
from likeness.fit.landmarks.bases import builtin_bases
from likeness.fit.landmarks.solver import FitConfig, Guess, IdentityMeasurement, fit, identity_precision
from likeness.fit.people.kin import alikeness
from likeness.fit.people.together import KNOWN_SHAPE, Portrait, answers, choose, refined
from likeness.fit.people.together import together as fit_person
from likeness.fit.photo.evidence import Evidence, gather
from likeness.fit.photo.surface import Surface
from likeness.geometry import cameras
from likeness.geometry.rotation import from_euler
from likeness.photos.crop import crop
from likeness.photos.detect import Detection, square
from likeness.runtime.draw import portrait as portrait_view
from likeness.runtime.draw import textured
from likeness.types import Landmarks, View

HEAD = toy.head()
BASES = replace(builtin_bases(HEAD, correspondence.read()), sigma=np.full(478, 0.7))
EXACT = FitConfig(steps=12, trust=0.5, kinship=0.0, expression_cost=0.05, opposed_cost=0.0, distance_spread=0.2)


def seen(identities, yaws, noise=0.0, seed=0):
    """Landmarks (n, 478, 2) of toy people under n cameras, float64; and the cameras."""
    random = np.random.default_rng(seed)
    count = len(yaws)
    rotation = from_euler(np.asarray(yaws, float), np.zeros(count), random.uniform(-0.1, 0.1, count))
    shape = BASES.mean + np.tensordot(np.asarray(identities, float), BASES.identity, 1)
    view = View(
        rotation, np.tile([0, 0, -900.0], (count, 1)), np.full(count, 900.0), np.full((count, 2), 150.0), (300, 300)
    )
    pixels = cameras.project(shape, view)
    return torch.as_tensor(pixels + noise * random.standard_normal(pixels.shape)), view


def started(view):
    """The true cameras with mean codes, as a start."""
    count = len(view.focal)
    pose = (torch.as_tensor(getattr(view, name)) for name in ("rotation", "translation", "focal", "principal"))
    return Guess(torch.zeros(count, 6, dtype=torch.float64), torch.zeros(count, 51, dtype=torch.float64), *pose)


def people(count, seed=1):
    return np.random.default_rng(seed).normal(0, 1, (count, 6))


def test_two_photos_give_a_better_identity_than_one():
    true = people(8)
    points, view = seen(np.repeat(true, 2, 0), [0.35, -0.35] * 8, noise=0.3)
    alone = fit(BASES, points, EXACT, started(view)).identity.numpy()
    shared = fit(BASES, points, EXACT, started(view), person=torch.arange(8).repeat_interleave(2)).identity.numpy()
    np.testing.assert_array_equal(shared[::2], shared[1::2])
    error, single = (np.sqrt(((codes - np.repeat(true, 2, 0)) ** 2).mean()) for codes in (shared, alone))
    assert error < 0.85 * single


def test_the_order_of_photos_and_the_numbers_of_people_do_not_matter():
    points, view = seen(np.repeat(people(2), [3, 2], 0), [0.3, -0.3, 0.0, 0.2, -0.1], noise=1.0)
    whose = torch.tensor([0, 0, 0, 1, 1])
    plain = fit(BASES, points, EXACT, started(view), person=whose)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = View(
        *(getattr(view, n)[order.numpy()] for n in ("rotation", "translation", "focal", "principal")), view.size
    )
    shuffled = fit(BASES, points[order], EXACT, started(moved), person=7 - whose[order])
    torch.testing.assert_close(shuffled.identity, plain.identity[order], atol=1e-6, rtol=0)
    torch.testing.assert_close(shuffled.expression, plain.expression[order], atol=1e-6, rtol=0)


def test_an_infinite_spread_is_a_missing_landmark():
    points, view = seen(people(2), [0.2, -0.2], noise=1.0)
    sigma = torch.zeros(2, 478, dtype=torch.float64)
    sigma[:, 100:300] = torch.inf
    wrong = points.clone()
    wrong[:, 100:300] = torch.nan
    fits = fit(BASES, wrong, EXACT, started(view), sigma)
    assert torch.isfinite(fits.identity).all() and (fits.trusts[:, 100:300] == 0).all()
    ring = torch.where(
        torch.isinf(sigma)[..., None], fits.points, points
    )  # what is missing may lie where the fit has it
    large = torch.where(torch.isinf(sigma), 1e7, sigma)
    torch.testing.assert_close(fit(BASES, ring, EXACT, started(view), large).identity, fits.identity, atol=2e-2, rtol=0)


def test_spread_landmarks_count_less():
    points, view = seen(people(1), [0.1])
    bent, free = points.clone(), replace(EXACT, freedom=1e6)
    bent[:, ::2] += 4.0
    sigma = torch.zeros(1, 478, dtype=torch.float64)
    sigma[:, ::2] = torch.inf
    without = fit(BASES, bent, free, started(view), sigma).identity
    careful, careless = (fit(BASES, bent, free, started(view), s).identity for s in (sigma.clamp(max=200.0), None))
    torch.testing.assert_close(careful, without, atol=1e-2, rtol=0)
    assert (careless - without).norm() > 0.2


def test_points_without_depth_and_without_a_start_find_their_pose():
    true = people(4)
    points, view = seen(true, [0.4, -0.4, 0.1, 0.0])
    found = fit(BASES, points, EXACT)
    turn = torch.as_tensor(view.rotation).mT @ found.rotation
    assert ((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).min() > np.cos(np.radians(8))


def test_a_measured_identity_pulls_by_its_precision():
    points, view = seen(people(1), [0.0], noise=1.0)
    wanted = torch.full((1, 6), 2.0)
    weak, strong = (
        fit(BASES, points, EXACT, started(view), measured=IdentityMeasurement(wanted, scale * torch.eye(6))).identity
        for scale in (1e-3, 1e6)
    )
    torch.testing.assert_close(strong[0].float(), wanted[0], atol=1e-2, rtol=0)
    assert (weak - 2).abs().max() > 0.3


def test_precision_is_the_curvature_of_the_cost_and_grows_with_photos():
    points, view = seen(np.repeat(people(1), 3, 0), [0.0, 0.5, -0.5], noise=0.5)
    whose = torch.zeros(3, dtype=torch.long)
    fits = fit(BASES, points, EXACT, started(view), person=whose)
    three = identity_precision(BASES, points, fits, EXACT, person=whose)
    one = identity_precision(BASES, points[:1], fit(BASES, points[:1], EXACT, first(started(view))), EXACT)
    assert three.shape == (1, 6, 6) and torch.linalg.eigvalsh(three - one).min() > 0
    assert torch.linalg.eigvalsh(one).min() > 1 - 1e-6, "the prior is contained"
    alike = identity_precision(BASES, points, fits, replace(EXACT, kinship=1.0), person=whose)
    torch.testing.assert_close(alike - torch.eye(6), (three - torch.eye(6)) / 3, atol=1e-6, rtol=1e-6)


def first(guess):
    return Guess(*(getattr(guess, name)[:1] for name in Guess.__dataclass_fields__))


def test_alikeness_is_the_logarithm_of_a_ratio_of_likelihoods():
    """In one dimension, by numerical integration."""
    mean, precision = torch.tensor([[0.9], [1.1], [-1.4]]), torch.tensor([3.0, 5.0, 2.0]).reshape(3, 1, 1)
    z = torch.linspace(-12, 12, 40001, dtype=torch.float64)
    prior = (-(z**2) / 2).exp()
    likelihood = [
        (-(p - 1) * z**2 / 2 + p * m * z).exp() for m, p in zip(mean.double().flatten(), precision.double().flatten())
    ]
    for i in range(3):
        others = prior * torch.stack([likelihood[j] for j in range(3) if j != i]).prod(0)
        expected = ((others * likelihood[i]).sum() / others.sum()).log() - (
            (prior * likelihood[i]).sum() / prior.sum()
        ).log()
        assert float(alikeness(mean, precision, kinship=0.0)[i]) == pytest.approx(float(expected), abs=1e-6)
    assert alikeness(mean, precision, kinship=0.0).argmin() == 2


def portrait(name, identity, yaw, noise=0.3, seed=0):
    points, view = seen([identity], [yaw], noise, seed)
    view = View(view.rotation[0], view.translation[0], view.focal[0], view.principal[0], view.size)
    image, marks = np.full((300, 300, 3), 128, np.uint8), points[0].numpy()
    said = Evidence(
        np.zeros((300, 300, 3)), np.eye(3), np.eye(3), marks, np.full(478, 0.5), np.zeros((300, 300)),
        np.zeros(6), np.zeros(51), view,
    )  # fmt: skip
    return Portrait(name, image, Detection(square((150, 150), 200), 0.0, 0.9), said)


def test_a_stranger_is_named_and_does_not_bend_the_person():
    me, other = np.array([2.0, 1, -1, 2, 0, 0]), np.array([-2.0, -2, 2, -2, 1, 1])
    yaws = (0.0, 0.3, -0.3, 0.15)
    mine = [portrait(f"{i}.jpg", me, yaw, seed=i) for i, yaw in enumerate(yaws)]
    alien = portrait("alien.jpg", other, 0.1, seed=9)
    person = fit_person([*mine[:2], alien, *mine[2:]], BASES)
    assert [stranger.name for stranger, _ in person.strangers] == ["alien.jpg"] and person.strangers[0][1] < 0
    assert (person.alike > 0).all() and len(person.views) == 4
    np.testing.assert_allclose(person.identity, fit_person(mine, BASES).identity, atol=1e-6)
    assert fit_person(mine, BASES).strangers == ()


def test_of_several_faces_the_one_that_is_in_the_other_photos_is_taken():
    def face(identity, side):
        plain = portrait("x", np.zeros(6), 0.0)
        said = replace(plain.evidence, identity=np.full(6, identity))
        return replace(plain, evidence=said, face=Detection((0, 0, side, side), 0, 1))

    me, large = face(1.0, 40), face(-1.0, 90)
    assert choose([[me], [large, me], [face(0.9, 50)]])[1] is me
    assert choose([[me, large], [large, me]]) == [large, large], "where nothing tells, the largest"


def test_answers_are_divided_by_the_prior():
    """What a normal measurement and the prior say together is what the regressor said, in directions that it saw."""
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(6, 6, generator=random, dtype=torch.float64))[0]
    covariance = axes @ torch.diag(torch.tensor([0.2, 0.5, 0.8, 1.0, 1.3, 2.0], dtype=torch.float64)) @ axes.T
    whole = torch.block_diag(torch.linalg.inv(covariance), torch.eye(58).double())
    codes = torch.randn(2, 6, generator=random)
    _, view = seen(people(2), [0.0, 0.1])
    start = replace(started(view), identity=codes)
    said = answers(start, whole)
    both = said.precision + torch.eye(6)
    posterior = torch.linalg.solve(both, (said.precision @ said.mean[..., None]))[..., 0]
    torch.testing.assert_close(posterior @ axes[:, :3], codes.double() @ axes[:, :3])
    torch.testing.assert_close(posterior @ axes[:, 3:], torch.zeros(2, 3).double(), atol=1e-9, rtol=0)
    assert answers(start, None) is None


def test_pixels_find_albedo_and_light_and_leave_the_shape():
    """Photos of the shipped face drawn under two lights: the lights come back, and the identity stays."""
    model = builtin.load()
    surface = Surface.of(model, albedo.load())
    topology, texture = model.topology("base"), color.encode(surface.texture(torch.zeros(surface.albedos)).numpy())
    bases, portraits = builtin_bases(model, correspondence.read()), []
    for name, yaw, strength in (("dark", 0.2, 0.5), ("bright", -0.2, 1.0)):
        view = portrait_view(model.mean, (200, 200), yaw=yaw)
        picture = color.encode(strength * color.decode(textured(model.mean, topology, texture, view)))
        answer = SimpleNamespace(
            codes={"identity": np.zeros(100), "expression": np.zeros(51)},
            view=view,
            landmarks=cameras.project(bases.mean, view),
        )
        said = gather(picture, answer, Landmarks(answer.landmarks, np.full(478, 0.5)), size=112)
        portraits.append(Portrait(name, picture, Detection((40, 40, 160, 160), 0.0, 1.0), said))
    before = fit_person(portraits, bases)
    after = refined(before, surface)
    np.testing.assert_array_equal(after.identity, before.identity)
    assert all("identity" not in {**step.stage.rates, **step.stage.terms} for step in KNOWN_SHAPE)
    assert after.albedo.shape == (surface.albedos,) and after.light.shape == (2, 9, 3)
    assert after.light[0, 0].mean() / after.light[1, 0].mean() == pytest.approx(0.5, abs=0.08)
    for view, old in zip(after.views, before.views):
        assert np.abs(cameras.project(model.mean, view) - cameras.project(model.mean, old)).mean() < 1.5


# The command


def encode(image, face):
    """A toy head as tall as the square, turned by what the photo's first pixel says (its mirror image the other way)."""
    view = View(
        from_euler(np.float64((float(image[0, 0, 0]) - 100) / 100), np.float64(0), np.float64(0)), np.array([0, 0, -900.0]),
        np.float64(900 * face.side / 200), np.array(face.center), image.shape[:2],
    )  # fmt: skip
    codes = {"identity": np.zeros(6, np.float32), "expression": np.zeros(51, np.float32)}
    marks = cameras.project(BASES.mean, view)
    return SimpleNamespace(
        codes=codes, view=view, crop=crop(image, face.box, face.roll), landmarks=upright(marks, view)
    )


def upright(marks, view):
    """Landmarks whose outer eye corners are where eyes are: the toy's mean nothing, but a face's frame is found by them."""
    marks, middle = marks.copy(), np.asarray(view.principal)
    marks[33], marks[263] = middle + [-20, -10], middle + [20, -10]
    return marks


def measure(image, face):
    """Exact landmarks of a head whose identity the photo's first pixel says: green."""
    identity = np.full(6, (float(image[0, 0, 1]) - 100) / 50)
    shape = BASES.mean + np.tensordot(identity, BASES.identity, 1)
    return Landmarks(cameras.project(shape, encode(image, face).view), np.full(478, 0.2))


@pytest.fixture
def run(toy_system, photo, tmp_path):
    """Writes photos (name, yaw in percent of a radian, identity in percent of half) and runs the command on them."""
    system = replace(toy_system, encode=encode)

    def act(*photos, output="out", extra=(), **options):
        paths = []
        for name, yaw, identity in photos:
            image = photo((160, 120, 100)) if yaw is not None else photo()
            image[0, 0, :2], image[0, -1, :2] = (100 + (yaw or 0), 100 + identity), (100 - (yaw or 0), 100 + identity)
            Image.fromarray(image).save(tmp_path / name)
            paths.append(tmp_path / name)
        config = Together((*paths, *extra), tmp_path / output, level="base", texture=128, **options)
        return together(config, system, Fitter(system, None, measure))

    return act


def test_the_command_writes_a_person_and_each_photo(run, tmp_path, capsys):
    assert run(("a.png", -40, 40), ("b.png", 40, 40), ("person.png", 0, 40)) == 0
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {
        f"person/face.{end}" for end in ("glb", "obj", "mtl", "jpg", "json")
    } < files and "person/confidence.json" in files
    assert {"a/overlay.png", "b/face.json", "person-photo/overlay.png"} < files
    codes = [from_bytes((tmp_path / "out" / f / "face.json").read_bytes()).codes for f in ("person", "a", "b")]
    np.testing.assert_array_equal(codes[0]["identity"], codes[1]["identity"])
    assert codes[0]["identity"][3:].min() > 0.3, (
        "nose and asymmetry, which landmarks show; the toy's other modes are sizes"
    )
    text = json.loads((tmp_path / "out/person/confidence.json").read_text())
    assert text["advice"] == [] and text["warnings"] == [] and len(text["photos"]) == 3
    assert text["regions"]["nose_left"]["shape_mm"] > 0 and 0 <= text["regions"]["cheeks_left"]["confidence"] <= 1
    assert "3 of 3 photos" in capsys.readouterr().out


@pytest.mark.parametrize("most, smallest", [(None, 60), (1, 100)])
def test_only_so_many_of_the_largest_faces_may_be_the_persons(toy_system, photo, tmp_path, most, smallest):
    seen = []

    def look(image, face):
        seen.append(face.side)
        return encode(image, face)

    for name in "ab":
        Image.fromarray(photo((90, 120, 100), (250, 120, 60))).save(tmp_path / f"{name}.png")
    system = replace(toy_system, encode=look)
    config = Together(
        (tmp_path / "a.png", tmp_path / "b.png"), tmp_path / "out", level="base", texture=128, max_faces=most
    )
    assert together(config, system, Fitter(system, None, measure)) == 0
    assert min(seen) == pytest.approx(smallest, rel=0.2)


def test_the_side_that_was_never_seen_is_the_persons(run, tmp_path, capsys):
    """A head turned by a positive yaw looks to the picture's right and shows its own right side."""
    run(("a.png", 80, 0), ("b.png", 90, 0), output="right")
    assert "add a view from your left\n" in capsys.readouterr().out
    run(("a.png", -80, 0), ("b.png", -90, 0), output="left")
    assert "add a view from your right\n" in capsys.readouterr().out
    sides = {
        name: json.loads((tmp_path / name / "person/confidence.json").read_text())["regions"]
        for name in ("left", "right")
    }
    for region in ("side", "cheeks", "eye"):
        for side, other in (("left", "right"), ("right", "left")):
            assert sides[side][f"{region}_{side}"]["confidence"] > sides[side][f"{region}_{other}"]["confidence"] + 0.2
            assert sides[side][f"{region}_{side}"]["confidence"] == pytest.approx(
                sides[other][f"{region}_{other}"]["confidence"], abs=0.1
            )


def test_the_command_names_a_stranger_and_leaves_it_out(run, tmp_path, capsys):
    assert run(("a.png", -30, 90), ("b.png", 30, 90), ("c.png", 10, 90), ("alien.png", 0, -90)) == 0
    error = capsys.readouterr().err
    assert "alien.png: left out" in error and "another person" in error and error.count("\n") == 1
    assert not (tmp_path / "out/alien").exists()
    text = json.loads((tmp_path / "out/person/confidence.json").read_text())
    assert [entry["photo"].endswith("alien.png") for entry in text["left_out"]] == [True]


def test_two_photos_of_two_people_are_kept_and_doubted(run, capsys):
    assert run(("a.png", -30, 95), ("b.png", 30, -95)) == 0
    error = capsys.readouterr().err
    assert "a.png and" in error and "b.png seem to show two persons" in error


def test_unusable_photos_are_listed_and_passed_by(run, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    code = run(
        ("a.png", -30, 0),
        ("b.png", 30, 0),
        ("nobody.png", None, 0),
        extra=(tmp_path / "broken.jpg", tmp_path / "gone.jpg"),
    )
    error = capsys.readouterr().err
    assert code == 7 and error.count("passed by") == 3 and "broken.jpg" in error and "gone.jpg" in error
    text = json.loads((tmp_path / "out/person/confidence.json").read_text())
    assert len(text["photos"]) == 2 and len(text["skipped"]) == 3
    assert any("no face" in entry["reason"] for entry in text["skipped"])


@pytest.mark.parametrize(
    ("photos", "options", "error", "words"),
    [
        ([("a.png", 0, 0)], {}, UsageError, "at least two photos"),
        ([("a.png", 0, 0), ("b.png", None, 0)], {}, NoFaceError, "1 of 2 photos"),
        ([("a.png", 0, 0), ("b.png", 0, 0)], {"format": "stl"}, UsageError, "stl"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(run, tmp_path, photos, options, error, words):
    with pytest.raises(error, match=words):
        run(*photos, **options)
    assert not (tmp_path / "out").exists()


def test_results_are_not_replaced_unasked(run):
    run(("a.png", -30, 0), ("b.png", 30, 0))
    with pytest.raises(OutputError, match="--overwrite"):
        run(("a.png", -30, 0), ("b.png", 30, 0))
    assert run(("a.png", -30, 0), ("b.png", 30, 0), overwrite=True) == 0
    with pytest.raises(PhotoError):
        fit_person([], BASES)
