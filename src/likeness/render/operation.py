"""Our kernels as operations of PyTorch that are loaded without its compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def operation(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function on CPU tensors, which changes none of its arguments, an operation; what is returned is called like it.

    `torch.library.custom_op` does the same, and wraps every kernel in a function that loads TorchDynamo when it is first called: 800
    modules, 70 MB and a second that only `torch.compile` needs, which loads them by itself. Other devices, fake tensors and gradients
    are added by `torch.library.impl`, `register_fake` and `register_autograd`.

    Args:
        name: With its namespace, e.g. "likeness::rasterize".
    """
    space, own = name.split("::")

    def made(function: Callable[..., Any]) -> Any:
        torch.library.define(name, torch.library.infer_schema(function, mutates_args=()))
        torch.library.impl(name, "cpu", function)
        return getattr(getattr(torch.ops, space), own).default

    return made
