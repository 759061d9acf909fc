"""A trained cell as a model of MLflow's: `mlflow.pyfunc.load_model` calls `_load_pyfunc`, by name, in the project.

The registered model holds the name and key of a cell. What answers is the cell in the working directory, so that
neither backbone nor data lie on disk twice.
"""

import json
from pathlib import Path

import pandas as pd

from softprompt.errors import UserError
from softprompt.experiments.checks import load_checked_params
from softprompt.paths import Paths
from softprompt.quiet import keep_quiet
from softprompt.stage import PARAMS
from softprompt.usage.cells import TrainedCell, find_cell, load_cell
from softprompt.usage.inputs import inputs_of
from softprompt.usage.predict import predict


class ServedCell:
    """Answers to tables of texts, as `softprompt predict` gives them."""

    def __init__(self, chosen: TrainedCell) -> None:
        self.chosen = chosen

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The task's fields with answer_1, probability_1 and so on, a row an example."""
        return predict(self.chosen, inputs_of(self.chosen.task, frame))


def _load_pyfunc(data_path: str) -> ServedCell:
    """The cell that the file names.

    Raises UserError where the project in the working directory has another profile, or has trained the cell anew.
    """
    keep_quiet()
    named = json.loads(Path(data_path).read_text(encoding="utf-8"))
    params, paths = load_checked_params(PARAMS), Paths()
    if params.profile != named["profile"]:
        put = f"run `softprompt use {named['profile']}` first"
        raise UserError(f"{PARAMS} is the profile {params.profile}, the model one of {named['profile']}; {put}")
    cell = find_cell(params, paths, named["method"], named["backbone"], named["task"], named["seed"])
    if cell.key != named["key"]:
        raise UserError(f"{data_path}: the cell it names was trained anew; run `dvc repro publish`, and load the alias")
    return ServedCell(load_cell(params, paths, cell))
