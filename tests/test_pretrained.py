"""Published weights for the backbones: files with torchvision's names, and a second statement of each network."""

import pytest

torch = pytest.importorskip("torch")

from published_networks import CASES, mobilenet, resnet

from likeness.encoders import pretrained, weights
from likeness.encoders.backbones import NAMES, build
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.backbones.mobilenet import SMALL
from likeness.encoders.parameters import ParameterNetwork
from likeness.encoders.recognition import small
from likeness.errors import AssetError, UsageError

PUBLISHED = {
    "alexnet": (61_100_840, 4096 * 1000 + 1000),
    "resnet18": (11_689_512, 512 * 1000 + 1000),
    "resnet50": (25_557_032, 2048 * 1000 + 1000),
    "mobilenetv3-small": (2_542_856, 576 * 1024 + 1024 + 1024 * 1000 + 1000),
    "mobilenetv3-large": (5_483_032, 960 * 1280 + 1280 + 1280 * 1000 + 1000),
}
"""Numbers of the published networks, and of their layers that tell classes apart, which ours leave out."""


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_answers_what_it_says_and_has_as_many_numbers_as_published(name):
    network = build(name, 96).train()
    assert isinstance(network, Backbone) and network.size == 96
    crops = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = network(crops)
    assert found.shape == (2, network.features)
    found.square().sum().backward()
    assert crops.grad.isfinite().all() and crops.grad.abs().max() > 0
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
    if name in PUBLISHED:
        everything, classifier = PUBLISHED[name]
        assert sum(value.numel() for value in network.parameters()) == everything - classifier


