"""GLUE: its tab-separated files, what a row becomes, and its tasks as every kind of backbone is asked them."""

from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from helpers.prepared_tables import prepared_table
from helpers.task_files import examples_of
from softprompt.config import Kind, SuiteSettings, WorldSettings
from softprompt.data import prepared
from softprompt.data.prepare import prepare_suite
from softprompt.data.rows import RawSplit
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.tasks.load import load_task, nlu_names
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Role

FILES = {
    "sst2": ("sentence\tlabel\n", 'a "stirring , funny \t1\n', "bad\t0\n"),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
        '1\t7\t8\tHe said.\t"Ah," he said.\n',
        "0\t7\t9\tNo.\tYes.\n",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n",
        "4\tIt rained.\tIt was wet.\tentailment\n",
        "5\tA.\tB.\tnot_entailment\n",
    ),
}


def read(task: str, path: Path, *, labelled: bool = True) -> RawSplit:
    return examples_of(task, path, labelled=labelled, suite="glue")


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8", newline="")
    return path


ROWS = {
    "sst2": ("train-2", "positive", {"sentence": 'a "stirring , funny'}),
    "mrpc": (
        "train-2",
        "equivalent",
        {"sentence1": "He said.", "sentence2": '"Ah," he said.', "continuation": '"Ah," he said.'},
    ),
    "rte": (
        "train-4",
        "entailment",
        {
            "premise": "It rained.",
            "hypothesis": "It was wet.",
            "claim": "It was wet",
            "statement": "It rained",
            "continuation": "it was wet.",
        },
    ),
}


@pytest.mark.parametrize("task", FILES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_a_row_becomes(task: str, end: str, tmp_path: Path) -> None:
    other = {"sst2": "negative", "mrpc": "not_equivalent", "rte": "not_entailment"}[task]
    path = write(tmp_path / "train.tsv", "\ufeff", *(line.replace("\n", end) for line in FILES[task]))
    split = read(task, path)
    assert (split.rows[0].id, split.rows[0].label, split.rows[0].fields) == ROWS[task]
    assert (split.lines, split.read, len(split.rows), split.rows[1].label) == (2, 2, 2, other)


def test_the_treebanks_own_files_are_read_too(tmp_path: Path) -> None:
    split = read("sst2", write(tmp_path / "stsa.binary.train", "1 a stirring film\n0 bad"))
    assert [(row.id, row.label, row.fields["sentence"]) for row in split.rows] == [
        ("train-1", "positive", "a stirring film"),
        ("train-2", "negative", "bad"),
    ]


def test_a_file_without_labels_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "test.tsv", "index\tsentence1\tsentence2\n", "0\tA.\tB.\n")
    assert [row.label for row in read("rte", path, labelled=False).rows] == [""]


