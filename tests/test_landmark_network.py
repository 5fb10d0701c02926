"""The landmark network: its likelihood and recipe, its exported graph, and looking at a photo with it."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from likeness.assets.dense_mirror import permutation
from likeness.encoders.landmarks import FLOOR, Guess, LandmarkNetwork
from likeness.errors import AssetError
from likeness.losses.landmark import isotropic_likelihood
from likeness.photos.detect import Detection
from likeness.recipes.points import TERMS, Points
from likeness.runtime.landmarks import Landmarker
from likeness.train.export import LandmarkGraph, export_landmarks


def test_the_likelihood_is_that_of_a_density_over_the_plane_and_its_spread_is_that_of_x():
    spread = 0.7
    radius = torch.linspace(0, 40, 400_001, dtype=torch.float64)
    density = (-isotropic_likelihood(radius, torch.tensor(spread))).exp() / (2 * math.pi)
    assert torch.trapezoid(density * 2 * math.pi * radius, radius).item() == pytest.approx(1, rel=1e-4)
    variance_of_x = torch.trapezoid(density * 2 * math.pi * radius * radius**2 / 2, radius).item()
    assert variance_of_x == pytest.approx(3 * spread**2, rel=1e-4)
    values = isotropic_likelihood(torch.tensor(1.0), torch.linspace(0.1, 2, 191))
    assert torch.linspace(0.1, 2, 191)[values.argmin()].item() == pytest.approx(0.5)  # half the distance


def _batch(count: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 255, (count, 128, 128, 3), dtype=torch.uint8, generator=generator)
    return {"image": image, "points": 128 * torch.rand(count, 478, 2, generator=generator)}


@pytest.mark.parametrize("term", list(TERMS))
def test_every_term_alone_reaches_the_backbone_and_only_the_likelihood_the_spread(term):
    torch.manual_seed(0)
    recipe = Points()
    recipe.losses(_batch(), recipe.stages[0])[term].backward()
    bias = recipe.network.head.bias.grad
    assert bias[: 2 * 478].abs().max() > 0
    assert (bias[2 * 478 :].abs().max() > 0) == (term == "likelihood")
    assert recipe.network.backbone.stem[0][0].weight.grad.abs().max() > 0


def test_the_truth_costs_nothing_and_lids_cost_more_than_a_cheek():
    recipe, batch = Points(), _batch()
    true = batch["points"] / 64 - 1

    def losses(points):
        recipe.network.forward = lambda image: Guess(points, torch.full(points.shape[:2], 0.01))
        return recipe.losses(batch, recipe.stages[0])

    assert losses(true)["points"] < 0.11 and losses(true)["openings"] < 0.25
    moved = {name: true.clone() for name in ("lid", "cheek")}
    moved["lid"][:, 159, 1] += 0.1
    moved["cheek"][:, 50, 1] += 0.1
    for name in ("points", "likelihood"):
        assert losses(moved["lid"])[name] - losses(true)[name] > 1.9 * (
            losses(moved["cheek"])[name] - losses(true)[name]
        )
    assert losses(moved["cheek"])["openings"] == losses(true)["openings"] < losses(moved["lid"])["openings"]


def test_spreads_have_a_floor():
    network = LandmarkNetwork().eval()
    with torch.no_grad():
        network.head.bias[2 * 478 :] = -100
        spread = network(_batch()["image"]).spread
    assert spread.min() > FLOOR and spread.max() < 1.1 * FLOOR


@pytest.fixture(scope="module")
def network() -> LandmarkNetwork:
    torch.manual_seed(3)
    network = LandmarkNetwork().eval()
    with torch.no_grad():
        network.head.weight.mul_(20)
    return network


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("points") / "points.onnx"
    export_landmarks(network, path, 1.5, {"licence": "none"})
    return path


def test_the_exported_graph_answers_as_the_network_for_any_number_of_crops(network, exported):
    session = Landmarker(exported).session
    for count in (1, 5):
        image = _batch(count)["image"]
        points, sigma = session.run(None, {"image": image.numpy()})
        with torch.no_grad():
            guess, expected = network(image), LandmarkGraph(network, 1.5)(image)
        np.testing.assert_allclose(points, expected[0].numpy(), atol=0.3)  # the large layers are in 8 bits
        np.testing.assert_allclose(sigma, expected[1].numpy(), rtol=0.05)
        np.testing.assert_allclose(expected[1].numpy(), guess.spread.numpy() * 64 * 1.5 * math.sqrt(3), rtol=1e-5)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(AssetError, match="a points is needed|no such file"):
        Landmarker(tmp_path / "none.onnx")


class _Eyes:
    """A session that knows the truth: it finds a coloured spot in each crop and answers a face around it.

    Points are `SHAPE` times the spot's spread, about the spot's middle; spreads are 2 px for the first half of the layout.
    """

    def run(self, _, inputs):
        points, sigma = [], []
        for image in inputs["image"]:
            y, x = np.nonzero(image[..., 0] > 128)
            middle = np.array([x.mean() + 0.5, y.mean() + 0.5])
            mirrored = image[..., 1].astype(int)[image[..., 0] > 128].reshape(-1)
            left, right = mirrored[x < x.mean()].mean(), mirrored[x > x.mean()].mean()
            shape = SHAPE if left < right else SHAPE[permutation()] * [-1, 1]
            points.append(middle + shape * np.sqrt(len(x)))
            sigma.append(np.where(np.arange(478) < 239, 2.0, 3.0))
        self.calls = getattr(self, "calls", 0) + 1
        return np.stack(points).astype(np.float32), np.stack(sigma).astype(np.float32)


def _shape():
    shape = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 2))
    shape[33], shape[263] = (-0.3, 0), (0.3, 0)
    return shape


SHAPE = _shape()


@pytest.fixture
def photo():
    """A bright square at (150.5, 100.5), 40 px wide, greener to the right."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[80:121, 130:171, 0] = 255
    image[80:121, 130:171, 1] = np.linspace(20, 250, 41, dtype=np.uint8)
    return image


