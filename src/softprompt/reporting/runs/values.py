"""The numbers of a result as metrics: scores with their intervals, curves, what studies chose, costs; and settings."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from softprompt.reporting.analysis.contributions import SCORE
from softprompt.reporting.analysis.curves import mean_curves
from softprompt.reporting.analysis.frames import groups_of, rows_of
from softprompt.reporting.analysis.intervals import MICRO
from softprompt.reporting.runs.run import Value
from softprompt.results import Cell, total_cost

MIB = 1024**2


def interval_values(rows: pd.DataFrame | None) -> Iterator[Value]:
    """`test/score` with `test/low` and `test/high`, alike of other splits; of test the share of undertuned cells."""
    if rows is None:
        return
    for row in rows_of(rows[rows["metric"].isin((SCORE, MICRO))]):
        yield Value(f"{row.split}/{row.metric}", float(row.score))
        if row.metric == SCORE:
            ends = {f"{row.split}/low": row.low, f"{row.split}/high": row.high}
            more = ends | ({"undertuned": row.undertuned} if row.split == "test" else {})
            yield from (Value(name, float(value)) for name, value in more.items() if not math.isnan(value))


def seed_values(scores: pd.DataFrame | None) -> Iterator[Value]:
    """Official metrics: the mean over replicates, and of several each, its number as the step."""
    if scores is not None:
        for (split, metric), group in groups_of(scores, ["split", "metric"]):
            name = f"{split}/{metric}"
            yield Value(name, float(group["value"].mean()))
            if len(group) > 1:
                numbers = zip(group["seed"], group["value"], strict=True)
                yield from (Value(f"{name}/by_seed", float(value), int(seed)) for seed, value in numbers)


def cell_values(done: Sequence[Cell], *, curve: bool) -> Iterator[Value]:
    """What finished cells scored on dev, chose and cost, and their mean curve."""
    if not done:
        return
    kept = [cell.dev_score for cell in done if cell.dev_score is not None]
    if kept:
        yield Value("dev/kept", sum(kept) / len(kept))
    yield from _chosen_values(done)
    yield from _cost_values(done)
    if curve:
        for row in rows_of(mean_curves(list(done))):
            yield Value("dev/score", float(row.dev_score), row.step)
            if math.isfinite(row.train_loss):
                yield Value("train/loss", float(row.train_loss), row.step)


def _chosen_values(done: Sequence[Cell]) -> Iterator[Value]:
    """Means over replicates of what studies chose, so that charts have an axis; of rates those of the logarithm."""
    for name in dict.fromkeys(name for cell in done for name in cell.chosen):
        chosen = [cell.chosen[name] for cell in done if name in cell.chosen]
        numbers = [float(value) for value in chosen if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(chosen):
            scaled = [math.log10(number) for number in numbers] if is_rate(name) else numbers
            yield Value(f"chosen/{'log10_' * is_rate(name)}{name}", sum(scaled) / len(scaled))


def _cost_values(done: Sequence[Cell]) -> Iterator[Value]:
    yield Value("parameters/trained", float(max(cell.parameters_trained for cell in done)))
    yield Value("parameters/kept", float(max(cell.parameters_kept for cell in done)))
    spent, searched = [cell.cost for cell in done if cell.cost], [cell.search_cost for cell in done if cell.search_cost]
    for name, costs in (("train", spent), ("search", searched)):
        if costs:
            cost = total_cost(costs)
            yield Value(f"rows/{name}", float(cost.rows_forward))
            yield Value(f"rows/{name}_backward", float(cost.rows_backward))
            if not math.isnan(cost.train_seconds):
                yield Value(f"seconds/{name}", round(cost.train_seconds, 2))
                yield Value(f"memory_mib/{name}", round(cost.peak_memory_bytes / MIB))


def settings_of(cells: Sequence[Cell]) -> dict[str, str]:
    """Every setting: its value, or where replicates differ one a replicate. Of rates the decimal logarithm too."""
    found = {}
    for name in sorted({name for cell in cells for name in cell.settings}):
        by_seed = {
            cell.seed: {other.settings.get(name) for other in cells if other.seed == cell.seed} for cell in cells
        }
        if all(len(values) == 1 for values in by_seed.values()):
            values = [value for seed in sorted(by_seed) for value in by_seed[seed]]
            found[name] = " | ".join(map(str, values if len(set(values)) > 1 else values[:1]))
            if is_rate(name) and len(set(values)) == 1:
                found[f"log10_{name}"] = log10_of(float(found[name]))
    return found


def is_rate(name: str) -> bool:
    return name.endswith("learning_rate")


def log10_of(rate: float) -> str:
    """Four decimals, a tenth of a per mille of the rate."""
    return f"{math.log10(rate):.4f}" if rate > 0 else ""
