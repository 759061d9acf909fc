"""A registered champion, loaded by MLflow: it answers to a table as `softprompt predict` does."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from helpers.finished_cells import all_methods
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.runs.champions import Champion
from softprompt.results import TrainResult
from softprompt.tracking.registry import register
from softprompt.tracking.store import open_store
from softprompt.usage.cells import find_cell, load_cell
from softprompt.usage.inputs import read_inputs
from softprompt.usage.predict import predict

MODEL = "embedded.lama.P19.tiny_bert"
pytestmark = [
    # MLflow 3.17 asks SQLAlchemy 2.1 for a loader that it deprecates; nothing of ours uses it.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),  # of its own types
]


@pytest.fixture
def registered(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    params, paths = all_methods(), Paths(project)
    cell = find_cell(params, paths, "prompt_tuning", "tiny_bert", "lama/P19", 0)
    champion = Champion(params.profile, MODEL, "result", cell, ("subject",))
    register(open_store(project / "mlflow.db"), [champion], {"result": "run"}, project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    return project


def test_a_champion_answers_to_a_table_as_predict_does(registered: Path) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    answered = model.predict(pd.DataFrame({"subject": ["Ann", "Rome"]}))
    params, paths = all_methods(), Paths(registered)
    chosen = load_cell(params, paths, find_cell(params, paths, "prompt_tuning", "tiny_bert", "lama/P19", 0))
    expected = predict(chosen, read_inputs(chosen.task, None, ["Ann", "Rome"]))
    pd.testing.assert_frame_equal(answered, expected)


def test_a_champion_of_a_moved_project_is_found_there(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = registered.rename(registered.with_name(f"{registered.name}-moved"))
    monkeypatch.chdir(moved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    assert len(model.predict(pd.DataFrame({"subject": ["Ann"]}))) == 1


def test_a_champion_of_another_profile_is_refused(registered: Path) -> None:
    content = yaml.safe_load((registered / "params.yaml").read_text())
    (registered / "params.yaml").write_text(yaml.safe_dump(content | {"profile": "mini"}))
    with pytest.raises(UserError, match=r"is the profile mini, the model one of .*; run `softprompt use"):
        mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")


def test_a_champion_that_was_trained_anew_is_refused(registered: Path) -> None:
    path = registered / "results/train/tiny_bert/prompt_tuning/result.json"
    cell = find_cell(all_methods(), Paths(registered), "prompt_tuning", "tiny_bert", "lama/P19", 0)
    again = cell.model_copy(update={"key": "another"})
    write_record(path, TrainResult(method="prompt_tuning", backbone="tiny_bert", cells=[again]))
    with pytest.raises(UserError, match="was trained anew; run `dvc repro publish`"):
        mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
