"""What a task's definition says reaches the keys of results, and the size of a budget those of studies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import MethodSettings
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.jobs import content_key
from softprompt.experiments.studies import open_study
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.task_data import TaskData
from softprompt.tasks.load import load_task


@pytest.fixture
def rte(bert: Backbone, prepared: Path) -> TaskData:
    return load_task_data(prepared / "superglue", load_task("superglue", "rte", prepared), bert, 64, head=True)


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": ("not_entailment", "entailment")},  # a head's outputs are counted in this order
        {"verbalizer": {"entailment": "Sure", "not_entailment": "Never"}},
        {"answer_form": "candidates"},
        {"metrics": ("macro_f1",)},
    ],
)
def test_how_a_task_is_answered_is_in_the_key(rte: TaskData, changed: dict[str, Any]) -> None:
    assert rte.task.labels == ("entailment", "not_entailment")
    other = replace(rte, task=rte.task.model_copy(update=changed))
    assert content_key(task_dependencies("fine_tuning", rte)) != content_key(task_dependencies("fine_tuning", other))


@pytest.mark.parametrize(("suite", "name"), [("lama", "P19"), ("superglue", "rte")])
def test_a_limit_of_dev_leaves_the_same_examples_to_every_backbone(
    suite: str, name: str, bert: Backbone, gpt2: Backbone, prepared: Path
) -> None:
    task = load_task(suite, name, prepared)
    whole, *limited = (
        load_task_data(prepared / suite, task, backbone, 64, head=False, dev_limit=limit)
        for backbone, limit in ((bert, None), (bert, 3), (gpt2, 3))
    )
    assert [len(one.dev) + one.dropped["dev"] for one in limited] == [3, 3]  # some are no answer of a backbone's
    assert len({*limited[0].dev["id"], *limited[1].dev["id"]}) <= 3 < len(whole.dev)
    assert set(limited[0].dev["id"]) < set(whole.dev["id"])
    assert len(limited[0].train) == len(whole.train)
    assert limited[0].fingerprint != whole.fingerprint


def test_a_study_of_another_size_is_another_study(tmp_path: Path) -> None:
    params, settings = fixture_params(), MethodSettings()
    larger = params.chosen_budget.model_copy(update={"trials": params.chosen_budget.trials + 1})
    sizes = [params, params.model_copy(update={"budgets": {params.budget: larger}})]
    paths = {open_study(tmp_path, "superglue/rte/manual/bert/0", {}, settings, "masked", one).path for one in sizes}
    assert len(paths) == 2
