"""A stage in a copy of the project, as DVC makes one for an experiment, runs the copy's package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.pipeline import environment


@pytest.mark.parametrize("copied", [True, False])
def test_the_package_beside_the_stages_is_the_one_that_runs(copied: bool, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    if copied:
        shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        (tmp_path / "src/softprompt/locks.py").write_text("raise SystemExit('the copy runs')\n")
    else:
        (tmp_path / "src").symlink_to(ROOT / "src")
    done = subprocess.run(
        [sys.executable, "stages/sources.py"],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT / "src")},  # the original, as where it is installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr.strip(), done.returncode) == (("the copy runs", 1) if copied else ("", 0))
    assert (tmp_path / "results/sources").is_dir() is not copied
