"""The mean of files that grew out of one another.

A network that learned more beyond a file, and the file: half way between their weights lies one that keeps most of what
either can do (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" and "Model soups").
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from likeness.errors import AssetError


def blend(paths: Sequence[Path], output: Path) -> None:
    """Write the mean of the weights of ONNX files of one network; the rest is the first one's.

    Args:
        paths: A file that is named twice counts twice.

    Raises:
        AssetError: When the files' weights have other names or shapes.
    """
    import onnx
    from onnx import numpy_helper

    models = [onnx.load(path) for path in paths]
    weights = [{tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer} for model in models]
    for path, other in zip(paths, weights):
        if {k: v.shape for k, v in other.items()} != {k: v.shape for k, v in weights[0].items()}:
            raise AssetError(
                f"{path}: its weights are not those of {paths[0]}; only files of one network can be blended"
            )
    for tensor in models[0].graph.initializer:
        first = weights[0][tensor.name]
        if np.issubdtype(first.dtype, np.floating):
            mean = np.mean([other[tensor.name] for other in weights], 0, dtype=np.float64)
            tensor.CopyFrom(numpy_helper.from_array(mean.astype(first.dtype), tensor.name))
    beside = output.with_name(output.name + ".part")
    onnx.save(models[0], beside)
    os.replace(beside, output)
