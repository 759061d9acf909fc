"""A file that stands in for an official one: the manifest says so, task by task."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.source_samples import local_files
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data import few_shot, prepared
from softprompt.data.prepare import prepare_suite
from softprompt.paths import Paths

SUBSET = "train_subset2000.jsonl"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A local folder in the layout of data/raw, FewGLUE's folder of BoolQ included."""
    files = local_files()
    files |= {name.replace("superglue/", "fewglue/"): files[name] for name in files if "superglue/BoolQ" in name}
    for name, content in files.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "raw"


def notes(suite: str, raw: Path, tmp_path: Path, **settings: object) -> dict[str, str]:
    """What the manifest notes of each task."""
    parsed = SuiteSettings.model_validate({"source": "local", "path": str(raw), "dev_share": 0.2, **settings})
    prepare_suite(suite, parsed, WorldSettings(), Paths(tmp_path / "out"))
    return {
        name: task["note"] for name, task in prepared.whole_manifest(Paths(tmp_path / "out"), suite)["tasks"].items()
    }


def test_official_files_are_not_worth_a_note(raw: Path, tmp_path: Path) -> None:
    assert set(notes("superglue", raw, tmp_path).values()) == {""}
    assert set(notes("glue", raw, tmp_path).values()) == {""}


def as_a_subset(folder: Path) -> None:
    (folder / "train.jsonl").rename(folder / SUBSET)


def beside_a_subset(folder: Path) -> None:
    (folder / SUBSET).write_bytes((folder / "train.jsonl").read_bytes())


@pytest.mark.parametrize(
    ("change", "note"), [(as_a_subset, f"train is {SUBSET}, not train.jsonl"), (beside_a_subset, "")]
)
def test_a_subset_of_train_is_noted_where_it_is_read(
    change: Callable[[Path], None], note: str, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_shot, "SHOTS", 8)
    change(raw / "superglue" / "BoolQ")
    assert notes("superglue", raw, tmp_path, tasks=["boolq", "cb"]) == {"boolq": note, "cb": ""}
    assert notes("fewglue", raw, tmp_path, tasks=["boolq"], split_seed=1) == {"boolq": note}


def test_treebank_files_are_noted(raw: Path, tmp_path: Path) -> None:
    folder = raw / "glue" / "SST-2"
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").unlink()
        rows = (f"{number % 2} film {split} {number}" for number in range(20))
        (folder / f"stsa.binary.{split}").write_text("".join(f"{row}\n" for row in rows))
    assert notes("glue", raw, tmp_path, tasks=["sst2"]) == {
        "sst2": "train is stsa.binary.train, not train.tsv; test is stsa.binary.dev, not dev.tsv"
    }
