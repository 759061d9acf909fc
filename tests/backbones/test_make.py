"""Making a model folder again repeats no pretraining that is finished, and trusts nothing that has changed."""

import json
import shutil
from pathlib import Path

import pytest

from softprompt.backbones import make
from softprompt.backbones.architectures import ARCHITECTURES
from softprompt.backbones.checkpoint import checkpoint_path
from softprompt.backbones.make import make_backbone
from softprompt.config import BackboneSettings, Device
from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.paths import Paths

DEVICE = Device(type="cpu", workers=1)
SETTINGS = BackboneSettings.model_validate(
    {
        "source": "pretrain",
        "kind": "causal",
        "architecture": {"type": "gpt2", "hidden_size": 16, "heads": 2, "vocabulary_size": 300},
        "pretraining": {"steps": 3, "batch_size": 4},
    }
)


def write_manifests(paths: Paths) -> None:
    for suite in ("lama", "superglue"):
        folder = paths.suite(suite)
        digests = {f"text/{path.name}": sha256_of_file(path) for path in (folder / "text").iterdir()}
        (folder / "manifest.json").write_text(json.dumps({"tasks": {}, "files": digests}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working copy in which one backbone was made."""
    root = tmp_path_factory.mktemp("made")
    towns = [f"The town of Ori{number} is in Lund." for number in range(30)]
    facts = [{"text": text, "answers": [[len(text) - 5, len(text) - 1]]} for text in towns]
    stories = [{"text": f"Comet {number} is a small body of ice.", "answers": []} for number in range(20)]
    for suite, name, lines in (("lama", "facts", facts), ("superglue", "documents", stories)):
        folder = Paths(root).suite(suite) / "text"
        folder.mkdir(parents=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (Paths(root).suite("lama") / "text" / "answers.json").write_text(json.dumps(["Lund"]))
    write_manifests(Paths(root))
    make_backbone("tiny", SETTINGS, Paths(root), DEVICE)
    return root


@pytest.fixture
def paths(made: Path, tmp_path: Path) -> Paths:
    """A copy of the working copy, for one test to change."""
    shutil.copytree(made, tmp_path / "work")
    return Paths(tmp_path / "work")


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows by the model folder of every pretraining."""
    calls: list[Path] = []
    real = make.pretrain

    def counted(*arguments: object, **named: object) -> object:
        calls.append(arguments[3])  # type: ignore[arg-type]
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(make, "pretrain", counted)
    return calls


def bytes_of(paths: Paths) -> dict[str, bytes]:
    folders = (paths.backbone("tiny"), paths.pretraining("tiny"))
    return {f"{folder.name}/{path.name}": path.read_bytes() for folder in folders for path in folder.iterdir()}


def test_a_finished_pretraining_is_not_repeated_and_no_byte_changes(paths: Paths, pretrained: list[Path]) -> None:
    before = bytes_of(paths)
    further = SETTINGS.model_copy(update={"suites": ("lama",), "dtype": "bfloat16"})  # matter to later stages only
    (paths.pretraining("tiny") / "facts.csv").write_text("of the probe\n")
    for settings in (SETTINGS, further):
        make_backbone("tiny", settings, paths, DEVICE)
    assert pretrained == []
    assert bytes_of(paths) == before | {"tiny/facts.csv": b"of the probe\n"}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "cost.csv", "pretraining.json"])
@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_what_was_damaged_is_made_anew(name: str, damage: str, paths: Paths, pretrained: list[Path]) -> None:
    before = bytes_of(paths)
    folder = paths.pretraining("tiny") if name.endswith("csv") or name == "pretraining.json" else paths.backbone("tiny")
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage == "truncated":
        (folder / name).write_bytes(content[:-3])
    make_backbone("tiny", SETTINGS, paths, DEVICE)
    assert pretrained == [paths.backbone("tiny")]
    assert bytes_of(paths) == before
    make_backbone("tiny", SETTINGS, paths, DEVICE)
    assert len(pretrained) == 1


def test_other_settings_or_texts_are_pretrained_and_leave_nothing_old(paths: Paths, pretrained: list[Path]) -> None:
    stale = paths.pretraining("tiny") / "facts.csv"
    stale.write_text("of another model\n")
    assert SETTINGS.pretraining is not None
    longer = SETTINGS.model_copy(update={"pretraining": SETTINGS.pretraining.model_copy(update={"steps": 4})})
    make_backbone("tiny", longer, paths, DEVICE)
    assert (len(pretrained), stale.exists()) == (1, False)
    documents = paths.suite("superglue") / "text" / "documents.jsonl"
    with documents.open("a") as handle:
        handle.write(json.dumps({"text": "One more line.", "answers": []}) + "\n")
    write_manifests(paths)
    make_backbone("tiny", longer, paths, DEVICE)
    assert len(pretrained) == 2


@pytest.mark.parametrize("name", ["loss.csv", "cost.csv", "pretraining.json"])
def test_a_record_that_is_no_text_any_more_is_made_anew(name: str, paths: Paths, pretrained: list[Path]) -> None:
    (paths.pretraining("tiny") / name).write_bytes(b"\xff\xfe\x00")
    make_backbone("tiny", SETTINGS, paths, DEVICE)
    assert pretrained == [paths.backbone("tiny")]


@pytest.mark.parametrize("kind", ["gpt2", "bert", "t5"])
def test_pretraining_that_diverges_fails_and_names_the_key_to_change(kind: str, paths: Paths) -> None:
    shutil.rmtree(paths.backbone("tiny"))
    changed = {"steps": 30, "learning_rate": 1e6, "warmup_steps": 1}
    section = SETTINGS.model_dump(mode="json")
    section |= {"kind": ARCHITECTURES[kind].kind, "pretraining": section["pretraining"] | changed}
    section["architecture"]["type"] = kind
    line = r"^backbones\.tiny\.pretraining\.learning_rate: the loss was not finite by step 20; write a lower one$"
    with pytest.raises(UserError, match=line):
        make_backbone("tiny", BackboneSettings.model_validate(section), paths, DEVICE)
    assert not paths.backbone("tiny").exists()
    assert not checkpoint_path(paths.backbone("tiny")).exists()


def test_a_last_step_that_leaves_no_numbers_fails_too(paths: Paths) -> None:
    section = SETTINGS.model_dump(mode="json")
    section["pretraining"] |= {"steps": 1, "learning_rate": 1e39, "warmup_steps": 1}
    with pytest.raises(UserError, match=r"tiny\.pretraining\.learning_rate: after the last step .* is not finite"):
        make_backbone("tiny", BackboneSettings.model_validate(section), paths, DEVICE)


def test_a_copied_model_takes_the_place_of_a_pretrained_one(paths: Paths, tmp_path: Path) -> None:
    paths.backbone("tiny").rename(tmp_path / "mine")
    local = BackboneSettings(source="local", path=str(tmp_path / "mine"), kind="causal")
    make_backbone("tiny", local, paths, DEVICE)
    assert list(paths.pretraining("tiny").iterdir()) == []
    assert (paths.backbone("tiny") / "model.safetensors").is_file()
