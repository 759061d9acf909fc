"""Publishing synthetic results, read back through MLflow's public client."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from helpers import synthetic_results as synthetic
from helpers.paths import ROOT
from helpers.synthetic_results import World
from softprompt.data.prepared import fingerprint
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.rendering.digests import PROVENANCE, digest_of, sealed
from softprompt.results import TrainResult
from softprompt.tracking import publish

# MLflow 3.17 asks SQLAlchemy 2.1 for a loader that it deprecates; nothing of ours uses it.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

SMALL = World(
    tasks={"lama": ("P1", "P2"), "superglue": ("cb",)},
    methods=("majority", "manual", "fine_tuning", "p_tuning"),
    backbones=("tiny_bert",),
    failed=tuple(("cb", "tiny_bert", "fine_tuning", seed) for seed in (100, 101, 102)),
    not_applicable=(("P1", "tiny_bert", "fine_tuning"),),
)
RUNS = 3 * 4 - 1 + 1  # tasks x methods, less one that is not applicable, and the report
SECONDS = 30  # MLflow itself tries for 120
TRIALS = 2 * 2 * 3 * 3  # trained methods x units x replicates x trials


def publish_all(root: Path, *, profile: str = "embedded", git_commit: str | None = "abc123") -> int:
    return publish(
        Paths(root),
        synthetic.context_of(SMALL, profile),
        store=f"sqlite:///{root}/mlflow.db",
        artifacts=root / "artifacts",
        git_commit=git_commit,
    )


def make(root: Path) -> None:
    synthetic.make(root, SMALL)
    aggregate(Paths(root), synthetic.context_of(SMALL))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    make(root)
    assert publish_all(root) == RUNS + TRIALS
    return root


@pytest.fixture
def client(published):
    return MlflowClient(f"sqlite:///{published}/mlflow.db")


def runs_of(client, experiment, query="", **options):
    number = client.get_experiment_by_name(experiment).experiment_id
    return list(client.search_runs([number], query, **options))


def run_named(client, name, experiment="results"):
    (run,) = runs_of(client, experiment, f"attributes.run_name = '{name}'")
    return run


def test_a_run_a_method_backbone_and_task(published, client):
    runs = runs_of(client, "results")
    names = {run.info.run_name for run in runs}
    assert len(runs) == len(names) == RUNS
    assert "fine_tuning tiny_bert lama/P1" not in names
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    expected = {
        "suite": "lama",
        "task": "P1",
        "backbone": "tiny_bert",
        "method": "p_tuning",
        "state": "frozen",
        "status": "done",
        "profile": "embedded",
        "git_commit": "abc123",
        "data": fingerprint(published / "data/prepared/lama", "P1"),
    }
    assert expected.items() <= run.data.tags.items()
    assert run.data.params == {"prompt_length": "6", "learning_rate": "0.003"}
    assert run.info.status == "FINISHED"


def test_metrics_are_means_and_seeds_are_steps(published, client):
    scores = pd.read_csv(published / "reports/scores.csv").query(
        "task == 'P1' and method == 'p_tuning' and split == 'test' and metric == 'p_at_1'"
    )
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    assert run.data.metrics["test/p_at_1"] == pytest.approx(scores["value"].mean(), abs=1e-6)
    by_seed = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "test/p_at_1/by_seed")}
    assert by_seed == pytest.approx(dict(zip(scores["seed"], scores["value"], strict=True)), abs=1e-6)
    assert run.data.metrics["parameters/kept"] == 384
    assert "withheld/p_at_1" in run.data.metrics


def test_learning_curve_has_its_steps_and_the_latest_is_shown(published, client):
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    path = published / "results/train/tiny_bert/p_tuning/result.json"
    cells = [c for c in TrainResult.model_validate_json(path.read_text()).cells if c.task == "P1"]
    history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "dev/score")}
    expected = {
        point.step: np.mean([cell.curve[number].dev_score for cell in cells])
        for number, point in enumerate(cells[0].curve)
    }
    assert history == pytest.approx(expected)
    assert run.data.metrics["dev/score"] == pytest.approx(expected[max(expected)])


def test_trained_parts_and_the_report_are_artifacts(published, client):
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    names = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "parts")]
    assert names == [f"parts/seed_{seed}.safetensors" for seed in SMALL.seeds]
    report = run_named(client, "report")
    shown = Path(client.download_artifacts(report.info.run_id, "plots/scores_lama.svg"))
    assert shown.read_bytes() == (published / "reports/plots/scores_lama.svg").read_bytes()
    assert report.data.metrics["lama/tiny_bert/p_tuning/score"] > 0.5


def test_failed_cells_are_failed_runs(client):
    run = run_named(client, "fine_tuning tiny_bert superglue/cb")
    assert (run.info.status, run.data.tags["status"]) == ("FAILED", "0 of 3 seeds done")


def test_a_run_a_trial(client):
    assert len(runs_of(client, "trials")) == TRIALS
    run = run_named(client, f"p_tuning tiny_bert lama seed {SMALL.seeds[0]} #0", "trials")
    assert {"study": "lama", "paper": "true", "method": "p_tuning"}.items() <= run.data.tags.items()
    assert run.data.params == {"prompt_length": "1", "learning_rate": "0.001"}
    assert run.data.metrics == {"dev/score": 0.5}


def test_publishing_again_adds_nothing_even_from_another_commit(published, client):
    before = {run.info.run_id for run in runs_of(client, "results")}
    assert publish_all(published, git_commit="def456") == 0
    assert {run.info.run_id for run in runs_of(client, "results")} == before


def test_changed_cells_replace_their_run(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    old = run_named(client, "p_tuning tiny_bert lama/P2")
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    cells = [
        cell.model_copy(update={"settings": {"prompt_length": 9}}) if cell.task == "P2" else cell
        for cell in result.cells
    ]
    write_record(path, result.model_copy(update={"cells": cells}))
    assert publish_all(tmp_path, git_commit=None) == 1
    new = run_named(client, "p_tuning tiny_bert lama/P2")
    assert new.data.params == {"prompt_length": "9"}
    assert "git_commit" not in new.data.tags
    assert client.get_run(old.info.run_id).info.lifecycle_stage == "deleted"
    assert len(runs_of(client, "results")) == RUNS


def test_a_report_may_have_more_means_than_one_request_takes(tmp_path):
    make(tmp_path)
    means = {"lama": {"tiny_bert": {f"method_{number}": {"score": number / 2500} for number in range(2500)}}}
    text, provenance = json.dumps(means), tmp_path / "reports" / PROVENANCE
    (tmp_path / "reports/metrics.json").write_text(text)
    recorded = json.loads(provenance.read_text())
    provenance.write_text(sealed(recorded | {"report": recorded["report"] | {"metrics.json": digest_of(text)}}))
    publish_all(tmp_path)
    report = run_named(MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), "report")
    assert len(report.data.metrics) == 2500
    assert report.data.metrics["lama/tiny_bert/method_2499/score"] == 2499 / 2500


def test_profiles_live_side_by_side(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    assert publish_all(tmp_path, profile="mini") == RUNS + TRIALS
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(runs_of(client, "results", "tags.profile = 'mini'")) == RUNS
    assert len(runs_of(client, "results")) == 2 * RUNS


def test_an_interrupted_call_leaves_nothing_half_written(tmp_path, monkeypatch):
    make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("softprompt.tracking.trial_runs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish_all(tmp_path)
    assert publish_all(tmp_path) == RUNS + TRIALS


def interrupted(*_):
    raise KeyboardInterrupt


WATCHED = """
import sys, time
from pathlib import Path
tried = []
watched = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: tried.append((event, args)) if event in watched else None)
sys.path[:0] = {tests!r}
from helpers import synthetic_results as synthetic
from softprompt.paths import Paths
from softprompt.tracking import publish
assert "mlflow" not in sys.modules  # publish imports it, with telemetry switched off
root, context = Path({root!r}), synthetic.context_of(synthetic.World(**{world!r}))
store = f"sqlite:///{{root}}/mlflow.db"
added = publish(Paths(root), context, store=store, artifacts=root / "artifacts")
assert added > 0
time.sleep(2)  # telemetry would be sent by a thread
assert not tried, tried
"""


def test_nothing_goes_over_the_network(tmp_path):
    """In a process of its own, because MLflow sends no telemetry from pytest or CI anyway."""
    make(tmp_path)
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MLFLOW", "CI"))}
    here = Path(__file__).parent
    script = WATCHED.format(tests=[str(here.parent)], root=str(tmp_path), world=asdict(SMALL))
    done = subprocess.run([sys.executable, "-c", script], env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


DAMAGED = {
    "no database": lambda path: path.write_bytes(b"no database at all " * 100),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a page of zeros": lambda path: path.write_bytes(
        path.read_bytes()[:8192] + bytes(8192) + path.read_bytes()[16384:]
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_store_is_refused_at_once(damage, published, tmp_path):
    make(tmp_path)
    shutil.copyfile(published / "mlflow.db", tmp_path / "mlflow.db")
    DAMAGED[damage](tmp_path / "mlflow.db")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"mlflow\.db: not usable .*; close what else has it open, or move it away"):
        publish_all(tmp_path)
    assert time.monotonic() - began < SECONDS


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "stages")
    from publish import git_commit

    assert git_commit() is None or re.fullmatch("[0-9a-f]{40}", git_commit())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None
