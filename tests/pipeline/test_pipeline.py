"""Real `dvc repro` on a small copy of the project: it ends, rests, runs only what changed, and survives SIGKILL."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from helpers.pipeline import copy_of, environment, repro, small_params

DVC = [sys.executable, "-m", "dvc"]
TRAIN, JOURNAL = (Path(f"results/{kind}/tiny_bert/p_tuning") for kind in ("train", "journal"))
# Costs differ from run to run; everything else in the report must not.
TIMINGS = {"timings.md", "timings.csv", "timings.json"}

pytestmark = pytest.mark.xdist_group("pipeline")


def report_bytes(folder: Path) -> dict[str, bytes]:
    reports = folder / "reports"
    return {
        path.relative_to(reports).as_posix(): path.read_bytes()
        for path in sorted(reports.rglob("*"))
        if path.is_file() and path.name not in TIMINGS
    }


def test_the_report_says_what_was_run(project: Path) -> None:
    readme = (project / "reports" / "README.md").read_text()
    assert "p_tuning" in readme
    assert (project / "reports" / "scores.csv").read_text().startswith("suite,task,backbone,method,state,seed,split")
    assert (project / "mlflow.db").is_file()


def test_a_second_repro_runs_nothing(project: Path) -> None:
    before = report_bytes(project)
    assert repro(project) == set()
    assert report_bytes(project) == before


def test_a_changed_method_section_reruns_only_that_method(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    params = small_params()
    params["methods"]["p_tuning"]["encoder"] = "mlp"
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert repro(copy) == {"train@p_tuning-tiny_bert", "evaluate@tiny_bert", "aggregate", "publish"}
    handed_on = {path.relative_to(copy / TRAIN).as_posix() for path in (copy / TRAIN).rglob("*") if path.is_file()}
    cells = json.loads((copy / TRAIN / "result.json").read_text())["cells"]  # and nothing of the settings before
    assert handed_on == {"result.json", *(f"parts/{cell['key']}.safetensors" for cell in cells)}


def test_killed_in_the_middle_of_train_it_goes_on_and_reports_the_same_bytes(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    for gone in (TRAIN, JOURNAL, Path("results/evaluate"), Path("reports"), Path(".dvc/cache")):
        shutil.rmtree(copy / gone)
    kill_after_fleets(copy, count=2)
    finished = {path: path.stat().st_mtime_ns for path in (copy / JOURNAL / "fleets").glob("*.json")}
    assert len(finished) >= 2
    assert not (copy / TRAIN / "result.json").exists()
    assert "train@p_tuning-tiny_bert" in repro(copy)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(list((copy / JOURNAL / "fleets").glob("*.json"))) > len(finished)
    assert report_bytes(copy) == report_bytes(project)


def kill_after_fleets(folder: Path, count: int) -> None:
    """Start `dvc repro` and kill it with all of its children once so many fleets of p_tuning are finished."""
    with subprocess.Popen(
        [*DVC, "repro"],
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 300
        while len(list((folder / JOURNAL / "fleets").glob("*.json"))) < count:
            assert process.poll() is None, "dvc repro ended before it could be killed"
            assert time.monotonic() < deadline, "no fleet was finished in time"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
