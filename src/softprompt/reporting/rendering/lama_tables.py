"""LAMA relation by relation: which facts count, three metrics, and means by type of relation."""

import pandas as pd

from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.rendering.markdown import DASH, counted, percent, table, wrapped_table

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
    """A row a method, a column a type of relation, of which there are several: P@1 over its relations."""
    manifest = report.collected.manifests[LAMA]
    means = select(report.tasks, suite=LAMA, backbone=backbone, split="test")
    means = means[means["task"].isin(manifest.headline_tasks)]
    means = means.assign(type=means["task"].map(manifest.types))
    methods = [method for method in report.context.rows() if method in set(means["method"])]
    columns = {}
    for kind in TYPES:
        here = means[means["type"] == kind]
        if not here.empty:
            relations = here.drop_duplicates("task")
            facts = counted(int(relations["n_examples"].sum()), "fact")
            head = f"{kind} ({counted(len(relations), 'relation')}, {facts})"
            columns[head] = [_macro_micro(select(here, method=method), relations) for method in methods]
    return wrapped_table([f"`{method}`" for method in methods], columns) if len(columns) > 1 else ""


def _macro_micro(means: pd.DataFrame, relations: pd.DataFrame) -> str:
    """`macro / micro` in %, one number where all relations have as many facts, and how many relations they are over
    where some are missing."""
    if means.empty:
        return DASH
    text = percent(means["mean"].mean())
    if relations["n_examples"].nunique() > 1:
        micro = (means["mean"] * means["n_examples"]).sum() / means["n_examples"].sum()
        text += f" / {percent(float(micro))}"
    return text if len(means) == len(relations) else f"{text} ({len(means)} of {len(relations)})"


def relation_table(report: Report, backbone: str) -> str:
    """A row a method, a column a relation with train and dev facts, of which there are several: P@10 and MRR."""
    relations = report.collected.manifests[LAMA].headline_tasks
    return _metric_columns(report, backbone, relations, METRICS[1:]) if len(relations) > 1 else ""


def probe_table(report: Report, backbone: str) -> str:
    """The same for zero-shot probes, P@1 included."""
    return _metric_columns(report, backbone, report.collected.manifests[LAMA].probes, METRICS)


def probe_sentence(report: Report) -> str:
    """Which tasks of LAMA stay out of the means, in words; nothing where there is none."""
    probes = report.collected.manifests[LAMA].probes
    if not probes:
        return ""
    return f"not over {counted(len(probes), 'zero-shot probe')} without train or dev facts: {', '.join(probes)}"


def _metric_columns(report: Report, backbone: str, tasks: tuple[str, ...], metrics: tuple[str, ...]) -> str:
    scores = select(report.scores, suite=LAMA, backbone=backbone, split="test")
    means = scores[scores["task"].isin(tasks)].groupby(["task", "method", "metric"])["value"].mean()
    there = {(task, method) for task, method, _ in means.index}
    methods = [method for method in report.context.rows() if any(name == method for _, name in there)]
    types = report.collected.manifests[LAMA].types
    columns = {
        f"{task} ({types[task]})" if task in types else task: [
            " / ".join(percent(float(means[task, method, metric])) for metric in metrics)
            if (task, method) in there
            else DASH
            for method in methods
        ]
        for task in tasks
        if any((task, method) in there for method in methods)
    }
    return wrapped_table([f"`{method}`" for method in methods], columns)
