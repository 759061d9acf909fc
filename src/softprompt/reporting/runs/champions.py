"""The best trained prompt of each task and backbone. Dev chooses it, so that its test score is no maximum of many."""

from collections.abc import Iterator
from dataclasses import dataclass

from softprompt.reporting.context import CONTROLS
from softprompt.reporting.runs.published import Place, Published
from softprompt.reporting.runs.results import name_of
from softprompt.results import Cell


@dataclass(frozen=True)
class Champion:
    """`model` is its name among the registered ones, `result` that of the run it belongs to."""

    profile: str
    model: str
    result: str
    cell: Cell
    fields: tuple[str, ...]  # of an example of its task


def champions(published: Published) -> Iterator[Champion]:
    """Of the frozen methods but for controls: the one with the best mean on dev, of equals the one that keeps fewest
    parameters; of its replicates the best on dev. None where nothing can be asked (words to be labelled)."""
    profile = published.context.profile
    columns: dict[tuple[str, str, str], list[Place]] = {}
    for place, cells in published.cells.items():
        if _may_win(place, cells):
            columns.setdefault(place[:3], []).append(place)
    for (suite, task, backbone), places in columns.items():
        definition = published.manifests[suite].definitions[task]
        if definition.answer_form != "tagging":
            place = max(places, key=lambda place: _merit(published.cells[place]))
            cell = max(published.cells[place], key=lambda cell: cell.dev_score or 0.0)
            model = ".".join((profile, suite, task, backbone))
            yield Champion(profile, model, name_of(place), cell, definition.fields)


def _may_win(place: Place, cells: list[Cell]) -> bool:
    whole = all(cell.status == "done" and cell.dev_score is not None for cell in cells)
    return whole and cells[0].state == "frozen" and place[3] not in CONTROLS


def _merit(cells: list[Cell]) -> tuple[float, int]:
    scores = [cell.dev_score or 0.0 for cell in cells]
    return sum(scores) / len(scores), -max(cell.parameters_kept for cell in cells)
