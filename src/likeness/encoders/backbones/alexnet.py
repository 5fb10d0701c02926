"""AlexNet (Krizhevsky et al. 2012) in the one-column form of Krizhevsky 2014, "One weird trick for parallelizing
convolutional neural networks", whose weights torchvision publishes: no normalisation over channels, no groups.
"""

from __future__ import annotations

import torch
from torch import nn

from likeness.encoders.backbones.base import Backbone, start_convolutions


class AlexNet(Backbone):
    """Five convolutions and two fully connected layers, 57 million numbers, 4096 features ("fc7").

    The map before the fully connected layers is brought to 6 x 6, its size at 224 px, whatever the input's. There is no
    dropout: what follows is a regression, whose answers it would spread.

    Args:
        size: Side of the input in pixels, 63 or more.
    """

    def __init__(self, size: int = 224) -> None:
        super().__init__(size, 4096, step=1, smallest=63)
        self.maps = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        side = (size - 7) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        # adaptive pooling as a matrix: graphs for export know adaptive pooling to divisors only
        pool = nn.functional.adaptive_avg_pool1d(torch.eye(side)[None], 6)[0].T
        self.register_buffer("pool", pool.contiguous(), persistent=False)
        self.top = nn.Sequential(nn.Linear(256 * 36, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU())
        start_convolutions(self)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.pool @ self.maps(image) @ self.pool.T
        return self.top(maps.flatten(1))

    def published(self) -> dict[str, str]:
        # there the classifier's numbers 0 and 3 are its dropouts
        maps = {f"maps.{number}": f"features.{number}" for number in (0, 3, 6, 8, 10)}
        return maps | {"top.0": "classifier.1", "top.2": "classifier.4"}
