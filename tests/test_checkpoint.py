"""Checkpoints: checked, kept in pairs, and never lost, whenever the run is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from line import Line, quiet, settings, weights
from safetensors.torch import load_file, save_file

from likeness.errors import AssetError
from likeness.train import checkpoint
from likeness.train.loop import CHECKPOINT, LOG, train

TENSORS = {
    "weights.a": torch.arange(6.0).reshape(2, 3),
    "weights.flag": torch.tensor(True),
    "weights.none": torch.zeros(0, 3),
}


def damage(path, kind):
    """Spoil a file as disks and people do."""
    data = bytearray(path.read_bytes())
    if kind == "truncated":
        del data[-5:]
    elif kind == "half":
        del data[len(data) // 2 :]
    elif kind == "one bit":
        data[-3] ^= 16
    elif kind == "state":
        place = data.index(b'step\\": ') + 8
        data[place] = ord("9")
    else:
        data = b"nonsense" if kind == "nonsense" else b""
    path.write_bytes(data)


KINDS = ["truncated", "half", "one bit", "state", "nonsense", "empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_clear_error(tmp_path, kind):
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, TENSORS, {"step": 3})
    damage(path, kind)
    with pytest.raises(AssetError, match=r"checkpoint\.safetensors: damaged, or not a checkpoint") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_what_was_written_comes_back_and_the_one_before_stays(tmp_path):
    path = tmp_path / CHECKPOINT
    for step in (1, 2, 3):
        checkpoint.save(
            path,
            {name: tensor + step if tensor.dtype == torch.float32 else tensor for name, tensor in TENSORS.items()},
            {"step": step},
        )
    for place, step in ((path, 3), (checkpoint.previous(path), 2)):
        tensors, state = checkpoint.load(place)
        assert state == {"step": step} and torch.equal(tensors["weights.a"], TENSORS["weights.a"] + step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.previous.safetensors", CHECKPOINT]


def test_files_of_earlier_versions_have_no_digest_and_are_read(tmp_path):
    save_file(TENSORS, tmp_path / CHECKPOINT, metadata={"likeness.run": '{"step": 5}'})
    assert checkpoint.load(tmp_path / CHECKPOINT)[1] == {"step": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_from_the_previous_one_and_says_so(tmp_path, kind):
    whole = train(Line(), tmp_path / "whole", settings(), console=quiet())
    train(Line(), tmp_path / "parts", settings(), limit=8, console=quiet())  # checkpoints at 3, 6, 7 (end of stage), 8
    path = tmp_path / "parts" / CHECKPOINT
    damage(path, kind)
    console = quiet()
    train(Line(), tmp_path / "parts", settings(), limit=1, console=console)
    said = console.file.getvalue()
    assert "checkpoint.safetensors: damaged" in said and "checkpoint.previous.safetensors, step 7" in said
    assert (tmp_path / "parts" / "checkpoint.damaged.safetensors").exists()
    a, b = weights(whole), weights(train(Line(), tmp_path / "parts", settings(), console=quiet()))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_two_damaged_ones_are_both_named(tmp_path):
    path = train(Line(), tmp_path, settings(), limit=8, console=quiet())
    damage(path, "half")
    damage(checkpoint.previous(path), "one bit")
    with pytest.raises(AssetError, match=r"checkpoint\.safetensors.*checkpoint\.previous\.safetensors.*another folder"):
        train(Line(), tmp_path, settings(), console=quiet())


class Killed(BaseException):
    """A kill that cannot be caught as an ordinary error."""


@pytest.mark.parametrize("links", [True, False])
def test_killed_between_any_two_acts_of_saving_a_whole_one_is_left(tmp_path, monkeypatch, links):
    """Every rename, link and unlink of a save may be the last thing that happens."""
    path, left, budget = tmp_path / CHECKPOINT, [], [0]

    def mortal(act):
        def do(*arguments, **options):
            if budget[0] == 0:
                raise Killed
            budget[0] -= 1
            return act(*arguments, **options)

        return do

    def refuse(*arguments):
        raise OSError("no links here")

    checkpoint.save(path, TENSORS, {"step": 1})
    for owner, name in (
        (os, "replace"),
        (os, "link"),
        (Path, "unlink"),
        (checkpoint.shutil, "copyfile"),
        (checkpoint, "save_file"),
    ):
        monkeypatch.setattr(owner, name, mortal(refuse if name == "link" and not links else getattr(owner, name)))
    for allowed in range(8):
        budget[0] = allowed
        try:
            checkpoint.save(path, TENSORS, {"step": 2 + allowed})
            left.append("done")
        except Killed:
            left.append(checkpoint.load(path)[1]["step"])
        budget[0] = 100
    assert left[-1] == "done" and 1 in left
    assert checkpoint.load(path)[1]["step"] == 9
    assert all(step == "done" or step == 1 or step < 2 + k for k, step in enumerate(left))


def test_kill_9_loses_at_most_the_steps_since_the_last_checkpoint(tmp_path):
    whole = train(Line(), tmp_path / "whole", settings(save_every=2), console=quiet())
    command = [sys.executable, "line.py", str(tmp_path / "parts"), '{"save_every": 2}', "{}"]
    for enough in (2, 3):
        running = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
        seen = [int(running.stdout.readline()) for _ in range(enough)]
        running.send_signal(signal.SIGKILL)
        running.wait()
        _, state, told = checkpoint.resume(tmp_path / "parts" / CHECKPOINT)
        assert state["step"] >= seen[-1] and not told
    a, b = weights(whole), weights(train(Line(), tmp_path / "parts", settings(save_every=2), console=quiet()))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_kill_9_before_the_first_report_leaves_the_log_of_the_run_before(tmp_path):
    train(Line(), tmp_path, settings(), limit=7, console=quiet())
    before = (tmp_path / LOG).read_text()
    with (tmp_path / LOG).open("a") as file:
        file.write("1")  # torn by a kill in the middle of a row
    command = [sys.executable, "line.py", str(tmp_path), '{"save_every": 1, "log_every": 100}', "{}"]
    running = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "8\n"
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert (tmp_path / LOG).read_text() == before and before.count("\n") == 1 + 4


def test_weights_go_into_a_module_with_or_without_their_average(tmp_path):
    path = train(Line(), tmp_path, settings(), limit=5, console=quiet())
    tensors, recipe = load_file(path), Line()
    checkpoint.load_weights(path, recipe)
    assert torch.equal(recipe.head.weight, tensors["average.head.weight"])
    checkpoint.load_weights(path, recipe, average=False)
    assert torch.equal(recipe.head.weight, tensors["weights.head.weight"])
    assert not torch.equal(tensors["weights.head.weight"], tensors["average.head.weight"])