@pytest.mark.parametrize("name", CASES)
def test_a_published_file_makes_the_published_network(name, tmp_path):
    make, forward, classifier = CASES[name]
    state = make()
    torch.save(dict(state), tmp_path / "published.pth")
    network = build(name, 80).eval()
    loaded = pretrained.load(network, tmp_path / "published.pth")
    assert loaded.unused == classifier and not loaded.missing
    assert loaded.taken == len(state) - 2 * len(classifier)
    assert str(loaded) == f"published.pth: {loaded.taken} tensors taken; not used: {', '.join(classifier)}"
    image = torch.randn(2, 3, 80, 80, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        found, expected = network(image), forward(state, image)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_network_that_knows_places_takes_the_published_blocks_and_keeps_its_top(tmp_path):
    torch.save(dict(mobilenet(SMALL, 1024)), tmp_path / "small.pth")
    network = build("mobilenet-places", 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    loaded = pretrained.load(network, tmp_path / "small.pth")
    changed = {key.split(".")[0] for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"stem", "blocks"}
    assert loaded.missing == ("narrow.0.0", "narrow.0.1", "top.0") and "features.12.0" in loaded.unused


def test_our_own_files_and_wrapped_checkpoints_are_taken_too(tmp_path):
    from safetensors.torch import save_file

    source = build("mobilenetv3-small", 64)
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    wrapped = {f"module.{key}": value for key, value in source.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "checkpoint.tar")
    for name in ("own.safetensors", "checkpoint.tar"):
        network = build("mobilenetv3-small", 64)
        loaded = pretrained.load(network, tmp_path / name)
        assert not loaded.unused and not loaded.missing
        assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())


def test_files_of_another_network_are_refused_and_nothing_is_changed(tmp_path):
    network = build("resnet18", 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.save(dict(mobilenet(SMALL, 1024)), tmp_path / "mobile.pth")
    wanted = "no weights of a ResNet18: 100 of its .* first 'conv1.weight'.*begins with 'features.0.0.weight'"
    with pytest.raises(AssetError, match=wanted):
        pretrained.load(network, tmp_path / "mobile.pth")
    torch.save(dict(resnet((3, 4, 6, 3), (1, 3, 1))), tmp_path / "fifty.pth")
    wanted = r"'layer1.0.conv1.weight' is \(64, 64, 1, 1\) in the file, \(64, 64, 3, 3\) is needed"
    with pytest.raises(AssetError, match=wanted):
        pretrained.load(network, tmp_path / "fifty.pth")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class _Harm:
    """A pickle of this would create a file when it is run."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_files_that_run_code_are_damaged_or_hold_no_tensors_are_refused(tmp_path):
    torch.save({"weight": _Harm(tmp_path / "harmed")}, tmp_path / "harm.pth")
    with pytest.raises(AssetError, match="not a file of plain tensors"):
        weights.read(tmp_path / "harm.pth")
    assert not (tmp_path / "harmed").exists()
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x02 nothing of use")
        with pytest.raises(AssetError, match="not a (readable )?(file of plain tensors|safetensors file)"):
            weights.read(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(AssetError, match="holds a list"):
        weights.read(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(AssetError, match="no tensors by name"):
        weights.read(tmp_path / "empty.pth")
    with pytest.raises(AssetError, match="no such file"):
        weights.read(tmp_path / "none.pth")


def test_unknown_names_and_sizes_are_refused_by_name():
    with pytest.raises(UsageError, match="no backbone 'resnet'; there are alexnet, resnet18"):
        build("resnet", 128)
    with pytest.raises(UsageError, match="MobileNetPlaces takes crops of 32 px or more, in steps of 32, not 100"):
        build("mobilenet-places", 100)
    with pytest.raises(UsageError, match="AlexNet takes crops of 63 px or more, not 48"):
        build("alexnet", 48)


def test_standardized_pictures_have_imagenets_mean_taken_out():
    image = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert pretrained.standardized(image).abs().max() < 1e-6
    assert torch.allclose(pretrained.standardized(image + 0.224)[:, 1], torch.ones(2, 4, 4), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3-small"])
def test_inside_our_networks_published_weights_see_what_they_expect(name, tmp_path):
    """Up to the picture's border: zeros that convolutions see beyond it mean what they did in the published training."""
    make, forward, _ = CASES[name]
    state, image = make(), torch.randint(0, 256, (2, 80, 80, 3), generator=torch.Generator().manual_seed(5)).byte()
    torch.save(dict(state), tmp_path / "published.pth")
    crops = image.permute(0, 3, 1, 2) / 255
    sizes = {"identity": 7, "expression": 3, "albedo": 4, "geometry": 2, "reflectance": 2}
    ours, other = small.IdentityNetwork(name, 80, 8).eval(), ParameterNetwork(build(name, 80), sizes).eval()
    with torch.no_grad():
        expected, wrong = (forward(state, prepare(crops)) for prepare in (pretrained.standardized, small.normalized))
        limit = 1e-4 * float(expected.abs().max())
        assert (wrong - expected).abs().max() > 10 * limit
        for network in (ours, other):
            loaded = network.fill_backbone(tmp_path / "published.pth")
            assert loaded.taken > 10 and not loaded.missing
        torch.testing.assert_close(ours.prepared(crops), expected, rtol=1e-3, atol=limit)
        identity = other.heads["identity"]
        torch.testing.assert_close(other(image).identity, identity(expected), rtol=1e-3, atol=10 * limit)
        assert (identity(wrong) - identity(expected)).abs().max() > 20 * limit


def test_what_the_input_goes_through_travels_with_the_weights_and_is_absent_without(tmp_path):
    torch.save(dict(mobilenet(SMALL, 1024)), tmp_path / "published.pth")
    filled, plain = (small.IdentityNetwork("mobilenetv3-small", 64, 8).eval() for _ in range(2))
    before = plain.state_dict()
    assert not any("input" in name for name in before)
    filled.fill_backbone(tmp_path / "published.pth")
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain.load_state_dict(filled.state_dict())
    assert torch.equal(plain(image), filled(image)) and torch.equal(
        plain.backbone.input.shift, filled.backbone.input.shift
    )
    with pytest.raises(RuntimeError, match="backbone.input.factor"):
        plain.load_state_dict(before)  # weights that expect other numbers are no weights of it


def test_a_backbone_is_filled_again_with_its_own_file_and_keeps_what_its_network_feeds(tmp_path):
    torch.save(dict(mobilenet(SMALL, 1024)), tmp_path / "published.pth")
    network = small.IdentityNetwork("mobilenetv3-small", 64, 8)
    network.fill_backbone(tmp_path / "published.pth")
    shift = network.backbone.input.shift.clone()
    torch.save(network.backbone.state_dict(), tmp_path / "own.pth")
    loaded = network.fill_backbone(tmp_path / "own.pth")
    assert loaded.unused == ("input",) and not loaded.missing and torch.equal(network.backbone.input.shift, shift)


def test_a_backbone_without_weights_takes_none(tmp_path):
    torch.save(dict(mobilenet(SMALL, 1024)), tmp_path / "published.pth")
    with pytest.raises(UsageError, match="Gradients is a fixed map"):
        pretrained.load(build("gradients", 64), tmp_path / "published.pth")
