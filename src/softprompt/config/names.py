"""What profiles, suites, backbones, methods, tasks, relations and budgets may be called.

Names become folders, parts of commands and of queries, and words of reports; what this pattern lets pass needs no
quoting in any of them. Nothing else that a user writes goes where these go. DVC reads a dot as a way into a section.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from softprompt.errors import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
EXPECTED = "at most 64 letters a to z, digits, - and _, the first a letter or digit"
Item = TypeVar("Item", bound=Hashable)


def is_name(text: str) -> bool:
    """Whether something may be called so."""
    return NAME.fullmatch(text) is not None


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{shown(text)} cannot be a name; expected {EXPECTED}")
    return text


def _each_once(items: Sequence[Item]) -> Sequence[Item]:
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{shown(item)} stands there {items.count(item)} times; write it once")
    return items


Name = Annotated[str, AfterValidator(_name)]
EachOnce = AfterValidator(_each_once)
Names = Annotated[tuple[Name, ...], EachOnce]
