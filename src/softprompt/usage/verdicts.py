"""What two reports conclude, where they differ: their key question, their controls, and the settings behind them."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from softprompt.reporting.analysis.comparisons import KEY
from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.two_way import ALPHA
from softprompt.usage.sides import Side

ABSENT = "not there"
PAIR = ["suite", "task", "backbone", "method", "against"]
CONTROL = ["suite", "backbone", "method", "split"]


def flipped_verdicts(before: Side, after: Side) -> list[tuple[str, str, str]]:
    """(what was judged, the verdict before, the verdict after) of all that both judge, and otherwise."""
    old, new = verdicts_of(before), verdicts_of(after)
    return [(what, old[what], new[what]) for what in sorted(old.keys() & new.keys()) if old[what] != new[what]]


def verdicts_of(side: Side) -> dict[str, str]:
    """What was judged -> the verdict."""
    comparisons = select(side.table("comparisons.csv", ["family", *PAIR], ["effect", "p_holm"]), family=KEY)
    controls = side.table("controls.csv", [*CONTROL, "verdict"], [])
    key = {
        f"{row.method} against {row.against} on {row.backbone}, {row.suite}": _key(row) for row in rows_of(comparisons)
    }
    chance = {
        f"control {row.method} on {row.backbone}, {row.suite} {row.split}": row.verdict for row in rows_of(controls)
    }
    return key | chance


def changed_settings(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """(key, value before, value after) of all settings of params.yaml that differ."""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = [*new, *(key for key in old if key not in new)]
    pairs = [(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys]
    return [(key, one, other) for key, one, other in pairs if one != other]


def _key(row: Any) -> str:
    if pd.isna(row.p_holm) or row.p_holm >= ALPHA:
        return "not distinguishable"
    return "higher" if row.effect > 0 else "lower"


def _flat(settings: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """`methods.p_tuning.encoder` -> its value; a list is one value."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, str(settings)
