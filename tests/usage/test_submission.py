"""Leaderboard files: every row of the test files once, labels as each task writes them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from helpers.profiles import fixture_params
from helpers.task_files import FOLDERS
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params, SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import TrainedCells
from softprompt.experiments.train import train_method
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.tasks.load import load_data_section
from softprompt.usage.submission import submission_rows, write_submission


def row(task: str, index: int, *, labelled: bool) -> dict[str, object]:
    content: dict[str, object] = {"premise": f"Ann met Bob {index} times.", "hypothesis": f"Bob met Ann {index} times."}
    label: object = ["entailment", "not_entailment"][index % 2]
    if task == "copa":
        content = {"premise": f"It was {index}.", "choice1": "It rained.", "choice2": "It snowed.", "question": "cause"}
        label = index % 2
    return {**content, "idx": index, **({"label": label} if labelled else {})}


def prepared_params(folder: Path) -> Params:
    for task in ("rte", "copa"):
        for name, count in (("train", 12), ("val", 4), ("test", 5)):
            path = folder / "raw" / "superglue" / FOLDERS[task] / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [row(task, index, labelled=name != "test") for index in range(count)]
            path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    params = fixture_params()
    suite = SuiteSettings(source="local", path=str(folder / "raw"), dev_share=0.3)
    prepare_suite("superglue", suite, WorldSettings(), Paths(folder))
    run = params.run.model_copy(update={"suites": ("superglue",)})
    return params.model_copy(update={"run": run, "seeds": (0,)})


def test_the_unlabelled_test_files_are_answered_row_by_row(gpt2: Backbone, tmp_path: Path) -> None:
    params, paths = prepared_params(tmp_path), Paths(tmp_path)
    train_method(params, "manual_best", build_method("manual_best", {}), gpt2, paths)
    trained = TrainedCells(params, "manual_best", gpt2, paths)
    files = write_submission(trained, 0, tmp_path / "out")
    assert sorted(path.name for path in files) == ["COPA.jsonl", "RTE.jsonl"]
    written = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in files}
    assert [one["idx"] for one in written["RTE"]] == [one["idx"] for one in written["COPA"]] == list(range(5))
    assert {one["label"] for one in written["RTE"]} <= {"entailment", "not_entailment"}
    assert {one["label"] for one in written["COPA"]} <= {0, 1}
    with pytest.raises(UserError, match=r"nothing to submit: manual_best on tiny_gpt2 has no finished .* of seed 7"):
        write_submission(trained, 7, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def rows_of(task: str, ids: list[str], labels: list[str]) -> list[dict[str, object]]:
    submission = load_data_section("superglue", task).submission
    assert submission is not None
    return submission_rows(submission, pd.DataFrame({"id": ids, "prediction": labels}))


def test_labels_are_written_as_each_task_has_them() -> None:
    assert rows_of("wsc", ["test-0", "test-1"], ["true", "false"]) == [
        {"idx": 0, "label": "True"},
        {"idx": 1, "label": "False"},
    ]
    assert rows_of("boolq", ["test-3"], ["true"]) == [{"idx": 3, "label": "true"}]
    assert rows_of("record", ["test-3-14"], ["Ann"]) == [{"idx": 14, "label": "Ann"}]
    assert rows_of("multirc", ["test-1-2-0", "test-0-0-1", "test-0-0-0"], ["1", "0", "1"]) == [
        {"idx": 0, "passage": {"questions": [{"idx": 0, "answers": [{"idx": 0, "label": 1}, {"idx": 1, "label": 0}]}]}},
        {"idx": 1, "passage": {"questions": [{"idx": 2, "answers": [{"idx": 0, "label": 1}]}]}},
    ]
