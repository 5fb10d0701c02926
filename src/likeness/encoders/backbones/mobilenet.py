"""MobileNetV3 (Howard et al. 2019, "Searching for MobileNetV3"): small, large, and small with a top of our own."""

from __future__ import annotations

import torch
from torch import nn

from likeness.encoders.backbones.base import Backbone, start_convolutions

Row = tuple[int, int, int, bool, bool, int]
"""Kernel, expansion, output channels, squeeze-and-excitation, hard-swish, stride of a block."""
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""Howard et al. 2019, table 2."""
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
"""Howard et al. 2019, table 1."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep the size at stride 1, and batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class Excitation(nn.Module):
    """Squeeze and excitation: every channel is scaled by a gate in [0, 1] that sees the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        inner = max(8, (quarter + 4) // 8 * 8)
        inner += 8 if inner < 0.9 * quarter else 0  # as published: to eights, but never down by more than a tenth
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        gate = self.up(torch.relu(self.down(features.mean((2, 3), keepdim=True))))
        return features * nn.functional.hardsigmoid(gate)


class Inverted(nn.Module):
    """An inverted residual block: widen, filter each channel alone, gate, narrow."""

    def __init__(
        self, inputs: int, kernel: int, inner: int, outputs: int, excite: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()
        act = nn.Hardswish if swish else nn.ReLU
        widen = [] if inner == inputs else [convolution(inputs, inner, 1), act()]
        gate = [Excitation(inner)] if excite else []
        self.layers = nn.Sequential(
            *widen, convolution(inner, inner, kernel, stride, inner), act(), *gate, convolution(inner, outputs, 1)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result = self.layers(features)
        return features + result if self.residual else result


def inverted_blocks(table: tuple[Row, ...], width: int = 16) -> nn.Sequential:
    """The blocks of a table, behind a stem of `width` channels."""
    blocks = []
    for kernel, inner, outputs, excite, swish, stride in table:
        blocks.append(Inverted(width, kernel, inner, outputs, excite, swish, stride))
        width = outputs
    return nn.Sequential(*blocks)


def published_blocks(blocks: nn.Sequential) -> dict[str, str]:
    """Names of stem and blocks here -> in torchvision's state dict, whose `features.0` is the stem."""
    names = {"stem.0.0": "features.0.0", "stem.0.1": "features.0.1"}
    for number, block in enumerate(blocks):
        # torchvision counts an activation to the layer before it, so only layers with weights have a number there
        weighted = [str(i) for i, layer in enumerate(block.layers) if list(layer.parameters())]
        for place, layer in enumerate(weighted):
            here, there = f"blocks.{number}.layers.{layer}", f"features.{number + 1}.block.{place}"
            gate = isinstance(block.layers[int(layer)], Excitation)
            inside = {"down": "fc1", "up": "fc2"} if gate else {"0": "0", "1": "1"}
            names |= {f"{here}.{ours}": f"{there}.{theirs}" for ours, theirs in inside.items()}
    return names


class MobileNetV3(Backbone):
    """Stem, blocks, one wide convolution, mean over places. Input of any size from 32 px.

    The published classifier has one more hidden layer behind the mean (1024 or 1280 wide). It is left out: it holds two
    fifths of the small network's numbers, and who needs it puts it into the head.

    Args:
        size: Side of the input in pixels.
        table: `SMALL` or `LARGE`.
    """

    def __init__(self, size: int, table: tuple[Row, ...]) -> None:
        width = table[-1][2]
        super().__init__(size, 6 * width, step=1, smallest=32)
        self.stem = nn.Sequential(convolution(3, 16, 3, 2), nn.Hardswish())
        self.blocks = inverted_blocks(table)
        self.widen = nn.Sequential(convolution(width, 6 * width, 1), nn.Hardswish())
        start_convolutions(self)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        return self.widen(self.blocks(self.stem(image))).mean((2, 3))

    def published(self) -> dict[str, str]:
        last = f"features.{len(self.blocks) + 1}"
        return published_blocks(self.blocks) | {"widen.0.0": f"{last}.0", "widen.0.1": f"{last}.1"}


class MobileNetV3Small(MobileNetV3):
    """0.93 million numbers, 576 features."""

    def __init__(self, size: int = 224) -> None:
        super().__init__(size, SMALL)


class MobileNetV3Large(MobileNetV3):
    """2.97 million numbers, 960 features."""

    def __init__(self, size: int = 224) -> None:
        super().__init__(size, LARGE)


class MobileNetPlaces(Backbone):
    """MobileNetV3-small with a top that keeps places apart.

    The last map, 4 x 4 for 128 px, is narrowed and flattened instead of averaged, because head pose and landmarks are
    about where things are.

    Args:
        size: Side of the input in pixels, a multiple of 32.
        features: Length of the answer.
        channels: Channels of the last map before it is flattened.
    """

    def __init__(self, size: int = 128, features: int = 512, channels: int = 128) -> None:
        super().__init__(size, features, step=32, smallest=32)
        blocks, width = inverted_blocks(SMALL), SMALL[-1][2]
        self.stem = nn.Sequential(convolution(3, 16, 3, 2), nn.Hardswish())
        self.blocks = blocks
        self.narrow = nn.Sequential(convolution(width, channels, 1), nn.Hardswish())
        self.top = nn.Sequential(nn.Linear(channels * (size // 32) ** 2, features), nn.Hardswish())
        start_convolutions(self)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.narrow(self.blocks(self.stem(image)))
        return self.top(maps.flatten(1))

    def published(self) -> dict[str, str]:
        return published_blocks(self.blocks)
