"""What training goes on from, with any damage: it is not finished, and made anew."""

import io
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st

from helpers.fuzzing import damaged, fuzz, write
from helpers.profiles import fixture_params
from softprompt.backbones.checkpoint import Checkpoint
from softprompt.backbones.finished import REPORT, Finished
from softprompt.experiments.tuning import Study, tune
from softprompt.methods import build_method


def study_of(path: Path) -> Study:
    params = fixture_params()
    method = build_method("p_tuning", params.methods["p_tuning"])
    return Study(path, "stream", method.settings, params.tuning, {})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("told") / "study.json"
    tune(study_of(path), 3, lambda trial: trial.number / 10)
    return path.read_bytes()


@fuzz(data=st.data())
def test_studies(tmp_path: Path, told: bytes, data: st.DataObject) -> None:
    path = write(tmp_path / "study.json", data.draw(damaged(told)))
    study = study_of(path)
    tune(study, 4, lambda trial: 0.0)  # noqa: ARG005 - a score of its own
    assert study.told() >= 4


@fuzz(data=st.data())
def test_finished_pretraining(tmp_path: Path, data: st.DataObject) -> None:
    for name in REPORT:
        write(tmp_path / "results" / name, b"step,loss\n")
    write(tmp_path / "model" / "config.json", b"{}")
    finished = Finished(tmp_path / "model", tmp_path / "results")
    finished.write("key")
    whole = finished.path.read_bytes()
    content = data.draw(damaged(whole))
    finished.path.write_bytes(content)
    assert finished.holds("key") == (content == whole)


def checkpoint_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"key": "k", "weights": torch.zeros(3), "step": 1}, buffer)
    return buffer.getvalue()


@fuzz(content=damaged(checkpoint_bytes()))
def test_checkpoints(tmp_path: Path, content: bytes) -> None:
    read = Checkpoint(write(tmp_path / "checkpoint", content), "k").read()
    assert read is None or read["key"] == "k"
