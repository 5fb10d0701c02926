"""Recognition networks: where they expect a face, how it gets there, and the file of our own ones."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness import color
from likeness.encoders.recognition import small, templates
from likeness.encoders.recognition.align import align
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.load import load
from likeness.errors import AssetError
from likeness.geometry.alignment import similarity

POINTS = torch.tensor([[62.0, 70], [110, 58], [93, 95], [78, 122], [114, 113]], dtype=torch.float64)


def _moved(points, scale, angle, shift):
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=points.dtype)
    return scale * points @ turn.T + torch.tensor(shift, dtype=points.dtype)


def _picture(height=150, width=170, seed=0):
    """A smooth linear picture (1, H, W, 3) float64."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0.5:height, 0.5:width]
    waves = [0.5 + 0.4 * np.sin(random.uniform(0.02, 0.06) * x + random.uniform(0.02, 0.06) * y + c) for c in range(3)]
    return torch.tensor(np.stack(waves, -1))[None]


@pytest.mark.parametrize("make", [templates.arcface, templates.wide])
def test_templates_are_faces_within_the_crop(make):
    eyes, nose, mouth = np.split(make(160), [2, 3])
    assert (make(160) > 0).all() and (make(160) < 160).all()
    assert eyes[0, 0] < nose[0, 0] < eyes[1, 0] and mouth[0, 0] < mouth[1, 0]
    assert eyes[:, 1].max() < nose[0, 1] < mouth[:, 1].min()
    np.testing.assert_allclose(make(224), make(112) * 2)


def test_the_five_points_are_those_of_the_68():
    from likeness.assets.canonical import DENSE_OF_68
    from likeness.assets.landmarks import MOUTH_LEFT, MOUTH_RIGHT, NOSE_TIP

    assert templates.DENSE_OF_5[2:] == tuple(DENSE_OF_68[i] for i in (NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT))
    dense = np.random.default_rng(0).normal(size=(3, 478, 3))
    assert templates.five(dense).shape == (3, 5, 2) and (templates.five(dense)[1, 0] == dense[1, 468, :2]).all()


def test_the_motion_is_the_least_squares_similarity():
    """Against the singular value decomposition in space, where a plane of points has the same answer."""
    random = np.random.default_rng(1)
    template = templates.arcface(112)
    points = _moved(torch.tensor(template), 1.7, 0.4, (20, -9)).numpy() + random.normal(0, 2, (7, 5, 2))
    motion = templates.photo_from_crop(points, template)
    flat = [
        np.concatenate([p, np.zeros((*p.shape[:-1], 1))], -1) for p in (np.broadcast_to(template, points.shape), points)
    ]
    for row, source, target in zip(motion, *flat):
        # a point off the plane, moved as the plane is, tells the decomposition which way is up
        found = similarity(
            np.r_[source, [[0, 0, 50]]], np.r_[target, [[*row[:, 2], 50]]], np.array([1, 1, 1, 1, 1, 1e-12])
        )
        np.testing.assert_allclose(row[:, :2], found.scale * found.rotation[:2, :2], atol=1e-6)
        np.testing.assert_allclose(row[:, 2], found.translation[:2], atol=1e-4)


def test_numpy_and_torch_give_one_motion_in_any_batch():
    points = POINTS.expand(2, 3, 5, 2)
    template = templates.wide(160)
    motion = templates.photo_from_crop(points, template)
    assert motion.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(motion[1, 2].numpy(), templates.photo_from_crop(POINTS.numpy(), template))
    assert torch.autograd.gradcheck(lambda p: templates.photo_from_crop(p, template), POINTS.clone().requires_grad_())


def test_aligned_pixels_are_those_of_the_photo():
    """At the photo's own scale and without turning, a crop is a window of the photo, in sRGB."""
    image = _picture()
    template = templates.arcface(112)
    points = torch.tensor(template)[None] + torch.tensor([30.0, 20.0])
    crop = align(image, points, template, 112)
    window = color.srgb_from_linear(image[:, 20:132, 30:142]).permute(0, 3, 1, 2)
    torch.testing.assert_close(crop, window)


@pytest.mark.parametrize("scale", [0.6, 1.0, 3.3])
def test_a_turned_photo_gives_the_same_crop(scale):
    """Two pictures of one smooth scene under two similarities: the aligned crops agree."""

    def scene(points):
        return 0.5 + 0.4 * torch.sin(
            torch.stack([points[..., 0] * 0.05, points[..., 1] * 0.04, points.sum(-1) * 0.03], -1)
        )

    def photo(motion, size):
        y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) + 0.5] * 2, indexing="ij")
        return scene(_moved(torch.stack([x, y], -1), *motion))[None]

    template = templates.arcface(112)
    face = torch.tensor(template)[None] + 10.0
    plain = align(photo((1.0, 0.0, (0.0, 0.0)), 140), face, template, 112)
    # scene = moved(photo): the photo's points are the scene's, moved back
    motion = (1 / scale, 0.3, (-20.0, -60.0))
    back = (scale, -0.3)
    shifted = face - torch.tensor([-20.0, -60.0], dtype=torch.float64)
    turned = align(photo(motion, int(230 * scale) + 60), _moved(shifted, *back, (0.0, 0.0)), template, 112)
    inner = (slice(None), slice(None), slice(20, 100), slice(20, 100))
    assert (plain[inner] - turned[inner]).abs().max() < 0.004


