"""How our numba kernels are compiled: without the GIL, cached on disk where a folder can be written, never in silence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import event


class _Notice(event.Listener):
    """One line on stderr when the first kernel has to be compiled: a pause without a reason looks like a fault."""

    told = False

    def on_start(self, event: event.Event) -> None:
        if not _Notice.told and event.data["dispatcher"].py_func in _OURS:
            _Notice.told = True
            print("likeness: compiling its kernels, once; this takes some seconds", file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass


_OURS: set[Callable] = set()
event.register("numba:compile", _Notice())


def kernel(function: Callable, **options: Any) -> Callable:
    """Compile a kernel on its first call, or load it from the cache.

    Never `parallel=True`: its thread layer aborts under concurrent callers and after a fork.

    Args:
        options: Of `numba.njit`, such as fastmath.
    """
    _OURS.add(function)
    try:
        return njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder for its cache
        return njit(nogil=True, **options)(function)
