"""A small project, reproduced once for all tests that copy it."""

import shutil
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from helpers.pipeline import dvc, git, repro, small_params


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, reproduced and committed. Its tests are of one xdist group."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "data" / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "raw" / "README.md", folder / "data" / "raw")
    (folder / "params.yaml").write_text(yaml.safe_dump(small_params(), sort_keys=False))
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "A project")
    first = repro(folder)
    assert {"prepare@lama", "backbone@tiny_bert", "train@p_tuning-tiny_bert", "evaluate@tiny_bert"} <= first
    assert {"aggregate", "publish"} <= first
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "A run")
    return folder
