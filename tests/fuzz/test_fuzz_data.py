"""Files of data with any damage: prepared whole, or refused in one line; nothing is written beside the outs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from helpers.backbones import WORLD
from helpers.fuzzing import as_lines, changed, damaged, fuzz, unless_refused, write
from helpers.source_samples import local_files
from softprompt.config import SuiteSettings
from softprompt.data.examples import read_examples
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split, load_vocabulary, splits, tasks
from softprompt.data.suite_layouts import layout_of
from softprompt.paths import Paths
from softprompt.tasks.load import load_data_section, load_task, nlu_names
from softprompt.usage.inputs import read_inputs

FILES = local_files() | {
    "lama/Google_RE/date_of_birth_test.jsonl": as_lines(
        [{"pred": "/people/person/date_of_birth", "sub_label": "Ann", "obj_label": "1900", "uuid": "a",
          "masked_sentences": ["Ann ([MASK])"]}]
    ),
    "lama/Squad/test.jsonl": as_lines([{"id": "a", "obj_label": "red", "masked_sentences": ["It is [MASK] ."]}]),
    "prompts/lpaqa/mine/P19.jsonl": as_lines([{"template": "[X] of [Y]", "weight": 0.5}]),
    "prompts/autoprompt/bert.jsonl": as_lines([{"relation": "P19", "template": "[X] in in [Y] ."}]),
}  # fmt: skip
LABELLED = {
    (suite, name): layout_of(suite).files["train"][0].format(folder=load_data_section(suite, name).folder)
    for suite in ("superglue", "glue")
    for name in nlu_names(suite)
}
OF_LAMA = sorted(name for name in FILES if name.startswith(("lama/", "prompts/")) and name.endswith(".jsonl"))
OF_VOCABULARY = "lama/vocab/29k-vocab.json"


def rows_of(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()]


def one_row_changed(content: bytes) -> st.SearchStrategy[bytes]:
    rows = rows_of(content)
    return changed(rows[0]).map(lambda first: as_lines([first, *rows[1:]]))


def damage(name: str) -> st.SearchStrategy[bytes]:
    """Of bytes, or of what a row says."""
    return damaged(FILES[name]) | one_row_changed(FILES[name]) if name.endswith(".jsonl") else damaged(FILES[name])


def writable(table: pd.DataFrame) -> bool:
    return all(isinstance(value, str) and value.encode() is not None for row in table.values for value in row)


@fuzz(place=st.sampled_from(sorted(LABELLED)), data=st.data())
def test_files_of_examples(tmp_path: Path, place: tuple[str, str], data: st.DataObject) -> None:
    name = LABELLED[place]
    path = write(tmp_path / Path(name).name, data.draw(damage(name)))
    section = load_data_section(*place)
    table = unless_refused(lambda: read_examples(section, path, labelled=data.draw(st.booleans())).frame())
    assert table is None or (len(table) > 0 and writable(table))


@fuzz(name=st.sampled_from(OF_LAMA), data=st.data())
def test_files_of_relations(tmp_path: Path, name: str, data: st.DataObject) -> None:
    prepared_or_refused(tmp_path, "lama", name, data.draw(damage(name)), vocabulary="full")


@fuzz(content=damaged(FILES[OF_VOCABULARY]) | changed(json.loads(FILES[OF_VOCABULARY])).map(json.dumps).map(str.encode))
def test_vocabularies(tmp_path: Path, content: bytes) -> None:
    prepared_or_refused(tmp_path, "lama", OF_VOCABULARY, content, vocabulary="29k")


@fuzz(
    name=st.sampled_from([f"superglue/{task}/{file}.jsonl" for task in ("CB", "COPA") for file in ("train", "val")]),
    data=st.data(),
)
def test_whole_suites(tmp_path: Path, name: str, data: st.DataObject) -> None:
    prepared_or_refused(tmp_path, "superglue", name, data.draw(damage(name)), tasks=("cb", "copa"))


def prepared_or_refused(folder: Path, suite: str, name: str, content: bytes, **settings: Any) -> None:
    """With this content of one file, a suite is prepared and reads back, or is refused and leaves nothing."""
    shutil.rmtree(folder / "raw", ignore_errors=True)
    shutil.rmtree(folder / "work", ignore_errors=True)
    for place in FILES:
        if place.startswith((f"{suite}/", "prompts/")):
            write(folder / "raw" / place, content if place == name else FILES[place])
    paths = Paths(folder / "work")
    local = SuiteSettings(source="local", path=str(folder / "raw"), dev_share=0.3, **settings)
    unless_refused(lambda: prepare_suite(suite, local, WORLD, paths))
    assert {path.name for path in folder.iterdir()} <= {"raw", "work"}
    outs = [paths.suite(suite), paths.test_suite(suite)]
    if not outs[0].is_dir():
        assert not [path for path in (folder / "work").rglob("*") if path.is_file()]
        return
    load_vocabulary(outs[0])
    for out in outs:
        for task in tasks(out):
            unless_refused(lambda task=task: load_task(suite, task, paths.prepared))
            assert all(writable(load_split(out, task, split)) for split in splits(out, task))


TEXTS = {
    ".csv": b'premise,hypothesis\n"It rains, now.",It is wet.\n',
    ".jsonl": as_lines([{"premise": "It rains.", "hypothesis": "It is wet."}]),
    ".txt": b"It rains.\n",
}


@fuzz(kind=st.sampled_from(sorted(TEXTS)), task=st.sampled_from(["superglue/rte", "glue/sst2"]), data=st.data())
def test_texts_to_predict_for(tmp_path: Path, kind: str, task: str, data: st.DataObject) -> None:
    path = write(tmp_path / f"texts{kind}", data.draw(damaged(TEXTS[kind])))
    suite, _, name = task.partition("/")
    table = unless_refused(lambda: read_inputs(load_task(suite, name, Path()), path, []))
    assert table is None or writable(table.drop(columns="row"))
