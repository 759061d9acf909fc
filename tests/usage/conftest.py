"""A project with one trained cell, to put to use."""

from pathlib import Path

import pytest
import torch
import yaml

from helpers.finished_cells import all_methods, finished_cell, paths_with
from helpers.profiles import fixture_content, listed
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import load_backbone
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.records import write_record
from softprompt.results import TrainResult


@pytest.fixture
def project(bert: Backbone, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where `softprompt` can be run: params.yaml, data, a model, and one cell."""
    paths = paths_with(prepared, tmp_path)
    content = fixture_content()
    content["run"] |= {**listed(["prompt_tuning", "manual"]), "backbones": ["tiny_bert"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    bert.with_model(bert.tuned_copy().model.float()).model.save_pretrained(tmp_path / "models" / "tiny_bert")
    bert.tokenizer.save_pretrained(tmp_path / "models" / "tiny_bert")
    prompt = SoftPrompt(torch.ones(2, 16), "identity")
    loaded = finished_cell("prompt_tuning", bert, "lama/P19", "prompt+plain", Trainable(prompt), paths, all_methods())
    path = paths.train("prompt_tuning", "tiny_bert") / "result.json"
    revision = load_backbone("tiny_bert", "masked", paths.backbone("tiny_bert"), torch.device("cpu")).revision
    cell = loaded.cell.model_copy(update={"provenance": {"backbone": revision}})
    refused = cell.model_copy(update={"task": "P36", "status": "not_applicable", "reason": "no facts"})
    write_record(path, TrainResult(method="prompt_tuning", backbone="tiny_bert", cells=[cell, refused]))
    monkeypatch.chdir(tmp_path)
    return tmp_path
