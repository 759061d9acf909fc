"""A record is read as it was written, where it was written, or not at all."""

import json
from pathlib import Path

import pytest

from softprompt.records import SealedRecord, write_record


class Score(SealedRecord):
    value: float


def rewritten(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "manual" / "result.json"
    write_record(path, Score(value=0.1))
    assert Score.read(path).value == 0.1
    rewritten(path)  # other spaces say nothing else
    assert Score.read(path).value == 0.1


@pytest.mark.parametrize("fields", [{"value": 0.2}, {"schema_version": 2}, {"sha256": ""}], ids=str)
def test_an_edited_one_or_one_of_another_version_is_refused(fields: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "manual" / "result.json"
    write_record(path, Score(value=0.1))
    rewritten(path, **fields)
    with pytest.raises(ValueError, match=r"changed since it was written|schema_version"):
        Score.read(path)


@pytest.mark.parametrize("other", ["majority/result.json", "manual/other.json"])
def test_one_from_elsewhere_is_refused(other: str, tmp_path: Path) -> None:
    path, place = tmp_path / "manual" / "result.json", tmp_path / other
    write_record(path, Score(value=0.1))
    place.parent.mkdir(exist_ok=True)
    path.rename(place)
    with pytest.raises(ValueError, match="changed since it was written"):
        Score.read(place)
