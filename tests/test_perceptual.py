"""Perceptual networks and the losses on their layers."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional

from likeness.encoders import perceptual as networks
from likeness.encoders.perceptual import LAYERS, VGG16, Filters
from likeness.errors import AssetError, UsageError
from likeness.losses import perceptual as losses

PUBLISHED = ((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256), (14, 256, 256),
             (17, 256, 512), (19, 512, 512), (21, 512, 512), (24, 512, 512), (26, 512, 512), (28, 512, 512))  # fmt: skip
"""Number of the layer, channels before and after, of torchvision's `vgg16().features`."""


def _vgg(count: int) -> dict[str, torch.Tensor]:
    """The first convolutions with random weights, the rest as zeros that need no room on disk."""
    random, state = torch.Generator().manual_seed(0), {}
    for place, (number, before, after) in enumerate(PUBLISHED):
        shape, zero = (after, before, 3, 3), torch.zeros(1)
        near = place < count
        state[f"features.{number}.weight"] = (
            torch.randn(shape, generator=random) / (5 * before) ** 0.5 if near else zero.expand(shape)
        )
        state[f"features.{number}.bias"] = torch.randn(after, generator=random) if near else zero.expand(after)
    return state


def _photos(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures with edges of all sizes and with noise, in [0, 1]."""
    random = torch.Generator().manual_seed(seed)
    layers = []
    for cells in (3, 6, 12, 24):
        coarse = torch.rand((count, 3, cells, cells), generator=random)
        layers.append(functional.interpolate(coarse, (size, size), mode="nearest"))
    return torch.stack(layers).mean(0)


def test_vgg_answers_the_published_layers(tmp_path):
    state = _vgg(4)
    torch.save(state, tmp_path / "vgg.pth")
    image = _photos(size=32)
    found = VGG16(tmp_path / "vgg.pth", ("relu1_2", "conv2_1", "relu2_2"))(image)

    def conv(maps, number):
        return functional.conv2d(maps, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1)

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    maps = ((image.permute(0, 2, 3, 1) - mean) / deviation).permute(0, 3, 1, 2)
    first = conv(conv(maps, 0).relu(), 2).relu()
    second = conv(functional.max_pool2d(first, 2), 5)
    for mine, expected in zip(found, (first, second, conv(second.relu(), 7).relu()), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)
    assert not any(value.requires_grad for value in VGG16(tmp_path / "vgg.pth", ("relu1_1",)).parameters())


def test_vgg_has_as_many_numbers_as_published_and_five_layers(tmp_path):
    torch.save(_vgg(0) | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    network = networks.load(tmp_path / "vgg.pth")
    assert sum(value.numel() for value in network.parameters()) == 138_357_544 - 123_642_856
    shapes = [tuple(maps.shape[1:]) for maps in network(torch.zeros(1, 3, 32, 32))]
    assert len(shapes) == len(LAYERS)
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_weights_of_another_network_and_layers_that_are_none_are_refused(tmp_path):
    normalized = _vgg(0)
    normalized["features.1.weight"] = normalized["features.1.bias"] = torch.zeros(64)
    normalized["features.3.weight"] = normalized.pop("features.2.weight")
    torch.save(normalized, tmp_path / "bn.pth")
    with pytest.raises(AssetError, match=r"'features.2.weight' is missing, \(64, 64, 3, 3\) is needed \(torchvision's"):
        VGG16(tmp_path / "bn.pth")
    with pytest.raises(UsageError, match="no layer 'relu6_1'; there are conv1_1, relu1_1"):
        VGG16(tmp_path / "bn.pth", ("relu6_1",))


def test_even_pictures_have_no_edges_whatever_their_colour():
    image = torch.tensor([[0.2, 0.3, 0.9], [0.8, 0.8, 0.1]]).reshape(2, 3, 1, 1).expand(2, 3, 64, 64)
    for maps in Filters()(image):
        assert maps[:, :48].abs().max() < 1e-4
        assert (maps[:, 48:] - 1).abs().max() < 1e-4


def test_a_turned_picture_has_the_turned_edges():
    """A quarter turn takes every orientation to the next but one, and edges that point back to the front again."""
    image = _photos()
    plain, turned = Filters()(image), Filters()(torch.rot90(image, 1, (2, 3)))
    for before, after in zip(plain, turned, strict=True):
        # sign, colour, derivative, orientation
        before = torch.rot90(before, 1, (2, 3))[:, :48].unflatten(1, (2, 3, 2, 4))
        after = after[:, :48].unflatten(1, (2, 3, 2, 4))
        edges, lines = before[:, :, :, 0], before[:, :, :, 1]
        first, second = edges[:, :, :, :2], edges[:, :, :, 2:]
        close = {"atol": 1e-5, "rtol": 1e-4}
        torch.testing.assert_close(after[:, :, :, 1], lines.roll(2, 3), **close)
        torch.testing.assert_close(after[:, :, :, 0, :2], second, **close)
        torch.testing.assert_close(after[:, :, :, 0, 2:], first.flip(1), **close)


def test_a_slope_and_a_bend_along_the_diagonal_are_seen_along_it_only():
    """Derivatives along x = y of a function of x + y, and none across it."""
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")
    image = (0.2 + ((x + y) / 200) ** 2).expand(1, 3, 64, 64)
    inside = Filters()(image)[0][0, :48, 3:-3, 3:-3].unflatten(0, (2, 3, 2, 4))[:, 0]  # sign, derivative, orientation
    assert inside[0, 0, 1].min() > 0.05 and inside[0, 1, 1].min() > 1e-3
    assert inside[1, :, 1].max() == 0 and inside[:, :, 3].max() < 1e-4


def test_what_is_blurred_away_counts_more_than_what_is_a_little_off():
    """Of two pictures that are equally far in colour: the reason for a perceptual loss."""
    fine, network = _photos(4, 144), Filters()
    photo = functional.avg_pool2d(fine[..., 8:136, 8:136], 2)
    moved = functional.avg_pool2d(fine[..., 8:136, 9:137], 2)  # by half a pixel
    blurred, distance = photo, 0.0
    while distance < (moved - photo).square().mean():
        blurred = functional.avg_pool2d(functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
        distance = (blurred - photo).square().mean()
    share = ((moved - photo).square().mean() / distance).sqrt()
    blurred = torch.lerp(photo, blurred, share)
    torch.testing.assert_close((blurred - photo).square().mean(), (moved - photo).square().mean())
    for loss in (losses.cosine, losses.squared):
        assert (loss(network(blurred), network(photo)) > 1.5 * loss(network(moved), network(photo))).all()


def test_gradients_reach_the_picture_and_are_right():
    network, photo = Filters().double(), _photos(1, 64, 1).double()
    image = _photos(1, 64, 2).double().requires_grad_()
    target = network(photo)
    for loss in (losses.cosine, losses.squared):
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(network(x), target), image, fast_mode=True)
    with pytest.raises(ValueError, match="64 px or more"):
        network(photo[..., :56])


def _layers(seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = ((2, 4, 8, 8), (2, 7, 4, 4))
    return [torch.rand(shape, generator=random, dtype=torch.float64) for shape in shapes]


def test_losses_are_their_formulas():
    found, photo = _layers(0), _layers(1)
    cosine = sum(1 - functional.cosine_similarity(a.flatten(1), b.flatten(1)) for a, b in zip(found, photo))
    torch.testing.assert_close(losses.cosine(found, photo), cosine)
    squared = sum((a - b).square().flatten(1).mean(1) for a, b in zip(found, photo)) / 2
    torch.testing.assert_close(losses.squared(found, photo), squared)
    absolute = sum((a - b).abs().flatten(1).mean(1) for a, b in zip(found, photo)) / 2
    torch.testing.assert_close(losses.l1(found, photo), absolute)
    stronger = [3 * maps for maps in found]
    torch.testing.assert_close(losses.cosine(stronger, photo), cosine)
    for loss in (losses.cosine, losses.squared, losses.l1):
        assert loss(photo, photo).abs().max() == 0


def test_only_what_has_weight_counts():
    found, photo = _layers(0), _layers(1)
    weight = torch.zeros(2, 1, 16, 16, dtype=torch.float64)
    weight[..., :8] = 1.0
    half = [[maps[..., : maps.shape[-1] // 2] for maps in layers] for layers in (found, photo)]
    for loss in (losses.cosine, losses.squared, losses.l1):
        torch.testing.assert_close(loss(found, photo, weight), loss(*half))
        torch.testing.assert_close(loss(found, photo, torch.ones_like(weight)), loss(found, photo))
        nothing = [maps.clone().requires_grad_() for maps in found]
        loss(nothing, photo, torch.zeros_like(weight)).sum().backward()
        assert all(maps.grad.abs().max() == 0 for maps in nothing)
        assert loss(nothing, photo, torch.zeros_like(weight)).max() == 0


def test_the_stand_in_comes_without_a_file():
    network = networks.load(None)
    assert isinstance(network, Filters) and not network.state_dict()
    shapes = [tuple(maps.shape) for maps in network(_photos(1, 128))]
    assert shapes == [(1, 51, 32 >> level, 32 >> level) for level in range(5)]
