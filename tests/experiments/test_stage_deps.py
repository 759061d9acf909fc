"""dvc.yaml names exactly the code that its stages run: less would miss a change, more would run stages in vain."""

from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from helpers.stage_deps import STAGES, deps_of_stage, expanded, files_of_stage

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_every_stage_is_looked_at() -> None:
    assert set(STAGES) == set(PIPELINE)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_what_the_stage_imports(stage: str) -> None:
    listed = [dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("src/", "stages/"))]
    derived = deps_of_stage(stage)
    assert listed == derived, f"the deps of {stage} should be\n" + "\n".join(f"      - {dep}" for dep in derived)


@pytest.mark.parametrize("stage", STAGES)
def test_the_derived_list_holds_the_derived_files(stage: str) -> None:
    assert expanded(deps_of_stage(stage)) >= files_of_stage(stage)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("aggregate", "publish")])
def test_reports_are_among_the_deps_of_none_that_trains_or_evaluates(stage: str) -> None:
    assert not [path for path in expanded(deps_of_stage(stage)) if "reporting" in path.parts]
