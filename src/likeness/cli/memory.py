"""Memory that was freed, given back to the system at once."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD = -3
"""Of glibc's mallopt: bytes from which an allocation is mapped by itself, and unmapped when it is freed."""
_LARGE, _USUAL = 1 << 21, 1 << 25
"""The threshold that spares memory, and the one that glibc comes to by itself where large arrays come and go: quicker."""


@contextmanager
def thrifty() -> Iterator[None]:
    """Spare memory at the price of some time, where the C library is one that can (glibc).

    For work on few large arrays after work on many small ones: what those leave in pieces is handed back first, and large
    arrays are handed back as soon as they are freed.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        yield
        return
    library.malloc_trim(ctypes.c_size_t(0))
    library.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _USUAL)
