"""Rows over threads: every row once, errors reach the caller, callers may be many, and a fork may come at any time."""

import os
import threading
import time

import pytest

from likeness.render.pool import each_row


def counts(count, threads):
    seen, names = [0] * count, set()

    def work(row):
        seen[row] += 1
        names.add(threading.get_ident())
        time.sleep(0.001)

    each_row(work, count, threads)
    return seen, names


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_row_is_worked_on_once(count, threads):
    seen, names = counts(count, threads)
    assert seen == [1] * count
    assert len(names) <= max(1, min(threads, count))


def test_rows_run_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    each_row(lambda row: both.wait(), 2, 2)  # breaks if one waits for the other to end


def test_one_thread_is_the_callers():
    assert counts(3, 1)[1] == {threading.get_ident()}


def test_an_error_in_any_row_reaches_the_caller_after_all_have_stopped():
    running = set()

    def work(row):
        running.add(row)
        time.sleep(0.005)
        running.remove(row)
        if row == 3:
            raise ValueError("row 3")

    for _ in range(5):
        with pytest.raises(ValueError, match="row 3"):
            each_row(work, 8, 3)
        assert not running
    assert counts(6, 3)[0] == [1] * 6


def test_many_callers_and_calls_inside_calls():
    results = []

    def call():
        inner = []
        each_row(lambda row: each_row(inner.append, 3, 2), 4, 2)
        results.append(sorted(inner))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
    assert results == [sorted([0, 1, 2] * 4)] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_makes_its_own_threads():
    each_row(lambda row: None, 4, 2)  # the parent has a pool now
    child = os.fork()
    if child == 0:
        both = threading.Barrier(2, timeout=20)
        try:
            each_row(lambda row: both.wait(), 2, 2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
