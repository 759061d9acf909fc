"""A model folder may hold anything: code in it is not run, not even for somebody who answers yes to everything."""

import io
import json
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.checkpoint import Checkpoint
from softprompt.backbones.loading import load_backbone
from softprompt.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def folder(bert: Backbone, tmp_path: Path) -> Path:
    """A model with a module beside it that makes a file where it is run."""
    bert.tuned_copy().model.float().save_pretrained(tmp_path / "mine")
    bert.tokenizer.save_pretrained(tmp_path / "mine")
    code = f"from pathlib import Path\n\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    code += "from transformers import BertConfig as Config, BertForMaskedLM as Model, BertTokenizer as Tokenizer\n"
    (tmp_path / "mine" / "code.py").write_text(code)
    return tmp_path / "mine"


@pytest.fixture(autouse=True)
def yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))


def edit(path: Path, changed: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_type_that_only_the_folders_code_knows_is_refused(folder: Path) -> None:
    own = {"AutoConfig": "code.Config", "AutoModelForMaskedLM": "code.Model"}
    edit(folder / "config.json", {"model_type": "mine", "auto_map": own})
    with pytest.raises(UserError, match=r"config\.json: The repository .* contains custom code"):
        load_backbone("mine", "masked", folder, CPU)
    assert not (folder.parent / "ran").exists()


def test_a_known_type_is_the_librarys_own(folder: Path) -> None:
    own = {"AutoConfig": "code.Config", "AutoModelForMaskedLM": "code.Model"}
    edit(folder / "config.json", {"auto_map": own})
    edit(folder / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}})
    assert load_backbone("mine", "masked", folder, CPU).has_lm_head
    assert not (folder.parent / "ran").exists()


class Call:
    """What calls a function when it is unpickled."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, self.arguments


def test_a_checkpoint_of_pretraining_runs_nothing(tmp_path: Path) -> None:
    torch.save({"key": "one", "model": Call(str(tmp_path / "ran"))}, tmp_path / "checkpoint")
    with suppress(pickle.UnpicklingError):
        Checkpoint(tmp_path / "checkpoint", "one").read()
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_run_nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"bert.embeddings": Call(str(folder.parent / "ran"))}, folder / "pytorch_model.bin")
    with pytest.raises((UserError, pickle.UnpicklingError)):
        load_backbone("mine", "masked", folder, CPU)
    assert not (folder.parent / "ran").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)  # which would have run it
    assert (folder.parent / "ran").exists()
