"""Files that the pipeline wrote, with any damage: those of training are not finished, others are refused in a line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import strategies as st

from helpers import synthetic_results as synthetic
from helpers.fuzzing import changed, damaged, fuzz, unless_refused, write
from helpers.synthetic_results import World
from softprompt.data.prepared import load_split, load_vocabulary, splits, tasks
from softprompt.experiments.store import FleetRecord, FleetStore, MemberRecord
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.result_files import read_table, read_train_result
from softprompt.results import Cost, CurvePoint, KnownFacts, Prediction
from softprompt.tasks.load import load_task
from softprompt.usage.verify import verify

MANY = 100  # lines of `verify`: one for each file
COST = dict.fromkeys(Cost.model_fields, 1)
MEMBER = MemberRecord(
    key="a", fleet="f", dev_score=0.5, best_step=1, failure="", parameters_trained=1, parameters_kept=1, positions=1,
    parts_sha256="",
    curve=[CurvePoint(step=1, train_loss=1.0, dev_loss=1.0, dev_score=0.5)], cost=Cost.model_validate(COST),
)  # fmt: skip
FLEET = FleetRecord(key="f", members=[MEMBER]).sealed(Path("fleets/f.json")).model_dump_json(indent=1).encode()
WORLD = World(
    backbones=("tiny_bert",), methods=("majority", "manual", "p_tuning"), tasks={"lama": ("P1",)}, seeds=(100, 101),
    facts=7, templates=2, trials=2, evaluations=2,
)  # fmt: skip
CONTEXT = synthetic.context_of(WORLD)


def mutations(content: bytes) -> st.SearchStrategy[bytes]:
    """Of bytes, or of what JSON says."""
    return damaged(content) | changed(json.loads(content)).map(json.dumps).map(str.encode)


def cut_short(content: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(content) - 2).map(lambda end: content[:end])


@fuzz(content=mutations(FLEET))
def test_fleets(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "fleets" / "f.json", content)
    store = FleetStore(tmp_path)
    assert all(isinstance(store[key], MemberRecord) for key in store.members)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("whole"))
    synthetic.make(paths.root, WORLD)
    aggregate(paths, CONTEXT)
    return paths


def with_damage(path: Path, data: st.DataObject, work: Callable[[], Any], *, lines: int = 1) -> None:
    """What `work` does while one file is damaged; it is put back afterwards."""
    original = path.read_bytes()
    kind = mutations if path.suffix == ".json" else damaged
    path.write_bytes(data.draw(cut_short(original) if path.name == "manifest.json" else kind(original)))
    try:
        unless_refused(work, lines=lines)
    finally:
        path.write_bytes(original)


@fuzz(data=st.data())
def test_results(whole: Paths, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(whole.results.rglob("result.json"))))
    with_damage(path, data, lambda: read_train_result(path))


@fuzz(data=st.data())
def test_predictions(whole: Paths, data: st.DataObject) -> None:
    path = whole.evaluate("tiny_bert") / "predictions.parquet"
    with_damage(path, data, lambda: read_table(path, Prediction))


@fuzz(content=damaged(b"relation,template,split,p_at_1,n\nP1,lama,test,0.500000,3\n"))
def test_tables(tmp_path: Path, content: bytes) -> None:
    unless_refused(lambda: read_table(write(tmp_path / "facts.csv", content), KnownFacts))


def prepared_side(folder: Path) -> list[pd.DataFrame]:
    load_vocabulary(folder)
    return [load_split(folder, task, split) for task in tasks(folder) for split in splits(folder, task)]


@fuzz(data=st.data())
def test_prepared_suites(whole: Paths, data: st.DataObject) -> None:
    folder = data.draw(st.sampled_from([whole.suite("lama"), whole.test_suite("lama")]))
    path = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    with_damage(path, data, lambda: (prepared_side(folder), load_task("lama", "P1", whole.prepared)))


@fuzz(data=st.data())
def test_reports(whole: Paths, data: st.DataObject) -> None:
    files = [path for path in (*whole.reports.rglob("*"), *whole.results.rglob("result.json")) if path.is_file()]
    path = data.draw(st.sampled_from(sorted(files)))
    with_damage(path, data, lambda: verify(whole, CONTEXT), lines=MANY)
