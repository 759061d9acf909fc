"""How a process ends: in one line and with its workers, where a user or the system stops it."""

import errno
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from softprompt.errors import UserError

STOPPED = 128  # a shell's exit status of a command that a signal stopped, less the signal's number
STARTED_BY_DVC = "DVC_STAGE"  # in the environment of what `dvc repro` starts
WATCH_SECONDS = 0.5
GO_ON = "what is finished is kept: call it again to go on"

WRITING = "give this user the right to write there"
EITHER = "give this user the right to read and to write there"  # the system does not say which it refused
ROOM = "free some room on the disk"
IN_THE_WAY = "move out of the way what is there"
REFUSALS = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EROFS: WRITING,
    errno.EACCES: EITHER,
    errno.EPERM: EITHER,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EISDIR: IN_THE_WAY,
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u)",
    errno.EIO: "look after the disk",
}
NO_MEMORY_HINT = "lower device.workers or device.fleet_members, or give it more memory"
ERROR_NUMBER = re.compile(r"os error (\d+)")  # how libraries written in Rust tell of one
NO_MEMORY = re.compile(
    "out of memory|(can't|cannot|unable to) allocate|failed to map segment|can't start new thread", re.IGNORECASE
)
SQLITE = {"database or disk is full": ROOM, "readonly database": WRITING, "unable to open database": EITHER}


def exit_status(work: Callable[[], object]) -> int:
    """Do the work; 0, or 1 after one line on what a user can mend. Everything else is a bug and shows its traceback.

    From here on SIGINT (Ctrl-C) and SIGTERM end the process at once: whatever is on disk is there whole, so that
    nothing has to be tidied up, and an exception might be caught on its way.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as of a command that a shell put into the background
            signal.signal(number, _stop)
    try:
        work()
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else refusal(error)
        if reason is None:
            raise
        sys.stderr.write(f"error: {reason}\n")
        return 1
    return 0


def refusal(error: BaseException) -> str | None:
    """What the system did not give (room, memory, a right) and the fix, in one line; None where that is not what
    happened."""
    for cause in _causes(error):
        text = " ".join(str(cause).split())
        hint = _hint(cause, text)
        if hint:
            return f"{text or type(cause).__name__}; {hint}; {GO_ON}"
    return None


def _hint(error: BaseException, text: str) -> str | None:
    """A SystemError is what C code leaves that did not look whether it was given memory."""
    found = ERROR_NUMBER.search(text)
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    if isinstance(error, MemoryError | SystemError) or number == errno.ENOMEM or NO_MEMORY.search(text):
        return NO_MEMORY_HINT
    of_sqlite = next((hint for words, hint in SQLITE.items() if words in text), None)
    return of_sqlite if number is None else REFUSALS.get(number)


def end_with_parent() -> None:
    """Watch the process that started this one, and end soon after it: what a killed `dvc repro` began would run beside
    the next."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    """Until another process takes this one over. Where one already had, it is of another session than whoever started
    this one."""
    try:
        started_here = os.getsid(parent) == os.getsid(0)
    except OSError:  # it is gone
        started_here = False
    while started_here and os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    _end(f"stopped, as the process that started this one has ended; {GO_ON}", 1)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal's handler
    _end(f"stopped by {signal.Signals(number).name}; {GO_ON}", STOPPED + number)


def _end(line: str, status: int) -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    start = "\n" if sys.stderr.isatty() else ""  # below a progress bar
    os.write(2, f"{start}{line}\n".encode())  # not sys.stderr, which may be in the middle of a write
    os._exit(status)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
