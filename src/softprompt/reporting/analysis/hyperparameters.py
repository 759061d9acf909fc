"""What tuning chose, out of which range, and whether a wider range might have been better."""

import pandas as pd

from softprompt.results import Cell, SearchedSetting

COLUMNS = ["study", "backbone", "method", "seed", "name", "low", "high", "log", "choices", "chosen", "edge"]


def chosen_settings(cells: list[Cell]) -> pd.DataFrame:
    """A row a study and tuned setting: a study a seed, or seeds that share one."""
    found: dict[tuple[str, str, str, int, str], SearchedSetting] = {}
    for cell in cells:
        for setting in cell.searched:
            found[cell.study, cell.backbone, cell.method, cell.seed, setting.name] = setting
    rows = [
        (
            *place,
            setting.low,
            setting.high,
            setting.log,
            " | ".join(map(str, setting.choices)),
            setting.chosen,
            edge_of(setting),
        )
        for place, setting in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def edge_of(setting: SearchedSetting) -> str:
    """`lower`, `upper` or nothing."""
    if setting.low is None or setting.high is None or not setting.on_edge():
        return ""
    chosen = float(setting.chosen)
    return "lower" if abs(chosen - setting.low) < abs(setting.high - chosen) else "upper"


def ranges_in_words(settings: pd.DataFrame) -> list[str]:
    """One line a method and setting: where the choices lie and how many of them sit on an edge."""
    lines = []
    for (method, name), group in settings.groupby(["method", "name"]):
        if group["choices"].any():
            sought = ", ".join(sorted(set(" | ".join(group["choices"]).split(" | "))))
            chosen = ", ".join(sorted(set(map(str, group["chosen"]))))
        else:
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
