"""What a run says about itself, in Markdown."""

import math
from collections.abc import Sequence
from urllib.parse import urlencode

import pandas as pd

from softprompt.reporting.analysis.frames import rows_of
from softprompt.reporting.rendering.markdown import table
from softprompt.reporting.runs.published import Place
from softprompt.reporting.runs.run import ALL
from softprompt.results import Cell


def describe(place: Place, cells: Sequence[Cell], rows: pd.DataFrame | None, trials: str) -> str:
    """The score with its interval, what became of the replicates, of one task what each of them chose, and where the
    trials are: MLflow lists only those children of a run that are in its own experiment, whose id `trials` is not."""
    suite, task, backbone, method = place
    what = f"the mean over all tasks of {suite}" if task == ALL else f"{suite}/{task}"
    state = "whose own weights train too" if cells[0].state == "tuned" else "which stays frozen"
    lines = [f"`{method}` on `{backbone}`, {state}: {what}.", *_scores(rows)]
    failed = [cell for cell in cells if cell.status == "failed"]
    if failed:
        lines.append(f"{len(failed)} of {len(cells)} cells failed, the first with: {failed[0].reason}")
    chosen = [cell for cell in cells if cell.chosen and cell.status == "done"]
    if chosen and task != ALL:
        names = list(chosen[0].chosen)
        body = [[str(cell.seed), *(_short(cell.chosen.get(name)) for name in names), _dev(cell)] for cell in chosen]
        lines.append(table(["replicate", *names, "dev in %"], body))
    if chosen and chosen[0].study == (suite if task == ALL else f"{suite}/{task}"):
        lines.append(f"[Its trials]({_link_to_trials(place, trials)})")
    return "\n\n".join(lines)


def _link_to_trials(place: Place, trials: str) -> str:
    named = zip(("suite", "task", "backbone", "method"), place, strict=True)
    asked = {
        "searchFilter": " AND ".join(f"tags.{name} = '{value}'" for name, value in named),
        "orderByKey": "metrics.`dev/score`",
        "orderByAsc": "false",
    }
    return f"#/experiments/{trials}/runs?{urlencode(asked)}"


def _scores(rows: pd.DataFrame | None) -> list[str]:
    if rows is None:
        return []
    lines = []
    for row in rows_of(rows[(rows["metric"] == "score") & (rows["split"] == "test")]):
        between = "" if math.isnan(row.low) else f", 95 % interval {100 * row.low:.1f} to {100 * row.high:.1f}"
        lines.append(f"**{100 * row.score:.1f} % on test**{between}; replicates: {int(row.replicates)}.")
        if row.may_be_best:
            lines.append("It may be the best of its column among methods of its state.")
        if row.undertuned > 0:
            lines.append(f"{100 * row.undertuned:.0f} % of its cells are undertuned: more training may move them.")
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _dev(cell: Cell) -> str:
    return "" if cell.dev_score is None else f"{100 * cell.dev_score:.1f}"
