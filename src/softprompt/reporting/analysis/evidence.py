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

BLOCK = ["suite", "task", "split", "method", "state", "seed", "template"]
SHOWN_IDS = 5
Place = tuple[str, str, str]  # suite, task, split
Block = tuple[Any, ...]  # the values of BLOCK: a cell under one template, on one split
Answered = list[tuple[Block, pd.DataFrame]]


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
        answered: Answered = list(groups_of(_with_spelling(self.predictions), BLOCK))
        for block, rows in answered:
            self._check_rows(block, rows, asked)
        examples = asked.of(self.predictions)
        for block, rows in answered:
            expected = examples[block[:3]]
            self._refuse(block, expected[~expected["id"].isin(rows["id"])], "are missing")
            self._refuse(block, rows[~rows["id"].isin(expected["id"])], "have no right answer to choose")
        self._check_cells({block for block, _ in answered}, examples, cells)
        self._check_coverage(coverage, asked, examples)

    def _check_rows(self, block: Block, rows: pd.DataFrame, asked: Asked) -> None:
        place: Place = block[:3]
        if place not in asked.tables:
            self._refuse(block, rows, "are of a split that is not prepared")
        table = asked.tables[place].set_index("id")
        self._refuse(block, rows[rows["id"].duplicated()], "are answered twice")
        self._refuse(block, rows[~rows["id"].isin(table.index)], "are not in the test split")
        there = table.loc[rows["id"]]
        for column, prepared in (("gold", "label"), ("group", "group")):
            differs = rows[column].to_numpy() != there[prepared].to_numpy()
            self._refuse(block, rows[differs], f"have another {column} than in the test split")
        if asked.ranks_tell_hits(place):
            reads_right = rows["prediction"] == (
                rows["gold"] if not is_open(asked.definitions[place[:2]]) else rows["spelling"]
            )
            self._refuse(
                block, rows[reads_right != (rows["gold_rank"] == 1)], "have a rank that contradicts their prediction"
            )

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
        answered = {block[:6] for block in blocks}  # a cell whose logits were no numbers lacks a whole split
        expected = {block for who in found for block in planned[who] if block[:6] in answered}
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

    def _refuse(self, block: Block, rows: pd.DataFrame, what: str) -> None:
        if len(rows):
            ids = [str(identity) for identity in rows["id"]]
            more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
            raise self._error(block, f"the examples {', '.join(ids[:SHOWN_IDS])}{more} {what}")

    def _error(self, block: Block, what: str) -> UserError:
        suite, task, split, method, _, seed, template = block
        return UserError(
            f"{self.file}: {method} on {self.backbone}, {suite}/{task}, {split}, seed {seed}, template {template!r}: "
            f"{what}; run `dvc repro evaluate@{self.backbone}`"
        )


def _with_spelling(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with `spelling`: how a method's answers spell the gold word, known where it was ever hit."""
    hits = predictions[predictions["gold_rank"] == 1]
    keys = ["suite", "method", "gold"]
    spellings = hits.drop_duplicates(keys)[[*keys, "prediction"]].rename(columns={"prediction": "spelling"})
    return predictions.merge(spellings, on=keys, how="left", validate="many_to_one")
