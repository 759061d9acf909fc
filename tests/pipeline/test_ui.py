"""`make ui` in a real browser: MLflow's pages show what was published."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.tracking import publish

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SMALL = World(tasks={"lama": ("P1",)}, methods=("manual", "p_tuning"), backbones=("tiny_bert",))
START_SECONDS, PAGE_SECONDS = 120, 120

pytestmark = [
    pytest.mark.xdist_group("ui"),  # one worker makes what the module shares
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
    # MLflow 3.17 asks SQLAlchemy 2.1 for a loader that it deprecates; nothing of ours uses it.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("ui")
    context = synthetic.context_of(SMALL)
    synthetic.make(root, SMALL)
    aggregate(Paths(root), context)
    publish(Paths(root), context)
    return root


@pytest.fixture(scope="module")
def server(store):
    """The address of MLflow's pages on the store, served as `make ui` does."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", "sqlite:///mlflow.db"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        cwd=store,
        env={**os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(process: subprocess.Popen, address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "mlflow ui ended at once"
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"mlflow ui did not answer within {START_SECONDS} s")


def page_with(address: str, words: list[str], profile: Path) -> str:
    """The page's DOM once it shows all words; a slow machine may need to look more than once."""
    deadline = time.monotonic() + PAGE_SECONDS
    command = [
        str(CHROMIUM),
        *QUIET,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        address,
    ]
    page = ""
    while time.monotonic() < deadline:
        page = subprocess.run(command, capture_output=True, text=True, timeout=PAGE_SECONDS, check=True).stdout
        if all(word in page for word in words):
            return page
    missing = [word for word in words if word not in page]
    raise AssertionError(f"{address} does not show {missing} within {PAGE_SECONDS} s")


def test_experiments_are_listed(server, tmp_path):
    page_with(f"{server}/#/experiments", [">results<", ">trials<"], tmp_path)


def test_runs_are_listed(server, store, tmp_path):
    number = MlflowClient(f"sqlite:///{store}/mlflow.db").get_experiment_by_name("results").experiment_id
    names = ["p_tuning tiny_bert lama/P1", "manual tiny_bert lama/P1", "report"]
    page_with(f"{server}/#/experiments/{number}/runs", names, tmp_path)


def test_plots_of_the_report_are_served(server, store):
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    number = client.get_experiment_by_name("results").experiment_id
    (report,) = client.search_runs([number], "attributes.run_name = 'report'")
    address = f"{server}/get-artifact?path=plots/scores_lama.svg&run_uuid={report.info.run_id}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.read() == (store / "reports/plots/scores_lama.svg").read_bytes()