def test_a_face_is_found_where_it_is_though_the_box_is_off(photo):
    landmarker = Landmarker.__new__(Landmarker)
    landmarker.session, landmarker.places = (
        _Eyes(),
        ((0.0, 0.0, 0.0, 0.0), (0.05, 0.03, 0.05, 0.0), (-0.05, 0.0, -0.05, 0.0)),
    )
    found = landmarker(photo, Detection((115, 70, 175, 130), 0.0, 1.0))
    expected = [150.5, 100.5] + SHAPE * 41
    assert found.points.shape == (478, 2) and found.points.dtype == np.float32
    np.testing.assert_allclose(found.points, expected, atol=0.6)
    assert landmarker.session.calls == 2
    same = landmarker(photo, (115, 70, 175, 130))
    np.testing.assert_array_equal(same.points, found.points)


def test_spreads_are_in_photo_pixels_and_grow_where_looks_disagree(photo):
    landmarker = Landmarker.__new__(Landmarker)
    landmarker.session, landmarker.places = _Eyes(), ((0.0, 0.0, 0.0, 0.0),)
    size = np.ptp(SHAPE, 0).max() * 41 * 1.4 / 128  # photo pixels per crop pixel of the second look
    sigma = landmarker(photo, Detection((110, 60, 190, 140), 0.0, 1.0)).sigma
    both = np.where(np.arange(478) < 239, 2.0, 3.0)
    mixed = np.sqrt((both**2 + both[permutation()] ** 2) / 2)
    np.testing.assert_allclose(sigma, mixed * size, rtol=0.05)

    class Doubtful(_Eyes):
        def run(self, _, inputs):
            points, sigma = super().run(_, inputs)
            points[:, 7] += np.where(np.arange(len(points)) % 2, 20, -20)[:, None]
            return points, sigma

    landmarker.session = Doubtful()
    doubtful = landmarker(photo, Detection((110, 60, 190, 140), 0.0, 1.0)).sigma
    assert doubtful[7] > 10 * size and doubtful[8] < 4 * size


def test_the_command_trains_resumes_and_exports(tmp_path):
    import cv2

    from likeness.cli.points import Points as Config
    from likeness.cli.points import points as run
    from likeness.cli.regressor import SETTINGS

    random = np.random.default_rng(2)
    names = [f"0000{i}.jpg" for i in (1, 2, 3)]
    (tmp_path / "photos/sfhq").mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(tmp_path / "photos/sfhq" / name), random.integers(0, 255, (256, 256, 3), dtype=np.uint8))
    points = np.concatenate([random.uniform(60, 200, (3, 478, 2)), random.uniform(-20, 20, (3, 478, 1))], -1)
    points[:, 33, :2], points[:, 263, :2] = (90, 110), (160, 110)
    np.savez(tmp_path / "photos/sfhq.landmarks478.npz", name=names, points=points)
    config = Config(
        tmp_path / "run", tmp_path, ("sfhq",), steps=2, stop=1, stretched=0.5,
        settings=replace(SETTINGS, batch=2, workers=0, save_every=1), export=tmp_path / "points.onnx", factor=0.5,
    )  # fmt: skip
    run(config)
    first = (tmp_path / "points.onnx").read_bytes()
    run(config)
    assert (tmp_path / "points.onnx").read_bytes() != first, "the second call went on with the second step"
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "points.onnx").metadata_props}
    assert facts["likeness.kind"] == "points" and facts["likeness.spread"] == "0.5"
    assert facts["sources"] == "photo sets sfhq" and facts["licence"].startswith("Apache-2.0")
    narrow = Landmarker(tmp_path / "points.onnx").session.run(None, {"image": _batch()["image"].numpy()})[1]
    run(replace(config, export_only=True, factor=1.0))
    wide = Landmarker(tmp_path / "points.onnx").session.run(None, {"image": _batch()["image"].numpy()})[1]
    np.testing.assert_allclose(wide, 2 * narrow, rtol=1e-2)
