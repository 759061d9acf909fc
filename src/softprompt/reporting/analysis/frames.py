"""Four ways to read a table by the names of its columns."""

from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd


def select(frame: pd.DataFrame, **place: object) -> pd.DataFrame:
    """The rows whose columns equal the values given, such as suite="lama", split="test"."""
    for column, value in place.items():
        frame = frame[frame[column] == value]
    return frame


def rows_at(frame: pd.DataFrame, columns: list[str], places: Collection[tuple[str, ...]]) -> pd.DataFrame:
    """The rows whose values in these columns are one of the places."""
    inside = [place in places for place in frame[columns].itertuples(index=False, name=None)]
    return frame[pd.Series(inside, index=frame.index, dtype=bool)]


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Named tuples, a row each; values are what the column holds."""
    return iter(frame.itertuples(index=False))


def groups_of(frame: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """(values of the columns, their rows), sorted by the values."""
    return iter(frame.groupby(columns))
