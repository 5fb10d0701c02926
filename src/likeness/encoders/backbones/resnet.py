"""Residual networks (He et al. 2016, "Deep residual learning for image recognition"), named as in torchvision.

Of the blocks with a bottleneck, the 3 x 3 convolution has the stride and not the first 1 x 1 ("ResNet v1.5", Goyal et
al. 2017, sec. 5.1), as in the weights that are published today.
"""

from __future__ import annotations

import torch
from torch import nn

from likeness.encoders.backbones.base import Backbone, start_convolutions

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages (He et al. 2016, table 1)."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Without bias, padded to keep the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """A 1 x 1 projection where a block changes the shape (option B of the paper), else None."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features)))))
        return torch.relu(result + (features if self.downsample is None else self.downsample(features)))


class Bottleneck(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up to four times the width, and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features))))))
        result = self.bn3(self.conv3(result))
        return torch.relu(result + (features if self.downsample is None else self.downsample(features)))


class ResNet(Backbone):
    """Stem, four stages, mean over places. Input of any size from 32 px.

    Args:
        size: Side of the input in pixels.
        block: `Basic` or `Bottleneck`.
        depths: Blocks in each of the four stages.
    """

    def __init__(self, size: int, block: type[Basic | Bottleneck], depths: tuple[int, int, int, int]) -> None:
        super().__init__(size, WIDTHS[-1] * block.expansion, step=1, smallest=32)
        self.conv1, self.bn1 = convolution(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        inputs, stages = 64, []
        for number, (width, depth) in enumerate(zip(WIDTHS, depths)):
            blocks = []
            for place in range(depth):
                blocks.append(block(inputs, width, 2 if number and not place else 1))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        start_convolutions(self)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        features = self.pool(torch.relu(self.bn1(self.conv1(image))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return features.mean((2, 3))


class ResNet18(ResNet):
    """11.2 million numbers, 512 features."""

    def __init__(self, size: int = 224) -> None:
        super().__init__(size, Basic, (2, 2, 2, 2))


class ResNet50(ResNet):
    """23.5 million numbers, 2048 features."""

    def __init__(self, size: int = 224) -> None:
        super().__init__(size, Bottleneck, (3, 4, 6, 3))
