"""Publishing synthetic results, read back through MLflow's public client."""

import json
import math
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
from softprompt.tracking import publish, rows
from softprompt.tracking.views import links

# MLflow 3.17 asks SQLAlchemy 2.1 for a loader that it deprecates; nothing of ours uses it.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

SMALL = World(
    tasks={"lama": ("P1", "P2"), "superglue": ("cb",)},
    methods=("majority", "manual", "fine_tuning", "p_tuning"),
    backbones=("tiny_bert",),
    failed=tuple(("cb", "tiny_bert", "fine_tuning", seed) for seed in (100, 101, 102)),
    not_applicable=(("P1", "tiny_bert", "fine_tuning"),),
)
RUNS = (3 + 2) * 4 - 1 + 1  # tasks and suites x methods, less one that is not applicable, and the report
SECONDS = 30  # MLflow itself tries for 120
TRIALS = 2 * 2 * 3 * 3  # trained methods x units x replicates x trials


def publish_all(root: Path, *, profile: str = "embedded", git_commit: str | None = "abc123") -> int:
    return publish(Paths(root), synthetic.context_of(SMALL, profile), git_commit=git_commit)


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
    return client_of(published)


def client_of(root):
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def runs_of(client, experiment, query="", **options):
    number = client.get_experiment_by_name(experiment).experiment_id
    return list(client.search_runs([number], query, **options))


def run_named(client, name, experiment="results"):
    (run,) = runs_of(client, experiment, f"attributes.run_name = '{name}'")
    return run


def test_a_run_a_method_backbone_and_task(client):
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
        "replicate": "100 101 102",
    }
    assert expected.items() <= run.data.tags.items()
    assert {"status": "done", "profile": "embedded", "mlflow.source.name": "train@p_tuning-tiny_bert",
            "mlflow.source.git.commit": "abc123"}.items() <= run.data.tags.items()  # fmt: skip
    settings = {"prompt_length": "6", "learning_rate": "0.003", "log10_learning_rate": "-2.5229"}
    assert (expected | settings).items() <= run.data.params.items()
    assert run.info.status == "FINISHED"


def test_the_score_of_every_result_is_the_report_s_with_its_interval(published, client):
    intervals = pd.read_csv(published / "reports/intervals.csv").query("split == 'test' and metric == 'score'")
    assert len(intervals) > RUNS / 2
    for row in intervals.itertuples():
        run = run_named(client, f"{row.method} {row.backbone} {row.suite}/{row.task}")
        found = [run.data.metrics.get(f"test/{name}", float("nan")) for name in ("score", "low", "high")]
        assert found == pytest.approx([row.score, row.low, row.high], nan_ok=True)
        assert run.data.params["may_be_best"] == ("yes" if row.may_be_best else "no")
        assert f"**{100 * row.score:.1f} % on test**" in run.data.tags["mlflow.note.content"]


def test_data_are_inputs_with_their_digests(published, client):
    inputs = run_named(client, "p_tuning tiny_bert lama/P1").inputs.dataset_inputs
    assert {(one.dataset.name, one.dataset.digest, one.tags[0].value) for one in inputs} == {
        ("lama/P1 (train and dev)", fingerprint(published / "data/prepared/lama", "P1")[:12], "train and dev"),
        ("lama/P1 (test)", fingerprint(published / "data/test/lama", "P1")[:12], "test"),
    }
    assert json.loads(inputs[0].dataset.source)["uri"].startswith("data/")


def test_a_run_lasts_as_long_as_its_trainings_and_ends_with_their_last_file(published, client):
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    parts = (published / "results/train/tiny_bert/p_tuning/parts").glob("*.safetensors")
    assert run.info.end_time - run.info.start_time == 1000 * 1.5 * SMALL.trials * len(SMALL.seeds)
    assert run.info.end_time <= 1000 * max(path.stat().st_mtime for path in parts) + 1


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


def test_trained_parts_and_the_report_are_artifacts(published, client, monkeypatch):
    monkeypatch.chdir(published)
    run = run_named(client, "p_tuning tiny_bert lama/P1")
    names = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "parts")]
    assert names == [f"parts/seed_{seed}.safetensors" for seed in SMALL.seeds]
    answers = pd.read_csv(client.download_artifacts(run.info.run_id, "predictions.csv"))
    scored = answers[answers["split"] == "test"].groupby("seed").apply(lambda own: (own["gold_rank"] == 1).mean())
    assert scored.mean() == pytest.approx(run.data.metrics["test/p_at_1"], abs=1e-6)
    curves = pd.read_csv(client.download_artifacts(run.info.run_id, "curves.csv"))
    assert sorted(curves["replicate"].unique()) == list(SMALL.seeds)
    report = run_named(client, "report")
    shown = Path(client.download_artifacts(report.info.run_id, "plots/scores_lama.svg"))
    assert shown.read_bytes() == (published / "reports/plots/scores_lama.svg").read_bytes()
    assert report.data.metrics["lama/tiny_bert/p_tuning/score"] > 0.5


