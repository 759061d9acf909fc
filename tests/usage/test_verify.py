"""`softprompt verify` on a small report: a changed byte anywhere fails, and what cannot be checked is said."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.rendering.digests import PROVENANCE, digest_of, sealed
from softprompt.results import TrainResult
from softprompt.usage.verify import verify

WORLD = World(
    backbones=("tiny_bert",), methods=("majority", "manual", "p_tuning"), tasks={"lama": ("P1",)}, seeds=(100, 101),
    facts=7, templates=2, trials=2, evaluations=2,
)  # fmt: skip
CONTEXT = synthetic.context_of(WORLD)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("verified"))
    synthetic.make(paths.root, WORLD)
    aggregate(paths, CONTEXT)
    (paths.reports / "bench.json").write_text("{}")
    return paths


@pytest.fixture
def restored(paths: Paths) -> Iterator[Paths]:
    """The same working copy, which is put back afterwards."""
    before = {path: path.read_bytes() for path in paths.root.rglob("*") if path.is_file()}
    yield paths
    for path in [path for path in paths.root.rglob("*") if path.is_file() and path not in before]:
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def flip(path: Path, place: int = -2) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def test_an_untouched_report_is_made_anew_with_the_same_bytes(paths: Paths) -> None:
    assert "made anew from them it has the same bytes" in verify(paths, CONTEXT)


def test_a_second_report_has_the_same_provenance_whatever_it_cost(restored: Paths) -> None:
    before = (restored.reports / PROVENANCE).read_bytes()
    path = restored.train("p_tuning", "tiny_bert") / "result.json"
    text = path.read_text()
    write_record(
        path, TrainResult.model_validate_json(re.sub(r'"train_seconds": [0-9.]+', '"train_seconds": 7.5', text))
    )
    assert path.read_text() != text
    with pytest.raises(UserError, match=r"made anew .* differs:\n.*timings\.csv: otherwise"):
        verify(restored, CONTEXT)
    aggregate(restored, CONTEXT)
    assert (restored.reports / PROVENANCE).read_bytes() == before
    verify(restored, CONTEXT)


def test_a_changed_byte_of_any_file_fails(restored: Paths) -> None:
    files = [path for path in restored.reports.rglob("*") if path.is_file() and path.name != "bench.json"]
    assert {path.suffix for path in files} == {".md", ".csv", ".svg", ".json"}
    for path in files:
        content = path.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            flip(path, place)
            with pytest.raises(UserError, match=rf"{path.name}|timings\.(csv|md): "):
                verify(restored, CONTEXT)
            path.write_bytes(content)
    verify(restored, CONTEXT)


def test_a_file_too_many_or_too_few_is_named(restored: Paths) -> None:
    (restored.reports / "plots" / "more.svg").write_text("<svg/>")
    (restored.reports / "lama.md").unlink()
    with pytest.raises(UserError, match=r"lama\.md: missing\n.*more\.svg: not a part of the report"):
        verify(restored, CONTEXT)


@pytest.mark.parametrize(
    "name",
    ["data/prepared/lama/manifest.json", "data/test/lama/manifest.json", "results/train/tiny_bert/p_tuning/result.json",
     "results/evaluate/tiny_bert/predictions.parquet", "results/pretraining/tiny_bert/loss.csv"],
)  # fmt: skip
def test_a_changed_or_missing_input_is_named(name: str, restored: Paths) -> None:
    path = restored.root / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"lama"', b'"LAMA"', 1) if path.suffix == ".json" else content + b" ")
    with pytest.raises(UserError, match=rf"{name}: changed since the report was made"):
        verify(restored, CONTEXT)
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}: missing"):
        verify(restored, CONTEXT)


def test_a_number_that_does_not_follow_from_the_results_is_found_behind_fitting_digests(restored: Paths) -> None:
    path, provenance = restored.reports / "scores.csv", restored.reports / PROVENANCE
    scores = pd.read_csv(path)
    scores.assign(value=1.0).to_csv(path, index=False)
    content = json.loads(provenance.read_text())
    content["report"]["scores.csv"] = digest_of(path.read_bytes())
    provenance.write_text(sealed(content))
    with pytest.raises(UserError, match=r"made anew .* differs:\n.*scores\.csv: otherwise"):
        verify(restored, CONTEXT)


def test_without_results_only_the_files_are_checked_and_that_is_said(paths: Paths, tmp_path: Path) -> None:
    clone = Paths(tmp_path)
    clone.reports.symlink_to(paths.reports)
    assert "results are not here, so nothing else was checked" in verify(clone, CONTEXT)


def test_a_report_of_another_profile_is_not_made_anew(paths: Paths) -> None:
    other = replace(CONTEXT, profile="mini")
    assert "params.yaml is another profile (mini), so it was not made anew" in verify(paths, other)


def test_without_a_report_the_fix_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"provenance\.json: no such file; run `dvc repro aggregate` first"):
        verify(Paths(tmp_path), CONTEXT)
