"""Cells of the planned grid that have no score: failed, not applicable, or never run."""

from collections import defaultdict
from dataclasses import dataclass

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.context import ReportContext

REASON_LENGTH = 160


@dataclass(frozen=True, order=True)
class Gap:
    """Cells that lack a score for one reason."""

    status: str
    suite: str
    backbone: str
    method: str
    reason: str
    cells: tuple[str, ...]  # `task` or `task, seed n`


def find_gaps(collected: Collected, context: ReportContext) -> list[Gap]:
    """Every planned cell without a score, joined where status, place and reason agree.

    A method's seeds are those of its cells.
    """
    scored, unanswerable = set(_scored(collected)), without_answer(collected)
    cells = {(cell.suite, cell.task, cell.backbone, cell.method, cell.seed): cell for cell in collected.cells}
    joined: dict[tuple[str, str, str, str, str], list[str]] = defaultdict(list)
    for suite, task, backbone, method, seed in _planned(collected, context):
        cell = cells.get((suite, task, backbone, method, seed))
        if cell is None:
            status, reason = "missing", "never trained"
        elif cell.status != "done":
            named = cell.reason.replace(f"{suite}/{task}", "the task")  # so that tasks share a line
            status, reason = cell.status.replace("_", " "), _one_line(named)
        elif (suite, task, backbone) in unanswerable:
            status, reason = "not applicable", f"none of its test facts can be answered by {backbone}"
        elif (suite, task, backbone, method, seed) not in scored:
            status, reason = "missing", "trained but not evaluated"
        else:
            continue
        joined[status, suite, backbone, method, reason].append(f"{task}, seed {seed}")
    return sorted(Gap(*key, tuple(names)) for key, names in joined.items())


def _planned(collected: Collected, context: ReportContext) -> list[tuple[str, str, str, str, int]]:
    used: dict[tuple[str, str], set[int]] = defaultdict(set)
    not_applicable: dict[tuple[str, str, str, str], set[int]] = defaultdict(set)
    for cell in collected.cells:
        if cell.status == "not_applicable":
            not_applicable[cell.suite, cell.task, cell.backbone, cell.method].add(cell.seed)
        else:
            used[cell.backbone, cell.method].add(cell.seed)
    return [
        (suite, task, backbone, method, seed)
        for suite in context.suites
        for task in collected.manifests[suite].tasks
        for backbone in context.backbones
        for method in context.methods
        for seed in sorted(not_applicable[suite, task, backbone, method] or used[backbone, method] or context.seeds)
    ]


def without_answer(collected: Collected) -> set[tuple[str, str, str]]:
    """(suite, task, backbone) whose test split has no fact that the backbone can answer."""
    counts = collected.coverage
    empty = counts[(counts["split"] == "test") & (counts["kept"] == 0)]
    return set(empty[["suite", "task", "backbone"]].itertuples(index=False, name=None))


def _scored(collected: Collected) -> list[tuple[str, str, str, str, int]]:
    columns = ["suite", "task", "backbone", "method", "seed"]
    frame = collected.scores[columns].drop_duplicates()
    return [(str(s), str(t), str(b), str(m), int(n)) for s, t, b, m, n in frame.itertuples(index=False)]


def _one_line(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH]} ..."
