"""Convolutional networks that turn a crop into a vector, written out here so that nothing is downloaded."""

from __future__ import annotations

import torch
from torch import nn

SMALL: tuple[tuple[int, int, int, bool, bool, int], ...] = (
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
"""Kernel, expansion, output channels, squeeze-and-excitation, hard-swish, stride (Howard et al. 2019, table 2)."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep the size at stride 1, and batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class Excitation(nn.Module):
    """Squeeze and excitation: every channel is scaled by a gate in [0, 1] that sees the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, (channels // 4 + 4) // 8 * 8)
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        gate = self.up(torch.relu(self.down(features.mean((2, 3), keepdim=True))))
        return features * nn.functional.hardsigmoid(gate)


class Inverted(nn.Module):
    """An inverted residual block: widen, filter each channel alone, gate, narrow."""

    def __init__(self, inputs: int, kernel: int, inner: int, outputs: int, excite: bool, swish: bool, stride: int) -> None:
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


class MobileNetV3Small(nn.Module):
    """MobileNetV3-small with a top that keeps places apart: (B, 3, 128, 128) -> (B, `features`).

    Howard et al. 2019, "Searching for MobileNetV3". Ours differs at the top: the last 4 x 4 map is narrowed and flattened
    instead of averaged, because head pose and landmarks are about where things are.

    Args:
        features: Length of the answer.
        channels: Channels of the last map before it is flattened.
        size: Side of the input in pixels, a multiple of 32.
    """

    def __init__(self, features: int = 512, channels: int = 128, size: int = 128) -> None:
        super().__init__()
        blocks, width = [], 16
        for kernel, inner, outputs, excite, swish, stride in SMALL:
            blocks.append(Inverted(width, kernel, inner, outputs, excite, swish, stride))
            width = outputs
        self.stem = nn.Sequential(convolution(3, 16, 3, 2), nn.Hardswish())
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Sequential(convolution(width, channels, 1), nn.Hardswish())
        self.top = nn.Sequential(nn.Linear(channels * (size // 32) ** 2, features), nn.Hardswish())
        self.size, self.features = size, features
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.narrow(self.blocks(self.stem(image)))
        return self.top(maps.flatten(1))
