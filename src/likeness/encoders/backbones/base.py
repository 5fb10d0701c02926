"""What all backbones have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from likeness.errors import UsageError


class Input(nn.Module):
    """What pictures go through before the first layer: nothing, until a factor and a shift a channel are set.

    Its numbers are in a state dict from then on, and a state dict that has them sets them: a network stays right on its way
    through checkpoints and files, and files of networks that need nothing are as they were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = False
        self.register_buffer("factor", torch.ones(3), persistent=False)
        self.register_buffer("shift", torch.zeros(3), persistent=False)

    def set(self, factor: torch.Tensor, shift: torch.Tensor) -> None:
        """Let pictures be `picture * factor + shift` from now on, (3,) each."""
        self._use()
        self.factor.copy_(factor)
        self.shift.copy_(shift)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        return image * self.factor[:, None, None] + self.shift[:, None, None] if self.used else image

    def _use(self) -> None:
        self.used = True
        for name, value in list(self.named_buffers()):
            self.register_buffer(name, value)  # again, so that state dicts have it

    def _load_from_state_dict(self, tensors: dict[str, torch.Tensor], prefix: str, *rest) -> None:
        if prefix + "factor" in tensors:
            self._use()
        super()._load_from_state_dict(tensors, prefix, *rest)


class Backbone(nn.Module):
    """A network from crops to vectors: `forward` takes (B, 3, S, S) float and answers (B, features).

    What the numbers of a crop mean is up to its user, mostly `encoders.regressor.normalized`; `encoders.pretrained.fill`
    sets `input` so that published weights get the numbers that they expect.

    Attributes:
        size: Side S of the input in pixels.
        features: Length of the answer.
        input: What the crops go through first.
    """

    def __init__(self, size: int, features: int, step: int, smallest: int) -> None:
        """Refuse sizes that are no multiple of `step` or below `smallest`."""
        super().__init__()
        if size % step or size < smallest:
            multiple = f", in steps of {step}" if step > 1 else ""
            raise UsageError(f"{type(self).__name__} takes crops of {smallest} px or more{multiple}, not {size}")
        self.size, self.features = size, features
        self.input = Input()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, features)."""
        return self.encode(self.input(image))

    @abstractmethod
    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """The network alone: (B, 3, S, S) -> (B, features)."""

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
