"""Commands as processes of their own: in order, so many at a time, and going on after anything was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from likeness.errors import UsageError
from likeness.train import children
from likeness.train.children import Call, Task, done, missing, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX locks and process groups")


def call(name, code, *arguments):
    return Call(name, (sys.executable, "-c", code, *map(str, arguments)))


def append(name, path, text):
    return call(name, "import sys; open(sys.argv[1], 'a').write(sys.argv[2])", path, text)


def test_the_commands_of_a_task_run_in_order_and_once(tmp_path):
    log = tmp_path / "log"
    task = Task("a", tmp_path / "a", (append("one", log, "1"), append("two", log, "2")))
    assert run([task]) == {} and log.read_text() == "12"
    assert run([task]) == {} and log.read_text() == "12"
    assert set(done(task.folder)) == {"one", "two"} and done(task.folder)["one"]["cpu"] > 0


def test_a_command_that_fails_is_named_and_the_others_go_on(tmp_path):
    log, flag = tmp_path / "log", tmp_path / "flag"
    code = "import sys, os; os.path.exists(sys.argv[1]) or sys.exit('no flag here')"
    bad = Task("bad", tmp_path / "bad", (call("look", code, flag), append("then", log, "b")))
    good = Task("good", tmp_path / "good", (append("write", log, "g"),))
    left = run([bad, good])
    assert list(left) == ["bad"] and "look failed (1): no flag here" in left["bad"]
    assert log.read_text() == "g"
    flag.touch()
    assert run([bad, good]) == {} and log.read_text() == "gb"


def test_what_ran_with_other_options_is_not_taken_for_the_answer(tmp_path):
    run([Task("a", tmp_path, (append("one", tmp_path / "log", "1"),))])
    with pytest.raises(UsageError, match="one ran with other options"):
        missing(Task("a", tmp_path, (append("one", tmp_path / "log", "other"),)))


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_at_a_time(tmp_path, jobs):
    code = (  # each waits for `jobs` to have begun, and says how many had begun and not ended when it did
        "import sys, time; from pathlib import Path; room, me, jobs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "(room / f'{me}.begun').touch(); time.sleep(0.5); at_once = len(list(room.glob('*.begun'))) - len(list(room.glob('*.ended')))\n"
        "while len(list(room.glob('*.begun'))) < jobs: time.sleep(0.05)\n"
        "(room / f'{me}.ended').write_text(str(at_once))"
    )
    tasks = [Task(f"{k}", tmp_path / f"{k}", (call("stay", code, tmp_path, k, jobs),)) for k in range(2 * jobs)]
    assert run(tasks, jobs, seconds=60) == {}
    assert max(int(path.read_text()) for path in tmp_path.glob("*.ended")) == jobs


def test_time_is_over_in_the_middle_and_the_next_call_goes_on(tmp_path):
    marks = tmp_path / "marks"
    code = (  # counts to 4 and resumes at what the file holds, as a training does; the first step takes long
        "import sys, time; path = sys.argv[1]\n"
        "while (done := len(open(path, 'a+').seek(0) or open(path).read())) < 4:\n"
        "    open(path, 'a').write('x'); time.sleep(0 if done else 60)"
    )
    task = Task("count", tmp_path / "count", (call("count", code, marks),))
    left = run([task], seconds=5.0)
    assert left == {"count": "stopped in count"} and marks.read_text() == "x"
    assert run([task]) == {} and marks.read_text() == "xxxx"


def test_a_command_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "PATIENCE", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    begin = time.monotonic()
    assert run([Task("deaf", tmp_path, (call("wait", code),))], seconds=1.5) == {"deaf": "stopped in wait"}
    assert time.monotonic() - begin < 10


def test_after_this_program_was_killed_its_command_is_not_begun_a_second_time(tmp_path):
    beat = tmp_path / "beat"
    child = f"import time; open({str(beat)!r}, 'a').write('x'); time.sleep(3)"
    program = (
        "from pathlib import Path; from likeness.train.children import *; import sys\n"
        f"run([Task('a', Path({str(tmp_path)!r}) / 'a', (Call('one', (sys.executable, '-c', {child!r})),))])"
    )
    killed = subprocess.Popen([sys.executable, "-c", program])
    _wait(beat)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    task = Task("a", tmp_path / "a", (Call("one", (sys.executable, "-c", child)),))
    assert run([task]) == {"a": "another process works on it"} and beat.read_text() == "x"
    time.sleep(3.2)
    assert run([task]) == {} and beat.read_text() == "xx"


def _wait(path: Path):
    for _ in range(300):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")
