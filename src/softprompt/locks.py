"""One process at a time, by a lock that the system releases when its holder ends, however it ends."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from softprompt.errors import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # of file systems without `flock`, as clusters have them
PATIENCE_SECONDS = 5.0  # a killed `dvc repro` leaves its stage and workers behind for a moment


@contextmanager
def only_process(name: str, folder: Path) -> Iterator[None]:
    """No other process is within such a block of the same name and folder.

    Raises UserError, which names the holder, where one does not leave its block, or the folder, where its file system
    keeps no locks: a file whose mere presence is the lock would outlive a killed holder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    try:
        lock = FileLock(path, timeout=PATIENCE_SECONDS, fallback_to_soft=False).acquire()
    except Timeout:
        holder = path.read_text() or "another process"
        raise UserError(f"{name} is at work already: {holder}; wait until it ends, or end it") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"{folder}: its file system keeps no locks ({error.strerror}); make it a link to a folder on a local disk"
        ) from None
    with lock:
        path.write_text(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        yield
