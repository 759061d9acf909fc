"""What DVC's users expect: results shared by a remote, rebuilds that agree, experiments, metrics and plots."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.pipeline import copy_of, dvc, git, repro

pytestmark = pytest.mark.xdist_group("pipeline")

RERUN = {"train@p_tuning-tiny_bert", "evaluate@tiny_bert", "aggregate", "publish"}


def test_a_clone_that_pulls_from_a_remote_rebuilds_nothing(project: Path, tmp_path: Path) -> None:
    copy, clone = copy_of(project, tmp_path), tmp_path / "clone"
    dvc(copy, "remote", "add", "-q", "-d", "shared", str(tmp_path / "remote"))
    git(copy, "commit", "-qam", "A remote")
    dvc(copy, "push", "-q")
    git(tmp_path, "clone", "-q", str(copy), str(clone))
    dvc(clone, "pull", "-q")
    assert repro(clone) == set()
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / "results" / "journal").exists()  # what only resuming needs is not shared


def recorded(folder: Path) -> dict[tuple[str, str, str], Any]:
    """(stage, deps or outs, path) -> what dvc.lock says of it."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        (name, kind, entry["path"]): entry
        for name, stage in stages.items()
        for kind in ("deps", "outs")
        for entry in stage.get(kind, [])
    }


def test_a_rebuild_from_nothing_changes_no_line_of_the_lock_but_timings(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    for gone in ("results", "models", "data/prepared", "data/test", "reports", "mlflow.db", ".dvc/cache"):
        shutil.rmtree(copy / gone) if (copy / gone).is_dir() else (copy / gone).unlink()
    assert repro(copy) > RERUN
    before, after = recorded(project), recorded(copy)
    assert before.keys() == after.keys()
    different = {key[2] for key in after if after[key] != before[key]}
    assert different
    assert all(path.startswith("results/timings") for path in different), different
    changed = git(copy, "diff", "--name-only").split()
    assert {name for name in changed if not name.startswith("reports/timings.")} == {"dvc.lock"}


def test_what_ran_before_is_taken_from_the_run_cache(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    params = (copy / "params.yaml").read_text()
    (copy / "params.yaml").write_text(params.replace("encoder: lstm", "encoder: mlp"))
    assert repro(copy) == RERUN
    (copy / "params.yaml").write_text(params)
    shutil.rmtree(copy / "results" / "journal")
    assert repro(copy) == {"aggregate", "publish"}
    assert git(copy, "status", "--porcelain", "--", "reports/scores.csv", "params.yaml") == ""


def test_metrics_are_few_and_plots_need_nothing_from_elsewhere(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    rows = list(csv.DictReader(dvc(copy, "metrics", "show", "--md").replace(" ", "").splitlines(), delimiter="|"))
    scores = [name for name in rows[0] if name and name.endswith(".score")]
    assert 0 < len(scores) <= 4  # of two suites on a backbone: the highest frozen and the highest tuned method
    ends = [{name.removesuffix(end) for name in rows[0] if name and name.endswith(end)} for end in (".low", ".high")]
    assert ends[0] == ends[1] <= {name.removesuffix(".score") for name in scores}  # two replicates have no interval
    dvc(copy, "plots", "show")
    page = (copy / "dvc_plots" / "index.html").read_text()
    assert "http" not in page
    shown = re.findall(r'<img src="(static/[^"]+)"', page)
    assert {re.sub(r".*plots_|_(lama|superglue)\.svg", "", name) for name in shown} == {"scores", "curves", "wordings"}
    assert all((copy / "dvc_plots" / name).is_file() for name in shown)


def experiments(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(dvc(folder, "exp", "show", "--csv").splitlines()))


def test_experiments_here_in_a_copy_and_in_a_queue(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    key = "methods.p_tuning.encoder"
    dvc(copy, "exp", "run", "--temp", "-n", "beside", "-S", f"{key}=identity")
    assert git(copy, "status", "--porcelain") == ""  # the working copy is as it was
    dvc(copy, "exp", "run", "--queue", "-n", "later", "-S", f"{key}=mlp")
    dvc(copy, "exp", "run", "--run-all")
    found = {row["Experiment"]: row[key] for row in experiments(copy) if row["Experiment"]}
    assert found == {"beside": "identity", "later": "mlp"}
    dvc(copy, "exp", "run", "-n", "here", "-S", f"{key}=mlp")
    assert "encoder: mlp" in git(copy, "diff", "params.yaml")
    one, other = (
        {name: row for row in experiments(copy) if (name := row["Experiment"])}[who] for who in ("here", "later")
    )
    assert [value for name, value in one.items() if name.endswith("score")] == [
        value for name, value in other.items() if name.endswith("score")
    ]
