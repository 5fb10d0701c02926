"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Hand what the C library keeps of freed memory to the system, where it is one that can (glibc); it costs milliseconds.

    Worth it between two steps that each take much: what the first leaves in small pieces the second cannot use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