def test_failed_cells_are_failed_runs(client):
    run = run_named(client, "fine_tuning tiny_bert superglue/cb")
    assert (run.info.status, run.data.tags["status"]) == ("FAILED", "0 of 3 cells done")


def test_a_run_a_trial(client):
    assert len(runs_of(client, "trials")) == TRIALS
    run = run_named(client, f"lama seed {SMALL.seeds[0]} #0 p_tuning tiny_bert", "trials")
    expected = {"prompt_length": "1", "learning_rate": "0.001", "log10_learning_rate": "-3.0000", "paper": "yes",
                "method": "p_tuning", "replicate": "100", "task": "all", "chosen": "no"}  # fmt: skip
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics == {"dev/score": 0.5}


def test_scores_that_are_no_numbers_are_kept_as_such(tmp_path):
    make(tmp_path)
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    odd = zip(result.trials, (float("nan"), float("-inf")), strict=False)
    trials = [trial.model_copy(update={"dev_score": score}) for trial, score in odd]
    write_record(path, result.model_copy(update={"trials": trials}))
    publish_all(tmp_path)
    found = runs_of(client_of(tmp_path), "trials", "params.method = 'p_tuning'", order_by=["attributes.run_name"])
    first, second = (run.data.metrics["dev/score"] for run in found)
    assert math.isnan(first)
    assert second == -sys.float_info.max


def test_trials_lie_below_the_result_that_they_were_tried_for(client):
    parents = {run.info.run_id: run.info.run_name for run in runs_of(client, "results")}
    for run in runs_of(client, "trials"):
        suite, _, task = run.data.tags["study"].partition("/")
        name = f"{run.data.params['method']} tiny_bert {suite}/{task or 'all'}"
        assert parents[run.data.tags["mlflow.parentRunId"]] == name


def test_a_trial_that_a_cell_was_trained_with_is_marked(tmp_path):
    make(tmp_path)
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    cells = [cell.model_copy(update={"settings": result.trials[1].settings}) for cell in result.cells]
    write_record(path, result.model_copy(update={"cells": cells}))
    publish_all(tmp_path)
    chosen = runs_of(client_of(tmp_path), "trials", "params.chosen = 'yes'")
    assert all(run.info.run_name.endswith(" #1 p_tuning tiny_bert") for run in chosen)
    assert len(chosen) == 2 * len(SMALL.seeds)


def test_publishing_again_adds_nothing_even_from_another_commit(published, client):
    before = {run.info.run_id for run in runs_of(client, "results")}
    assert publish_all(published, git_commit="def456") == 0
    assert {run.info.run_id for run in runs_of(client, "results")} == before


