"""The report on families of templates and on what the pretraining text told, against numbers worked out by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from softprompt.reporting.collect import Manifest
from softprompt.reporting.families import family_table, told_lines, told_report
from softprompt.tasks.load import DEFINITIONS, read_definition

SCORES = [  # relation, template, P@1
    ("P19", "lama", 0.8),
    ("P19", "pararel-2", 0.6),
    ("P19", "pararel-3", 0.2),
    ("P19", "lpaqa-mine-1", 0.5),
    ("P36", "lama", 0.4),
    ("P36", "pararel-1", 0.3),
]
TOLD = {"P19": ["lama", "pararel-2"], "P36": ["lama", "pararel-1"]}


def report_of(told: pd.DataFrame) -> Any:
    place = {"suite": "lama", "backbone": "bert", "split": "test", "metric": "p_at_1", "chosen_on_dev": False}
    rows = [place | {"task": task, "template": template, "value": value} for task, template, value in SCORES]
    context = SimpleNamespace(backbones=("bert", "gpt2"))
    wordings = {task: [{"id": "lama", "text": "{subject} is {mask}", "source": "here"}] for task in TOLD}
    definitions = {task: read_definition(DEFINITIONS / "lama.yaml", "lama", task, wordings[task]) for task in TOLD}
    collected = SimpleNamespace(manifests={"lama": Manifest("lama", {}, "", definitions, {})})
    return SimpleNamespace(templates=pd.DataFrame(rows), told=told, context=context, collected=collected)


def cells_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def told_table(folder: Path) -> pd.DataFrame:
    rows = [(relation, template, 0.5, 30) for relation, templates in TOLD.items() for template in templates]
    rows[0] = ("P19", "lama", 1.0, 90)
    (folder / "bert").mkdir()
    pd.DataFrame(rows, columns=["relation", "template", "p_at_1", "n"]).to_csv(folder / "bert/told.csv", index=False)
    return told_report(folder, ("bert", "gpt2"))


def test_families_are_means_over_relations_apart_by_what_was_told(tmp_path: Path) -> None:
    table = cells_of(family_table(report_of(told_table(tmp_path)), "lama"))
    assert [row[:4] for row in table] == [
        ["lama", "yes", "2", "60.0"],
        ["lpaqa-mine", "no", "1", "50.0"],
        ["pararel", "no", "1", "20.0"],
        ["pararel", "yes", "2", "45.0"],
    ]
    assert {row[4] for row in table} == {"–"}  # gpt2 has no score


def test_without_a_text_of_facts_families_are_not_told_apart(tmp_path: Path) -> None:
    report = report_of(told_report(tmp_path, ("bert",)))
    assert told_lines(report) == []
    table = cells_of(family_table(report, "lama"))
    assert [row[:4] for row in table] == [
        ["lama", "–", "2", "60.0"],
        ["lpaqa-mine", "–", "1", "50.0"],
        ["pararel", "–", "3", "35.0"],
    ]


def test_the_share_of_told_facts_weighs_wordings_by_their_facts(tmp_path: Path) -> None:
    (line,) = told_lines(report_of(told_table(tmp_path)))
    assert line.startswith("**bert** knows 75.0 % of the 180 facts and wordings")
