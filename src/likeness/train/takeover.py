"""Go on training from a file that ships, where no checkpoint is at hand.

The export folds every batch norm into the convolution before it, so the file has fewer numbers than the network. Here
the folded weights go into the convolutions; each norm gets the mean and the spread that its input has on some pictures,
and the scale and shift that undo them. The network then answers as the file does, and its norms begin with what they
would measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from likeness.errors import AssetError

Pair = tuple[nn.Conv2d, nn.BatchNorm2d | None]


def take_over(path: Path, network: nn.Module, images: Tensor) -> None:
    """Give a convolutional network the weights of its exported file.

    Args:
        path: ONNX file whose convolutions are those of the network, in the order in which they run, with no other weights.
        network: Changed in place; every convolution without a bias has a batch norm behind it.
        images: Network input like that of the training to come; its statistics become those of the norms.

    Raises:
        AssetError: When the file is missing, or of another network.
    """
    pairs, weights = _convolutions(network, images), _folded(path)
    shapes = [tuple(conv.weight.shape) for conv, _ in pairs]
    if shapes != [weight.shape for weight, _ in weights]:
        raise AssetError(f"{path}: its {len(weights)} convolutions are not those of {type(network).__name__}")
    shifts: dict[nn.Module, Tensor] = {}
    with torch.no_grad():
        for (conv, norm), (weight, bias) in zip(pairs, weights):
            conv.weight.copy_(torch.from_numpy(weight.copy()))
            if norm is None:
                conv.bias.copy_(torch.from_numpy(bias.copy()))
            else:
                shifts[norm] = torch.from_numpy(bias.copy())
        with _hooked((norm, lambda module, inputs: _calibrate(module, inputs[0], shifts[module])) for norm in shifts):
            network.eval()(images)


def _calibrate(norm: nn.Module, features: Tensor, shift: Tensor) -> None:
    """Give a norm the statistics of (B, C, h, w), and the scale and shift with which it only adds `shift` (C,)."""
    variance, mean = torch.var_mean(features, (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + shift)


def _convolutions(network: nn.Module, images: Tensor) -> list[Pair]:
    """Convolutions in the order in which they run, each with the batch norm that runs next, if one does."""
    order: list[nn.Module] = []
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    chosen = (module for module in network.modules() if isinstance(module, kinds))
    with _hooked((module, lambda which, inputs: order.append(which)) for module in chosen), torch.no_grad():
        network.eval()(images[:1])
    behind = [*order[1:], None]
    return [(module, after if isinstance(after, nn.BatchNorm2d) else None)
            for module, after in zip(order, behind) if isinstance(module, nn.Conv2d)]  # fmt: skip


def _folded(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of the file's convolutions, in the order in which they run."""
    import onnx

    try:
        graph = onnx.load(path).graph
        values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        return [(values[node.input[1]], values[node.input[2]]) for node in graph.node if node.op_type == "Conv"]
    except Exception:  # of protobuf, of the file system or of the lists, by the damage
        raise AssetError(f"{path}: not an ONNX file with the weights of convolutions") from None


@contextmanager
def _hooked(hooks: Iterator[tuple[nn.Module, object]]) -> Iterator[None]:
    """Call functions (module, inputs) before the modules run, inside a `with` block."""
    handles = [module.register_forward_pre_hook(act) for module, act in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
