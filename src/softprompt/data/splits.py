"""Seeded samples of a table: dev carved off train, and limits. Groups stay whole, order stays as it was."""

import pandas as pd

from softprompt.seeding import numpy_generator
from softprompt.tasks.data_section import DataSection


def carve_dev(
    train: pd.DataFrame, share: float, identity: str, *, by_label: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, dev): about `share` of the rows go to dev; `by_label` of every label, and at least one of each.

    All rows of a group (a passage with its questions) land on the same side, so dev may come out a little smaller.
    """
    strata = train["label"] if by_label else pd.Series("", index=train.index, name="label")
    groups = strata.groupby(train["group"], sort=False).value_counts().unstack(fill_value=0)
    wanted = (strata.value_counts() * share).round().clip(lower=1).reindex(groups.columns)
    order = numpy_generator(identity, "dev split").permutation(len(groups))
    left, counts, chosen = wanted.to_numpy().copy(), groups.to_numpy(), set()
    for position in order:
        if (counts[position] <= left).all():
            left -= counts[position]
            chosen.add(groups.index[position])
    in_dev = train["group"].isin(chosen)
    return train[~in_dev].reset_index(drop=True), train[in_dev].reset_index(drop=True)


def sample(table: pd.DataFrame, limit: int | None, identity: str, purpose: str, unit: "pd.Series[str]") -> pd.DataFrame:
    """At most `limit` rows. Rows of one `unit` (the answers of a question) are taken together or not at all."""
    if limit is None or len(table) <= limit:
        return table
    sizes = unit.value_counts(sort=False)
    order = numpy_generator(identity, purpose).permutation(len(sizes))
    chosen, left = set(), limit
    for position in order:
        if sizes.iloc[position] <= left:
            left -= sizes.iloc[position]
            chosen.add(sizes.index[position])
    return table[unit.isin(chosen)].reset_index(drop=True)


def unit_of(ids: "pd.Series[str]", data: DataSection) -> "pd.Series[str]":
    """What samples take whole, for each example: its id without the parts below the task's unit."""
    return ids.str.rsplit("-", n=data.parts_below_unit).str[0] if data.parts_below_unit else ids
