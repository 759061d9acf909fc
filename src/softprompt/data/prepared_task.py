"""A task between reading and writing, and which tasks of a suite can be prepared."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from softprompt.config import SuiteSettings
from softprompt.data.rows import RawSplit
from softprompt.data.validation import one_of
from softprompt.errors import UserError

TEST_SPLITS = ("test", "withheld", "unanswered")  # never learnt from


@dataclass
class PreparedTask:
    """The tables of a task, the raw files they come from, and further files of the task by name."""

    name: str
    licence: str
    raw: list[RawSplit]  # without those of TEST_SPLITS
    test_raw: list[RawSplit]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    note: str = ""  # what the task lacks without being left out for it, or reads in place of an official file


def sides(raw: Mapping[str, RawSplit]) -> tuple[list[RawSplit], list[RawSplit]]:
    """What was read of splits that may be learnt from, and of those that are only evaluated on."""
    learnable = [content for split, content in raw.items() if split not in TEST_SPLITS]
    return learnable, [content for split, content in raw.items() if split in TEST_SPLITS]


def chosen_tasks(suite: str, settings: SuiteSettings, missing: dict[str, str]) -> list[str]:
    """The tasks to prepare. `missing` says of every known task what it lacks ("" if nothing).

    `all` means the complete ones; a task that is named has to be complete.
    """
    wanted = settings.tasks
    if isinstance(wanted, str):
        complete = [name for name, lack in missing.items() if not lack]
        if not complete:
            lacks = "; ".join(f"{name}: {lack}" for name, lack in missing.items())
            fix = f"check suites.{suite}.path" if settings.source == "local" else f"check suites.{suite}.source"
            raise UserError(f"suite {suite} has no complete task ({lacks}); {fix}")
        return complete
    known = [name for name, lack in missing.items() if not lack]
    one_of([name for name in wanted if name not in missing], known, what=f"task of suites.{suite}.tasks")
    for name in wanted:
        if missing[name]:
            raise UserError(
                f"suites.{suite}.tasks names {name!r}, which cannot be prepared: {missing[name]}; "
                f"mend that or choose from {', '.join(known)}"
            )
    return list(dict.fromkeys(wanted))


def overlap(first: pd.DataFrame, second: pd.DataFrame) -> int:
    """How many different examples (label and fields) of the first table also stand in the second."""
    return len(_contents(first) & _contents(second))


def repeated(table: pd.DataFrame) -> int:
    """How many rows say the same, label and fields, as a row before them."""
    return len(table) - len(_contents(table))


def _contents(table: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(table.drop(columns=["id", "group"]).itertuples(index=False, name=None))


def refuse_shared_ids(task: PreparedTask) -> None:
    """Raises a UserError when two splits of a task have an id in common."""
    owner: dict[str, str] = {}
    for split, table in task.tables.items():
        for identity in table["id"]:
            if identity in owner:
                raise UserError(
                    f"task {task.name}: the id {identity!r} stands in the splits {owner[identity]} and {split}; "
                    f"expected an id in one split only; remove the row from one of "
                    f"{', '.join(str(raw.path) for raw in (*task.raw, *task.test_raw))}"
                )
        owner.update(dict.fromkeys(table["id"], split))
