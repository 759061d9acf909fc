"""One process at a time, by a lock that the system releases when its holder ends, however it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from softprompt.errors import UserError

PATIENCE_SECONDS = 5.0  # a killed `dvc repro` leaves its stage and workers behind for a moment


@contextmanager
def only_process(name: str, folder: Path) -> Iterator[None]:
    """No other process is within such a block of the same name and folder.

    Raises UserError, which names the holder, where one does not leave its block.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    try:
        lock = FileLock(path, timeout=PATIENCE_SECONDS).acquire()
    except Timeout:
        holder = path.read_text() or "another process"
        raise UserError(f"{name} is at work already: {holder}; wait until it ends, or end it") from None
    with lock:
        path.write_text(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        yield
