"""ArcFace: IResNet 18, 34, 50, 100 from PyTorch weights, and any of its networks from an ONNX file.

Deng et al. 2019, "ArcFace: Additive angular margin loss for deep face recognition", sec. 3.2.1; the residual unit is that of
Han et al. 2017, "Deep pyramidal residual networks" (normalise first). Names are those of InsightFace's `arcface_torch` files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from likeness.encoders import weights
from likeness.encoders.recognition import templates
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.recognition.published import fill
from likeness.errors import AssetError

SIZE = templates.ARCFACE_SIDE
WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages."""
LICENCE = "InsightFace's published weights are for non-commercial research only"
HALF = (0.5, 0.5, 0.5)
FIRST_NODES = 8
"""Nodes at the beginning of a graph among which InsightFace looks for a preparation of its own."""


class Block(nn.Module):
    """Normalise, convolve, normalise, PReLU, convolve, normalise; and the way around."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        result = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(maps))))))
        return result + (maps if self.downsample is None else self.downsample(maps))


class IResNet(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, features), before the unit length.

    Args:
        depths: Blocks of the four stages, of `WIDTHS` channels.
    """

    def __init__(self, depths: Sequence[int], features: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        for place, (depth, before, width) in enumerate(zip(depths, (WIDTHS[0], *WIDTHS), WIDTHS), 1):
            blocks = [Block(before, width, 2), *(Block(width, width, 1) for _ in range(depth - 1))]
            self.add_module(f"layer{place}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(WIDTHS[-1])
        self.fc = nn.Linear(WIDTHS[-1] * (SIZE // 16) ** 2, features)
        self.features = nn.BatchNorm1d(features)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.prelu(self.bn1(self.conv1(image)))
        for place in range(1, len(WIDTHS) + 1):
            maps = self.get_submodule(f"layer{place}")(maps)
        return self.features(self.fc(self.bn2(maps).flatten(1)))


class OnnxNetwork(nn.Module):
    """A graph in ONNX Runtime: (B, 3, S, S) -> (B, features), without gradients.

    Args:
        alone: Whether the graph takes one picture at a time.
    """

    def __init__(self, session: onnxruntime.InferenceSession, alone: bool) -> None:
        super().__init__()
        self.session, self.alone, self.input = session, alone, session.get_inputs()[0].name

    def forward(self, image: Tensor) -> Tensor:
        pictures = np.ascontiguousarray(image.detach().cpu().float().numpy())
        batches = np.split(pictures, len(pictures)) if self.alone else [pictures]
        found = np.concatenate([self.session.run(None, {self.input: batch})[0] for batch in batches])
        return torch.from_numpy(found).to(image)


def load(path: Path) -> Recognition:
    """ArcFace from a PyTorch state dict (differentiable) or an ONNX file (for evaluation only).

    Raises:
        AssetError: When the file is missing, damaged, or of another network.
    """
    path = Path(path)
    return _from_onnx(path) if path.suffix == ".onnx" else _from_torch(path)


def _from_torch(path: Path) -> Recognition:
    tensors = weights.read(path)
    depths, last = _depths(tensors), tensors.get("fc.weight")
    if not all(depths) or last is None or last.ndim != 2:
        first = next(iter(tensors))
        raise AssetError(
            f"{path}: no weights of ArcFace (IResNet): no layer1 ... layer4 and fc; it begins with {first!r}"
        )
    network = IResNet(depths, last.shape[0])
    fill(network, tensors, path, f"ArcFace (IResNet with {depths} blocks)")
    name = f"ArcFace r{2 * sum(depths) + 2}"  # two convolutions a block, one before, one matrix after
    return Recognition(network, name, SIZE, last.shape[0], templates.arcface(SIZE), LICENCE, HALF, HALF)


def _depths(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """How many blocks a file has in each of the four stages."""
    found = [re.fullmatch(r"layer([1-4])\.(\d+)\.conv1\.weight", name) for name in tensors]
    return tuple(sum(match is not None and int(match[1]) == place for match in found) for place in range(1, 5))


def _from_onnx(path: Path) -> Recognition:
    if not path.is_file():
        raise AssetError(f"{path}: no such file; an ONNX file of an ArcFace network is needed")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime has a class of its own for each cause, and no common one, and tells long stories
        raise AssetError(f"{path}: damaged, or not an ONNX file") from None
    taken, given = session.get_inputs()[0].shape, session.get_outputs()[0].shape
    square = len(taken) == 4 and taken[1] == 3 and taken[2] == taken[3] and isinstance(taken[2], int)
    if len(session.get_inputs()) != 1 or not square or len(given) != 2 or not isinstance(given[1], int):
        raise AssetError(
            f"{path}: no recognition network: takes {taken}, gives {given}; (N, 3, S, S) and (N, D) are needed"
        )
    network, size = OnnxNetwork(session, taken[0] == 1), taken[2]
    mean, deviation = ((0.0,) * 3, (1 / 255,) * 3) if _prepares(path) else (HALF, HALF)
    template = templates.arcface(size)
    return Recognition(network, f"ArcFace {path.stem}", size, given[1], template, LICENCE, mean, deviation, False)


def _prepares(path: Path) -> bool:
    """Whether the graph subtracts and multiplies first, so that it takes bytes: InsightFace's rule for its own files."""
    import onnx

    first = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node[:FIRST_NODES]}
    return {"Sub", "Mul"} <= first
