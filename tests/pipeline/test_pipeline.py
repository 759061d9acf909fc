"""Real `dvc repro` on a small copy of the project: it ends, rests, runs only what changed, and survives SIGKILL."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from helpers.pipeline import environment, small_params

DVC = [sys.executable, "-m", "dvc"]
TRAIN = Path("results/train/tiny_bert/p_tuning")
# Costs differ from run to run; everything else in the report must not.
TIMINGS = {"timings.md", "timings.csv", "timings.json"}

pytestmark = pytest.mark.xdist_group("pipeline")


def repro(folder: Path) -> str:
    """What `dvc repro` printed. A killed run's lock counts as busy until its process is reaped, so it is asked
    again.
    """
    for _ in range(20):
        done = subprocess.run(
            [*DVC, "repro"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
        )
        if "Unable to acquire lock" not in done.stderr:
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        time.sleep(1)
    raise AssertionError("the lock of the killed run was never released")


def stages_run(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def report_bytes(folder: Path) -> dict[str, bytes]:
    reports = folder / "reports"
    return {
        path.relative_to(reports).as_posix(): path.read_bytes()
        for path in sorted(reports.rglob("*"))
        if path.is_file() and path.name not in TIMINGS
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, reproduced once."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "stages", folder / "stages")
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "data" / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "raw" / "README.md", folder / "data" / "raw")
    (folder / "params.yaml").write_text(yaml.safe_dump(small_params(), sort_keys=False))
    subprocess.run([*DVC, "init", "--no-scm", "-q"], cwd=folder, env=environment(), check=True)
    first = stages_run(repro(folder))
    assert {"prepare@lama", "backbone@tiny_bert", "train@p_tuning-tiny_bert", "evaluate@tiny_bert"} <= first
    assert {"aggregate", "publish"} <= first
    return folder


def test_the_report_says_what_was_run(project: Path) -> None:
    readme = (project / "reports" / "README.md").read_text()
    assert "p_tuning" in readme
    assert (project / "reports" / "scores.csv").read_text().startswith("suite,task,backbone,method,state,seed,split")
    assert (project / "mlflow.db").is_file()


def test_a_second_repro_runs_nothing(project: Path) -> None:
    before = report_bytes(project)
    assert stages_run(repro(project)) == set()
    assert report_bytes(project) == before


def test_metrics_and_params_can_be_compared_with_dvc(project: Path) -> None:
    shown = subprocess.run(
        [*DVC, "metrics", "show"], cwd=project, env=environment(), capture_output=True, text=True, check=True
    )
    assert "lama.tiny_bert.p_tuning.low" in shown.stdout


def test_a_changed_method_section_reruns_only_that_method(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    params = small_params()
    params["methods"]["p_tuning"]["encoder"] = "mlp"
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert stages_run(repro(copy)) == {"train@p_tuning-tiny_bert", "evaluate@tiny_bert", "aggregate", "publish"}


def test_killed_in_the_middle_of_train_it_goes_on_and_reports_the_same_bytes(project: Path, tmp_path: Path) -> None:
    copy = copy_of(project, tmp_path)
    for gone in (TRAIN, Path("results/evaluate"), Path("reports")):
        shutil.rmtree(copy / gone)
    kill_after_fleets(copy, count=2)
    finished = {path: path.stat().st_mtime_ns for path in (copy / TRAIN / "fleets").glob("*.json")}
    assert len(finished) >= 2
    assert not (copy / TRAIN / "result.json").exists()
    assert "train@p_tuning-tiny_bert" in stages_run(repro(copy))
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(list((copy / TRAIN / "fleets").glob("*.json"))) > len(finished)
    assert report_bytes(copy) == report_bytes(project)


def copy_of(project: Path, tmp_path: Path) -> Path:
    """The reproduced project without DVC's cache of runs, which would hand out results instead of running stages."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("runs", "tmp"))
    return copy


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
        while len(list((folder / TRAIN / "fleets").glob("*.json"))) < count:
            assert process.poll() is None, "dvc repro ended before it could be killed"
            assert time.monotonic() < deadline, "no fleet was finished in time"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
