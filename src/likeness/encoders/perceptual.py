"""Networks whose layers say what is in a picture rather than which colour each pixel has, for perceptual losses.

`VGG16` by a file that the user brings, as the papers have it; and `Filters`, a stand-in that has no weights at all.
`losses.perceptual` compares what they answer.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders import weights
from likeness.encoders.pretrained import standardized
from likeness.errors import AssetError, UsageError


class Perceptual(nn.Module):
    """A frozen network that answers several layers at once.

    Gradients pass through to the picture. Give pictures of one size, the photo without a gradient.
    """

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps (B, C, h, w), fine to coarse, of pictures (B, 3, H, W), sRGB values in [0, 1]."""


def load(path: Path | None) -> Perceptual:
    """VGG-16 of a file, or the stand-in where there is none."""
    return Filters() if path is None else VGG16(path)


DEPTHS, WIDTHS = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512)
"""Convolutions between poolings, and their channels (Simonyan and Zisserman 2015, table 1, D)."""
_GROUPS = (
    [f"{kind}{group}_{number}" for number in range(1, depth + 1) for kind in ("conv", "relu")] + [f"pool{group}"]
    for group, depth in enumerate(DEPTHS, 1)
)
NAMES = tuple(name for group in _GROUPS for name in group)
"""Of all layers, in the order in which they run, which is torchvision's numbering."""
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The last layer before each pooling; the first four are those of Johnson et al. 2016, "Perceptual losses for real-time
style transfer and super-resolution", sec. 4. Mallikarjun et al. 2021, eq. 9, have five and do not say which."""


class VGG16(Perceptual):
    """Layers of VGG-16 (Simonyan and Zisserman 2015), up to the deepest that is asked for.

    Args:
        path: State dict with torchvision's names, `features.0.weight` and so on; its classifier is not needed. See
            `weights.read`.
        layers: Names as in `LAYERS`, fine to coarse.

    Raises:
        AssetError: When the file cannot be read, or is not of this network.
        UsageError: For a layer that there is not.
    """

    def __init__(self, path: Path, layers: tuple[str, ...] = LAYERS) -> None:
        super().__init__()
        unknown = [layer for layer in layers if layer not in NAMES]
        if unknown or not layers:
            raise UsageError(f"VGG-16 has no layer {unknown[0] if unknown else ''!r}; there are {', '.join(NAMES)}")
        self.taps = tuple(NAMES.index(layer) for layer in layers)
        self.features, before = nn.Sequential(), 3
        for name in NAMES[: max(self.taps) + 1]:
            if name.startswith("conv"):
                width = WIDTHS[int(name[4]) - 1]
                self.features.append(nn.Conv2d(before, width, 3, padding=1))
                before = width
            else:
                self.features.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
        self._fill(Path(path))
        self.requires_grad_(False)

    def _fill(self, path: Path) -> None:
        found = weights.read(path)
        for name, value in self.state_dict().items():
            if name not in found or found[name].shape != value.shape:
                seen = tuple(found[name].shape) if name in found else "missing"
                raise AssetError(
                    f"{path}: no weights of VGG-16: {name!r} is {seen}, {tuple(value.shape)} is needed "
                    "(torchvision's vgg16, without batch normalisation)"
                )
        self.load_state_dict({name: found[name] for name in self.state_dict()})

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps, answer = standardized(image), {}
        for number, layer in enumerate(self.features):
            maps = layer(maps)
            if number in self.taps:
                answer[number] = maps
        return tuple(answer[tap] for tap in self.taps)


LEVELS = 5
"""As many as VGG-16 has between poolings."""
SMALLEST = 4 << (LEVELS - 1)
"""Pixels of which the last level still has four, to be halved twice."""
FAINT = 0.03
"""Contrast, in sRGB values, below which a place counts as even: a few steps of a stored picture. Ours."""
COLOURS = ((1 / 3, 1 / 3, 1 / 3), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Light against dark, red against green, yellow against blue."""


class Filters(Perceptual):
    """Edges and lines of five sizes, in four orientations, light and colour apart: what first layers are known to learn,
    written down. Nothing is learned, nothing downloaded.

    On each level of a pyramid, first and second derivatives of Gaussians are steered to four orientations (Freeman and
    Adelson 1991, "The design and use of steerable filters", table III), divided by the contrast around (Heeger 1992,
    "Normalization of cell responses in cat striate cortex"), split into positive and negative parts, and smoothed over
    about four pixels of the level. So an edge that is half a pixel off still meets its counterpart, while one that is
    blurred away does not; and, as one more map says how even a place is, nothing to see differs from something.

    It knows no eyes and no noses, and does not see the colour of even areas: a photometric term belongs beside it.
    51 maps a level, a quarter of the level's size; pictures from 64 px.
    """

    def __init__(self) -> None:
        super().__init__()
        smooth = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16
        slope = torch.tensor([-1.0, -2.0, 0.0, 2.0, 1.0], dtype=torch.float64) / 8
        bend = torch.tensor([1.0, 0.0, -2.0, 0.0, 1.0], dtype=torch.float64) / 4
        half = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
        x, y = torch.outer(smooth, slope), torch.outer(slope, smooth)
        xx, xy, yy = torch.outer(smooth, bend), torch.outer(slope, slope), torch.outer(bend, smooth)
        turns = [(math.cos(angle), math.sin(angle)) for angle in (0, math.pi / 4, math.pi / 2, 3 * math.pi / 4)]
        bank = [c * x + s * y for c, s in turns] + [c * c * xx + 2 * c * s * xy + s * s * yy for c, s in turns]
        for name, value in (
            ("bank", torch.stack(bank)[:, None]),
            ("pool", torch.outer(smooth, smooth)[None, None]),
            ("halve", torch.outer(half, half)[None, None]),
            ("colours", torch.tensor(COLOURS, dtype=torch.float64)),
        ):
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if min(image.shape[-2:]) < SMALLEST:
            raise ValueError(f"pictures of {SMALLEST} px or more are needed, not {tuple(image.shape[-2:])}")
        maps, answer = torch.einsum("kc,bchw->bkhw", self.colours, image), []
        for level in range(LEVELS):
            if level:
                maps = _filtered(maps, self.halve, 1, stride=2)
            answer.append(self._edges(maps))
        return tuple(answer)

    def _edges(self, maps: Tensor) -> Tensor:
        """What is to see at each place: (B, 51, h / 4, w / 4) of colours (B, 3, h, w)."""
        signed = _filtered(maps, self.bank, 2).unflatten(1, (len(COLOURS), len(self.bank)))
        around = (FAINT**2 + _filtered(signed.square().sum(2), self.pool, 2)).sqrt()
        shares = (signed / around[:, :, None]).flatten(1, 2)
        apart = torch.cat([shares.relu(), (-shares).relu(), FAINT / around], 1)
        return _filtered(_filtered(apart, self.halve, 1, stride=2), self.halve, 1, stride=2)


def _filtered(maps: Tensor, kernels: Tensor, border: int, stride: int = 1) -> Tensor:
    """Every map (B, C, h, w) through every kernel (K, 1, k, k): (B, C * K, h', w'). The last pixels go on outside."""
    channels = maps.shape[1]
    wide = functional.pad(maps, (border,) * 4, mode="replicate")
    return functional.conv2d(wide, kernels.repeat(channels, 1, 1, 1), stride=stride, groups=channels)
