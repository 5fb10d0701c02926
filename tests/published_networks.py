"""Made-up weight files of public networks: state dicts with torchvision's names, and what those networks answer."""

import re

import numpy as np
import torch
from torch.nn import functional

from likeness.encoders.backbones.mobilenet import LARGE, SMALL


class State(dict):
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


def resnet(depths: tuple[int, ...], kernels: tuple[int, ...]) -> State:
    state, inputs = State(1), 64
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


def resnet_forward(state: dict, x: torch.Tensor) -> torch.Tensor:
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


def mobilenet(table, hidden: int) -> State:
    state, width = State(2), 16
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


def mobilenet_forward(state: dict, x: torch.Tensor, table) -> torch.Tensor:
    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.0.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        return _normalized(state, f"{name}.1", x, 1e-3)

    x = functional.hardswish(conv("features.0", x, 2))
    for number, (_, _, _, _, swish, stride) in enumerate(table, 1):
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


def alexnet() -> State:
    state = State(3)
    shapes = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
    for number, outputs, inputs, kernel in shapes:
        state.conv(f"features.{number}", outputs, inputs, kernel, bias=True)
    state.linear("classifier.1", 4096, 9216)
    state.linear("classifier.4", 4096, 4096)
    state.linear("classifier.6", 1000, 4096)
    return state


def alexnet_forward(state: dict, x: torch.Tensor) -> torch.Tensor:
    for number, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        part = f"features.{number}"
        x = torch.relu(functional.conv2d(x, state[f"{part}.weight"], state[f"{part}.bias"], stride, padding))
        x = functional.max_pool2d(x, 3, 2) if number in (0, 3, 10) else x
    x = functional.adaptive_avg_pool2d(x, 6).flatten(1)
    for part in ("classifier.1", "classifier.4"):
        x = torch.relu(functional.linear(x, state[f"{part}.weight"], state[f"{part}.bias"]))
    return x


CASES = {
    "alexnet": (alexnet, alexnet_forward, ("classifier.6",)),
    "resnet18": (lambda: resnet((2, 2, 2, 2), (3, 3)), resnet_forward, ("fc",)),
    "resnet50": (lambda: resnet((3, 4, 6, 3), (1, 3, 1)), resnet_forward, ("fc",)),
    "mobilenetv3-small": (
        lambda: mobilenet(SMALL, 1024),
        lambda state, x: mobilenet_forward(state, x, SMALL),
        ("classifier.0", "classifier.3"),
    ),
    "mobilenetv3-large": (
        lambda: mobilenet(LARGE, 1280),
        lambda state, x: mobilenet_forward(state, x, LARGE),
        ("classifier.0", "classifier.3"),
    ),
}
"""By name: the state dict, the answer (state, image) before the classifier, and the classifier's layers."""
