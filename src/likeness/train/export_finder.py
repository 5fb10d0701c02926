"""From a trained finder to the file that ships: `runtime/finder.onnx`, with its licence and sources inside."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import torch

from likeness.encoders.finder import FinderGraph, FinderNetwork
from likeness.photos.detect import SIDE


def export(network: FinderNetwork, path: Path, threshold: float, sources: tuple[str, ...]) -> None:
    """Write the graph: `image` uint8 (1, height, width, 3) to `score` (h, w) and `geometry` (5, h, w), sizes free.

    Args:
        threshold: Score from which an answer counts as a face, chosen on validation scenes; kept in the file.
        sources: Names of the photo sets the weights were learned from.
    """
    graph = FinderGraph(network).eval()
    beside = path.with_name(path.name + ".part")
    axes = {"image": {1: "height", 2: "width"}, "score": {0: "rows", 1: "columns"}}
    axes["geometry"] = {1: "rows", 2: "columns"}
    torch.onnx.export(
        graph,
        (torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8),),
        beside,
        input_names=["image"],
        output_names=["score", "geometry"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(beside)
    facts = {
        "likeness.kind": "face finder",
        "likeness.threshold": f"{threshold:.4f}",
        "licence": "Apache-2.0",
        "sources": "photo sets " + ", ".join(sources) + "; scikit-image's sample pictures as backgrounds",
    }
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, beside)
    os.replace(beside, path)
