"""From trained modules to the files that ship: `runtime/{regressor,points,decoder-<level>}.onnx`."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import torch
from torch import nn

from likeness.assets.builtin import Builtin, layout_to_json
from likeness.assets.halves import half_shapes
from likeness.encoders import camera
from likeness.encoders.landmarks import LandmarkNetwork
from likeness.encoders.regressor import Regressor
from likeness.errors import AssetError
from likeness.geometry.cameras import project
from likeness.models.decoder import Decoder
from likeness.models.points import PointModel
from likeness.photos.crop import SIZE as CROP
from likeness.train.graphs import compress, finish, trace, widen


class RegressorGraph(nn.Module):
    """A crop to codes, a view of the crop, and the dense landmarks in crop pixels."""

    def __init__(self, network: Regressor, points: PointModel) -> None:
        super().__init__()
        self.network, self.points = network, points

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        estimate = self.network(image)
        view = camera.to_view(estimate.camera, CROP)
        landmarks = project(self.points(estimate.identity, estimate.expression), view)
        return estimate.identity, estimate.expression, view.rotation, view.translation, view.focal, landmarks


def export_regressor(network: Regressor, points: PointModel, path: Path, facts: dict[str, str]) -> None:
    """Write `image` uint8 (1, 128, 128, 3) -> identity, expression, rotation, translation, focal, landmarks.

    Weights are stored in float16 and cast back when a session is made; those of the one large layer, 40 percent of what
    the network reads, in 8 bits, with which it is computed too.

    Args:
        facts: Licence, sources and whatever else belongs into the file's metadata.
    """
    graph = RegressorGraph(network, points).eval()
    names = ["identity", "expression", "rotation", "translation", "focal", "landmarks"]
    model = trace(graph, (torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8),), ["image"], names, path)
    compress(model)
    pivot = " ".join(f"{value:g}" for value in camera.PIVOT)
    finish(model, path, {"likeness.kind": "regressor", "likeness.crop": str(CROP), "likeness.pivot": pivot, **facts})


class LandmarkGraph(nn.Module):
    """Crops to landmarks in crop pixels, and the standard deviation of x and of y of each."""

    def __init__(self, network: LandmarkNetwork, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        guess = self.network(image)
        sigma = guess.spread * (math.sqrt(3) * self.factor * CROP / 2)  # see `losses.landmark.isotropic_likelihood`
        return (guess.points + 1) * (CROP / 2), sigma


def export_landmarks(network: LandmarkNetwork, path: Path, factor: float, facts: dict[str, str]) -> None:
    """Write `image` uint8 (n, 128, 128, 3) -> points (n, 478, 2) and sigma (n, 478), crop pixels; n is free.

    Stored as `export_regressor` does.

    Args:
        factor: What the learned spreads are multiplied by.
        facts: Licence, sources and whatever else belongs into the file's metadata.
    """
    graph, image = LandmarkGraph(network, factor).eval(), torch.zeros(2, CROP, CROP, 3, dtype=torch.uint8)
    model = trace(graph, (image,), ["image"], ["points", "sigma"], path, batched=True)
    compress(model)
    finish(
        model, path, {"likeness.kind": "points", "likeness.crop": str(CROP), "likeness.spread": f"{factor:g}", **facts}
    )


def repack_regressor(path: Path, output: Path) -> None:
    """Write a regressor's file again as `export_regressor` would today, for files whose checkpoint is not at hand.

    Raises:
        AssetError: When the file is missing, or no ONNX file.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # of the file system or of protobuf
        raise AssetError(f"{path}: cannot be read as ONNX ({type(error).__name__})") from None
    widen(model.graph)
    compress(model)
    finish(model, output, {entry.key: entry.value for entry in model.metadata_props})


def export_decoder(model: Builtin, level: str, path: Path) -> None:
    """Write codes, a camera and the half shapes of `model` -> vertices, normals, points and depth (see `models.decoder`)."""
    shapes = half_shapes(model)
    codes = [torch.zeros(len(model.identity)), torch.zeros(len(model.expression))]
    view = [torch.eye(3), torch.tensor([0.0, 0, -500]), torch.tensor(500.0), torch.zeros(2)]
    inputs = [
        "identity",
        "expression",
        "rotation",
        "translation",
        "focal",
        "principal",
        "mean",
        "symmetric",
        "antisymmetric",
    ]
    outputs = ["vertices", "normals", "points", "depth"]
    layout = layout_to_json(model.layout)
    facts = {"likeness.kind": "decoder", "likeness.level": level, "likeness.layout": layout, "licence": model.licence}
    traced = trace(
        Decoder(model, level).eval(), (*codes, *view, *map(torch.from_numpy, shapes.values())), inputs, outputs, path
    )
    finish(traced, path, facts)
