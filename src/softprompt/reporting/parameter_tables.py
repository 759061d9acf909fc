"""Parameters trained and kept: of this run's cells, and of sources beside ours."""

from softprompt.reporting.markdown import DASH, table
from softprompt.reporting.parameter_counts import source_counts
from softprompt.reporting.report import Report
from softprompt.reporting.scoreboard import state_of


def run_parameters(report: Report) -> str:
    """A row a backbone and method with a finished cell; a range where cells differ, by their heads or lengths."""
    rows = []
    for backbone in report.context.backbones:
        for method in report.context.rows():
            cells = [cell for cell in report.collected.cells_of(backbone, method) if cell.status == "done"]
            if cells:
                counts = [
                    _range([cell.parameters_trained for cell in cells]),
                    _range([cell.parameters_kept for cell in cells]),
                ]
                rows.append([backbone, f"`{method}`", state_of(report, method), *counts])
    return table(["backbone", "method", "backbone weights", "trained", "kept"], rows, left=3)


def source_parameters() -> str:
    """A row a count that a source gives."""
    rows = [
        [
            count.source,
            count.method,
            count.backbone,
            count.convention,
            DASH if count.published is None else f"{count.published:,}",
            f"{count.by_convention:,}",
            f"{count.trained:,}",
            f"{count.kept:,}",
        ]
        for count in source_counts()
    ]
    header = ["source", "method", "backbone", "its convention", "its count", "recounted", "ours trained", "ours kept"]
    return table(header, rows, left=4)


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
