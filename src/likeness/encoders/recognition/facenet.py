"""FaceNet as it is used today: Inception-ResNet v1, in the form of the PyTorch weights that many projects share.

Schroff et al. 2015, "FaceNet"; Szegedy et al. 2017, "Inception-v4, Inception-ResNet and the impact of residual connections",
fig. 10-14 with the layers of the TensorFlow re-implementation by D. Sandberg. The names of all parts are those of
facenet-pytorch's files (20180402-114759-vggface2.pt, 20180408-102900-casia-webface.pt).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from likeness.encoders import weights
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.published import fill
from likeness.encoders.recognition.templates import wide
from likeness.errors import AssetError

SIZE = 160
LICENCE = "code and files MIT; learned from VGGFace2 or CASIA-WebFace, whose pictures are for research"
Pair = tuple[int, int]


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int | Pair, stride: int = 1, padding: int | Pair = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(maps)))


class Branches(nn.Module):
    """Ways through a block that are joined channel by channel: `branch0`, `branch1`, ..."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for place, branch in enumerate(branches):
            self.add_module(f"branch{place}", branch)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{place}")(maps) for place in range(self.count)], 1)


class Residual(Branches):
    """Branches brought back to the block's width, scaled and added.

    Args:
        inner: Channels of the joined branches.
        active: Whether a ReLU follows; the network's last block has none.
    """

    def __init__(self, width: int, inner: int, scale: float, branches: list[nn.Module], active: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(inner, width, 1)
        self.scale, self.active = scale, active

    def forward(self, maps: Tensor) -> Tensor:
        result = maps + self.scale * self.conv2d(super().forward(maps))
        return torch.relu(result) if self.active else result


def _block35() -> Residual:
    second = nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3, padding=1))
    third = nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3, padding=1), Unit(32, 32, 3, padding=1))
    return Residual(256, 96, 0.17, [Unit(256, 32, 1), second, third])


def _block17() -> Residual:
    second = nn.Sequential(
        Unit(896, 128, 1), Unit(128, 128, (1, 7), padding=(0, 3)), Unit(128, 128, (7, 1), padding=(3, 0))
    )
    return Residual(896, 256, 0.10, [Unit(896, 128, 1), second])


def _block8(scale: float = 0.20, active: bool = True) -> Residual:
    second = nn.Sequential(
        Unit(1792, 192, 1), Unit(192, 192, (1, 3), padding=(0, 1)), Unit(192, 192, (3, 1), padding=(1, 0))
    )
    return Residual(1792, 384, scale, [Unit(1792, 192, 1), second], active)


class InceptionResnetV1(nn.Module):
    """(B, 3, 160, 160) in about [-1, 1] -> (B, features), before the unit length."""

    def __init__(self, features: int = 512) -> None:
        super().__init__()
        self.conv2d_1a = Unit(3, 32, 3, 2)
        self.conv2d_2a = Unit(32, 32, 3)
        self.conv2d_2b = Unit(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = Unit(64, 80, 1)
        self.conv2d_4a = Unit(80, 192, 3)
        self.conv2d_4b = Unit(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        middle = nn.Sequential(Unit(256, 192, 1), Unit(192, 192, 3, padding=1), Unit(192, 256, 3, 2))
        self.mixed_6a = Branches(Unit(256, 384, 3, 2), middle, nn.MaxPool2d(3, 2))
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = Branches(
            nn.Sequential(Unit(896, 256, 1), Unit(256, 384, 3, 2)),
            nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3, 2)),
            nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3, padding=1), Unit(256, 256, 3, 2)),
            nn.MaxPool2d(3, 2),
        )
        self.repeat_3 = nn.Sequential(*(_block8() for _ in range(5)))
        self.block8 = _block8(1.0, False)
        self.last_linear = nn.Linear(1792, features, bias=False)
        self.last_bn = nn.BatchNorm1d(features, eps=1e-3)

    def forward(self, image: Tensor) -> Tensor:
        maps = image
        for name, part in self.named_children():
            if not name.startswith("last"):
                maps = part(maps)
        return self.last_bn(self.last_linear(maps.mean((2, 3))))


def load(path: Path) -> Recognition:
    """FaceNet from facenet-pytorch's file of weights, with or without its classifier.

    Pictures are prepared as there: (byte - 127.5) / 128. Its training crops are boxes of a face detector, not aligned; ours
    are aligned (`templates.wide`), which shows the network what it knows best, upright faces.

    Raises:
        AssetError: When the file is missing, damaged, or of another network.
    """
    tensors = weights.read(path)
    last = tensors.get("last_linear.weight")
    if last is None or last.ndim != 2:
        first = next(iter(tensors))
        raise AssetError(
            f"{path}: no weights of FaceNet (InceptionResnetV1): no 'last_linear.weight'; it begins with {first!r}"
        )
    network = InceptionResnetV1(last.shape[0])
    fill(network, tensors, path, "FaceNet (InceptionResnetV1)")
    middle, spread = (127.5 / 255,) * 3, (128 / 255,) * 3
    return Recognition(network, "FaceNet", SIZE, last.shape[0], wide(SIZE), LICENCE, middle, spread)
