"""A row of a file with its place, so that whatever is refused is named by file, line and field."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from softprompt.config.names import EXPECTED, is_name
from softprompt.errors import UserError, listed, shown

RESTORE = "restore the official file or mend the row"


class RawRecord:
    """An object of a file and where it stands. Its accessors return a checked value or raise a UserError."""

    def __init__(self, path: Path, line: int, value: dict[str, Any], prefix: str = "") -> None:
        self.path = path
        self.line = line
        self.value = value
        self.prefix = prefix

    def refuse(self, field: str, value: object, expected: str, fix: str = RESTORE) -> NoReturn:
        place = f"{self.path}:{self.line}: field `{self.prefix}{field}`"
        raise UserError(f"{place} is {shown(value)}; expected {expected}; {fix}")

    def _get(self, field: str, expected: str) -> Any:
        if field not in self.value:
            held = listed(sorted(self.value)) or "no fields"
            raise UserError(
                f"{self.path}:{self.line}: field `{self.prefix}{field}` is missing (the row has {held}); "
                f"expected {expected}; {RESTORE}"
            )
        return self.value[field]

    def text(self, field: str, *, may_be_empty: bool = False) -> str:
        """A string as it stands, blanks included."""
        value = self._get(field, "a text")
        if not isinstance(value, str):
            self.refuse(field, value, f"a text, not a {type(value).__name__}")
        if not may_be_empty and not value.strip():
            self.refuse(field, value, "a text that is not empty")
        return value

    def name(self, field: str) -> str:
        """A text that may name a folder and be printed as it stands."""
        value = self.text(field)
        if not is_name(value):
            self.refuse(field, value, EXPECTED)
        return value

    def texts(self, field: str) -> list[str]:
        """A list of strings, at least one of them, as they stand."""
        value = self._get(field, "a list of texts")
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            self.refuse(field, value, "a list of texts that is not empty")
        return value

    def integer(self, field: str) -> int:
        """An integer of at least 0; true and false are not numbers here."""
        value = self._get(field, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self.refuse(field, value, "a whole number of at least 0")
        return value

    def choice(self, field: str, options: Mapping[Any, str]) -> str:
        """The name that `options` gives the value there. The type counts: 1 is not true."""
        valid = ", ".join(json.dumps(option) for option in options)
        value = self._get(field, f"one of {valid}")
        names = [name for option, name in options.items() if type(option) is type(value) and option == value]
        if not names:
            self.refuse(field, value, f"one of {valid}")
        return names[0]

    def child(self, field: str) -> "RawRecord":
        """A nested object."""
        value = self._get(field, "an object")
        if not isinstance(value, dict):
            self.refuse(field, value, "an object")
        return RawRecord(self.path, self.line, value, f"{self.prefix}{field}.")

    def children(self, field: str, *, may_be_empty: bool = False) -> "list[RawRecord]":
        """A list of nested objects."""
        value = self._get(field, "a list of objects")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.refuse(field, value, "a list of objects")
        if not value and not may_be_empty:
            self.refuse(field, value, "a list that is not empty")
        return [
            RawRecord(self.path, self.line, item, f"{self.prefix}{field}[{number}].")
            for number, item in enumerate(value)
        ]


class UniqueIds:
    """Refuses the second row with an id that another row had."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.lines: dict[object, int] = {}

    def add(self, record: RawRecord, identity: object) -> None:
        if identity in self.lines:
            record.refuse(self.field, identity, f"an id that occurs once (line {self.lines[identity]} has it already)")
        self.lines[identity] = record.line


def one_of(names: Sequence[str], known: Sequence[str], *, what: str) -> None:
    """Raises a UserError that lists the known names when one of `names` is not among them."""
    for name in names:
        if name not in known:
            raise UserError(f"unknown {what} {shown(name)}; valid ones: {', '.join(known)}")
