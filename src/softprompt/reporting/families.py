"""Manual templates by where they come from, and what pretraining did with them."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from softprompt.reporting.frames import groups_of, select
from softprompt.reporting.markdown import DASH, percent, table
from softprompt.reporting.wordings import template_headlines
from softprompt.tasks.template_families import family_of

if TYPE_CHECKING:
    from softprompt.reporting.report import Report

TOLD = ["backbone", "relation", "template", "p_at_1", "n"]


def told_report(pretraining: Path | None, backbones: tuple[str, ...]) -> pd.DataFrame:
    """A row a backbone and wording that told it facts: its P@1 on the `n` facts told in it. Empty without such text."""
    frames = [pd.DataFrame(columns=TOLD)]
    for backbone in backbones if pretraining else ():
        path = Path(str(pretraining)) / backbone / "told.csv"
        if path.is_file():
            frames.append(pd.read_csv(path, dtype={"template": str}).assign(backbone=backbone))
    filled = [frame[TOLD] for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def told_lines(report: "Report") -> list[str]:
    """A sentence a backbone: how much of its pretraining text it knows by heart."""
    lines = []
    for backbone in report.context.backbones:
        told = select(report.told, backbone=backbone)
        if len(told):
            count = int(told["n"].sum())
            share = float((told["p_at_1"] * told["n"]).sum()) / count
            lines.append(
                f"**{backbone}** knows {percent(share)} % of the {count:,} facts and wordings of its pretraining text "
                "that it can be asked: each fact through a wording that told it."
            )
    return lines


def family_table(report: "Report", suite: str) -> str:
    """Mean test score of each family's templates, mean over tasks; apart by whether pretraining used them, if known."""
    scores = select(template_headlines(report.templates, report.collected), suite=suite, split="test")
    if scores.empty or scores["template"].map(family_of).nunique() < 2:
        return ""
    told = set(zip(report.told["relation"], report.told["template"], strict=True))
    used = [(task, one) in told for task, one in zip(scores["task"], scores["template"], strict=True)]
    known = {True: "yes", False: "no"} if told else {True: DASH, False: DASH}
    scores = scores.assign(family=scores["template"].map(family_of), told=[known[one] for one in used])
    rows = []
    for (family, state), own in groups_of(scores, ["family", "told"]):
        count = len(own.drop_duplicates(["task", "template"]))
        by_task = own.groupby(["backbone", "task"])["score"].mean()
        means = by_task.groupby("backbone").mean().to_dict()
        rows.append([family, state, str(count), *(percent(means.get(name)) for name in report.context.backbones)])
    return table(["family", "told", "templates", *report.context.backbones], rows, left=2)
