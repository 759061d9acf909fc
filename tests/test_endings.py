"""Ctrl-C, SIGTERM, a parent that is gone, and what the system refuses: one line and an exit status."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from softprompt.endings import GO_ON, exit_status, refusal
from softprompt.errors import UserError

# Works in two workers until it is stopped, and catches whatever comes by.
WORK = """
import os, sys, time
from softprompt.endings import end_with_parent, exit_status
from softprompt.experiments.workers import map_unordered

def work():
    while True:
        try:
            for _ in map_unordered(wait, [1, 2, 3], 2):
                pass
        except BaseException:
            pass

def wait(item):
    os.write(1, b"at work\\n")  # in one piece
    time.sleep(60)

if "watching" in sys.argv:
    end_with_parent()
sys.exit(exit_status(work))
"""
# Is told to stop, as a terminal tells all of the group, while its first worker is not ready yet.
STARTING = """
import os, signal
os.register_at_fork(after_in_child=lambda: os.killpg(0, signal.SIGINT))
"""
# Sees to the end of its parent, whose number it is given, when that has come already.
ORPHAN = """
import os, sys, time
from softprompt.endings import end_with_parent
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
end_with_parent()
time.sleep(60)
"""


def started(command: list[str]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["at work\n"] * 2
    return process


def assert_nothing_is_left_of(process: "subprocess.Popen[str]") -> str:
    """What it said in the end: nobody holds the other end of its pipes any more."""
    return process.communicate(timeout=20)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_one_line_with_its_workers(number: signal.Signals) -> None:
    process = started([sys.executable, "-c", WORK])
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # a terminal asks all of the group
    assert assert_nothing_is_left_of(process) == f"stopped by {number.name}; {GO_ON}\n"
    assert process.returncode == 128 + number


def test_workers_end_with_a_killed_parent() -> None:
    process = started([sys.executable, "-c", WORK])
    process.kill()
    assert assert_nothing_is_left_of(process) == ""


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    starter = f"import subprocess, sys; subprocess.run([sys.executable, {str(script)!r}, 'watching'])"
    process = started([sys.executable, "-c", starter])
    process.kill()
    assert "has ended" in assert_nothing_is_left_of(process)


def test_it_ends_when_the_process_that_started_it_is_gone_already(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    shell = ["sh", "-c", f"{sys.executable} {script} $$ &"]
    process = subprocess.Popen(shell, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert "has ended" in assert_nothing_is_left_of(process)


def test_a_signal_while_workers_start_is_told_once() -> None:
    process = subprocess.run(
        [sys.executable, "-c", STARTING + WORK], capture_output=True, text=True, start_new_session=True, check=False
    )
    assert (process.stderr, process.returncode) == (f"stopped by SIGINT; {GO_ON}\n", 128 + signal.SIGINT)


@pytest.mark.parametrize("module", ["softprompt.retuning", "softprompt.benchmark", "softprompt.check_gpu"])
def test_a_signal_while_libraries_are_imported_is_one_line(module: str, tmp_path: Path) -> None:
    for name in ("torch", "pandas", "yaml"):  # whichever comes first
        (tmp_path / f"{name}.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stderr, process.returncode) == (f"stopped by SIGINT; {GO_ON}\n", 128 + signal.SIGINT)


def test_an_error_of_the_user_is_one_line_and_a_bug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise UserError("a key is wrong")

    assert exit_status(wrong) == 1
    assert capsys.readouterr().err == "error: a key is wrong\n"
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)


def of_the_allocator() -> None:
    torch.empty(2**60)


def of_sqlite() -> None:
    with sqlite3.connect(":memory:") as store:
        store.execute("pragma max_page_count = 1")
        store.execute("create table a (b)")


def raised(work: object) -> BaseException:
    assert callable(work)
    with pytest.raises(Exception) as found:  # noqa: PT011 - whichever the library raises
        work()
    return found.value


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "results/x.json"), "free some room"),
        (OSError(errno.EROFS, "Read-only file system", "results/x.json"), "the right to write there"),
        (PermissionError(errno.EACCES, "Permission denied", "data/raw/x.json"), "the right to read and to write there"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "more memory"),
        (MemoryError(), "more memory"),
        (raised(of_the_allocator), "more memory"),
        (raised(of_sqlite), "free some room"),
        (Exception("I/O error: No space left on device (os error 28)"), "free some room"),
    ],
    ids=repr,
)
def test_what_the_system_refused_is_one_line_with_the_fix(error: Exception, fix: str) -> None:
    wrapped = RuntimeError("of a library")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        line = refusal(one)
        assert line is not None
        assert fix in line
        assert "\n" not in line


def test_a_bug_is_nothing_that_the_system_refused() -> None:
    assert refusal(KeyError("x")) is None
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert refusal(ValueError("os error 2")) is None