BROKEN = {
    "label": ("sst2", "fine\t2\n", r"train\.tsv:4: field `label` is '2'; expected one of \"0\", \"1\""),
    "columns": ("sst2", "fine\tthing\t1\n", r"train\.tsv:4: 3 columns; expected 2 \(sentence, label\)"),
    "empty": ("sst2", " \t1\n", r"train\.tsv:4: field `sentence` is ' '; expected a text that is not empty"),
    "blank line": ("mrpc", "\n", r"train\.tsv:4: 1 columns; expected 5"),
    "quality": ("mrpc", "yes\t1\t2\tA.\tB.\n", r"field `Quality` is 'yes'"),
    "index": ("rte", "x\tA.\tB.\tentailment\n", r"field `index` is 'x'; expected a whole number"),
    "same index": ("rte", "4\tA.\tB.\tentailment\n", r"train\.tsv:4: field `index` is .*line 2 has it already"),
    "entailment": ("rte", "6\tA.\tB.\tneutral\n", r"field `label` is 'neutral'; expected one of \"entailment\""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_refused_by_file_line_and_field(case: str, tmp_path: Path) -> None:
    task, line, message = BROKEN[case]
    with pytest.raises(UserError, match=message):
        read(task, write(tmp_path / "train.tsv", *FILES[task], line))


def test_other_columns_and_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.tsv:2: field `sentence` is missing \(the row has label, text\)"):
        read("sst2", write(tmp_path / "train.tsv", "text\tlabel\n", "a\t1\n"))
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\ncaf\xe9\t1\n")
    with pytest.raises(UserError, match=r"dev\.tsv:2: byte 4 of the line is not UTF-8"):
        read("sst2", tmp_path / "dev.tsv")
    with pytest.raises(UserError, match=r"gone\.tsv: no such file; expected lines of text"):
        read("sst2", tmp_path / "gone.tsv")


def test_the_validation_set_is_the_test_set(tmp_path: Path) -> None:
    rows = [f"sentence {number}\t{number % 2}\n" for number in range(30)]
    for name in ("train", "dev"):
        write(tmp_path / "raw" / "glue" / "SST-2" / f"{name}.tsv", "sentence\tlabel\n", *rows)
    settings = SuiteSettings(source="local", path=str(tmp_path / "raw"), dev_share=0.2)
    prepare_suite("glue", settings, WorldSettings(), Paths(tmp_path))
    sizes = {split: len(prepared_table(Paths(tmp_path), "glue", "sst2", split)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 24, "dev": 6, "test": 30}
    manifest = prepared.whole_manifest(Paths(tmp_path), "glue")
    assert manifest["tasks"]["sst2"]["licence"] == "the task's own, see gluebenchmark.com"
    assert set(manifest["left_out"]) == {"mrpc", "rte"}


def test_the_real_treebank_has_its_official_counts(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "raw" / "glue").mkdir(parents=True)
    (tmp_path / "raw" / "glue" / "SST-2").symlink_to(real_data / "extra" / "sst2")
    settings = SuiteSettings(source="local", path=str(tmp_path / "raw"))
    prepare_suite("glue", settings, WorldSettings(), Paths(tmp_path))
    splits = prepared.whole_manifest(Paths(tmp_path), "glue")["tasks"]["sst2"]["splits"]
    assert splits["train"]["rows"] + splits["dev"]["rows"] == 6920
    assert splits["test"]["labels"] == {"negative": 428, "positive": 444}


# --- tasks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_task_can_be_asked_of_every_kind_in_every_role(name: str, tmp_path: Path) -> None:
    task = load_task("glue", name, tmp_path)
    for kind in get_args(Kind):
        for role in get_args(Role):
            assert task.templates(role, kind), (kind, role)
    fields = read(name, write(tmp_path / "train.tsv", *FILES[name])).rows[0].fields
    assert set(task.fields) == set(fields)
    assert task.key == f"glue/{name}"


def test_the_suites_tasks_have_definitions() -> None:
    assert nlu_names("glue") == sorted(FILES)
    assert "sst2" not in nlu_names("superglue")
    with pytest.raises(UserError, match="suite glue has no task 'cb' with templates; valid ones: mrpc, rte, sst2"):
        load_task("glue", "cb", Path())


LM_BFF = {  # table 1 of the paper: template, label -> word
    "sst2": ("{sentence} It was {mask}.", {"negative": "terrible", "positive": "great"}),
    "mrpc": ("{sentence1} {mask}, {continuation}", {"not_equivalent": "No", "equivalent": "Yes"}),
    "rte": ("{statement}? {mask}, {continuation}", {"entailment": "Yes", "not_entailment": "No"}),
}


@pytest.mark.parametrize("name", LM_BFF)
def test_the_standard_template_is_lm_bffs(name: str) -> None:
    task = load_task("glue", name, Path())
    assert (task.manual[0].text, task.verbalizer) == LM_BFF[name]


def test_f1_is_that_of_the_positive_class() -> None:
    gold = ["equivalent", "equivalent", "not_equivalent", "not_equivalent", "equivalent"]
    predicted = ["equivalent", "not_equivalent", "equivalent", "not_equivalent", "equivalent"]
    expected = f1_score(gold, predicted, pos_label="equivalent")
    assert METRICS["f1"](pd.DataFrame({"gold": gold, "prediction": predicted})) == pytest.approx(expected)
