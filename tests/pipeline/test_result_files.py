"""Files of records are read back with the types of their records, or refused by name."""

from pathlib import Path

import pandas as pd
import pytest

from softprompt.errors import UserError
from softprompt.files import write_csv
from softprompt.result_files import read_table
from softprompt.results import NearestToken, PretrainingLoss


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """A token may read `nan` or `1`; only numbers may be missing."""
    place = {"suite": "lama", "task": "P19", "backbone": "b", "method": "m", "seed": 7}
    rows = [NearestToken(**place, vector="0", rank=n, token=token, cosine=0.5) for n, token in enumerate(["nan", "1"])]
    write_csv(tmp_path / "nearest_tokens.csv", pd.DataFrame([row.model_dump() for row in rows]))
    read = read_table(tmp_path / "nearest_tokens.csv", NearestToken)
    assert [NearestToken(**row) for row in read.to_dict("records")] == rows
    write_csv(tmp_path / "loss.csv", pd.DataFrame({"step": [1, 2], "loss": [float("inf"), float("nan")]}))
    losses = read_table(tmp_path / "loss.csv", PretrainingLoss)["loss"]
    assert losses[0] == float("inf")
    assert pd.isna(losses[1])


def test_without_a_file_there_are_no_rows(tmp_path: Path) -> None:
    frame = read_table(tmp_path / "loss.csv", PretrainingLoss)
    assert (list(frame.columns), len(frame)) == (["step", "loss"], 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "No columns to parse"),
        ("step\n1\n", "columns are step, expected step, loss"),
        ("step,loss\nfirst,0.5\n", "first"),
        ("step,loss\n,0.5\n", "integer|invalid|Integer"),
    ],
    ids=["empty", "another version", "no number", "number missing"],
)
def test_another_table_is_refused_in_a_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "loss.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        read_table(path, PretrainingLoss)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith("run `dvc repro` again")
    assert "\n" not in str(error.value)
