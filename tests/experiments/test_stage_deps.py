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
    should = "\n".join(f"      - {dep}" for dep in deps_of_stage(stage))
    assert expanded(listed) == files_of_stage(stage), f"the deps of {stage} should be\n{should}"


@pytest.mark.parametrize("stage", STAGES)
def test_the_derived_list_stands_for_the_derived_files(stage: str) -> None:
    assert expanded(deps_of_stage(stage)) == files_of_stage(stage)
