"""Predictions held against the prepared test splits: every method has to have answered the very same examples.

What is refused here cannot come from the pipeline: a file was edited, or results are of other data than those prepared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from softprompt.errors import UserError
from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.scoring import Definitions
from softprompt.results import Cell
from softprompt.tasks.answers import examples_to_answer, is_open

PLACE = ["suite", "task", "split"]
BLOCK = [*PLACE, "method", "state", "seed", "template"]
SHOWN_IDS = 5
Place = tuple[str, str, str]  # suite, task, split
Block = tuple[Any, ...]  # the values of BLOCK: a cell under one template, on one split


@dataclass(frozen=True)
class Asked:
    """The test splits, and how their tasks are answered. `restricted` are the suites whose answers are chosen among
    given words, so that no two tokens read alike."""

    tables: Mapping[Place, pd.DataFrame]
    definitions: Definitions
    restricted: frozenset[str]

    def of(self, predictions: pd.DataFrame) -> dict[Place, pd.DataFrame]:
        """The examples that every method on a backbone has to answer. An answer of an open vocabulary that one method
        was asked for is a token of the backbone, so all the others have to be asked for it."""
        words = {suite: set(rows["gold"]) for (suite,), rows in groups_of(predictions, ["suite"])}
        return {
            place: examples_to_answer(self.definitions[place[:2]], table, words.get(place[0], set()))
            for place, table in self.tables.items()
        }

    def ranks_tell_hits(self, place: Place) -> bool:
        """Whether rank 1 means that the prediction reads as the gold answer, and any other rank that it does not."""
        task = self.definitions[place[:2]]
        return task.answer_form == "label" and (not is_open(task) or place[0] in self.restricted)


@dataclass(frozen=True)
class Evidence:
    """One backbone's predictions and the file they stand in."""

    backbone: str
    file: Path
    predictions: pd.DataFrame

    def check(self, asked: Asked, cells: Sequence[Cell], coverage: pd.DataFrame) -> None:
        """Raises UserError naming file, method, task and ids where a prediction is not what a test split asks for, or
        one is missing. A cell without any prediction of a split is a gap of the report, not an error."""
        examples = asked.of(self.predictions)
        sizes = {block: len(rows) for block, rows in groups_of(self.predictions, BLOCK)}
        for block in sizes:
            if block[:3] not in asked.tables:
                raise self._error(block, "the split is not prepared")
        self._check_rows(beside(self.predictions, asked, examples))
        self._check_complete(sizes, examples)
        self._check_cells(set(sizes), examples, cells)
        self._check_coverage(coverage, asked, examples)

    def _check_rows(self, rows: pd.DataFrame) -> None:
        self._refuse(rows[rows.duplicated([*BLOCK, "id"])], "are answered twice")
        self._refuse(rows[rows["prepared"] == "left_only"], "are not in the test split")
        for column in ("gold", "group"):
            differs = rows[column] != rows[f"prepared_{column}"]
            self._refuse(rows[differs], f"have another {column} than in the test split")
        contradicts = (rows["prediction"] == rows["right"]) != (rows["gold_rank"] == 1)
        self._refuse(rows[contradicts & rows["tells_hits"]], "have a rank that contradicts their prediction")
        self._refuse(rows[~rows["answerable"]], "have no right answer to choose")

    def _check_complete(self, sizes: Mapping[Block, int], examples: Mapping[Place, pd.DataFrame]) -> None:
        """Every block has all examples that are to be answered, as by now it has no others and none twice."""
        for block, answered in sizes.items():
            expected = examples[block[:3]]
            if answered < len(expected):
                own = dict(zip(BLOCK, block, strict=True))
                there = select(self.predictions, **own)["id"]
                self._refuse(expected[~expected["id"].isin(there)].assign(**own), "are missing")

    def _check_cells(self, blocks: set[Block], examples: Mapping[Place, pd.DataFrame], cells: Sequence[Cell]) -> None:
        """Every finished cell that answered any of a split did so with all of its templates; no other cell did."""
        planned: dict[tuple[Any, ...], set[Block]] = {}
        for cell in cells:
            who = (cell.suite, cell.task, cell.method, cell.state, cell.seed)
            planned[who] = {
                (*place, cell.method, cell.state, cell.seed, template)
                for place, table in examples.items()
                for template in cell.templates or ("",)
                if place[:2] == who[:2] and len(table)
            }
        found = {(*block[:2], *block[3:6]) for block in blocks}
        for who in found - planned.keys():
            raise self._error((*who[:2], "any split", *who[2:], "any"), "no finished cell has them")
        expected = {block for who in found for block in planned[who]}
        for block in sorted(expected ^ blocks, key=str):
            what = (
                "no prediction at all"
                if block not in blocks
                else "predictions of a template that the cell does not ask"
            )
            raise self._error(block, what)

    def _check_coverage(self, coverage: pd.DataFrame, asked: Asked, examples: Mapping[Place, pd.DataFrame]) -> None:
        for row in rows_of(select(coverage, backbone=self.backbone)):
            place: Place = (row.suite, row.task, row.split)
            if place in examples and (row.examples, row.kept) != (len(asked.tables[place]), len(examples[place])):
                raise UserError(
                    f"{self.file.with_name('coverage.csv')}: {row.suite}/{row.task}, {row.split}: {row.kept} of "
                    f"{row.examples} examples kept, but {len(examples[place])} of {len(asked.tables[place])} were "
                    f"answered; run `dvc repro evaluate@{self.backbone}`"
                )

    def _refuse(self, rows: pd.DataFrame, what: str) -> None:
        """Raises UserError about the first block that any of the rows are of."""
        for block, own in groups_of(rows, BLOCK):
            ids = [str(identity) for identity in own["id"]]
            more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
            raise self._error(block, f"the examples {', '.join(ids[:SHOWN_IDS])}{more} {what}")

    def _error(self, block: Block, what: str) -> UserError:
        suite, task, split, method, _, seed, template = block
        return UserError(
            f"{self.file}: {method} on {self.backbone}, {suite}/{task}, {split}, seed {seed}, template {template!r}: "
            f"{what}; run `dvc repro evaluate@{self.backbone}`"
        )


def beside(predictions: pd.DataFrame, asked: Asked, examples: Mapping[Place, pd.DataFrame]) -> pd.DataFrame:
    """The predictions beside what is prepared: whether their example is there (`prepared`), its `prepared_gold` and
    `prepared_group`, whether it is to be answered (`answerable`), the `right` answer as the method spells it, known
    where it was ever hit, and whether a rank `tells_hits`."""
    prepared = [
        pd.DataFrame(
            {
                **dict(zip(PLACE, place, strict=True)),
                "id": table["id"],
                "prepared_gold": table["label"],
                "prepared_group": table["group"],
                "answerable": table["id"].isin(examples[place]["id"]),
                "tells_hits": asked.ranks_tell_hits(place),
                "spelt": is_open(asked.definitions[place[:2]]),
            }
        )
        for place, table in asked.tables.items()
    ]
    found = predictions.merge(pd.concat(prepared), on=[*PLACE, "id"], how="left", indicator="prepared")
    found = found.astype(dict.fromkeys(("answerable", "tells_hits", "spelt"), bool))
    keys = ["suite", "method", "gold"]
    hits = found[found["gold_rank"] == 1].drop_duplicates(keys)
    spellings = hits[[*keys, "prediction"]].rename(columns={"prediction": "spelling"})
    found = found.merge(spellings, on=keys, how="left", validate="many_to_one")
    return found.assign(right=found["spelling"].where(found["spelt"], found["gold"]))
