"""The one error a user is meant to read: what is wrong, where, and how to mend it."""

import reprlib
from collections.abc import Iterable

LONGEST_LINE = 2000  # letters of a message's line
LONGEST_SHOWN = 80  # letters of a value or a reason within it
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST_SHOWN


class UserError(Exception):
    """Bad input or settings: the message names file, row or key, and the fix. Stages print it without a traceback.

    What a file holds may stand in a message: no line of it gets long, or does anything to a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(_cut(_printable(line), LONGEST_LINE) for line in message.split("\n")))


class NotFiniteError(UserError):
    """What a backbone says is no number: nothing was answered, whatever stands first."""


def shown(value: object) -> str:
    """A value as a message shows it: in one short line, however large or deep it is."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = f"a very long {type(value).__name__}"
    return _cut(text, LONGEST_SHOWN)


def listed(names: Iterable[str]) -> str:
    """Names that somebody else chose, in one short line."""
    return _cut(_printable(", ".join(names)), 2 * LONGEST_SHOWN)


def reason_of(error: Exception) -> str:
    """What a parser or the system says of a fault, in one line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = " ".join(str(error).partition("; use sys.")[0].split()) or type(error).__name__
    return _cut(text, 2 * LONGEST_SHOWN)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
