"""Backbones of the hub, fetched from a local server by the stage itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.hub_server import COMMIT, hub_serving
from helpers.paths import ROOT
from helpers.profiles import fixture_content
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import load_backbone

REPO = "somebody/tiny-bert"
FETCH = """
import sys
from pathlib import Path
from softprompt.quiet import keep_quiet
keep_quiet(offline=False)
from softprompt.backbones.snapshots import fetch_snapshot
from softprompt.errors import UserError
from softprompt.config.parsing import load_params
try:
    print(*fetch_snapshot("tiny", load_params(Path("params.yaml")).backbones["tiny"])[1])
except UserError as error:
    sys.exit(f"error: {error}")
"""
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers


@pytest.fixture(scope="module")
def model(bert: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a hub repo holds: safetensors, the same pickled, tokenizer, code and a readme."""
    folder = tmp_path_factory.mktemp("repo")
    copy = bert.tuned_copy().model.float()
    copy.save_pretrained(folder)
    bert.tokenizer.save_pretrained(folder)
    torch.save({name: weight.clone() for name, weight in copy.state_dict().items()}, folder / "pytorch_model.bin")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('code of the repo ran')")
    (folder / "README.md").write_text("a model")
    return folder


def workspace(folder: Path, **changed: Any) -> Path:
    """A folder with the stages and a params.yaml whose only backbone is the hub's."""
    content = fixture_content()
    backbone = {
        "source": "hub",
        "kind": "masked",
        "repo": REPO,
        "revision": COMMIT,
        "size": {"million_parameters": 0.01, "layers": 2, "hidden_size": 16},
    }
    content["run"]["backbones"] = ["tiny"]
    content["backbones"] = {"tiny": backbone | changed}
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder


def run_stage(folder: Path, endpoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The backbone stage in `folder`, with a hub cache of its own there."""
    return run([str(ROOT / "stages" / "backbone.py"), "--backbone", "tiny"], folder, endpoint, environment)


def fetch(folder: Path, endpoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The stage's download alone, which needs no torch; prints the files."""
    return run(["-c", FETCH], folder, endpoint, environment)


def run(
    command: list[str], folder: Path, endpoint: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    paths = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hub"), "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=quiet | paths | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_snapshot_is_weights_and_tokenizer_of_the_commit_and_then_needs_no_network(
    model: Path, bert: Backbone, tmp_path: Path
) -> None:
    folder = workspace(tmp_path / "work", revision="main")
    with hub_serving(REPO, model) as (endpoint, asked):
        done = run_stage(folder, endpoint)
        assert done.returncode == 0, done.stderr
    out = folder / "models" / "tiny"
    assert json.loads((out / "source.json").read_text()) == {"repo": REPO, "revision": "main", "commit": COMMIT}
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not {name for name in names if name.endswith((".py", ".bin", ".md"))}
    assert not [path for path in asked if path.endswith((".py", ".bin", ".md"))]
    assert (out / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    loaded = load_backbone("tiny", "masked", out, torch.device("cpu"))
    assert loaded.has_lm_head
    assert loaded.tokenizer.get_vocab() == bert.tokenizer.get_vocab()

    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = run_stage(folder, NOWHERE)
    assert again.returncode == 0, again.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_cache_that_holds_a_part_of_the_model_is_completed(model: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "work")
    snapshot = folder / "hub" / "hub" / "models--somebody--tiny-bert" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((model / "config.json").read_bytes())
    assert fetch(folder, NOWHERE).returncode == 1
    with hub_serving(REPO, model) as (endpoint, _):
        assert fetch(folder, endpoint).returncode == 0
    assert fetch(folder, NOWHERE).returncode == 0


def test_pickled_weights_are_taken_where_they_are_allowed_and_alone(model: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "repo"
    pickled.mkdir()
    for path in model.iterdir():
        if path.suffix in (".json", ".bin"):
            (pickled / path.name).write_bytes(path.read_bytes())
    folder = workspace(tmp_path / "work")
    with hub_serving(REPO, pickled) as (endpoint, asked):
        refused = fetch(folder, endpoint)
        assert not [path for path in asked if path.endswith(".bin")]
        workspace(folder, pickled_weights=True)
        done = fetch(folder, endpoint)
    assert refused.returncode == 1
    assert "(`backbones.tiny.pickled_weights: true` takes pytorch_model.bin as well)" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert "pytorch_model.bin" in done.stdout.split()
    with hub_serving(REPO, model) as (endpoint, _):
        both = fetch(workspace(tmp_path / "other", pickled_weights=True), endpoint)
    assert "model.safetensors" in both.stdout.split()
    assert "pytorch_model.bin" not in both.stdout.split()


def test_an_interrupted_download_leaves_nothing_that_is_taken_for_a_model(model: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "work")
    with hub_serving(REPO, model, broken=("model.safetensors",)) as (endpoint, _):
        done = run_stage(folder, endpoint)
    assert done.returncode == 1
    assert "error: backbones.tiny: somebody/tiny-bert: the download broke off" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "models").exists()
    assert fetch(folder, NOWHERE).returncode == 1
    with hub_serving(REPO, model) as (endpoint, _):
        done = fetch(folder, endpoint)
    assert "model.safetensors" in done.stdout.split()


@pytest.mark.parametrize(
    ("changed", "environment", "expected"),
    [
        ({"revision": "v9"}, {}, "has no revision 'v9'; check `revision`"),
        ({"repo": "somebody/else"}, {}, "somebody/else is not on the hub, or not for you; check `repo`"),
        ({}, {"HF_ENDPOINT": NOWHERE}, "the hub cannot be reached; connect to the network"),
        ({}, {"HF_HUB_OFFLINE": "1"}, "the hub cannot be reached; connect to the network"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    model: Path, tmp_path: Path, changed: dict[str, Any], environment: dict[str, str], expected: str
) -> None:
    folder = workspace(tmp_path / "work", **changed)
    with hub_serving(REPO, model) as (endpoint, _):
        done = fetch(folder, endpoint, **environment)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "models").exists()
