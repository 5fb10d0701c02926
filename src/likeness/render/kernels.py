"""How our numba kernels are compiled: without the GIL, and cached on disk where a folder for that can be written."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def kernel(function: Callable) -> Callable:
    """Compile a kernel. Never `parallel=True`: its thread layer aborts under concurrent callers and after a fork."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba finds no folder for its cache
        return njit(nogil=True)(function)
