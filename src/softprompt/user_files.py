"""Files that a user gives. What cannot be read, or is no text, is refused by its name."""

from pathlib import Path

from softprompt.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_there(path: Path) -> bool:
    """Whether anything has that name, be it a folder, a pipe or a link to nothing: reading it tells what is wrong."""
    return path.exists() or path.is_symlink()


def read_user_bytes(path: Path, expected: str) -> bytes:
    """A file's bytes without a byte order mark; `expected` says in messages what should be there.

    Raises UserError where there is no such file, it is a folder or a pipe, or may not be read.
    """
    try:
        if path.is_file():
            return path.read_bytes().removeprefix(BYTE_ORDER_MARK)
        lack = "not a file" if is_there(path) else "no such file"
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {expected}; make it readable") from None
    raise UserError(f"{path}: {lack}; expected {expected}; put the file there")


def read_user_text(path: Path, expected: str) -> str:
    """A file's text. Raises UserError as `read_user_bytes` does, and where it is not UTF-8."""
    try:
        return read_user_bytes(path, expected).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start + 1} is not UTF-8; expected {expected}; save it as UTF-8") from None
