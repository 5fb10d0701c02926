"""Rows of a batch over threads, for kernels that let go of the GIL: safe after a fork and under concurrent callers."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


def each_row(work: Callable[[int], object], count: int, threads: int) -> None:
    """Call `work(row)` for every row below `count`, on `threads` threads at most; the caller is one of them.

    Rows are taken in order as threads come free, each by one thread alone. An error in any row is raised here, after
    all threads have stopped. Calls inside calls are fine: who waits has no row left that nobody works on.
    """
    threads = min(threads, count)
    if threads <= 1:
        for row in range(count):
            work(row)
        return
    rows = itertools.count()  # one `next` is one step of the interpreter: no two threads get the same row

    def take() -> None:
        while (row := next(rows)) < count:
            work(row)

    executor = _executor(threads - 1)
    others = [executor.submit(take) for _ in range(threads - 1)]
    try:
        take()
    finally:
        for other in others:
            other.cancel()  # not begun yet, so it has no row
        errors = [other.exception() for other in others if not other.cancelled()]
    for error in errors:
        if error is not None:
            raise error


def _executor(size: int) -> ThreadPoolExecutor:
    """The pool, with at least `size` threads."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < size:
            # the smaller pool finishes what it was given; its threads end with its last reference
            _pool, _size = ThreadPoolExecutor(size, thread_name_prefix="likeness"), size
        return _pool


def _forget() -> None:
    """After a fork the child has the pool's bookkeeping but none of its threads."""
    global _lock, _pool, _size
    _lock, _pool, _size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
