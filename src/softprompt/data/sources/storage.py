"""What goes wrong on disk while files are fetched, in one line a user can act on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from softprompt.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk and a folder that cannot be written to into a UserError that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError(f"{folder}: no space left on the disk; free some and run the same command again") from error
        if error.errno in FORBIDDEN:
            raise UserError(
                f"{folder}: cannot be written to ({error.strerror}); make it writable, or work on a copy elsewhere"
            ) from error
        raise
