"""From trained modules to the files that ship: `runtime/{regressor,points,decoder-<level>}.onnx`."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
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

OPSET = 17


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
    model = _trace(graph, (torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8),), ["image"], names, path)
    _compress(model)
    pivot = " ".join(f"{value:g}" for value in camera.PIVOT)
    _finish(model, path, {"likeness.kind": "regressor", "likeness.crop": str(CROP), "likeness.pivot": pivot, **facts})


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
    model = _trace(graph, (image,), ["image"], ["points", "sigma"], path, batched=True)
    _compress(model)
    _finish(model, path, {"likeness.kind": "points", "likeness.crop": str(CROP), "likeness.spread": f"{factor:g}", **facts})


def repack_regressor(path: Path, output: Path) -> None:
    """Write a regressor's file again as `export_regressor` would today, for files whose checkpoint is not at hand.

    Raises:
        AssetError: When the file is missing, or no ONNX file.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # of the file system or of protobuf
        raise AssetError(f"{path}: cannot be read as ONNX ({type(error).__name__})") from None
    _widen(model.graph)
    _compress(model)
    _finish(model, output, {entry.key: entry.value for entry in model.metadata_props})


def export_decoder(model: Builtin, level: str, path: Path) -> None:
    """Write codes, a camera and the half shapes of `model` -> vertices, normals, points and depth (see `models.decoder`)."""
    shapes = half_shapes(model)
    codes = [torch.zeros(len(model.identity)), torch.zeros(len(model.expression))]
    view = [torch.eye(3), torch.tensor([0.0, 0, -500]), torch.tensor(500.0), torch.zeros(2)]
    inputs = ["identity", "expression", "rotation", "translation", "focal", "principal", "mean", "symmetric", "antisymmetric"]
    outputs = ["vertices", "normals", "points", "depth"]
    layout = layout_to_json(model.layout)
    facts = {"likeness.kind": "decoder", "likeness.level": level, "likeness.layout": layout, "licence": model.licence}
    traced = _trace(Decoder(model, level).eval(), (*codes, *view, *map(torch.from_numpy, shapes.values())), inputs, outputs, path)
    _finish(traced, path, facts)


def _trace(
    graph: nn.Module, arguments: tuple, inputs: list[str], outputs: list[str], path: Path, batched: bool = False
) -> onnx.ModelProto:
    beside = path.with_name(path.name + ".part")
    axes = {name: {0: "n"} for name in (*inputs, *outputs)} if batched else None
    with torch.no_grad():
        torch.onnx.export(
            graph, arguments, beside, input_names=inputs, output_names=outputs, opset_version=OPSET, dynamo=False,
            dynamic_axes=axes,
        )
    model = onnx.load(beside)
    beside.unlink()
    return model


def _compress(model: onnx.ModelProto) -> None:
    _pool(model.graph)
    _quarter(model)
    _halve(model.graph)


def _widen(graph: onnx.GraphProto) -> None:
    """Undo `_halve`: float32 initializers under the names that their Casts gave them."""
    halves = {node.input[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0].endswith(".half")}
    for tensor in graph.initializer:
        if tensor.name in halves:
            cast = halves[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), cast.output[0]))
            graph.node.remove(cast)


def _pool(graph: onnx.GraphProto) -> None:
    """Means over whole maps as GlobalAveragePool, which ONNX Runtime takes in the layout of its convolutions."""
    for node in graph.node:
        if node.op_type == "ReduceMean":
            (axes,) = (list(attribute.ints) for attribute in node.attribute if attribute.name == "axes")
            if axes == [2, 3]:
                node.CopyFrom(helper.make_node("GlobalAveragePool", node.input[:1], node.output, name=node.name))


def _quarter(model: onnx.ModelProto, least: int = 1 << 19, block: int = 32) -> None:
    """Turn fully connected layers of at least `least` weights into products of 8-bit blocks (`MatMulNBits`).

    A face's time is that of reading weights. Every `block` weights of a row share a scale, and so do as many inputs, which
    are rounded to 8 bits as well (accuracy level 4): on real crops codes move by 0.002 of their spread.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for place, node in enumerate(graph.node):
        if node.op_type != "Gemm" or np.prod(weights[node.input[1]].dims) < least:
            continue
        tensor = weights[node.input[1]]
        values = numpy_helper.to_array(tensor)  # (outputs, inputs): torch's linear layers are written transposed
        blocks = values.reshape(len(values), -1, block)
        scale = np.maximum(np.abs(blocks).max(-1), 1e-12) / 127
        whole = (np.rint(blocks / scale[..., None]) + 128).astype(np.uint8)
        name, (features, _, bias), (output,) = tensor.name, node.input, node.output
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(whole, name + ".blocks"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32).ravel(), name + ".scales"))
        sizes = {"K": values.shape[1], "N": len(values), "bits": 8, "block_size": block, "accuracy_level": 4}
        inputs, product = [features, name + ".blocks", name + ".scales"], output + ".product"
        node.CopyFrom(helper.make_node("MatMulNBits", inputs, [product], name=node.name, domain="com.microsoft", **sizes))
        graph.node.insert(place + 1, helper.make_node("Add", [product, bias], [output], name=node.name + ".bias"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _halve(graph: onnx.GraphProto, least: int = 256) -> None:
    """Keep float32 initializers of at least `least` numbers as float16, each with a Cast before its use."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < least:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _finish(model: onnx.ModelProto, path: Path, facts: dict[str, str]) -> None:
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    beside = path.with_name(path.name + ".part")
    onnx.save(model, beside)
    os.replace(beside, path)