def test_changed_cells_replace_their_run(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = client_of(tmp_path)
    old = run_named(client, "p_tuning tiny_bert lama/P2")
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    cells = [
        cell.model_copy(update={"settings": {"prompt_length": 9}}) if cell.task == "P2" else cell
        for cell in result.cells
    ]
    write_record(path, result.model_copy(update={"cells": cells}))
    assert publish_all(tmp_path, git_commit=None) == 1 + 1 + TRIALS // 4  # the mean over tasks, and the trials below it
    new = run_named(client, "p_tuning tiny_bert lama/P2")
    assert new.data.params["prompt_length"] == "9"
    assert "mlflow.source.git.commit" not in new.data.tags
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
    report = run_named(client_of(tmp_path), "report")
    assert len(report.data.metrics) == 2500
    assert report.data.metrics["lama/tiny_bert/method_2499/score"] == 2499 / 2500


def test_profiles_live_side_by_side(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    assert publish_all(tmp_path, profile="mini") == RUNS + TRIALS
    client = client_of(tmp_path)
    assert len(runs_of(client, "results", "tags.profile = 'mini'")) == RUNS
    assert len(runs_of(client, "results")) == 2 * RUNS


def test_an_interrupted_call_leaves_nothing_half_written(tmp_path, monkeypatch):
    make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("softprompt.tracking.store.BATCH", 5)
        patch.setattr("softprompt.tracking.store.run_rows", interrupted_after(8))
        with pytest.raises(KeyboardInterrupt):
            publish_all(tmp_path)
    assert len(runs_of(client_of(tmp_path), "results")) == 5
    assert publish_all(tmp_path) == RUNS + TRIALS - 5
    assert len(runs_of(client_of(tmp_path), "results")) == RUNS


def interrupted_after(count):
    calls = iter(range(count))

    def run_rows(*arguments):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return rows.run_rows(*arguments)

    return run_rows


def test_what_comes_back_is_taken_out_of_the_trash(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = client_of(tmp_path)
    before = {run.info.run_id for run in runs_of(client, "results")}
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    kept = path.read_bytes()
    path.unlink()
    assert publish_all(tmp_path) == 0
    assert not [run for run in runs_of(client, "results") if run.data.tags.get("method") == "p_tuning"]
    path.write_bytes(kept)
    assert publish_all(tmp_path) == 0
    assert {run.info.run_id for run in runs_of(client, "results")} == before


def test_what_was_measured_is_no_part_of_a_run_s_content(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    slower = {"cost": result.cells[0].cost.model_copy(update={"train_seconds": 2.5})}
    write_record(path, result.model_copy(update={"cells": [cell.model_copy(update=slower) for cell in result.cells]}))
    assert publish_all(tmp_path) == 0


def test_a_run_of_the_user_s_own_stays(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = client_of(tmp_path)
    own = client.create_run(client.get_experiment_by_name("results").experiment_id, run_name="mine")
    publish_all(tmp_path)
    assert client.get_run(own.info.run_id).info.lifecycle_stage == "active"


def test_a_copied_project_has_artifacts_of_its_own(published, tmp_path, monkeypatch):
    copied = tmp_path / "copy"
    shutil.copytree(published, copied)
    before = sorted(published.rglob("*"))
    path = copied / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    cells = [cell.model_copy(update={"settings": {"prompt_length": 9}}) for cell in result.cells]
    write_record(path, result.model_copy(update={"cells": cells}))
    assert publish_all(copied) > 0
    assert sorted(published.rglob("*")) == before
    monkeypatch.chdir(copied)
    run = run_named(client_of(copied), "p_tuning tiny_bert lama/P2")
    assert (copied / run.info.artifact_uri / "curves.csv").is_file()
    assert Path(client_of(copied).download_artifacts(run.info.run_id, "curves.csv")).is_file()


def test_a_store_that_names_another_folder_is_not_followed(tmp_path):
    make(tmp_path)
    client_of(tmp_path).create_experiment("results", artifact_location=(tmp_path / "elsewhere").as_uri())
    publish_all(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
    assert {Path(run.info.artifact_uri).parts[:2] for run in runs_of(client_of(tmp_path), "results")} == {
        ("mlartifacts", "results")
    }


def test_champions_are_chosen_on_dev_and_follow_the_results(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = client_of(tmp_path)
    assert champion_of(client, "lama.P1").startswith("p_tuning,")
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    cells = [cell.model_copy(update={"dev_score": 0.1}) for cell in result.cells]
    write_record(path, result.model_copy(update={"cells": cells}))
    publish_all(tmp_path)
    assert champion_of(client, "lama.P1").startswith("manual,")
    versions = client.search_model_versions("name = 'embedded.lama.P1.tiny_bert'")
    assert sorted(int(one.version) for one in versions) == [1, 2]
    publish_all(tmp_path)
    assert len(client.search_model_versions("name = 'embedded.lama.P1.tiny_bert'")) == 2


def champion_of(client, place):
    version = client.get_model_version_by_alias(f"embedded.{place}.tiny_bert", "champion")
    assert client.get_run(version.run_id).info.run_name.startswith(version.description.split(",")[0])
    return version.description


def test_links_open_views_that_the_experiments_hold(published, client):
    shown = links(published / "mlflow.db", "http://127.0.0.1:5000")
    keys = re.findall(r"experiments/(\d+)/runs\?\S*viewStateShareKey=(\S+)", shown)
    assert len(keys) == 2 + 2 + 2  # best and cost of both suites, settings of both trained methods
    for number, key in keys:
        view = json.loads(client.get_experiment(number).tags[f"mlflow.sharedViewState.{key}"])
        state = json.loads(view["state"])
        (first, *_) = client.search_runs([number], state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"])
        named = [column for column in state["selectedColumns"] if column.startswith("params")]
        assert all(re.fullmatch("params.`(.*)`", column)[1] in first.data.params for column in named)
        assert view["name"] in shown


def test_views_of_what_is_no_longer_there_go(tmp_path):
    make(tmp_path)
    publish_all(tmp_path)
    client = client_of(tmp_path)
    number = client.get_experiment_by_name("results").experiment_id
    for key in ("embedded.best.lama.P9.tiny_bert", "mine"):
        client.set_experiment_tag(number, f"mlflow.sharedViewState.{key}", "{}")
    publish_all(tmp_path)
    there = client.get_experiment(number).tags
    assert "mlflow.sharedViewState.mine" in there
    assert "mlflow.sharedViewState.embedded.best.lama.P9.tiny_bert" not in there


def test_links_without_a_store_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"mlflow\.db: no such file; run `make repro` first"):
        links(tmp_path / "mlflow.db", "http://127.0.0.1:5000")


WATCHED = """
import sys, time
from pathlib import Path
tried = []
watched = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: tried.append((event, args)) if event in watched else None)
sys.path[:0] = {tests!r}
from helpers import synthetic_results as synthetic
from softprompt.paths import Paths
from softprompt.tracking import publish, rows
from softprompt.tracking.views import links
assert "mlflow" not in sys.modules  # publish imports it, with telemetry switched off
root, context = Path({root!r}), synthetic.context_of(synthetic.World(**{world!r}))
added = publish(Paths(root), context)
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
