"""What every recognition network is to the rest: aligned crops in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders.recognition.align import align


class Recognition(nn.Module):
    """A frozen network that tells people apart: photos of one person get vectors that point the same way.

    It stays in evaluation mode, also inside a recipe that is put to training, and none of its parameters asks for a
    gradient; gradients pass through to the picture.

    Attributes:
        name: Of the network, for tables.
        size: Pixels along a side of the crop.
        features: Length of the answer.
        template: (5, 2) crop pixels of landmark set "5": right eye, left eye, nose tip, right and left mouth corner of the
            subject.
        licence: Under which terms the weights come, one line.
        differentiable: Whether gradients pass.

    Args:
        network: (B, 3, S, S), prepared, to (B, features) of any length.
        mean, deviation: Of red, green and blue, sRGB values in [0, 1]; the network sees (image - mean) / deviation.
    """

    def __init__(
        self, network: nn.Module, name: str, size: int, features: int, template: np.ndarray, licence: str,
        mean: Sequence[float] = (0.0, 0.0, 0.0), deviation: Sequence[float] = (1.0, 1.0, 1.0), differentiable: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = network
        self.name, self.size, self.features, self.licence = name, size, features, licence
        self.differentiable = differentiable
        self.register_buffer("template", torch.as_tensor(np.asarray(template), dtype=torch.float32), persistent=False)
        for key, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(key, torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Recognition:
        """Stays in evaluation mode: its batch statistics belong to the data it was trained on."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Crops (B, 3, S, S), sRGB values in [0, 1], to unit vectors (B, features).

        Raises:
            ValueError: For crops of another shape, and where a gradient is asked of a network that has none.
        """
        if image.shape[1:] != (3, self.size, self.size):
            raise ValueError(f"{self.name} takes crops (B, 3, {self.size}, {self.size}), not {tuple(image.shape)}")
        if image.requires_grad and torch.is_grad_enabled() and not self.differentiable:
            raise ValueError(f"{self.name} has no gradients: it can evaluate, but not be part of a loss")
        return functional.normalize(self.network((image - self.mean) / self.deviation))

    def embed(self, image: Tensor, points: Tensor) -> Tensor:
        """Unit vectors (B, features) of faces in pictures (B, H, W, 3), linear RGB, with the five points (B, 5, 2) px."""
        return self(align(image, points, self.template, self.size))
