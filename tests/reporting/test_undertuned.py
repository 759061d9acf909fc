"""What counts as undertuned, reason by reason, and how it is shared out over columns."""

from typing import Any

import pytest

from helpers.synthetic_results import World, _cells
from softprompt.config import Budget
from softprompt.reporting.analysis.collect import Collected, Trial
from softprompt.reporting.analysis.undertuned import (
    EVERY_TASK,
    MARKS,
    best_at_the_end,
    mostly_undertuned,
    shares,
    trials_tie,
    undertuned_cells,
    undertuned_mark,
)
from softprompt.reporting.rendering.undertuning import undertuned_sentence, undertuned_table
from softprompt.result_files import empty_table
from softprompt.results import Cell, Coverage, CurvePoint, SearchedSetting, Setting, TrialRecord

BUDGET = Budget(trials=3, steps=40, batch_size=8, eval_every=10, patience=2)
INSIDE = [SearchedSetting(name="learning_rate", low=1e-4, high=1e-1, log=True, chosen=1e-2)]
ON_EDGE = [SearchedSetting(name="learning_rate", low=1e-4, high=1e-1, log=True, chosen=1e-1)]


def curve(*steps: int, rise: float = 0.001) -> list[CurvePoint]:
    """Whose score rises all the time."""
    return [CurvePoint(step=step, train_loss=1.0, dev_loss=1.0, dev_score=0.5 + rise * step) for step in steps]


def cell(task: str = "P1", seed: int = 100, **fields: Any) -> Cell:
    """A tuned cell: best before the end, no setting on an edge."""
    known = {(one.suite, one.task, one.seed): one for one in _cells("tiny_bert", "p_tuning", World())}
    settled = {"best_step": 30, "curve": curve(10, 20, 30, 40), "searched": INSIDE}
    return known["lama", task, seed].model_copy(update={**settled, **fields})


def trial(score: float, number: int = 0, seed: int = 100, **settings: Setting) -> TrialRecord:
    chosen = settings or {"learning_rate": 0.001 * (number + 1)}
    return TrialRecord(study="lama", seed=seed, number=number, settings=chosen, dev_score=score, paper=False)


def collected(cells: list[Cell], trials: list[TrialRecord]) -> Collected:
    nothing = empty_table(Coverage)
    known = [Trial("p_tuning", "tiny_bert", record) for record in trials]
    return Collected(cells, known, nothing, nothing, nothing, {})


@pytest.mark.parametrize(
    ("best_step", "steps", "expected"),
    [
        (40, (10, 20, 30, 40), True),
        (30, (10, 20, 30, 40), False),
        (20, (10, 20, 30), False),  # stopped by patience
        (38, (12, 24, 38), True),  # a search whose rounds do not fill the budget to the last step
        (7, (7,), False),  # ended by itself, far from the budget's end
        (None, (), False),
    ],
)
def test_the_last_step_is_the_budgets_last(best_step: int | None, steps: tuple[int, ...], *, expected: bool) -> None:
    assert best_at_the_end(cell(best_step=best_step, curve=curve(*steps)), BUDGET) == expected


def test_a_loss_that_falls_on_a_plateau_of_the_score_is_no_reason() -> None:
    assert not best_at_the_end(cell(best_step=40, curve=curve(10, 20, 30, 40, rise=0.0)), BUDGET)


def test_what_ends_by_itself_has_no_more_steps_to_take() -> None:
    once = cell(best_step=40, curve=curve(40))
    assert best_at_the_end(once, BUDGET)
    assert not best_at_the_end(once.model_copy(update={"parameters_trained": 0}), BUDGET)


