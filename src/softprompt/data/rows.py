"""What every reader hands on: rows of one typed shape and an account of what happened to the raw ones."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from softprompt.errors import UserError


@dataclass(frozen=True)
class Row:
    """One example. `id` is unique over all splits of its task, `label` is empty where the source gives none."""

    id: str
    group: str  # examples of one group (a passage) are not independent of each other
    label: str
    fields: dict[str, str]


@dataclass
class RawSplit:
    """A raw file after reading: `read` rows stand in it, `rows` are left, the difference is in `dropped`."""

    path: Path
    lines: int = 0
    read: int = 0
    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)

    def frame(self) -> pd.DataFrame:
        """The rows as a table of texts: id, group, label, then the fields. Raises UserError where none is left."""
        if not self.rows:
            why = ", ".join(f"{count}: {reason}" for reason, count in self.dropped.items())
            raise UserError(f"{self.path}: no row of it can be used (dropped are {why}); put the official file there")
        return pd.DataFrame(
            [{"id": row.id, "group": row.group, "label": row.label, **row.fields} for row in self.rows], dtype=object
        )


class Groups:
    """Names the group of a text: the id of the first row that has this very text."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}

    def of(self, text: str, identity: str) -> str:
        return self.first.setdefault(text, identity)
