"""One formula for numpy and torch: functions ask for the namespace of the array they were given. And some rows of many."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy


def namespace(array: Any) -> ModuleType:
    """`torch` for a torch tensor, `numpy` for everything else. Never imports torch by itself."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else numpy


def like(values: Any, array: Any) -> Any:
    """`values` as an array of the same kind, dtype and device as `array`."""
    xp = namespace(array)
    if xp is numpy:
        return numpy.asarray(values, dtype=numpy.asarray(array).dtype)
    return xp.as_tensor(values, dtype=array.dtype, device=array.device)


def even(count: int, most: int) -> numpy.ndarray:
    """Numbers of at most so many of `count` rows, evenly spread, the first and the last among them where they are several."""
    return (
        numpy.unique(numpy.linspace(0, count - 1, min(count, most)).round().astype(int))
        if count
        else numpy.zeros(0, int)
    )
