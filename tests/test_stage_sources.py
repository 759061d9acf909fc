"""What a stage runs decides when it runs again: no less, which would miss a change, and no more."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from helpers.profiles import fixture_params
from softprompt.source_code import name_of
from softprompt.stage_sources import THIS, digest_of, roots_of, sources_of, write_sources
from softprompt.tasks.load import DEFINITIONS

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RUN = fixture_params().run


@pytest.fixture(scope="module")
def sources() -> dict[str, set[str]]:
    """The names of what runs in each stage."""
    roots = roots_of(RUN, ROOT / "stages")
    return {name: {name_of(path) for path in sources_of(own)} for name, own in roots.items()}


TRAINED = {f"train/{name}" for name in RUN.trained}
MAKES_CELLS = {"untrained", "evaluate", *TRAINED}
ALL = {"prepare", "backbone", "aggregate", "publish", *MAKES_CELLS}


@pytest.mark.parametrize("stage", [name for name in PIPELINE if name != THIS])
def test_every_stage_depends_on_its_own_file_and_on_no_other_source(stage: str) -> None:
    own = [dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("src", "stages", "results/sources"))]
    assert own == [f"results/sources/{'train/${item.method}' if stage == 'train' else stage}.txt"]


def test_every_script_of_a_stage_has_a_file() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert scripts == set(PIPELINE)
    assert set(roots_of(RUN, ROOT / "stages")) == ALL


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("reporting/rendering/pages.py", {"aggregate"}),
        ("tracking/rows.py", {"publish"}),
        ("evaluation/coverage.py", {"evaluate"}),
        ("methods/p_tuning_v2.py", {"train/p_tuning_v2", "evaluate"}),
        ("methods/manual.py", {"untrained", "evaluate"}),
        ("training/loop.py", MAKES_CELLS),
        ("errors.py", ALL),
    ],
)
def test_a_file_counts_where_it_runs(sources: dict[str, set[str]], name: str, stages: set[str]) -> None:
    found = {stage for stage, own in sources.items() if name in own}
    assert found == stages


def test_definitions_of_tasks_count_where_tasks_are_read(sources: dict[str, set[str]]) -> None:
    definitions = {name_of(path) for path in DEFINITIONS.rglob("*.yaml")}
    assert definitions
    assert all(sources[stage] >= definitions for stage in ("prepare", *MAKES_CELLS))


def test_no_stage_that_makes_cells_runs_the_report(sources: dict[str, set[str]]) -> None:
    assert not [name for stage in MAKES_CELLS for name in sources[stage] if name.startswith("reporting/")]


def test_each_line_is_a_file_and_its_digest(sources: dict[str, set[str]], tmp_path: Path) -> None:
    write_sources(RUN, ROOT / "stages", tmp_path / "sources")
    for stage, own in sources.items():
        lines = [line.split() for line in (tmp_path / "sources" / f"{stage}.txt").read_text().splitlines()]
        assert [name for name, _ in lines] == sorted(own)
        assert all(len(digest) == 64 for _, digest in lines)
    write_sources(RUN.model_copy(update={"trained": RUN.trained[:1]}), ROOT / "stages", tmp_path / "sources")
    assert [path.stem for path in (tmp_path / "sources" / "train").iterdir()] == [RUN.trained[0]]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("'A sentence.'\nONE = 1\n", True),
        ("'Another.'\n\n# A comment.\nONE = 1  # of them\n", True),
        ("'A sentence.'\nONE = 2\n", False),
    ],
)
def test_comments_and_docstrings_do_not_count(tmp_path: Path, text: str, *, same: bool) -> None:
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text("'A sentence.'\nONE = 1\n")
    after.write_text(text)
    assert (digest_of(before) == digest_of(after)) == same


def test_every_byte_of_a_data_file_counts(tmp_path: Path) -> None:
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text("a: 1\n")
    after.write_text("a: 1 # a comment\n")
    assert digest_of(before) != digest_of(after)
