"""Real facts from files to scores: a small cut of the profile `facts`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from helpers.paths import REAL
from helpers.prepared_tables import prepared_splits, prepared_table
from helpers.profiles import listed, profile_content
from softprompt.backbones.checkpoint import checkpoint_path
from softprompt.backbones.loading import load_backbone
from softprompt.backbones.make import make_backbone
from softprompt.config import Params
from softprompt.data import prepared
from softprompt.data.prepare import prepare_suite
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.train import train_method
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.context import report_context

pytestmark = pytest.mark.usefixtures("real_data")


def cut(folder: Path, tasks: list[str] | str) -> Params:
    """The profile with a few relations, steps and facts, reading the files where they are."""
    content: dict[str, Any] = profile_content("facts")
    content["run"] |= listed(["majority", "manual", "p_tuning", "p_tuning_subject_first"])
    content["suites"]["lama"] |= {"path": str(REAL), "tasks": tasks}
    content["budgets"]["small"] |= {"trials": 2, "steps": 4, "eval_every": 2}
    content["seeds"] = [0]
    content["device"] |= {"workers": 1}
    for backbone in content["backbones"].values():
        backbone["architecture"] |= {"hidden_size": 16, "heads": 2, "feed_forward_size": 32, "vocabulary_size": 1500}
        backbone["pretraining"] |= {"steps": 30, "batch_size": 8}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return load_checked_params(folder / "params.yaml")


def test_two_real_relations_from_prepare_to_report(tmp_path: Path) -> None:
    params, paths = cut(tmp_path, ["P47", "P36"]), Paths(tmp_path)
    prepare_suite("lama", params.suites["lama"], params.world, paths)
    for name in params.run.backbones:
        make_backbone(name, params.backbones[name], paths, params.device)
        assert not checkpoint_path(paths.backbone(name)).exists()
        backbone = load_backbone(name, params.backbones[name].kind, paths.backbone(name), torch.device("cpu"))
        for method in params.run.methods:
            train_method(params, method, build_method(method, params.methods[method]), backbone, paths)
        evaluate_backbone(params, backbone, paths)
    aggregate(paths, report_context(params))
    scores = pd.read_csv(paths.reports / "scores.csv")
    cells = {(row.task, row.backbone, row.method, row.split) for row in scores.itertuples()}
    for task in ("P36", "P47"):
        for backbone in params.run.backbones:
            for method in params.run.methods:
                assert {(task, backbone, method, split) for split in ("test", "withheld")} <= cells
    stated = pd.read_csv(paths.evaluate("facts_bert") / "stated_facts.csv")
    lines = (paths.suite("lama") / "text" / "facts.jsonl").read_text().splitlines()
    assert stated["n"].sum() == sum(json.loads(line)["label"] in vocabulary(paths) for line in lines)
    page = (paths.reports / "lama.md").read_text()
    assert "**facts_bert** knows" in page
    for family in ("| lama |", "| pararel |", "| lpaqa-mine |", "| lpaqa-paraphrase |"):
        assert family in page


def vocabulary(paths: Paths) -> set[str]:
    lists = prepared.load_vocabulary(paths.suite("lama"))
    assert lists is not None
    (words,) = lists
    return set(words)


def test_all_relations_are_told_and_withheld_facts_stand_nowhere_else(tmp_path: Path) -> None:
    params, paths = cut(tmp_path, "all"), Paths(tmp_path)
    folder = paths.suite("lama")
    prepare_suite("lama", params.suites["lama"], params.world, paths)
    names = prepared.tasks(folder)
    assert len(names) == 41
    lines = [json.loads(line) for line in (folder / "text" / "facts.jsonl").read_text().splitlines()]
    told: dict[str, set[str]] = {name: set() for name in names}
    for line in lines:
        told[line["relation"]].add(line["subject"])
    for name in names:
        subjects = {
            split: set(prepared_table(paths, "lama", name, split)["subject"])
            for split in prepared_splits(paths, "lama", name)
        }
        shown = subjects["train"] | subjects["dev"] | subjects["test"]
        assert told[name] <= shown
        assert not shown & subjects["withheld"]
        assert len(subjects["withheld"]) == round(0.1 * len(shown | subjects["withheld"]))
    assert len(lines) > 55_000
