"""What one stage wrote and another reads: a file that is missing or changed is named, and nothing is made of it."""

import json
import shutil
from pathlib import Path

import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.backbones.finished import REPORT, Finished
from softprompt.data.prepared import refuse_damaged
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.collect import collect
from softprompt.reporting.runs.published import read_published
from softprompt.reporting.runs.results import report_run

WORLD = World(backbones=("tiny_bert",), methods=("majority", "p_tuning"), tasks={"lama": ("P1",)}, seeds=(100, 101))
CONTEXT = synthetic.context_of(WORLD)
SUITE = ("text/answers.json", "text/facts.jsonl", "P19/train.parquet", "P19/templates.json")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    synthetic.make(tmp_path, WORLD)
    return Paths(tmp_path)


@pytest.mark.parametrize("name", SUITE)
@pytest.mark.parametrize("damage", [flipped, Path.unlink])
def test_a_prepared_suite_is_whole_or_refused(name: str, damage: object, prepared: Path, tmp_path: Path) -> None:
    assert callable(damage)
    shutil.copytree(prepared / "lama", tmp_path / "lama")
    refuse_damaged(tmp_path / "lama")
    damage(tmp_path / "lama" / name)
    with pytest.raises(UserError, match=r"lama/.*; run `dvc repro prepare@lama`"):
        refuse_damaged(tmp_path / "lama")


def test_a_manifest_that_says_nothing_of_its_files_is_refused(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "lama", tmp_path / "lama")
    path = tmp_path / "lama" / "manifest.json"
    path.write_text(json.dumps({"tasks": {"P19": {}}, "files": {}}))
    with pytest.raises(UserError, match=r"manifest\.json: damaged; run `dvc repro prepare@lama` again"):
        refuse_damaged(tmp_path / "lama")


def test_a_pretrained_model_is_the_one_of_its_record_or_refused(tmp_path: Path) -> None:
    finished = Finished(tmp_path / "models" / "tiny_bert", tmp_path / "pretraining" / "tiny_bert")
    for path in (finished.model / "config.json", *(finished.results / name for name in REPORT)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    finished.refuse_changed()  # as one from the hub, of which there is no record
    finished.write("key")
    finished.refuse_changed()
    for path in (finished.model / "config.json", finished.path):
        content = path.read_bytes()
        path.write_bytes(content[:-2])
        with pytest.raises(UserError, match="not the model that was pretrained; run `dvc repro backbone@tiny_bert`"):
            finished.refuse_changed()
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["predictions.parquet", "coverage.csv", "files.json"])
@pytest.mark.parametrize("damage", [flipped, Path.unlink])
def test_an_evaluation_is_whole_or_refused(name: str, damage: object, paths: Paths) -> None:
    assert callable(damage)
    collect(paths, CONTEXT)
    damage(paths.evaluate("tiny_bert") / name)
    with pytest.raises(UserError, match=rf"tiny_bert/{name}: .*; run `dvc repro` again"):
        collect(paths, CONTEXT)


def test_means_that_the_report_did_not_make_are_not_published(paths: Paths) -> None:
    aggregate(paths, CONTEXT)
    assert report_run(read_published(paths, CONTEXT)).metrics
    path = paths.reports / "metrics.json"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"metrics\.json: changed since the report was made; run `dvc repro aggregate`"):
        report_run(read_published(paths, CONTEXT))