@pytest.mark.parametrize(
    ("low", "high", "log", "chosen", "expected"),
    [
        (1e-4, 1e-1, True, 1e-4, True),
        (1e-4, 1e-1, True, 1e-1, True),
        (1e-4, 1e-1, True, 1e-2, False),
        (1, 20, False, 1, False),  # no prompt is shorter
        (1, 20, False, 20, True),
        (2, 20, False, 2, True),
        (0, 8, False, 0, False),
        (0, 8, False, 8, True),
        (0, 0.5, False, 0, True),
    ],
)
def test_an_edge_is_one_only_where_something_lies_beyond(
    low: float, high: float, chosen: float, *, log: bool, expected: bool
) -> None:
    assert SearchedSetting(name="x", low=low, high=high, log=log, chosen=chosen).on_edge() == expected


def test_trials_tie_where_different_settings_share_the_best_score() -> None:
    assert trials_tie([trial(0.5, 0), trial(0.7, 1), trial(0.7, 2)])
    assert trials_tie([trial(0.1 + 0.2, 0), trial(0.3, 1)])  # equal but for rounding
    assert not trials_tie([trial(0.5, 0), trial(0.5, 1), trial(0.7, 2)])
    assert not trials_tie([trial(0.7, 0, rate=1), trial(0.7, 1, rate=1), trial(0.5, 2, rate=2)])  # one setting, twice


def test_every_reason_is_found_in_the_cell_it_belongs_to() -> None:
    cells = [
        cell(seed=100),
        cell(seed=101, best_step=40),
        cell(seed=102, searched=ON_EDGE),
        cell("P2", seed=101),
        cell("P3", curve=[], searched=[]),  # neither trained nor searched for
        cell("P4", status="failed"),
    ]
    tied = [trial(0.5, 0, 100), trial(0.5, 0, 101), trial(0.5, 1, 101), trial(0.5, 0, 102)]
    frame = undertuned_cells(collected(cells, tied), BUDGET)
    found = {(row.task, row.seed): (row.last_step, row.edge, row.tie, row.undertuned) for row in frame.itertuples()}
    assert found == {
        ("P1", 100): (False, False, False, False),
        ("P1", 101): (True, False, True, True),
        ("P1", 102): (False, True, False, True),
        ("P2", 101): (False, False, True, True),  # one study for all relations of a replicate
    }


def test_a_study_that_seeds_share_ties_for_all_of_them() -> None:
    cells = [cell(seed=seed) for seed in (100, 101)]
    frame = undertuned_cells(collected(cells, [trial(0.5, n, 1000) for n in range(2)]), BUDGET)
    assert frame["tie"].tolist() == [True, True]


def test_shares_marks_and_columns_without_a_best() -> None:
    cells = [cell(task, seed, best_step=best) for task, seed, best in [
        ("P1", 100, 40), ("P1", 101, 40), ("P1", 102, 30), ("P2", 100, 40), ("P2", 101, 30), ("P2", 102, 30)
    ]]  # fmt: skip
    frame = undertuned_cells(collected(cells, []), BUDGET)
    table = shares(frame).set_index("task")
    assert table["cells"].to_dict() == {EVERY_TASK: 6, "P1": 3, "P2": 3}
    assert table["undertuned"].to_dict() == pytest.approx({EVERY_TASK: 1 / 2, "P1": 2 / 3, "P2": 1 / 3})
    assert not mostly_undertuned(frame, "lama", "tiny_bert")  # half is not most
    assert mostly_undertuned(frame, "lama", "tiny_bert", "P1")
    assert not mostly_undertuned(frame, "lama", "tiny_gpt2")
    marks = [undertuned_mark(frame, "lama", "tiny_bert", "p_tuning", task) for task in (EVERY_TASK, "P1", "P3")]
    assert marks == [MARKS[1], MARKS[2], MARKS[0]]
    assert undertuned_sentence(frame).startswith(
        "3 of 6 tuned cells (50 %) are undertuned, so that more steps or a wider search might move them: "
        "3 are best at the last step of the budget, 0 have a setting on the edge of its range and 0 were chosen"
    )
    assert undertuned_table(frame).splitlines()[-1] == "| lama | tiny_bert | 6 | 50 % | 50 % | 0 % | 0 % |"
    assert undertuned_sentence(frame.head(0)) == ""
