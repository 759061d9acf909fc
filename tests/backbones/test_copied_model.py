"""A local model's folder in models/: every file that loads it, its weights in one format, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import load_backbone
from softprompt.backbones.make import copy_model
from softprompt.config import BackboneSettings
from softprompt.errors import UserError

CPU = torch.device("cpu")
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture
def folder(bert: Backbone, tmp_path: Path) -> Path:
    """A model in Hugging Face format without any weights."""
    bert.tuned_copy().model.float().save_pretrained(tmp_path / "mine")
    bert.tokenizer.save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    (tmp_path / "mine" / "README.md").write_text("a model")
    return tmp_path / "mine"


def weights_of(bert: Backbone) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in bert.tuned_copy().model.float().state_dict().items()}


def whole(bert: Backbone, folder: Path) -> set[str]:
    torch.save(weights_of(bert), folder / "pytorch_model.bin")
    return {"pytorch_model.bin"}


def shards(bert: Backbone, folder: Path) -> set[str]:
    """Two files with every other weight each, and their index."""
    weights = weights_of(bert)
    files = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    places = {name: files[number % 2] for number, name in enumerate(weights)}
    for file in files:
        torch.save({name: weights[name] for name in weights if places[name] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return {INDEX, *files}


def safetensors(bert: Backbone, folder: Path) -> set[str]:
    """Beside pickled ones, which are another model's, and the index of shards that are not there."""
    bert.tuned_copy().model.float().save_pretrained(folder)
    torch.save({name: weight + 1 for name, weight in weights_of(bert).items()}, folder / "pytorch_model.bin")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"one": "pytorch_model-00001-of-00002.bin"}}))
    return {"model.safetensors"}


@pytest.mark.parametrize("write", [whole, shards, safetensors])
def test_a_copied_model_is_the_model(
    write: Callable[[Backbone, Path], set[str]], bert: Backbone, folder: Path, tmp_path: Path
) -> None:
    weights = write(bert, folder)
    copy_model("mine", settings(folder, pickled_weights=True), tmp_path / "models" / "mine")
    names = {path.name for path in (tmp_path / "models" / "mine").iterdir()}
    assert {name for name in names if name.endswith((".bin", ".safetensors", ".index.json"))} == weights
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} < names
    assert "README.md" not in names
    copied = load_backbone("mine", "masked", tmp_path / "models" / "mine", CPU).model.state_dict()
    for name, weight in weights_of(bert).items():
        torch.testing.assert_close(copied[name], weight, rtol=0, atol=0)


def nothing(_: Path) -> None:
    pass


def an_index_alone(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"one": "pytorch_model-00001-of-00002.bin"}}))


@pytest.mark.parametrize("write", [nothing, an_index_alone])
def test_a_folder_without_weights_is_refused_by_its_key(
    write: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    write(folder)
    for pickled in (False, True):
        refused(settings(folder, pickled_weights=pickled), tmp_path / "models" / "mine")


def test_pickled_weights_are_refused_unless_the_backbone_allows_them(
    bert: Backbone, folder: Path, tmp_path: Path
) -> None:
    whole(bert, folder)
    message = refused(settings(folder), tmp_path / "models" / "mine")
    assert "`backbones.mine.pickled_weights: true` takes pytorch_model.bin as well" in message


def settings(folder: Path, **changed: bool) -> BackboneSettings:
    return BackboneSettings(source="local", kind="masked", path=str(folder), **changed)


def refused(settings: BackboneSettings, out: Path) -> str:
    expected = rf"backbones\.mine\.path is {settings.path}, which has no weights; expected model\.safetensors, or"
    with pytest.raises(UserError, match=expected) as error:
        copy_model("mine", settings, out)
    assert not out.parent.exists()
    return str(error.value)


def with_index(content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"weight_map": {"a": "../../secret"}}', "names '../../secret'; expected files beside it"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "names '/etc/passwd'"),
        (b'{"weight_map": {"a": "config.json"}}', "names 'config.json'"),
        (b'{"weight_map": {"a": 1}}', "not an index of weights"),
        (b'{"weight_map": []}', "not an index of weights"),
        (b"[]", "not an index of weights"),
        (b"{", "not an index of weights"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_index_names_nothing_but_shards_beside_it(
    content: bytes, message: str, bert: Backbone, folder: Path, tmp_path: Path
) -> None:
    safetensors(bert, folder)
    (tmp_path.parent / "secret").write_text("secret")
    with_index(content)(folder)
    with pytest.raises(UserError, match=rf"model\.safetensors\.index\.json: .*{message}"):
        copy_model("mine", settings(folder), tmp_path / "models" / "mine")
    assert not (tmp_path / "models").exists()


def test_a_folder_in_place_of_a_file_is_refused_and_leaves_nothing(
    bert: Backbone, folder: Path, tmp_path: Path
) -> None:
    safetensors(bert, folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").mkdir()
    with pytest.raises(UserError, match=r"tokenizer\.json: not a file"):
        copy_model("mine", settings(folder), tmp_path / "models" / "mine")
    assert list((tmp_path / "models").iterdir()) == []
