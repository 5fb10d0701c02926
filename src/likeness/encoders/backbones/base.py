"""What all backbones have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from likeness.errors import UsageError


class Backbone(nn.Module):
    """A network from crops to vectors: `forward` takes (B, 3, S, S) float and answers (B, features).

    What the numbers of a crop mean is up to its user: `encoders.regressor.normalized`, or
    `encoders.pretrained.standardized` where published weights are loaded.

    Attributes:
        size: Side S of the input in pixels.
        features: Length of the answer.
    """

    def __init__(self, size: int, features: int, step: int, smallest: int) -> None:
        """Refuse sizes that are no multiple of `step` or below `smallest`."""
        super().__init__()
        if size % step or size < smallest:
            multiple = f", in steps of {step}" if step > 1 else ""
            raise UsageError(f"{type(self).__name__} takes crops of {smallest} px or more{multiple}, not {size}")
        self.size, self.features = size, features

    @abstractmethod
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, features)."""

    def published(self) -> dict[str, str]:
        """What published weights fill: a module's name here -> in torchvision's state dict of the same architecture."""
        return {name: name for name, module in self.named_modules() if list(module.parameters(recurse=False))}


def start_convolutions(network: nn.Module) -> None:
    """Give all convolutions weights that keep the variance of gradients (He et al. 2015, sec. 2.2), and zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
