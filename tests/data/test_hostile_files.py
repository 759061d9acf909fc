"""Files of users that no reader expects: each is refused in one line that names it, none makes a task disappear."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.backbones import WORLD
from helpers.fuzzing import unless_refused, write
from helpers.source_samples import local_files
from softprompt.config import SuiteSettings
from softprompt.data.prepare import prepare_suite
from softprompt.data.record_files import read_csv, read_json_lines, read_tsv
from softprompt.data.validation import RawRecord
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.tasks.load import load_task
from softprompt.usage.inputs import read_inputs

Reader = Callable[[Path], Iterator[RawRecord]]
REFUSED: dict[str, tuple[Reader, bytes, str]] = {
    "a header alone": (read_tsv, b"sentence\tlabel\n", r"no row below the names of the columns \(sentence, label\)"),
    "a column twice": (read_tsv, b"a\ta\nb\tc\n", r":1: the columns a, a; expected different names"),
    "a long text": (read_csv, b"text\n" + b"x" * 131_073, r":2: field larger than field limit \(131072\); close every"),
    "an open quotation": (read_csv, b'text\n"' + b"x\n" * 70_000, r"field larger than field limit"),
    "an old line end": (read_csv, b"text\na\rb\n", r":2: new-line character seen in unquoted field"),
    "a long number": (read_json_lines, b'{"a": ' + b"9" * 5000 + b"}", r":1: Exceeds the limit \(4300 digits\)"),
    "deep brackets": (read_json_lines, b'{"a": ' + b"[" * 100_000, ":1: nested too deeply"),
    "half a character": (read_json_lines, b'{"a": "\\ud800"}', ":1: half a character"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    reader, content, message = REFUSED[case]
    path = write(tmp_path / "rows", content)
    with pytest.raises(UserError, match=rf"rows.*{message}") as refusal:
        list(reader(path))
    assert len(str(refusal.value)) < 500
    assert str(refusal.value).isprintable()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def raw(tmp_path: Path, suite: str) -> Path:
    for name, content in local_files().items():
        if name.startswith((f"{suite}/", "prompts/")):
            write(tmp_path / "raw" / name, content)
    return tmp_path / "raw"


@pytest.mark.parametrize("put", [a_folder, a_pipe])
@pytest.mark.parametrize(
    ("suite", "name"),
    [
        ("superglue", "superglue/CB/train.jsonl"),
        ("superglue", "superglue/CB/val.jsonl"),
        ("lama", "lama/relations.jsonl"),
        ("lama", "lama/TREx/P19.jsonl"),
        ("lama", "lama/autoprompt/P19/train.jsonl"),
        ("lama", "lama/vocab/29k-vocab.json"),
        ("lama", "prompts/pararel/P19.jsonl"),
        ("lama", "prompts/lpaqa/mine/P19.jsonl"),
    ],
)
def test_no_task_disappears_for_a_file_that_is_none(
    suite: str, name: str, put: Callable[[Path], None], tmp_path: Path
) -> None:
    root = raw(tmp_path, suite)
    (root / name).unlink(missing_ok=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    put(root / name)
    refused(suite, root, tmp_path, rf"{name}: not a file; expected .*; put the file there")


def test_a_link_to_itself_is_no_file(tmp_path: Path) -> None:
    root = raw(tmp_path, "lama")
    (root / "lama/autoprompt/P19/dev.jsonl").unlink()
    a_loop(root / "lama/autoprompt/P19/dev.jsonl")
    refused("lama", root, tmp_path, r"dev\.jsonl: not a file")


def refused(suite: str, root: Path, tmp_path: Path, message: str) -> None:
    paths = Paths(tmp_path / "work")
    settings = SuiteSettings(source="local", path=str(root), vocabulary="29k" if suite == "lama" else "full")
    with pytest.raises(UserError, match=message):
        prepare_suite(suite, settings, WORLD, paths)
    assert not paths.suite(suite).exists()


def test_a_file_of_rows_that_are_all_left_out_is_refused(tmp_path: Path) -> None:
    root = raw(tmp_path, "superglue")
    row = b'{"idx": 0, "passage": {"text": "a", "questions": [{"question": "b", "idx": 0, "answers": '
    write(root / "superglue/MultiRC/train.jsonl", row + b'[{"text": "", "idx": 0, "label": 0}]}]}}\n')
    refused("superglue", root, tmp_path, r"train\.jsonl: no row of it can be used \(dropped are 1: empty answer text\)")


def test_a_relation_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    root = raw(tmp_path, "lama")
    rows = (root / "lama/relations.jsonl").read_bytes().replace(b'"P19"', b'"../../esc"')
    write(root / "lama/relations.jsonl", rows)
    refused("lama", root, tmp_path, r"relations\.jsonl:1: field `relation` is '\.\./\.\./esc'")
    assert not list(tmp_path.rglob("esc"))


def test_a_file_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)  # which root, who may read all, cannot read either
    with pytest.raises(UserError, match=r"cannot be read .*; make it readable"):
        list(read_json_lines(path))


def test_bytes_of_the_command_line_are_refused() -> None:
    task = load_task("glue", "sst2", Path())
    with pytest.raises(UserError, match="bytes that are not UTF-8"):
        read_inputs(task, None, ["caf\udce9"])
    assert unless_refused(lambda: read_inputs(task, None, ["café"])) is not None
