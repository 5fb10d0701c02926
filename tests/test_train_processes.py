"""Two processes on one machine (gloo) do what one does."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from line import Line, quiet, settings, weights
from safetensors.torch import load_file

from likeness.train import checkpoint
from likeness.train.loop import CHECKPOINT, train
from likeness.train.order import Order
from likeness.train.processes import Processes, is_first, join

TESTS = Path(__file__).parent


def run(folder, count=2, changes=None, recipe=None, folders=None):
    """Train as torchrun would start it: every process with its rank; -> their exit codes and what they said."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    running = []
    for rank in range(count):
        named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        env = os.environ | {"OMP_NUM_THREADS": "1"} | {key: str(value) for key, value in named.items()}
        where = str(folders[rank] if folders else folder)
        command = [sys.executable, "line.py", where, json.dumps(changes or {}), json.dumps(recipe or {})]
        running.append(
            subprocess.Popen(command, cwd=TESTS, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        said = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    return [process.returncode for process in running], said


def test_two_processes_are_one_that_cuts_its_batches_in_two(tmp_path):
    """With batch norm and dropout: statistics, masks and gradients are those of the parts, wherever they are computed."""
    codes, said = run(tmp_path / "two")
    assert codes == [0, 0], said
    one = train(Line(), tmp_path / "one", settings(accumulate=2), console=quiet())
    a, b = weights(one), weights(tmp_path / "two" / CHECKPOINT)
    assert a.keys() == b.keys() and all(torch.allclose(a[k].double(), b[k].double(), rtol=0, atol=1e-6) for k in a)
    rows = [list(csv.DictReader((tmp_path / run / "log.csv").open())) for run in ("one", "two")]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]] and len(rows[0]) == 9
    assert said[0][0].split() == ["3", "6", "7", "9", "12", "15", "16"] and said[1][0] == ""  # only the first writes


def test_two_processes_are_one_with_the_same_batch_where_losses_are_means(tmp_path):
    codes, said = run(tmp_path / "two", recipe={"coupled": False})
    assert codes == [0, 0], said
    one = train(Line(coupled=False), tmp_path / "one", settings(), console=quiet())
    a, b = weights(one), weights(tmp_path / "two" / CHECKPOINT)
    assert all(torch.allclose(a[k], b[k], rtol=0, atol=1e-5) for k in a)


def test_a_run_of_one_is_taken_over_by_two(tmp_path):
    train(Line(), tmp_path / "mixed", settings(accumulate=2), limit=5, console=quiet())
    codes, said = run(tmp_path / "mixed")
    assert codes == [0, 0], said
    whole = train(Line(), tmp_path / "whole", settings(accumulate=2), console=quiet())
    a, b = weights(whole), weights(tmp_path / "mixed" / CHECKPOINT)
    assert all(torch.allclose(a[k].double(), b[k].double(), rtol=0, atol=1e-6) for k in a)


def test_all_stop_where_one_meets_a_number_that_is_not_finite(tmp_path):
    codes, said = run(tmp_path, recipe={"poison": 5})
    assert 0 not in codes
    assert all("step 4: error is not finite" in errors for _, errors in said)
    batches = [load_file(tmp_path / f"batch-of-step-4-process-{rank}.safetensors")["x"] for rank in (0, 1)]
    assert all(batch.shape == (4, 3) for batch in batches) and not batches[0].equal(batches[1])


def test_all_stop_where_one_alone_meets_it_and_a_loss_gathers_the_batch(tmp_path):
    """The backward pass of such a loss talks to the other processes; they must not be saying something else by then."""
    codes, said = run(tmp_path, recipe={"poison": 5, "sick": 1, "moments": True})
    assert 0 not in codes
    assert all("stage first, step 4: error is not finite; the batch is in" in errors for _, errors in said), said
    batches = [load_file(tmp_path / f"batch-of-step-4-process-{rank}.safetensors")["x"] for rank in (0, 1)]
    assert all(batch.shape == (4, 3) for batch in batches) and not batches[0].equal(batches[1])


def test_two_processes_gather_the_moments_of_the_uncut_batch(tmp_path):
    changes = {"coupled": False, "moments": True}
    codes, said = run(tmp_path / "two", recipe=changes)
    assert codes == [0, 0], said
    one = train(Line(**changes), tmp_path / "one", settings(), console=quiet())
    a, b = weights(one), weights(tmp_path / "two" / CHECKPOINT)
    assert all(torch.allclose(a[k], b[k], rtol=0, atol=1e-5) for k in a)
    cut = train(Line(**changes), tmp_path / "cut", settings(accumulate=2), console=quiet())
    assert any(not torch.allclose(a[k], value, rtol=0, atol=1e-4) for k, value in weights(cut).items())


def test_folders_that_differ_are_noticed(tmp_path):
    train(Line(), tmp_path / "a", settings(accumulate=2), limit=4, console=quiet())
    for steps, what in ((0, "whether they find a checkpoint"), (2, "the step that they resume at")):
        if steps:
            train(Line(), tmp_path / "b", settings(accumulate=2), limit=steps, console=quiet())
        codes, said = run(None, folders=[tmp_path / "a", tmp_path / "b"])
        assert 0 not in codes and any(f"processes differ in {what}" in errors for _, errors in said)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shares_are_the_batch_without_gap_or_overlap(count):
    whole = list(Order(40, 8, 3, 2, 6))
    parts = [list(Order(40, 8, 3, 2, 6, Processes(rank, count).share(8))) for rank in range(count)]
    assert [sum((part[k] for part in parts), []) for k in range(4)] == whole


def test_only_the_first_writes_what_follows_a_run(monkeypatch):
    for rank, expected in ((None, True), ("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank) if rank else monkeypatch.delenv("RANK", raising=False)
        assert is_first() == expected


def test_alone_there_is_nothing_to_wait_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join("cpu") as processes:
        tensor = torch.ones(2)
        processes.add_up([tensor])
        processes.agree(3, "nothing")
        processes.wait()
        assert processes.first and tensor.tolist() == [1, 1] and not torch.distributed.is_initialized()
    assert checkpoint.previous(Path("a/checkpoint.safetensors")).name == "checkpoint.previous.safetensors"
