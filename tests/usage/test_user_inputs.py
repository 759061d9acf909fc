"""Texts of users, read with their place: every form gives the fields that `prepare` derives."""

import json
from pathlib import Path

import pytest

from helpers.task_files import examples_of
from softprompt.errors import UserError
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task
from softprompt.usage.inputs import read_inputs

# Flat rows of a user, and the rest of the official row of the same example.
FLAT: dict[str, dict[str, str]] = {
    "boolq": {"question": "is it red", "passage": "It is blue."},
    "cb": {"premise": "He knows it rains.", "hypothesis": "It rains."},
    "copa": {"premise": "He broke his toe.", "choice1": "He fell.", "choice2": "He slept.", "question": "cause"},
    "multirc": {"passage": "Ann slept.", "question": "Who slept?", "answer": "Ann"},
    "rte": {"premise": "Ann met Bob, they said.", "hypothesis": "Bob met Ann."},
    "wic": {"word": "bank", "sentence1": "The bank is shut.", "sentence2": "A bank of sand."},
}
OFFICIAL = {
    **FLAT,
    "multirc": {
        "passage": {"text": "Ann slept.", "questions": [
            {"idx": 0, "question": "Who slept?", "answers": [{"idx": 0, "text": "Ann"}]},
        ]},
    },
    "wic": {**FLAT["wic"], "start1": 4, "end1": 8, "start2": 2, "end2": 6},
    "wsc": {
        "text": "Ann said that she slept.",
        "target": {"span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 3},
    },
    "record": {
        "passage": {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]},
        "qas": [{"idx": 0, "query": "@placeholder was met."}, {"idx": 1, "query": "He saw @placeholder."}],
    },
}  # fmt: skip


def task_named(name: str, suite: str = "superglue") -> Task:
    return load_task(suite, name, Path())


def lama(tmp_path: Path, text: str = "{subject} is in {mask} .") -> Task:
    path = tmp_path / "lama" / "P1" / "templates.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"type": "1-1", "templates": [{"id": "lama", "text": text, "source": "LAMA"}]}))
    return load_task("lama", "P1", tmp_path)


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_rows_have_the_fields_of_prepared_ones(name: str, tmp_path: Path) -> None:
    task = task_named(name)
    official = tmp_path / "official.jsonl"
    official.write_text(json.dumps({**OFFICIAL[name], "idx": 0}) + "\n")
    expected = examples_of(name, official, labelled=False).frame()[list(task.fields)]
    read = read_inputs(task, official, [])
    assert read["row"].unique().tolist() == [1]
    assert read[list(task.fields)].to_dict("list") == expected.to_dict("list")
    if name in FLAT:
        columns = tmp_path / "flat.csv"
        columns.write_text(",".join(FLAT[name]) + "\n" + ",".join(f'"{text}"' for text in FLAT[name].values()) + "\n")
        assert read_inputs(task, columns, [])[list(task.fields)].to_dict("list") == expected.to_dict("list")
        pairs = [f"{field}={text}" for field, text in FLAT[name].items()]
        assert read_inputs(task, None, pairs)[list(task.fields)].to_dict("list") == expected.to_dict("list")
    given = tmp_path / "given.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in expected.to_dict("records")))
    assert read_inputs(task, given, [])[list(task.fields)].to_dict("list") == expected.to_dict("list")


def test_glue_tasks_take_their_own_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("premise,hypothesis\nIt rains.,It is wet.\n")
    read = read_inputs(task_named("rte", "glue"), path, [])
    assert read[["premise", "claim", "continuation"]].iloc[0].tolist() == ["It rains.", "It is wet", "it is wet."]
    read = read_inputs(task_named("mrpc", "glue"), None, ["sentence1=It rains.", "sentence2=It is wet."])
    assert read["continuation"].tolist() == ["it is wet."]
    assert read_inputs(task_named("sst2", "glue"), None, ["Fine.", "Bad."])["sentence"].tolist() == ["Fine.", "Bad."]


def test_lines_of_text_are_examples_of_a_task_with_one_field(tmp_path: Path) -> None:
    path = tmp_path / "subjects.txt"
    path.write_text("Ann\n\n Bob = Rob \n")
    task = lama(tmp_path)
    assert read_inputs(task, path, []).to_dict("list") == {"row": [1, 3], "subject": ["Ann", "Bob = Rob"]}
    assert read_inputs(task, None, ["a=b"])["subject"].tolist() == ["a=b"]


def test_rows_of_a_csv_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "subjects.csv"
    path.write_text('note,subject\n1,"Ann, or ""A"""\n2,Bob\n')
    assert read_inputs(lama(tmp_path), path, []).to_dict("list") == {"row": [2, 3], "subject": ['Ann, or "A"', "Bob"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "premise\nIt rains.\n", r"a\.csv:2: field `hypothesis` is missing \(there is premise\); "
         "superglue/rte needs premise, hypothesis"),
        ("a.csv", "premise,hypothesis\nIt rains.\n", r"a\.csv:2: 1 columns; expected 2 \(premise, hypothesis\)"),
        ("a.csv", "premise,hypothesis\nIt rains., \n", r"a\.csv:2: field `hypothesis` is ' '; expected a text that"),
        ("a.csv", "premise,hypothesis\n", r"a\.csv: no row below the names of the columns \(premise, hypothesis\)"),
        ("a.jsonl", '{"premise": "It rains.", "hypothesis": 3}\n', r"a\.jsonl:1: field `hypothesis` is 3"),
        ("a.jsonl", '{"premise": "It rains."', r"a\.jsonl:1: not JSON at character"),
        ("a.txt", "It rains.\n", r"a\.txt: superglue/rte has several fields, .* a \.csv or \.jsonl file with"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_with_row_and_field(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_inputs(task_named("rte"), tmp_path / name, [])


def test_texts_of_the_command_line_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"'It rains\.' is not of the form field=text; superglue/rte needs the fields"):
        read_inputs(task_named("rte"), None, ["It rains."])
    with pytest.raises(UserError, match=r"command line:1: field `hypothesis` is missing \(there is premise\)"):
        read_inputs(task_named("rte"), None, ["premise=It rains."])
