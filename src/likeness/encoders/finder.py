"""The face finder's network: depthwise-separable blocks down to stride 32, features brought back up to stride 8, and
one small head. After CenterNet (Zhou et al. 2019) and MobileNet (Howard et al. 2017); sizes ours, by measured time.
"""

from __future__ import annotations

import torch
from torch import nn


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, where `active`, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if active else nn.Sequential(*layers)


class Separable(nn.Module):
    """A depthwise 3 x 3 and a pointwise convolution, with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = convolution(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = convolution(inputs, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result = self.pointwise(self.depthwise(features))
        return features + result if self.shortcut else result


class FinderNetwork(nn.Module):
    """Pictures to a score map and a geometry map on a grid of 8 pixels (`photos.detect.STRIDE`).

    Args:
        channels: After the stem and at strides 4, 8, 16, 32.
        depths: Blocks at strides 4, 8, 16, 32.
        neck: Channels of the features that are brought back up.
    """

    def __init__(
        self, channels: tuple[int, ...] = (16, 32, 64, 128, 192), depths: tuple[int, ...] = (1, 3, 5, 5), neck: int = 64
    ) -> None:
        super().__init__()
        stem, *rest = channels
        self.stem = convolution(3, stem, 3, 2)
        self.down = nn.ModuleList()
        for before, after, depth in zip(channels, rest, depths):
            blocks = [Separable(before, after, 2)] + [Separable(after, after) for _ in range(depth - 1)]
            self.down.append(nn.Sequential(*blocks))
        self.lateral = nn.ModuleList(convolution(c, neck, 1, active=False) for c in rest[1:])
        self.smooth = nn.ModuleList(Separable(neck, neck) for _ in rest[2:])
        self.head = Separable(neck, neck)
        self.answer = nn.Conv2d(neck, 6, 1)
        # Focal loss begins well where nearly nothing is a face; small faces are the commonest in a scene.
        nn.init.zeros_(self.answer.bias)
        nn.init.constant_(self.answer.bias[:1], -4.0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the score (B, 1, h, w) and geometry (B, 5, h, w) of pictures (B, H, W, 3) in [0, 255], h = H / 8.

        The geometry is (dx, dy, log side, cos roll, sin roll), see `photos.detect.decode`.
        """
        features = self.stem((image.permute(0, 3, 1, 2).float() - 127.5) / 64.0)
        levels = []
        for blocks in self.down:
            features = blocks(features)
            levels.append(features)
        merged = self.lateral[-1](levels[-1])
        for i in range(len(self.smooth) - 1, -1, -1):
            larger = nn.functional.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = self.smooth[i](torch.relu(self.lateral[i](levels[i + 1]) + larger))
        answer = self.answer(self.head(merged))
        return answer[:, :1], answer[:, 1:]


class FinderGraph(nn.Module):
    """What is exported: pictures uint8 (1, H, W, 3), sides multiples of 32, to score (h, w) in [0, 1] and geometry
    (5, h, w)."""

    def __init__(self, network: FinderNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score, geometry = self.network(image)
        return torch.sigmoid(score)[0, 0], geometry[0]
