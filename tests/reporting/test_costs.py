"""Costs of cells and of their searches, added up and averaged as loops do."""

from statistics import mean

import pytest

from helpers.synthetic_results import World, _cells
from softprompt.reporting.analysis.costs import MIB, costs, timings
from softprompt.reporting.rendering.cost_tables import search_table, timing_table, training_table
from softprompt.results import Cell, Cost, total_cost

NOTHING = Cost(
    trainings=0, steps=0, rows_forward=0, rows_backward=0, rows_inference=0, train_seconds=0.0, peak_memory_bytes=0
)


def cost(number: int) -> Cost:
    return Cost(
        steps=10 + number,
        rows_forward=300 * number,
        rows_backward=100 * number,
        rows_inference=50 + number,
        train_seconds=0.25 * number,
        peak_memory_bytes=(7 - number) * MIB,
    )


def cells_of(numbers: list[int], method: str = "p_tuning") -> list[Cell]:
    """Each with a search of two more trials."""
    cells = [cell for cell in _cells("tiny_bert", method, World()) if cell.suite == "lama"]
    return [
        cell.model_copy(
            update={"cost": cost(n), "search_cost": total_cost([cost(n), cost(n + 1)]), "parameters_trained": n}
        )
        for cell, n in zip(cells, numbers, strict=False)
    ]


def test_a_total_adds_up_counts_and_seconds_and_keeps_the_highest_peak() -> None:
    assert total_cost([]) == NOTHING
    assert total_cost([cost(3)]) == cost(3)
    both = total_cost([cost(1), cost(2), cost(5)])
    for name in ("trainings", "steps", "rows_forward", "rows_backward", "rows_inference", "train_seconds"):
        assert getattr(both, name) == sum(getattr(cost(n), name) for n in (1, 2, 5))
    assert both.trainings == 3
    assert both.peak_memory_bytes == 6 * MIB
    assert total_cost([total_cost([cost(1), cost(2)]), cost(5)]) == both


def test_counts_are_means_over_cells_and_leave_out_what_differs_from_run_to_run() -> None:
    numbers = [1, 2, 4, 6]
    (row,) = costs(cells_of(numbers)).to_dict("records")
    assert (row["suite"], row["backbone"], row["method"], row["cells"]) == ("lama", "tiny_bert", "p_tuning", 4)
    assert row["steps"] == mean(10 + n for n in numbers)
    assert row["rows_forward"] == mean(300 * n for n in numbers)
    assert row["search_trainings"] == 2
    assert row["search_rows_backward"] == mean(100 * n + 100 * (n + 1) for n in numbers)
    assert row["parameters_trained"] == 6
    assert not [name for name in row if "seconds" in name or "memory" in name]
    slower = [cell.model_copy(update={"cost": cell.cost.model_copy(update={"train_seconds": 9.0})})  # type: ignore[union-attr]
              for cell in cells_of(numbers)]  # fmt: skip
    assert costs(slower).equals(costs(cells_of(numbers)))


def test_timings_are_of_a_cell_and_of_its_search() -> None:
    numbers = [1, 2, 4]
    (row,) = timings(cells_of(numbers)).to_dict("records")
    assert row["train_seconds"] == pytest.approx(mean(0.25 * n for n in numbers))
    assert row["search_train_seconds"] == pytest.approx(mean(0.25 * (2 * n + 1) for n in numbers))
    steps, seconds = sum(20 + 2 * n + 1 for n in numbers), sum(0.25 * (2 * n + 1) for n in numbers)
    assert row["member_steps_per_second"] == pytest.approx(steps / seconds)
    assert (row["peak_memory_mib"], row["search_peak_memory_mib"]) == (6.0, 6.0)


def test_a_cell_without_a_search_or_without_costs_has_no_row() -> None:
    alone = [cell.model_copy(update={"search_cost": None}) for cell in cells_of([2])]
    free = [cell.model_copy(update={"cost": None}) for cell in cells_of([3], "manual")]
    assert training_table(costs(alone + free)).splitlines()[2:] == [
        "| lama | tiny_bert | `p_tuning` | 1 | 12 | 600 | 200 | 52 |"
    ]
    assert search_table(costs(alone + free)) == ""
    assert timing_table(timings(alone + free)).splitlines()[2:] == [
        "| lama | tiny_bert | `p_tuning` | 1 | 0.50 | – | 24.0 | 5 | – |"
    ]
    assert costs(free).empty
    assert timings([]).empty
