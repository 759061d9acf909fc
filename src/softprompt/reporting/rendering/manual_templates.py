"""Manual templates one by one, how far they lie apart, and by family, beside what the pretraining text states."""

from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.wordings import template_headlines
from softprompt.reporting.rendering.markdown import DASH, as_code, as_text, percent, table
from softprompt.tasks.template_families import family_of


def wording_table(report: Report, suite: str) -> str:
    """Every manual template with its test score; the one that dev chose is marked."""
    wordings = report.collected.manifests[suite].wordings
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows_of(select(template_headlines(report.templates, report.collected), suite=suite, split="test")):
        chosen = " (dev)" if row.chosen_on_dev else ""
        cells.setdefault((row.task, row.template), {})[row.backbone] = f"{percent(row.score)}{chosen}"
    backbones = report.context.backbones
    rows = [
        [
            task,
            as_text(template),
            as_code(wordings.get((task, template), "")),
            *(scores.get(name, DASH) for name in backbones),
        ]
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


def family_table(report: Report, suite: str) -> str:
    """Mean test score of each family's templates, mean over tasks; apart by whether pretraining used them, if known."""
    scores = select(template_headlines(report.templates, report.collected), suite=suite, split="test")
    if scores.empty or scores["template"].map(family_of).nunique() < 2:
        return ""
    stated = set(zip(report.stated_facts["relation"], report.stated_facts["template"], strict=True))
    used = [(task, one) in stated for task, one in zip(scores["task"], scores["template"], strict=True)]
    known = {True: "yes", False: "no"} if stated else {True: DASH, False: DASH}
    scores = scores.assign(family=scores["template"].map(family_of), in_text=[known[one] for one in used])
    rows = []
    for (family, state), own in groups_of(scores, ["family", "in_text"]):
        count = len(own.drop_duplicates(["task", "template"]))
        by_task = own.groupby(["backbone", "task"])["score"].mean()
        means = by_task.groupby("backbone").mean().to_dict()
        rows.append(
            [as_text(family), state, str(count), *(percent(means.get(name)) for name in report.context.backbones)]
        )
    return table(["family", "in text", "templates", *report.context.backbones], rows, left=2)


def stated_facts_lines(report: Report) -> list[str]:
    """A sentence a backbone: how much of its pretraining text it knows by heart."""
    lines = []
    for backbone in report.context.backbones:
        stated = select(report.stated_facts, backbone=backbone)
        if len(stated):
            count = int(stated["n"].sum())
            share = float((stated["p_at_1"] * stated["n"]).sum()) / count
            lines.append(
                f"**{backbone}** knows {percent(share)} % of the {count:,} facts and wordings of its pretraining text "
                "that it can be asked: each fact through a wording that states it."
            )
    return lines
