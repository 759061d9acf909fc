"""What tuning chose, out of which range, and whether a wider range might have been better."""

import pandas as pd

from softprompt.results import Cell, SearchedSetting

COLUMNS = ["study", "backbone", "method", "name", "low", "high", "log", "chosen", "edge"]


def chosen_settings(cells: list[Cell]) -> pd.DataFrame:
    """A row a study and tuned setting."""
    found: dict[tuple[str, str, str, str], SearchedSetting] = {}
    for cell in cells:
        for setting in cell.searched:
            found[cell.study, cell.backbone, cell.method, setting.name] = setting
    rows = [
        (*place, setting.low, setting.high, setting.log, setting.chosen, edge_of(setting))
        for place, setting in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def edge_of(setting: SearchedSetting) -> str:
    """`lower`, `upper` or nothing."""
    if not setting.on_edge():
        return ""
    return "lower" if abs(setting.chosen - setting.low) < abs(setting.high - setting.chosen) else "upper"


def ranges_in_words(settings: pd.DataFrame) -> list[str]:
    """One line a method and setting: where the choices lie and how many of them sit on an edge."""
    lines = []
    for (method, name), group in settings.groupby(["method", "name"]):
        lowest, highest = _number(group["chosen"].min()), _number(group["chosen"].max())
        chosen = lowest if lowest == highest else f"{lowest} to {highest}"
        sought = f"{_number(group['low'].min())} to {_number(group['high'].max())}"
        lines.append(f"| `{method}` | {name} | {sought} | {chosen} | {_edges_in_words(group)} |")
    return lines


def _edges_in_words(group: pd.DataFrame) -> str:
    parts = [
        f"{count} of {len(group)} at the {edge} edge"
        for edge in ("lower", "upper")
        if (count := int((group["edge"] == edge).sum()))
    ]
    return ", ".join(parts) or f"none of {len(group)}"


def _number(value: float) -> str:
    return f"{value:.3g}"
