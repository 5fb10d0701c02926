"""ONNX graphs of trained modules: traced, made small, and written with what they say about themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17


def trace(
    graph: nn.Module, arguments: tuple, inputs: Sequence[str], outputs: Sequence[str], path: Path, batched: bool = False
) -> onnx.ModelProto:
    """A module as ONNX sees it run once.

    Args:
        graph: In evaluation mode.
        arguments: Tensors of the shapes that it will be given.
        inputs, outputs: Their names.
        path: Where the file will lie; one beside it is written and removed.
        batched: Whether the first dimension of everything is free.
    """
    beside = path.with_name(path.name + ".part")
    axes = {name: {0: "n"} for name in (*inputs, *outputs)} if batched else None
    with torch.no_grad():
        torch.onnx.export(
            graph,
            arguments,
            beside,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes=axes,
        )
    model = onnx.load(beside)
    beside.unlink()
    return model


def compress(model: onnx.ModelProto, small: bool = False) -> None:
    """Make a graph small: its large layer in 8 bits, with which it is computed too; the rest stored in float16.

    Args:
        small: Also store every other matrix and kernel in 8 bits (`_eighth`).
    """
    _pool(model.graph)
    _quarter(model)
    if small:
        _eighth(model.graph)
    _halve(model.graph)


def widen(graph: onnx.GraphProto) -> None:
    """Undo `_halve`: float32 initializers under the names that their Casts gave them."""
    halves = {node.input[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0].endswith(".half")}
    for tensor in graph.initializer:
        if tensor.name in halves:
            cast = halves[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), cast.output[0]))
            graph.node.remove(cast)


def _pool(graph: onnx.GraphProto) -> None:
    """Means over whole maps as GlobalAveragePool, which ONNX Runtime takes in the layout of its convolutions."""
    for place, node in enumerate(graph.node):
        if node.op_type != "ReduceMean":
            continue
        facts = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if list(facts["axes"]) != [2, 3]:
            continue
        (output,), name = node.output, node.name
        whole = output if facts.get("keepdims", 1) else output + ".map"
        node.CopyFrom(helper.make_node("GlobalAveragePool", node.input[:1], [whole], name=name))
        if whole != output:
            graph.node.insert(place + 1, helper.make_node("Flatten", [whole], [output], name=name + ".flat"))


def _quarter(model: onnx.ModelProto, least: int = 1 << 19, block: int = 32) -> None:
    """Turn fully connected layers of at least `least` weights into products of 8-bit blocks (`MatMulNBits`).

    A face's time is that of reading weights. Every `block` weights of a row share a scale, and so do as many inputs, which
    are rounded to 8 bits as well (accuracy level 4): on real crops codes move by 0.002 of their spread.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for place, node in enumerate(graph.node):
        tensor = weights.get(node.input[1]) if _is_layer(node) else None
        if tensor is None or np.prod(tensor.dims) < least or tensor.dims[1] % block:
            continue
        values = numpy_helper.to_array(tensor)  # (outputs, inputs)
        blocks = values.reshape(len(values), -1, block)
        scale = np.maximum(np.abs(blocks).max(-1), 1e-12) / 127
        whole = (np.rint(blocks / scale[..., None]) + 128).astype(np.uint8)
        name, (features, _, bias), (output,) = tensor.name, node.input, node.output
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(whole, name + ".blocks"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32).ravel(), name + ".scales"))
        sizes = {"K": values.shape[1], "N": len(values), "bits": 8, "block_size": block, "accuracy_level": 4}
        inputs, product = [features, name + ".blocks", name + ".scales"], output + ".product"
        node.CopyFrom(
            helper.make_node("MatMulNBits", inputs, [product], name=node.name, domain="com.microsoft", **sizes)
        )
        graph.node.insert(place + 1, helper.make_node("Add", [product, bias], [output], name=node.name + ".bias"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _is_layer(node: onnx.NodeProto) -> bool:
    """Whether this is a linear layer of torch with a bias: those are written with their matrix transposed."""
    transposed = any(entry.name == "transB" and entry.i for entry in node.attribute)
    return node.op_type == "Gemm" and len(node.input) == 3 and transposed


def _eighth(graph: onnx.GraphProto, least: int = 4096) -> None:
    """Keep float32 initializers of two or more dimensions and at least `least` numbers as int8, with a scale for each of their
    first dimension's entries (output channels of layers, modes of bases): a Cast and a Mul before their use give them back,
    which ONNX Runtime computes once, when a session is made."""
    made = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or np.prod(tensor.dims) < least:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        scale = np.maximum(np.abs(values).reshape(len(values), -1).max(1), 1e-12) / 127
        scale = scale.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
        tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), name + ".whole"))
        graph.initializer.append(numpy_helper.from_array(scale, name + ".scale"))
        made.append(helper.make_node("Cast", [name + ".whole"], [name + ".cast"], to=TensorProto.FLOAT))
        made.append(helper.make_node("Mul", [name + ".cast", name + ".scale"], [name]))
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


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


def finish(model: onnx.ModelProto, path: Path, facts: dict[str, str]) -> None:
    """Check a graph and write it, with facts as its metadata."""
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    beside = path.with_name(path.name + ".part")
    onnx.save(model, beside)
    os.replace(beside, path)
