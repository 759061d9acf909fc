"""The report on families of templates and on the facts that the pretraining text states, against numbers by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from softprompt.reporting.analysis.collect import Manifest, read_pretraining
from softprompt.reporting.rendering.manual_templates import family_table, stated_facts_lines
from softprompt.results import StatedFacts
from softprompt.tasks.load import DEFINITIONS, read_definition

SCORES = [  # relation, template, P@1
    ("P19", "lama", 0.8),
    ("P19", "pararel-2", 0.6),
    ("P19", "pararel-3", 0.2),
    ("P19", "lpaqa-mine-1", 0.5),
    ("P36", "lama", 0.4),
    ("P36", "pararel-1", 0.3),
]
STATED = {"P19": ["lama", "pararel-2"], "P36": ["lama", "pararel-1"]}


def report_of(stated: pd.DataFrame) -> Any:
    place = {"suite": "lama", "backbone": "bert", "split": "test", "metric": "p_at_1", "chosen_on_dev": False}
    rows = [place | {"task": task, "template": template, "value": value} for task, template, value in SCORES]
    context = SimpleNamespace(backbones=("bert", "gpt2"))
    wordings = {task: [{"id": "lama", "text": "{subject} is {mask}", "source": "here"}] for task in STATED}
    definitions = {task: read_definition(DEFINITIONS / "lama.yaml", "lama", task, wordings[task]) for task in STATED}
    collected = SimpleNamespace(manifests={"lama": Manifest("lama", {}, "", definitions, {})})
    return SimpleNamespace(templates=pd.DataFrame(rows), stated_facts=stated, context=context, collected=collected)


def cells_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def read_stated(folder: Path, *backbones: str) -> pd.DataFrame:
    return read_pretraining(folder, "stated_facts.csv", StatedFacts, backbones)


def stated_table(folder: Path) -> pd.DataFrame:
    rows = [(relation, template, 0.5, 30) for relation, templates in STATED.items() for template in templates]
    rows[0] = ("P19", "lama", 1.0, 90)
    (folder / "bert").mkdir()
    pd.DataFrame(rows, columns=["relation", "template", "p_at_1", "n"]).to_csv(
        folder / "bert/stated_facts.csv", index=False
    )
    return read_stated(folder, "bert", "gpt2")


def test_families_are_means_over_relations_apart_by_what_the_text_states(tmp_path: Path) -> None:
    table = cells_of(family_table(report_of(stated_table(tmp_path)), "lama"))
    assert [row[:4] for row in table] == [
        ["lama", "yes", "2", "60.0"],
        ["lpaqa-mine", "no", "1", "50.0"],
        ["pararel", "no", "1", "20.0"],
        ["pararel", "yes", "2", "45.0"],
    ]
    assert {row[4] for row in table} == {"–"}  # gpt2 has no score


def test_without_a_text_of_facts_families_are_not_distinguished(tmp_path: Path) -> None:
    report = report_of(read_stated(tmp_path, "bert"))
    assert stated_facts_lines(report) == []
    table = cells_of(family_table(report, "lama"))
    assert [row[:4] for row in table] == [
        ["lama", "–", "2", "60.0"],
        ["lpaqa-mine", "–", "1", "50.0"],
        ["pararel", "–", "3", "35.0"],
    ]


def test_the_share_of_stated_facts_weighs_wordings_by_their_facts(tmp_path: Path) -> None:
    (line,) = stated_facts_lines(report_of(stated_table(tmp_path)))
    assert line.startswith("**bert** knows 75.0 % of the 180 facts and wordings")
