"""Published weights for the backbones: files with torchvision's names, and a second statement of each network."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional

from likeness.encoders import pretrained, weights
from likeness.encoders.backbones import NAMES, build
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.backbones.mobilenet import LARGE, SMALL
from likeness.errors import AssetError, UsageError

PUBLISHED = {
    "alexnet": (61_100_840, 4096 * 1000 + 1000),
    "resnet18": (11_689_512, 512 * 1000 + 1000),
    "resnet50": (25_557_032, 2048 * 1000 + 1000),
    "mobilenetv3-small": (2_542_856, 576 * 1024 + 1024 + 1024 * 1000 + 1000),
    "mobilenetv3-large": (5_483_032, 960 * 1280 + 1280 + 1280 * 1000 + 1000),
}
"""Numbers of the published networks, and of their layers that tell classes apart, which ours leave out."""


class _State(dict):
    """A made state dict: random weights by torchvision's names, in the order in which they run."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    def normal(self, name: str, *shape: int) -> None:
        fan = int(np.prod(shape[1:]))
        self[name] = torch.randn(shape, generator=self.random) * (1.5 / fan**0.5)

    def conv(self, name: str, outputs: int, inputs: int, kernel: int, bias: bool = False) -> None:
        self.normal(f"{name}.weight", outputs, inputs, kernel, kernel)
        if bias:
            self[f"{name}.bias"] = torch.randn(outputs, generator=self.random)

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "running_var"):
            self[f"{name}.{part}"] = 0.5 + torch.rand(channels, generator=self.random)
        for part in ("bias", "running_mean"):
            self[f"{name}.{part}"] = 0.3 * torch.randn(channels, generator=self.random)

    def linear(self, name: str, outputs: int, inputs: int) -> None:
        self.normal(f"{name}.weight", outputs, inputs)
        self[f"{name}.bias"] = torch.randn(outputs, generator=self.random)


def _normalized(state: dict, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, *parts, eps=eps)


def _resnet(depths: tuple[int, ...], kernels: tuple[int, ...]) -> _State:
    state, inputs = _State(1), 64
    state.conv("conv1", 64, 3, 7)
    state.norm("bn1", 64)
    for layer, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512)), 1):
        outputs = width * (4 if len(kernels) == 3 else 1)
        for block in range(depth):
            name, before = f"layer{layer}.{block}", inputs
            for number, kernel in enumerate(kernels, 1):
                after = outputs if number == len(kernels) else width
                state.conv(f"{name}.conv{number}", after, before, kernel)
                state.norm(f"{name}.bn{number}", after)
                before = after
            if inputs != outputs:
                state.conv(f"{name}.downsample.0", outputs, inputs, 1)
                state.norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    state.linear("fc", 1000, inputs)
    return state


