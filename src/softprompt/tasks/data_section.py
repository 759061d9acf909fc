"""The section `data` of a task's definition: its suites, its files and their format, its leaderboard file.

Nothing here reaches a method or a content key; `task.py` holds what does.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from softprompt.config import Frozen, Suite

Value = StrictBool | StrictInt | StrictStr
Rule = Literal["unpunctuated", "continued"]
IdColumn = Literal["idx", "idx or line", "index", "line"]


class Derived(Frozen):
    """A field made of another one: `unpunctuated` has no punctuation at its end, ready for a question mark;
    `continued` has a small first letter, ready for the middle of a sentence."""

    rule: Rule
    of: str


class Archive(Frozen):
    """A zip or tar file. Of its members those are unpacked that the suite's layout asks for."""

    url: str
    sha256: str | None  # null where none is published: the first download's is recorded in data/downloads.lock.json


class FileGroup(Frozen):
    """Single files at one address."""

    base: str  # what their addresses begin with
    files: dict[str, str | None]  # name -> SHA-256


class SplitById(Frozen):
    """One published file with the rows of both train and dev, which a list of ids tells apart: the rows it lists are
    dev. The result is train.tsv and dev.tsv."""

    rows: str
    dev_ids: str
    id_columns: tuple[str, ...]


class Hub(Frozen):
    """A configuration of the suite's dataset on the Hugging Face hub."""

    config: str
    labels: tuple[str, ...]  # label 0, 1, ... there
    columns: dict[str, str] = Field(default={})  # official column -> hub column, where the names differ


class Membership(Frozen):
    """What a task has of its own in one of its suites."""

    archive: Archive | None = None
    files: tuple[FileGroup, ...] = ()
    split_by_id: SplitById | None = None
    hub: Hub | None = None  # null: not on the hub, or not complete there
    stand_ins: dict[str, str] = Field(default={})  # split -> file that is read where the official one is not there


class Submission(Frozen):
    """The task's file for the suite's leaderboard.

    Shape `rows` has a line an example, {"idx": ..., "label": ...}; `paragraphs` nests answers in questions in passages.
    """

    file: str
    labels: dict[str, Value] = Field(default={})  # label -> how the leaderboard writes it, where that differs
    shape: Literal["rows", "paragraphs"] = "rows"


class DataSection(Frozen):
    """Where a task's rows come from and what they mean, as seen from one of its suites. `suite` and `name` say which it
    is, `fields` and `labels` are those of its definition; the rest stands in the section."""

    suite: Suite
    name: str
    fields: tuple[str, ...]
    labels: tuple[str, ...] = ()
    suites: dict[Suite, Membership] = Field(min_length=1)
    folder: str  # of its files, below the folder of the suite
    format: str  # the parser of its rows: a name in data/formats
    licence: str = ""  # "": the licence note of the suite
    columns: dict[str, str] = Field(default={})  # field -> column of the file, where the names differ
    derived: dict[str, Derived] = Field(default={})  # fields that the files do not have
    label_column: str = "label"
    label_values: dict[str, Value] = Field(default={})  # label -> how the files write it, where that differs
    id: IdColumn = "idx"  # the column that names a row; `line`: its line in the file
    id_parts: tuple[str, ...] = ("example",)  # what the numbers of an id stand for, from the whole to its part
    unit: str = "example"  # the part of the id that samples take whole: limits, few-shot draws
    group: str = ""  # field whose text dependent examples share; "": all examples are independent
    stratify: bool = True  # carve dev off train label by label
    inputs: tuple[str, ...] = ()  # what a row for `predict` needs at least; (): all fields
    submission: Submission | None = None

    @property
    def membership(self) -> Membership:
        """What the task has of its own in this suite."""
        return self.suites[self.suite]

    @property
    def written_labels(self) -> dict[Value, str]:
        """Value in the files -> label."""
        return {self.label_values.get(label, label): label for label in self.labels}

    @property
    def parts_below_unit(self) -> int:
        """How many parts at the end of an id tell apart the examples of one unit."""
        return len(self.id_parts) - 1 - self.id_parts.index(self.unit)

    def column_of(self, field: str) -> str:
        """The column of the official files that a field stands in."""
        return self.columns.get(field, field)

    def problems(self) -> list[str]:
        """What contradicts the rest of the definition, in words."""
        own = [name for name in self.fields if name not in self.derived]
        named: dict[str, tuple[Iterable[str], Sequence[str]]] = {
            "columns": (self.columns, own),
            "derived": (self.derived, self.fields),
            "derived.of": ([one.of for one in self.derived.values()], own),
            "group": ([self.group] if self.group else [], self.fields),
            "unit": ([self.unit], self.id_parts),
            "label_values": (self.label_values, self.labels),
            "submission.labels": (self.submission.labels if self.submission else (), self.labels),
        }
        return [
            f"`data.{key}` names {name!r}; expected {'one of ' + ', '.join(known) if known else 'none'}"
            for key, (names, known) in named.items()
            for name in names
            if name not in known
        ]
