"""Model folders that are damaged or hold what is no number: one line that names the folder, and no traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.backbones import tiny_backbone
from softprompt.backbones.loading import load_backbone
from softprompt.errors import UserError

CPU = torch.device("cpu")
FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "emptied": lambda content: content[:0],
    "another file": lambda _: b"\xff\xfe" * 50,
    "no object": lambda _: b"[]",
    "nested too deeply": lambda _: b"[" * 100_000,
}


@pytest.fixture(scope="module")
def saved(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model."""
    folder, backbone = tmp_path_factory.mktemp("model"), tiny_backbone("bert", prepared)
    backbone.model.float().save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        load_backbone("mine", "masked", folder, CPU)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(name: str, damage: str, folder: Path) -> None:
    load_backbone("mine", "masked", folder, CPU)
    (folder / name).write_bytes(DAMAGES[damage]((folder / name).read_bytes()))
    refused(folder, "^backbone mine: ")


@pytest.mark.parametrize(
    "changed", [{"num_attention_heads": 3}, *({"hidden_size": size} for size in ("wide", 32, 24, 0))]
)
def test_a_configuration_that_does_not_fit_is_one_line(changed: dict[str, object], folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    refused(folder, "cannot be loaded")


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(number: float, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    weights[name][2, 3] = number
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, rf"the weights {name} are not finite")


def test_weights_that_are_missing_are_not_drawn_at_random(folder: Path) -> None:
    weights, name = load_file(folder / "model.safetensors"), "bert.encoder.layer.0.output.dense.weight"
    save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")
    refused(folder, rf"the weights {name} are missing")
