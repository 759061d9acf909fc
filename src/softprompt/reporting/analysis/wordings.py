"""How much a manual prompt's score depends on its wording."""

import pandas as pd

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.summary import in_score
from softprompt.results import Cell

WIDE = 0.15  # a spread worth naming: points of P@1 between the best and the worst wording of one relation
COLUMNS = ["suite", "task", "backbone", "template", "split", "metric", "value", "n_examples", "chosen_on_dev"]


def template_scores(scores: pd.DataFrame, cells: list[Cell]) -> pd.DataFrame:
    """A row a manual template, split and metric, and whether it is the one that dev chose."""
    chosen = {
        (cell.suite, cell.task, cell.backbone, cell.templates[0])
        for cell in cells
        if cell.method == "manual_best" and cell.templates
    }
    manual = scores[scores["method"] == "manual"].copy()
    places = manual[["suite", "task", "backbone", "template"]].itertuples(index=False, name=None)
    manual["chosen_on_dev"] = [place in chosen for place in places]
    return manual[COLUMNS].sort_values(COLUMNS).reset_index(drop=True)


def template_headlines(templates: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """One row a template and split with its `score`, the same mean of metrics as in the tables of methods."""
    keys = ["suite", "task", "backbone", "template", "split", "chosen_on_dev"]
    return in_score(templates, collected).groupby(keys, as_index=False).agg(score=("value", "mean"))


def template_spread(templates: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """A row a task and backbone: worst, mean and best template on test, and the range between them."""
    shown = template_headlines(templates, collected)
    places = shown[shown["split"] == "test"].groupby(["suite", "task", "backbone"], as_index=False)
    spread = places.agg(
        templates=("score", "size"), worst=("score", "min"), mean=("score", "mean"), best=("score", "max")
    )
    return spread.assign(range=spread["best"] - spread["worst"])
