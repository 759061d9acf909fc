"""What a file format has to say: how a row of its files becomes examples.

Checks are as strict as the official files allow; what those files get wrong themselves is repaired or dropped under a
name, never in silence. Beside the official fields, the formats derive the ones that templates and heads need.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from softprompt.data.validation import RawRecord
from softprompt.errors import UserError
from softprompt.registry import Registry
from softprompt.tasks.data_section import DataSection

Row = dict[str, Any]
LONGEST_NUMBER = 18  # digits of an id


@dataclass(frozen=True)
class Parsed:
    """An example: its id within the file, its label ("" in files without), its fields."""

    id: str
    label: str
    fields: dict[str, str]
    dropped: str = ""  # the reason, if the example is to be left out
    repaired: str = ""


class Format:
    """The parser of one file format, with what a task's definition says of its files.

    A subclass gives `parse`; the others only where rows of users or of the hub are not the official ones.
    """

    official_columns: tuple[str, ...] = ()  # beside id and label, as rows of the hub have them too

    def __init__(self, data: DataSection) -> None:
        self.data = data

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        """The examples of an official row."""
        raise NotImplementedError

    def official_row(self, given: Row) -> Row:
        """The official row of what a user gave: the columns of `data.inputs` by the names of the fields."""
        return given

    def official_rows(self, hub_rows: Iterable[Row]) -> Iterator[Row]:
        """The official rows of the hub's, which have -1 for a missing label and numbers for the others."""
        for row in hub_rows:
            columns = {column: row[self.hub_column(column)] for column in self.official_columns}
            number = {} if self.data.id == "line" else {self.id_column: row["idx"]}
            yield self.with_hub_label(row, columns | number)

    def hub_column(self, column: str) -> str:
        """What the hub calls an official column."""
        hub = self.data.membership.hub
        return column if hub is None else hub.columns.get(column, column)

    def with_hub_label(self, row: Row, official: Row) -> Row:
        """The official row with its label as the official files write it, if the hub's row has one."""
        hub, number = self.data.membership.hub, row[self.hub_column(self.data.label_column)]
        if hub is None or number == -1:
            return official
        label = hub.labels[number]
        return {**official, self.data.label_column: self.data.label_values.get(label, label)}

    @property
    def id_column(self) -> str:
        """The column that names a row."""
        return "index" if self.data.id == "index" else "idx"

    def label_of(self, record: RawRecord, *, labelled: bool) -> str:
        """The checked label of a row; "" in files without labels."""
        return record.choice(self.data.label_column, self.data.written_labels) if labelled else ""

    def id_of(self, record: RawRecord) -> str:
        """The number that names a row within its file."""
        if self.data.id == "line" or (self.data.id == "idx or line" and "idx" not in record.value):
            return str(record.line)
        return str(record.integer("idx")) if self.id_column == "idx" else _decimal(record, "index")


def _decimal(record: RawRecord, column: str) -> str:
    text = record.text(column)
    if not text.isdecimal() or len(text) > LONGEST_NUMBER:
        record.refuse(column, text, f"a whole number of at least 0, of at most {LONGEST_NUMBER} digits")
    return str(int(text))


def text_of(record: RawRecord, column: str) -> str:
    """A text that is not empty, without blanks around it."""
    return record.text(column).strip()


FORMATS: Registry[Format] = Registry("file format")


def format_of(data: DataSection) -> Format:
    """The parser that a definition names. Raises UserError with the known ones where there is none of that name."""
    if data.format not in FORMATS:
        known = ", ".join(FORMATS.names())
        raise UserError(
            f"definition of {data.name}: `data.format` is {data.format!r}; expected one of {known}, "
            f"or a parser of that name in src/softprompt/data/formats"
        )
    return FORMATS[data.format](data)
