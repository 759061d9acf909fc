"""An interrupted pretraining goes on where it was, and ends as if undisturbed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from softprompt.backbones import pretraining
from softprompt.backbones.architectures import ARCHITECTURES
from softprompt.backbones.checkpoint import Checkpoint, checkpoint_path
from softprompt.backbones.key import pretraining_key
from softprompt.backbones.pretraining import PretrainingReport, pretrain
from softprompt.config import Architecture, BackboneSettings, PretrainingSettings, WorldSettings
from softprompt.data.embedded import write_world
from softprompt.files import sha256_of_folder


class KilledError(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WorldSettings(subjects=24), root)
    prose = [{"text": f"Comet {number} is a small body of ice.", "answers": []} for number in range(40)]
    (root / "text" / "prose.jsonl").write_text("".join(json.dumps(line) + "\n" for line in prose))
    return root / "text"


def run(
    model_type: str, text: Path, out: Path, *, kill_at: int = 0, seed: int = 0
) -> tuple[PretrainingReport, list[int]]:
    """The report, and the steps at which progress was told."""
    size = {"hidden_size": 16, "heads": 2, "feed_forward_size": 32, "vocabulary_size": 500}
    settings = BackboneSettings(
        source="pretrain",
        kind=ARCHITECTURES[model_type].kind,
        architecture=Architecture.model_validate({"type": model_type, **size}),
        pretraining=PretrainingSettings(steps=100, batch_size=4, documents_share=0.3, seed=seed),
    )
    reached: list[int] = []

    def progress(step: int, steps: int, loss: float) -> None:  # noqa: ARG001 - the signature of a progress
        reached.append(step)
        if step == kill_at:
            raise KilledError

    answers = json.loads((text / "answers.json").read_text())
    files = [text / "facts.jsonl", text / "prose.jsonl"]
    key = pretraining_key(settings, files, answers, "cpu")
    return pretrain(settings, files, answers, out, key=key, device=torch.device("cpu"), progress=progress), reached


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    model_type: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 40)
    undisturbed, steps = run(model_type, text, tmp_path / "undisturbed")
    assert steps == [20, 40, 60, 80, 100]
    with pytest.raises(KilledError):
        run(model_type, text, tmp_path / "killed", kill_at=60)
    assert not (tmp_path / "killed").exists()
    resumed, steps = run(model_type, text, tmp_path / "killed")
    assert steps == [60, 80, 100]
    assert (resumed.losses, resumed.tokens) == (undisturbed.losses, undisturbed.tokens)
    assert sha256_of_folder(tmp_path / "killed") == sha256_of_folder(tmp_path / "undisturbed")


def test_the_checkpoint_of_other_settings_is_not_taken_up(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 40)
    with pytest.raises(KilledError):
        run("bert", text, tmp_path / "model", kill_at=60)
    assert checkpoint_path(tmp_path / "model").is_file()
    _, steps = run("bert", text, tmp_path / "model", seed=1)
    assert steps == [20, 40, 60, 80, 100]


STATE = {"model": {"weight": torch.arange(6.0)}, "losses": [(20, 1.5)], "done": 40}


def damaged(content: bytes, other: bytes) -> Iterator[bytes]:
    """The file cut off and flipped in many places, emptied, and that of another pretraining."""
    places = [0, 1, 31, 32, 33, len(content) // 2, len(content) - 1]
    yield from (content[:place] for place in places)
    yield from (content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in places)
    yield other


def test_a_checkpoint_that_is_not_as_it_was_written_is_none(tmp_path: Path) -> None:
    mine, other = (Checkpoint(tmp_path / name, name) for name in ("mine", "other"))
    assert mine.read() is None
    for one in (mine, other):
        one.write(STATE)
    found = mine.read()
    assert found is not None
    assert torch.equal(found.pop("model")["weight"], STATE["model"]["weight"])
    assert found == {"key": "mine", "losses": [(20, 1.5)], "done": 40}
    for content in damaged(mine.path.read_bytes(), other.path.read_bytes()):
        mine.path.write_bytes(content)
        assert mine.read() is None
    mine.path.unlink()
    mine.path.mkdir()
    assert mine.read() is None


def test_a_damaged_checkpoint_is_not_gone_on_from(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 40)
    undisturbed, _ = run("gpt2", text, tmp_path / "undisturbed")
    with pytest.raises(KilledError):
        run("gpt2", text, tmp_path / "model", kill_at=60)
    checkpoint = checkpoint_path(tmp_path / "model")
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    resumed, steps = run("gpt2", text, tmp_path / "model")
    assert (steps, resumed.losses) == ([20, 40, 60, 80, 100], undisturbed.losses)
    assert sha256_of_folder(tmp_path / "model") == sha256_of_folder(tmp_path / "undisturbed")
