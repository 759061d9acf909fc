"""Rows of texts: a column for each field and one for the label. JSON lines and tab-separated files alike."""

import string
from collections.abc import Callable, Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, Row, text_of
from softprompt.data.validation import RawRecord
from softprompt.tasks.data_section import DataSection, Rule


def unpunctuated(text: str) -> str:
    """The text without punctuation at its end, ready for a question mark; a text of nothing else stays as it is."""
    return text.rstrip(string.punctuation + " ") or text


def continued(text: str) -> str:
    """The text as it goes on after a comma: its first letter small (LM-BFF's `+sentl`)."""
    return text[0].lower() + text[1:]


RULES: dict[Rule, Callable[[str], str]] = {"unpunctuated": unpunctuated, "continued": continued}


@FORMATS.register("texts")
class Texts(Format):
    """The one format that needs no code of its own: the definition names the columns and what is derived from them."""

    def __init__(self, data: DataSection) -> None:
        super().__init__(data)
        self.columns = {field: data.column_of(field) for field in data.fields if field not in data.derived}
        self.official_columns = tuple(self.columns.values())

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        texts = {field: text_of(record, column) for field, column in self.columns.items()}
        derived = {field: RULES[one.rule](texts[one.of]) for field, one in self.data.derived.items()}
        fields = {field: (texts | derived)[field] for field in self.data.fields}
        yield Parsed(self.id_of(record), self.label_of(record, labelled=labelled), fields)

    def official_row(self, given: Row) -> Row:
        return {self.data.column_of(name): value for name, value in given.items()} | given