def test_a_fine_photo_is_averaged_in_linear_light():
    """A board of black and white pixels, four to a crop pixel's side, becomes an even grey of half the light."""
    board = torch.from_numpy(np.indices((480, 480)).sum(0) % 2).double()[None, ..., None].expand(1, 480, 480, 3)
    template = templates.arcface(112)
    crop = align(board, 4 * torch.tensor(template)[None] + 12.0, template, 112)
    half = float(color.srgb_from_linear(np.array(0.5)))
    assert (crop - half).abs().max() < 1e-6


def test_gradients_reach_picture_and_points():
    image, template = _picture(24, 26), templates.arcface(8)
    points = torch.tensor(template)[None] * 2.1 + torch.tensor([3.2, 4.1])
    assert torch.autograd.gradcheck(
        lambda i, p: align(i, p, template, 8), (image.requires_grad_(), points.requires_grad_()), eps=1e-7, atol=1e-5
    )


class _Mean(torch.nn.Module):
    """The mean color, as a network."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, image):
        return self.gain * image.mean((2, 3))


def _recognition(**options):
    return Recognition(_Mean(), "mean", 16, 3, templates.arcface(16), "none", **options)


def test_recognition_answers_unit_vectors_and_stays_frozen():
    network = _recognition(mean=(0.5, 0.0, 0.0), deviation=(0.5, 1.0, 2.0))
    image = torch.rand(2, 3, 16, 16).requires_grad_()
    answer = network(image)
    torch.testing.assert_close(answer.norm(dim=1), torch.ones(2))
    by_hand = torch.stack(
        [(image[:, 0].mean((1, 2)) - 0.5) * 2, image[:, 1].mean((1, 2)), image[:, 2].mean((1, 2)) / 2], 1
    )
    torch.testing.assert_close(answer, by_hand / by_hand.norm(dim=1, keepdim=True))
    parent = torch.nn.Sequential(network).train()
    assert not parent[0].training and not any(p.requires_grad for p in network.parameters())
    answer[:, 0].sum().backward()
    assert image.grad.abs().sum() > 0


def test_recognition_refuses_other_sizes_and_impossible_gradients():
    with pytest.raises(ValueError, match="16, 16"):
        _recognition()(torch.rand(1, 3, 17, 16))
    blind = _recognition(differentiable=False)
    assert blind(torch.rand(1, 3, 16, 16)).shape == (1, 3)
    with pytest.raises(ValueError, match="no gradients"):
        blind(torch.rand(1, 3, 16, 16).requires_grad_())


def test_embed_is_align_then_the_network():
    network, image = _recognition(), _picture().float()
    points = POINTS.float()[None]
    torch.testing.assert_close(network.embed(image, points), network(align(image, points, network.template, 16)))


def _file(tmp_path, features=24):
    torch.manual_seed(0)
    network = small.IdentityNetwork("mobilenetv3-small", 64, features)
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.momentum = 1.0  # statistics of this batch, not the first ones
    network.train()(torch.rand(8, 3, 64, 64))
    path = tmp_path / "own.safetensors"
    small.write(path, network, "toy", templates.arcface(64), "Apache-2.0", ["sfhq", "renders"])
    return network.eval(), path


def test_our_own_network_comes_back_from_its_file(tmp_path):
    network, path = _file(tmp_path)
    again = small.load(path)
    assert (again.name, again.size, again.features, again.licence) == ("toy", 64, 24, "Apache-2.0")
    np.testing.assert_allclose(again.template.numpy(), templates.arcface(64), rtol=1e-6)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(image))
        assert (again(image) * expected).sum(1).min() > 0.9999  # half precision
        assert (expected[0] * expected[1]).sum() < 0.999  # and the two pictures differ


def test_a_file_that_is_no_network_of_ours_is_named(tmp_path):
    from safetensors.torch import load_file, save_file

    _, path = _file(tmp_path)
    with pytest.raises(AssetError, match="no such file"):
        small.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(AssetError, match="damaged"):
        small.load(tmp_path / "text.safetensors")
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.ones(1)}, other)
    with pytest.raises(AssetError, match="train identity"):
        small.load(other)
    arrays = load_file(path)
    arrays.pop("embedding.weight")
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        save_file(arrays, other, file.metadata())
    with pytest.raises(AssetError, match="embedding.weight"):
        small.load(other)


def test_weights_that_overflow_are_not_written(tmp_path):
    network = small.IdentityNetwork("mobilenetv3-small", 64, 8)
    network.embedding.weight.data[0, 0] = 1e6
    with pytest.raises(AssetError, match="embedding.weight"):
        small.write(tmp_path / "x.safetensors", network, "x", templates.arcface(64), "none", [])


def test_the_network_that_ships_sees_through_gradients_and_learned_from_allowed_sets_only():
    import json

    from safetensors import safe_open

    network = load("likeness")
    image = torch.rand(2, 3, network.size, network.size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    first, second = network(image)
    assert network.features == len(first) and (first @ second).abs() < 0.999
    (first @ second).backward()
    assert image.grad.abs().amax((1, 2, 3)).min() > 0
    with safe_open(small.SHIPPED, "pt") as file:
        sources = json.loads(file.metadata()["sources"])
    assert sources and not any(word in source for source in sources for word in ("video_frames", "lfpw", "aflw"))
