"""Runs stages in forks of one process that has imported what the stages before had to: real code, seconds sooner.

An order is a line of JSON: the stage's folder, script and flags, where its output goes, and a fault to meet. The answer
is one too: exit status, seconds, how often it wrote (opened, renamed or removed) a file, and what outlived it.
"""

import ctypes
import importlib
import json
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans of a stage come to this process, which sees them
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
OUTS = ("data", "models", "results", "reports")
PATIENCE_SECONDS = 3.0
POLL_SECONDS = 0.005


def main() -> None:
    """Answer every order until there are no more."""
    from softprompt.quiet import keep_quiet

    keep_quiet()
    import torch

    torch.set_num_threads(1)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(run(order)) + "\n")
        answers.flush()
        _learn(Path(order["output"] + ".modules"))


def run(order: dict[str, Any]) -> dict[str, Any]:
    """One stage from its start to its end, whichever that is."""
    started = time.monotonic()
    for end in ("", ".writes"):
        Path(order["output"] + end).touch()
    child = os.fork()
    os.setpgid(child, child)  # a group of its own, whichever of the two comes here first
    if not child:
        _stage(order)
    status = _wait(child, order, started)
    seconds = time.monotonic() - started
    return {"status": status, "seconds": seconds, "left": _outlived_by(child), "writes": _count(order)}


def _learn(listed: Path) -> None:
    """Import what the stage had to import, for those to come."""
    for name in listed.read_text().split() if listed.is_file() else ():
        if name not in sys.modules:
            with suppress(Exception):  # modules that only their package can import
                importlib.import_module(name)


def _wait(child: int, order: dict[str, Any], started: float) -> int:
    """Until it ends; the signal of the order is sent once its time has come, to the whole group as a terminal does."""
    waiting = order.get("signal") is not None
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if waiting and time.monotonic() - started > order["after"]:
            (os.killpg if order["signal"] != signal.SIGTERM else os.kill)(child, order["signal"])
            waiting = False
        time.sleep(POLL_SECONDS)


def _outlived_by(group: int) -> bool:
    """Whether a process of the group does not end on its own; it is ended here."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return False
        time.sleep(POLL_SECONDS)
    os.killpg(group, signal.SIGKILL)
    return True


def _stage(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    for name, value in order.get("limits", {}).items():
        _limit(name, value)
    sys.argv = order["command"]
    status: Any = 1
    try:
        _watch_writes(order)
        if order.get("clock_jumps"):
            _let_the_clock_jump()
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    if not status:
        Path(order["output"] + ".modules").write_text("\n".join(sys.modules))
    os._exit(status)


def _let_the_clock_jump() -> None:
    """An hour back, an hour on, at every other look."""
    now, looks = time.time, count()
    time.time = lambda: now() + (3600 if next(looks) % 2 else -3600)


def _limit(name: str, value: int) -> None:
    if name == "RLIMIT_AS":  # beside what is mapped already
        value += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    kind = getattr(resource, name)
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _watch_writes(order: dict[str, Any]) -> None:
    """Count every change that is about to be made of an out, and kill the whole group right before the given one."""
    folder, seen = Path(order["folder"]), 0
    roots = tuple(str(folder / name) for name in OUTS)
    total = os.open(order["output"] + ".writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def changed(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, int) or not str(folder / os.fsdecode(path)).startswith(roots):
            return
        seen += 1
        os.pwrite(total, b"%d" % seen, 0)
        if seen == order.get("kill_at_write"):
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(changed)


def _count(order: dict[str, Any]) -> int:
    return int(Path(order["output"] + ".writes").read_text() or 0)


if __name__ == "__main__":
    main()