def _resnet_forward(state: dict, x: torch.Tensor) -> torch.Tensor:
    x = torch.relu(_normalized(state, "bn1", functional.conv2d(x, state["conv1.weight"], stride=2, padding=3), 1e-5))
    x = functional.max_pool2d(x, 3, 2, 1)
    for name in dict.fromkeys(key.rsplit(".", 2)[0] for key in state if re.match(r"layer\d\.\d+\.conv", key)):
        stride = 2 if re.match(r"layer[234]\.0$", name) else 1
        count = 3 if f"{name}.conv3.weight" in state else 2
        result = x
        for number in range(1, count + 1):
            weight = state[f"{name}.conv{number}.weight"]
            here = stride if number == count - 1 else 1
            result = functional.conv2d(result, weight, stride=here, padding=weight.shape[-1] // 2)
            result = _normalized(state, f"{name}.bn{number}", result, 1e-5)
            result = torch.relu(result) if number < count else result
        if f"{name}.downsample.0.weight" in state:
            x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
            x = _normalized(state, f"{name}.downsample.1", x, 1e-5)
        x = torch.relu(x + result)
    return x.mean((2, 3))


GATES = {72: 24, 16: 8, 96: 24, 240: 64, 120: 32, 144: 40, 288: 72, 576: 144, 480: 120, 672: 168, 960: 240}
"""Widths inside the published gates, by the width that is gated: a quarter, to eights, never 10 % too few."""


def _mobilenet(table, hidden: int) -> _State:
    state, width = _State(2), 16
    state.conv("features.0.0", 16, 3, 3)
    state.norm("features.0.1", 16)
    for number, (kernel, inner, outputs, excite, _, _) in enumerate(table, 1):
        layers = [(inner, width, 1)] * (inner != width) + [(inner, 1, kernel)] + ["gate"] * excite
        layers.append((outputs, inner, 1))
        for place, layer in enumerate(layers):
            name = f"features.{number}.block.{place}"
            if layer == "gate":
                state.conv(f"{name}.fc1", GATES[inner], inner, 1, bias=True)
                state.conv(f"{name}.fc2", inner, GATES[inner], 1, bias=True)
            else:
                state.conv(f"{name}.0", *layer)
                state.norm(f"{name}.1", layer[0])
        width = outputs
    last = f"features.{len(table) + 1}"
    state.conv(f"{last}.0", 6 * width, width, 1)
    state.norm(f"{last}.1", 6 * width)
    state.linear("classifier.0", hidden, 6 * width)
    state.linear("classifier.3", 1000, hidden)
    return state


def _mobilenet_forward(state: dict, x: torch.Tensor, table) -> torch.Tensor:
    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.0.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        return _normalized(state, f"{name}.1", x, 1e-3)

    x = functional.hardswish(conv("features.0", x, 2))
    for number, (_, inner, _, _, swish, stride) in enumerate(table, 1):
        act, result = functional.hardswish if swish else functional.relu, x
        keys = (key for key in state if key.startswith(f"features.{number}.block"))
        names = list(dict.fromkeys(".".join(key.split(".")[:4]) for key in keys))
        for place, name in enumerate(names):
            if f"{name}.fc1.weight" in state:
                mean = result.mean((2, 3), keepdim=True)
                gate = torch.relu(functional.conv2d(mean, state[f"{name}.fc1.weight"], state[f"{name}.fc1.bias"]))
                gate = functional.conv2d(gate, state[f"{name}.fc2.weight"], state[f"{name}.fc2.bias"])
                result = result * (gate + 3).clamp(0, 6) / 6
            else:
                filters = state[f"{name}.0.weight"].shape[1] == 1
                result = conv(name, result, stride if filters else 1)
                result = act(result) if place < len(names) - 1 else result
        x = x + result if x.shape == result.shape else result
    return functional.hardswish(conv(f"features.{len(table) + 1}", x)).mean((2, 3))


def _alexnet() -> _State:
    state = _State(3)
    shapes = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
    for number, outputs, inputs, kernel in shapes:
        state.conv(f"features.{number}", outputs, inputs, kernel, bias=True)
    state.linear("classifier.1", 4096, 9216)
    state.linear("classifier.4", 4096, 4096)
    state.linear("classifier.6", 1000, 4096)
    return state


def _alexnet_forward(state: dict, x: torch.Tensor) -> torch.Tensor:
    for number, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        part = f"features.{number}"
        x = torch.relu(functional.conv2d(x, state[f"{part}.weight"], state[f"{part}.bias"], stride, padding))
        x = functional.max_pool2d(x, 3, 2) if number in (0, 3, 10) else x
    x = functional.adaptive_avg_pool2d(x, 6).flatten(1)
    for part in ("classifier.1", "classifier.4"):
        x = torch.relu(functional.linear(x, state[f"{part}.weight"], state[f"{part}.bias"]))
    return x


CASES = {
    "alexnet": (_alexnet, _alexnet_forward, ("classifier.6",)),
    "resnet18": (lambda: _resnet((2, 2, 2, 2), (3, 3)), _resnet_forward, ("fc",)),
    "resnet50": (lambda: _resnet((3, 4, 6, 3), (1, 3, 1)), _resnet_forward, ("fc",)),
    "mobilenetv3-small": (
        lambda: _mobilenet(SMALL, 1024),
        lambda state, x: _mobilenet_forward(state, x, SMALL),
        ("classifier.0", "classifier.3"),
    ),
    "mobilenetv3-large": (
        lambda: _mobilenet(LARGE, 1280),
        lambda state, x: _mobilenet_forward(state, x, LARGE),
        ("classifier.0", "classifier.3"),
    ),
}


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
    torch.save(dict(_mobilenet(SMALL, 1024)), tmp_path / "small.pth")
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
    torch.save(dict(_mobilenet(SMALL, 1024)), tmp_path / "mobile.pth")
    wanted = "no weights of a ResNet18: 100 of its .* first 'conv1.weight'.*begins with 'features.0.0.weight'"
    with pytest.raises(AssetError, match=wanted):
        pretrained.load(network, tmp_path / "mobile.pth")
    torch.save(dict(_resnet((3, 4, 6, 3), (1, 3, 1))), tmp_path / "fifty.pth")
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
