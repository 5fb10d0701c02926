"""Tasks of several commands, each a process of its own, so many at a time, until all are done or the time is over.

A task's folder says how far it came: `done.json` holds the commands that ended well. Whatever is killed, this program, a
command or the machine, the next call goes on where the folders stand; it is the commands' own business to resume. A
folder is locked as long as a process works in it, so that two calls at once share the tasks instead of doing them twice.
For POSIX systems: it needs their locks and process groups.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from likeness.errors import UsageError

DONE, LOCK, OUTPUT, SPENT = "done.json", "lock", "output.txt", "spent.json"
"""Files in a task's folder: commands that ended well, the lock, what the commands said, what they cost so far."""
PATIENCE = 20.0
"""Seconds that a command has to end after it was interrupted, before it is killed."""
PAUSE = 0.2
"""Seconds between looks at the processes."""


class Call(NamedTuple):
    """A command of a task.

    Attributes:
        name: Short, as in "train"; its key in `done.json`.
        command: Program and arguments.
    """

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """Commands that run one after the other.

    Attributes:
        name: Unique, for the user.
        folder: Its state; what the commands leave is best put there too.
        calls: The commands, in order.
    """

    name: str
    folder: Path
    calls: tuple[Call, ...]


@dataclass
class _Running:
    task: Task
    call: Call
    process: subprocess.Popen
    lock: Any


def done(folder: Path) -> dict[str, dict[str, Any]]:
    """What ended well in a task's folder: name of the call -> its `command` without the program, `cpu` seconds.

    The seconds are those of all its processes, workers included, but for processes that outlived the program that began
    them.
    """
    return _read(folder / DONE)


def missing(task: Task) -> list[Call]:
    """The calls of a task that have not ended well yet.

    Raises:
        UsageError: When a call ended well with other options: then its results are not those that are asked for.
    """
    ended = done(task.folder)
    for call in task.calls:
        was, now = ended.get(call.name, {}).get("command"), list(call.command[1:])
        if was is not None and was != now:
            other = " ".join(sorted(set(was) ^ set(now))) or "their order"
            raise UsageError(
                f"{task.folder}: {call.name} ran with other options ({other}); name another folder, or remove it"
            )
    return [call for call in task.calls if call.name not in ended]


def run(
    tasks: Sequence[Task], jobs: int = 1, seconds: float | None = None, tell: Callable[[str], None] = lambda line: None
) -> dict[str, str]:
    """Work on tasks in their order.

    Args:
        jobs: Processes at a time.
        seconds: Stop after so many; what runs then is interrupted. None: when all is done.
        tell: Takes a line when something begins or ends.

    Returns:
        Task -> why it is not done, in one line; tasks that are done are left out.
    """
    end = None if seconds is None else time.monotonic() + seconds
    waiting = [task for task in tasks if missing(task)]
    undone = {task.name: "not begun" for task in waiting}
    running: list[_Running] = []
    try:
        while (waiting or running) and (end is None or time.monotonic() < end):
            while waiting and len(running) < jobs:
                _begin(waiting.pop(0), running, undone, tell)
            for child in [child for child in running if _over(child)]:
                running.remove(child)
                _ended(child, waiting, undone, tell)
            time.sleep(PAUSE)
    finally:
        for child in running:
            undone[child.task.name] = f"stopped in {child.call.name}"
        _stop(running)
    return undone


def _begin(task: Task, running: list[_Running], undone: dict[str, str], tell: Callable[[str], None]) -> None:
    """Start the first missing call of a task, if nobody else works in its folder."""
    task.folder.mkdir(parents=True, exist_ok=True)
    lock = (task.folder / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        undone[task.name] = "another process works on it"
        tell(f"{task.name}: another process works on it")
        return
    left = missing(task)  # another program may have finished it in the meantime
    if not left:
        lock.close()
        del undone[task.name]
        return
    with (task.folder / OUTPUT).open("ab") as output:
        # The child inherits the lock: it is held until both have ended, also when this program is killed.
        process = subprocess.Popen(
            left[0].command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=[lock.fileno()],
            start_new_session=True, env={"OMP_NUM_THREADS": "1", **os.environ},
        )  # fmt: skip
    running.append(_Running(task, left[0], process, lock))
    tell(f"{task.name}: {left[0].name}")


def _over(child: _Running) -> bool:
    """Whether a process has ended; then what it cost is noted."""
    found, status, usage = os.wait4(child.process.pid, os.WNOHANG)
    if found:
        child.process.returncode = os.waitstatus_to_exitcode(status)
        path = child.task.folder / SPENT
        spent = _read(path)
        write(path, spent | {child.call.name: spent.get(child.call.name, 0.0) + usage.ru_utime + usage.ru_stime})
    return bool(found)


def _ended(child: _Running, waiting: list[Task], undone: dict[str, str], tell: Callable[[str], None]) -> None:
    """Note how a call ended, and put its task in front again when there is more of it to do."""
    task, call, code = child.task, child.call, child.process.returncode
    if code == 0:
        entry = {"command": list(call.command[1:]), "cpu": round(_read(task.folder / SPENT)[call.name], 2)}
        write(task.folder / DONE, done(task.folder) | {call.name: entry})
    child.lock.close()
    if code:
        undone[task.name] = f"{call.name} failed ({code}): {_last_line(task.folder / OUTPUT)}"
        tell(f"{task.name}: {undone[task.name]}")
    elif missing(task):
        waiting.insert(0, task)
    else:
        del undone[task.name]
        tell(f"{task.name}: done")


def _stop(running: Sequence[_Running]) -> None:
    """Interrupt what still runs, as Ctrl-C would, and kill what does not end soon."""
    for child in running:
        _signal(child, signal.SIGINT)
    end, left = time.monotonic() + PATIENCE, list(running)
    while left and time.monotonic() < end:
        left = [child for child in left if not _over(child)]
        time.sleep(PAUSE)
    for child in left:
        _signal(child, signal.SIGKILL)
        while not _over(child):
            time.sleep(PAUSE)
    for child in running:
        child.lock.close()


def _signal(child: _Running, number: int) -> None:
    """To the command and its workers; it may have ended in the meantime."""
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def _last_line(path: Path) -> str:
    """What a command said last, without the frames that some messages have."""
    lines = (line.strip(" │╭╮╰╯─") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return next(reversed([line for line in lines if line]), "it said nothing")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write(path: Path, document: Any) -> None:
    """A JSON file, written beside and renamed: whoever reads it finds a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)
