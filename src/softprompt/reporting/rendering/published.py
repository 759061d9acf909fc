"""Numbers of papers beside ours, where suite, task, method, weights, split, vocabulary and model are the same.

`published.csv` keeps every number as its source gives it (paper, table, method, backbone, dataset, metric, value,
setting, source) and says whether it was checked against that source (verified). The columns after these say where it
belongs here; they are empty where it has no place: other data sets, models without an open checkpoint, text instead of
a number, users' own reproductions, methods that are none of ours. The column PT of P-tuning v2 is one of these: vectors
in front of the input and a head on [CLS], where p_tuning has slots in a template and the words of the labels.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from softprompt.reporting.analysis.collect import Manifest
from softprompt.reporting.analysis.contributions import SCORE, score_of
from softprompt.reporting.analysis.frames import rows_at, rows_of, select
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.summary import in_headline
from softprompt.reporting.analysis.wordings import template_headlines
from softprompt.reporting.rendering.markdown import DASH, percent, points, table, with_margin
from softprompt.tasks.load import LAMA, OFFICIAL_RELATIONS

CHECKED = "yes"
MARK = "‡"
PUBLIC_SPLITS = ("test", "validation")  # ours; SuperGLUE's and GLUE's validation sets are our test
TASKS_OF_MEAN = {"lama": OFFICIAL_RELATIONS, "superglue": 7}  # whose mean the papers give: SuperGLUE's without ReCoRD
BOOLQ_TRAIN = 9427  # rows of the official file
MANUAL = "manual"  # the papers ask one wording
HEADER = ["task", "method", "backbone", "metric", "ours", "published", "difference", "in our interval", "paper"]


@dataclass(frozen=True)
class Ours:
    """Our number with its interval, all shares of 1."""

    mean: float
    low: float | None
    high: float | None


def read_published() -> pd.DataFrame:
    """The whole table, all columns text; `score` is the value as a share of 1."""
    path = files("softprompt.reporting") / "published.csv"
    with path.open(encoding="utf-8") as handle:
        return pd.read_csv(handle, dtype=str, keep_default_na=False)


def published_table(report: Report, suite: str) -> str:
    """A row a published number that we have too; nothing where there is none, as for generated or sampled data."""
    manifest = report.collected.manifests[suite]
    if not is_comparable(manifest):
        return ""
    names = {repo: name for name, repo in report.context.repos.items()}
    rows = []
    for row in rows_of(_placed(suite, manifest)):
        if row.repo in names:
            ours = _ours(report, row, names[row.repo])
            if ours is not None:
                rows.append(_table_row(row, names[row.repo], ours))
    return table(HEADER, sorted(rows), left=4) if rows else ""


def is_comparable(manifest: Manifest) -> bool:
    """Whether the suite is the published one with all its rows: not generated, not sampled, not stated in our text."""
    settings = manifest.content.get("settings", {})
    changed = any(settings.get(key) is not None for key in ("train_limit", "test_limit", "split_seed", "text"))
    return manifest.content["source"] != "embedded" and not changed and not _has_part_of_boolq(manifest)


def _has_part_of_boolq(manifest: Manifest) -> bool:
    """A local folder may hold a subset of BoolQ's train file in its place; dev is carved from it."""
    entry = manifest.content["tasks"].get("boolq")
    if manifest.suite != "superglue" or entry is None:
        return False
    return sum(entry["splits"][split]["rows"] for split in ("train", "dev")) < BOOLQ_TRAIN


def vocabulary_of(manifest: Manifest) -> str:
    """The words that LAMA's answers were chosen among, as params.yaml calls them; nothing for other suites."""
    if manifest.suite != "lama":
        return ""
    default = "29k" if manifest.content["files"] else "full"
    return str(manifest.content.get("settings", {}).get("vocabulary", default))


def _placed(suite: str, manifest: Manifest) -> pd.DataFrame:
    """The suite's published numbers at our split and vocabulary; where several say the same, the checked one."""
    rows = select(read_published(), suite=suite, vocabulary=vocabulary_of(manifest))
    rows = rows[rows["split"].isin(PUBLIC_SPLITS)]
    rows = rows.assign(unchecked=rows["verified"] != CHECKED).sort_values("unchecked", kind="stable")
    return rows.drop_duplicates(["paper", "task", "method_name", "repo", "state", "metric_name", "score"])


def _ours(report: Report, row: Any, backbone: str) -> Ours | None:
    """Our number at a published one's place, or None."""
    if row.method_name == MANUAL:
        return _standard_wording(report, row, backbone)
    place = {"suite": row.suite, "backbone": backbone, "method": row.method_name, "state": row.state, "split": "test"}
    if row.task == ALL_TASKS:
        return _mean_of_suite(report, row, place)
    definition = report.collected.manifests[row.suite].definitions.get(row.task)
    alone = definition is not None and score_of(definition.score_metrics) == (row.metric_name,)
    for found in rows_of(select(report.intervals, **place, task=row.task, metric=SCORE if alone else row.metric_name)):
        return Ours(found.score, found.low, found.high)
    return None


def _standard_wording(report: Report, row: Any, backbone: str) -> Ours | None:
    """Our number with each task's standard template alone, without an interval."""
    manifest = report.collected.manifests[row.suite]
    every = select(report.templates, suite=row.suite, backbone=backbone, split="test")
    asked = rows_at(every, ["task", "template"], standard_wordings(manifest, every))
    if row.task == ALL_TASKS:
        tasks = in_headline(template_headlines(asked, report.collected), report.collected)
        whole = len(tasks) == len(manifest.headline_tasks) == TASKS_OF_MEAN.get(row.suite)
        return Ours(float(tasks["score"].mean()), None, None) if whole else None
    values = select(asked, task=row.task, metric=row.metric_name)["value"]
    return None if values.empty else Ours(float(values.mean()), None, None)


def standard_wordings(manifest: Manifest, scores: pd.DataFrame) -> set[tuple[str, str]]:
    """(task, template) of the wordings that papers ask: LAMA's own, elsewhere the first manual one with a score."""
    asked = set(zip(scores["task"], scores["template"], strict=True))
    found: dict[str, str] = {}
    for name, task in manifest.definitions.items():
        for template in task.manual:
            if (name, template.id) in asked and (manifest.suite != LAMA or template.id == LAMA):
                found.setdefault(name, template.id)
    return set(found.items())


def _mean_of_suite(report: Report, row: Any, place: dict[str, str]) -> Ours | None:
    """Only of a suite that is whole: a mean over other tasks is another number."""
    for ours in rows_of(select(report.suites, **place)):
        if ours.tasks == ours.planned == TASKS_OF_MEAN.get(row.suite):
            return Ours(ours.macro, ours.low, ours.high)
    return None


def _table_row(row: Any, backbone: str, ours: Ours) -> list[str]:
    score = float(row.score)
    inside = DASH
    if ours.low is not None and ours.high is not None and not pd.isna(ours.low):
        inside = "yes" if ours.low <= score <= ours.high else "no"
    return [
        row.task,
        f"`{row.method_name}`",
        backbone,
        row.metric_name,
        with_margin(ours.mean, ours.low, ours.high),
        percent(score) + ("" if row.verified == CHECKED else f" {MARK}"),
        points(ours.mean - score),
        inside,
        f"{row.paper}, {row.table}" if row.table != "-" else row.paper,
    ]
