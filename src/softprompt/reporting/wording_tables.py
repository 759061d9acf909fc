"""Manual templates one by one, and how far they lie apart."""

from softprompt.reporting.frames import rows_of, select
from softprompt.reporting.markdown import DASH, percent, table
from softprompt.reporting.report import Report
from softprompt.reporting.wordings import template_headlines


def wording_table(report: Report, suite: str) -> str:
    """Every manual template with its test score; the one that dev chose is marked."""
    wordings = report.collected.manifests[suite].wordings
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows_of(select(template_headlines(report.templates, report.collected), suite=suite, split="test")):
        chosen = " (dev)" if row.chosen_on_dev else ""
        cells.setdefault((row.task, row.template), {})[row.backbone] = f"{percent(row.score)}{chosen}"
    backbones = report.context.backbones
    rows = [
        [task, template, _code(wordings.get((task, template), "")), *(scores.get(name, DASH) for name in backbones)]
        for (task, template), scores in cells.items()
    ]
    return table(["task", "template", "wording", *backbones], rows, left=3) if rows else ""


def spread_table(report: Report, suite: str) -> str:
    """Per task and backbone: worst, mean and best wording beside the choice of dev and p_tuning."""
    test = select(report.tasks, suite=suite, split="test")
    means = {(row.task, row.backbone, row.method): row.mean for row in rows_of(test)}
    rows = []
    for row in rows_of(select(report.spread, suite=suite)):
        others = [means.get((row.task, row.backbone, method)) for method in ("manual_best", "p_tuning")]
        numbers = [percent(value) for value in (row.worst, row.mean, row.best, row.range, *others)]
        rows.append([row.task, row.backbone, str(row.templates), *numbers])
    header = ["task", "backbone", "templates", "worst", "mean", "best", "range", "`manual_best`", "`p_tuning`"]
    return table(header, rows, left=2) if rows else ""


def _code(text: str) -> str:
    """A bar would end the cell."""
    return f"`{text}`".replace("|", r"\|") if text else ""
