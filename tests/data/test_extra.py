"""The example set: the same bytes every time, parts without common names, rows that are refused by file and line."""

import json
from pathlib import Path

import pytest

from helpers.backbones import WORLD
from helpers.prepared_tables import prepared_table
from helpers.task_files import examples_of
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.config.suites import refuse_misplaced
from softprompt.data import prepared
from softprompt.data.embedded.example_set import write_extra
from softprompt.data.embedded.tales import PLACES
from softprompt.data.prepare import prepare_suite
from softprompt.errors import UserError
from softprompt.files import sha256_of_folder
from softprompt.paths import Paths
from softprompt.tasks.load import load_task, nlu_names


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_extra(WORLD, folder)
    return folder


def test_the_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write_extra(WORLD, tmp_path)
    assert sha256_of_folder(tmp_path) == sha256_of_folder(root)


def test_parts_share_no_names(root: Path) -> None:
    def names(part: str) -> set[str]:
        rows = [json.loads(line) for line in (root / "extra" / "ner" / f"{part}.jsonl").read_text().splitlines()]
        return {w for row in rows for w, tag in zip(row["words"], row["tags"], strict=True) if tag == "B-MISC"}

    assert names("train")
    assert not names("train") & names("val")


def test_definitions_have_the_labels_of_the_rows(root: Path, tmp_path: Path) -> None:
    assert set(load_task("extra", "qa", tmp_path).labels) == set(PLACES)
    rows = [json.loads(line) for line in (root / "extra" / "sentiment" / "train.jsonl").read_text().splitlines()]
    assert {row["label"] for row in rows} == set(load_task("extra", "sentiment", tmp_path).labels)
    rows = [json.loads(line) for line in (root / "extra" / "ner" / "train.jsonl").read_text().splitlines()]
    assert {tag for row in rows for tag in row["tags"]} <= set(load_task("extra", "ner", tmp_path).labels)


def test_the_suite_is_prepared_with_its_text(tmp_path: Path) -> None:
    prepare_suite("extra", SuiteSettings(source="embedded", dev_share=0.2), WORLD, Paths(tmp_path))
    assert prepared.tasks(Paths(tmp_path).suite("extra")) == ["ner", "qa", "sentiment"]
    for name in nlu_names("extra"):
        sizes = [len(prepared_table(Paths(tmp_path), "extra", name, split)) for split in ("train", "dev", "test")]
        assert sum(sizes) == 600
        assert sizes[2] == 200
        assert 40 < sizes[1] <= 80
    assert (Paths(tmp_path).suite("extra") / "text" / "documents.jsonl").is_file()


def test_a_world_with_too_few_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"world\.subjects is too small"):
        write_extra(WorldSettings(subjects=4), tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"words": ["Anna", "sang"], "tags": ["B-PER"]}, r"field `tags` is .*a tag for each of the 2 words"),
        ({"words": ["Anna"], "tags": ["B-CAT"]}, r"field `tags` is 'B-CAT'; expected some of O, B-PER"),
        ({"words": ["Anna Sen"], "tags": ["B-PER"]}, r"field `words` is .*words without blanks"),
        ({"tags": ["B-PER"]}, r"field `words` is missing"),
    ],
)
def test_a_wrong_row_is_refused_by_file_and_line(row: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"idx": 0, **row}) + "\n")
    with pytest.raises(UserError, match=rf"train\.jsonl:1: {message}"):
        examples_of("ner", path, labelled=True, suite="extra")


def test_the_example_set_is_generated_only() -> None:
    with pytest.raises(ValueError, match="the example set is generated; choose embedded"):
        refuse_misplaced({"extra": SuiteSettings(source="hub")})
