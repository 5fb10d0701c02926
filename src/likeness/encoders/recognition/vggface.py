"""VGG-Face: VGG-16 that learned to name 2,622 people (Parkhi et al. 2015, "Deep face recognition", table 3, network D).

Two public conversions of its weights are in use, and they want different colours:

- from MatConvNet (`vgg_face_dag.pth`, S. Albanie): names `conv1_1`; red, green, blue minus (129.2, 104.8, 93.6);
- from the authors' Torch file (`VGG_FACE.t7`, by prlz77/vgg-face.pytorch): names `conv_1_1`; blue, green, red minus the
  same numbers in this order, as the example that comes with it does.

Whichever it is, our network takes red, green, blue: the first layer's channels are turned round at reading.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders import weights
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.published import fill
from likeness.encoders.recognition.templates import wide
from likeness.errors import AssetError

SIZE = 224
DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions between poolings."""
MEAN = (129.186279296875, 104.76238250732422, 93.59396362304688)
"""Of 255, by channel in the order of the file's own colours."""
LICENCE = "CC BY-NC 4.0 (Visual Geometry Group, Oxford)"
FIRST = "conv1_1.weight"


class VggFace(nn.Module):
    """(B, 3, 224, 224), bytes minus their mean, to the last layer before the classifier, (B, features), after its ReLU.

    Parkhi et al. compare faces by these numbers (phi in sec. 4.1), and Genova et al. 2018, sec. 4.3, after them.

    Args:
        widths: Channels of each group of convolutions.
        hidden: Lengths of the two layers above them.
    """

    def __init__(
        self, widths: tuple[int, ...] = (64, 128, 256, 512, 512), hidden: tuple[int, int] = (4096, 4096)
    ) -> None:
        super().__init__()
        self.names = [[f"conv{group}_{k}" for k in range(1, depth + 1)] for group, depth in enumerate(DEPTHS, 1)]
        before = 3
        for group, width in zip(self.names, widths):
            for name in group:
                self.add_module(name, nn.Conv2d(before, width, 3, padding=1))
                before = width
        self.fc6 = nn.Linear(before * (SIZE >> len(DEPTHS)) ** 2, hidden[0])
        self.fc7 = nn.Linear(*hidden)

    def forward(self, image: Tensor) -> Tensor:
        maps = image
        for group in self.names:
            for name in group:
                maps = torch.relu(self.get_submodule(name)(maps))
            maps = functional.max_pool2d(maps, 2)
        return torch.relu(self.fc7(torch.relu(self.fc6(maps.flatten(1)))))


def load(path: Path) -> Recognition:
    """VGG-Face from a PyTorch state dict of either conversion; how wide the layers are comes from the file.

    Raises:
        AssetError: When the file is missing, damaged, or of another network.
    """
    tensors, mean = weights.read(path), MEAN
    plain = {re.sub(r"^(features\.|fc\.)?(conv|fc)_?", r"\2", name): value for name, value in tensors.items()}
    if FIRST not in plain or plain[FIRST].ndim != 4 or plain[FIRST].shape[1] != 3:
        raise AssetError(
            f"{path}: no weights of VGG-Face: no 'conv1_1.weight'; the file begins with {next(iter(tensors))!r}"
        )
    if FIRST not in tensors:  # from Torch: blue, green, red
        plain[FIRST] = plain[FIRST].flip(1)
        mean = mean[::-1]
    ends = [*(f"conv{group}_1.bias" for group in range(1, len(DEPTHS) + 1)), "fc6.bias", "fc7.bias"]
    lengths = [len(plain[name]) if name in plain else 1 for name in ends]
    network = VggFace(tuple(lengths[:-2]), tuple(lengths[-2:]))
    fill(network, plain, path, "VGG-Face (VGG-16)")
    shares = tuple(value / 255 for value in mean)
    return Recognition(network, "VGG-Face", SIZE, lengths[-1], wide(SIZE), LICENCE, shares, (1 / 255,) * 3)
