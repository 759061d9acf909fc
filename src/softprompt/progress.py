"""What a person sees on the terminal while a stage works; nothing in CI or where no terminal is."""

import os
import sys
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm


def _quiet() -> bool:
    return bool(os.environ.get("CI")) or not sys.stderr.isatty()


def byte_bar(title: str, received: int, total: int | None) -> "tqdm[NoReturn]":
    """A bar over the bytes of a download, of which some may be `received` already; a context manager."""
    return tqdm(
        total=total, initial=received, desc=title, unit="B", unit_scale=True, disable=_quiet(), dynamic_ncols=True
    )


class Progress:
    """One line: which stage, how many members of how many, the best dev score so far, the time left."""

    def __init__(self, title: str, total: int, unit: str = "member") -> None:
        self._bar = tqdm(total=total, desc=title, unit=unit, disable=_quiet(), dynamic_ncols=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, members: int, note: str) -> None:
        """`members` more are finished; `note` says with what success."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(members)

    def reach(self, done: int, total: int, loss: float) -> None:
        """`done` of `total` are finished, at this loss."""
        self._bar.total = total
        self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._bar.update(done - self._bar.n)
