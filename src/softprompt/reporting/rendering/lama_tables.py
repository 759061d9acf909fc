"""LAMA relation by relation: which facts count, three metrics, and means by type of relation."""

import pandas as pd

from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.rendering.markdown import DASH, counted, percent, table

METRICS = ("p_at_1", "p_at_10", "mrr")
SPLITS = ("train", "dev", "test")
TYPES = ("1-1", "N-1", "N-M")
LEFT_OUT = ("not_one_token", "outside_vocabulary")
LAMA = "lama"


def lama_tables(report: Report) -> dict[str, dict[str, str]]:
    """Every table of every backbone, by its name in the page."""
    makers = {"facts": facts_table, "types": type_table, "relations": relation_table, "probes": probe_table}
    return {
        backbone: {name: make(report, backbone) for name, make in makers.items()}
        for backbone in report.context.backbones
    }


def facts_table(report: Report, backbone: str) -> str:
    """A row a relation: the facts of each split that count on a backbone, of all, and why the others do not."""
    manifest = report.collected.manifests[LAMA]
    rows = []
    for task, counts in groups_of(select(report.collected.coverage, suite=LAMA, backbone=backbone), ["task"]):
        by_split = {row.split: row for row in rows_of(counts)}
        shown = [f"{by_split[s].kept} of {by_split[s].examples}" if s in by_split else DASH for s in SPLITS]
        reasons = [str(sum(getattr(by_split[s], reason) for s in SPLITS if s in by_split)) for reason in LEFT_OUT]
        also = manifest.content["tasks"][task[0]]["also_in_test"].get("train")
        rows.append([task[0], manifest.types.get(task[0], DASH), *shown, *reasons, DASH if also is None else str(also)])
    header = ["relation", "type", *SPLITS, "not one token", "outside the vocabulary", "train pairs in test"]
    return table(header, rows, left=2) if rows else ""


def type_table(report: Report, backbone: str) -> str:
    """A row a type of relation: P@1 macro over its relations and micro over its facts, a column a method."""
    manifest = report.collected.manifests[LAMA]
    means = select(report.tasks, suite=LAMA, backbone=backbone, split="test")
    means = means[means["task"].isin(manifest.headline_tasks)]
    means = means.assign(type=means["task"].map(manifest.types))
    methods = [method for method in report.context.rows() if method in set(means["method"])]
    rows = []
    for kind in TYPES:
        here = means[means["type"] == kind]
        if not here.empty:
            relations = here.drop_duplicates("task")
            named = [kind, str(len(relations)), str(relations["n_examples"].sum())]
            rows.append([*named, *(_macro_micro(select(here, method=m), len(relations)) for m in methods)])
    return table(["type", "relations", "facts", *(f"`{method}`" for method in methods)], rows) if rows else ""


def _macro_micro(means: pd.DataFrame, relations: int) -> str:
    """`macro / micro` in %, and how many relations they are over where some are missing."""
    if means.empty:
        return DASH
    micro = (means["mean"] * means["n_examples"]).sum() / means["n_examples"].sum()
    text = f"{percent(means['mean'].mean())} / {percent(float(micro))}"
    return text if len(means) == relations else f"{text} ({len(means)} of {relations})"


def relation_table(report: Report, backbone: str) -> str:
    """A row a relation with train and dev facts: P@1, P@10 and MRR, a column a method."""
    return _metric_rows(report, backbone, report.collected.manifests[LAMA].headline_tasks)


def probe_table(report: Report, backbone: str) -> str:
    """The same for zero-shot probes."""
    return _metric_rows(report, backbone, report.collected.manifests[LAMA].probes)


def probe_sentence(report: Report) -> str:
    """Which tasks of LAMA stay out of the means, in words; nothing where there is none."""
    probes = report.collected.manifests[LAMA].probes
    if not probes:
        return ""
    return f"not over {counted(len(probes), 'zero-shot probe')} without train or dev facts: {', '.join(probes)}"


def _metric_rows(report: Report, backbone: str, tasks: tuple[str, ...]) -> str:
    scores = select(report.scores, suite=LAMA, backbone=backbone, split="test")
    means = scores[scores["task"].isin(tasks)].groupby(["task", "method", "metric"])["value"].mean()
    there = {(task, method) for task, method, _ in means.index}
    methods = [method for method in report.context.rows() if any(name == method for _, name in there)]
    types = report.collected.manifests[LAMA].types
    rows = [
        [task, types.get(task, DASH), *(_metrics(means, task, method, there) for method in methods)]
        for task in tasks
        if any((task, method) in there for method in methods)
    ]
    return table(["relation", "type", *(f"`{method}`" for method in methods)], rows, left=2) if rows else ""


def _metrics(means: pd.Series, task: str, method: str, there: set[tuple[str, str]]) -> str:
    if (task, method) not in there:
        return DASH
    return " / ".join(percent(float(means[task, method, metric])) for metric in METRICS)
