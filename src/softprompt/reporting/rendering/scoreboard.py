"""The tables of scores: methods down, backbones or tasks across, those marked that may be the best of their state."""

from softprompt.reporting.analysis.collect import Manifest
from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.gaps import without_answer
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.summary import in_headline
from softprompt.reporting.analysis.undertuned import undertuned_mark
from softprompt.reporting.rendering.markdown import (
    DASH,
    MAY_BE_BEST,
    NOT_APPLICABLE,
    joined,
    percent,
    table,
    with_margin,
    wrapped_table,
)
from softprompt.results import Cell


def headline_table(report: Report, suite: str) -> str:
    """Mean over tasks with half of its interval; a column a backbone."""
    backbones = report.context.backbones
    rows = [
        [f"`{method}`", state_of(report, method), *(_suite_cell(report, suite, name, method) for name in backbones)]
        for method in report.context.rows()
    ]
    return table(["method", "backbone weights", *backbones], rows, left=2)


def task_table(report: Report, suite: str, backbone: str) -> str:
    """A row a method, a column a task; nothing of a lone task, whose scores are the suite's."""
    methods, tasks = report.context.rows(), report.collected.manifests[suite].headline_tasks
    if len(tasks) == 1:
        return ""
    columns = {task: [_task_cell(report, suite, task, backbone, method) for method in methods] for task in tasks}
    return wrapped_table([with_state(report, method) for method in methods], columns)


def metric_table(report: Report, suite: str, backbone: str) -> str:
    """A row a method, a column a metric of the tasks that have several."""
    methods = report.context.rows()
    columns = {}
    for task in report.collected.manifests[suite].headline_tasks:
        metrics = sorted(select(report.scores, suite=suite, task=task)["metric"].unique())
        for metric in metrics if len(metrics) > 1 else ():
            place = {"suite": suite, "task": task, "backbone": backbone}
            columns[f"{task} {metric}"] = [metric_mean(report, metric, **place, method=method) for method in methods]
    return wrapped_table([with_state(report, method) for method in methods], columns)


def with_state(report: Report, method: str) -> str:
    """A method as the head of a row: those that tune the backbone say so."""
    return f"`{method}` (tuned)" if state_of(report, method) == "tuned" else f"`{method}`"


def lama_metric_table(report: Report, backbone: str) -> str:
    """P@1 macro, micro where it differs, the other metrics (macro) and parameter counts; a row a method."""
    test = {row.method: row for row in rows_of(select(report.suites, suite="lama", backbone=backbone, split="test"))}
    differs = any(percent(row.macro) != percent(row.micro) for row in test.values())
    rows = []
    for method in (method for method in report.context.rows() if method in test):
        row = test[method]
        macro = with_margin(row.macro, row.low, row.high)
        micro = [with_margin(row.micro, row.micro_low, row.micro_high)] if differs else []
        place = {"suite": "lama", "backbone": backbone, "method": method}
        others = [metric_mean(report, metric, **place) for metric in ("p_at_10", "mrr")]
        cells = [cell for cell in report.collected.cells_of(backbone, method) if cell.suite == "lama"]
        rows.append([f"`{method}`", macro, *micro, *others, *_parameters(cells)])
    heads = ["P@1 macro", *(["P@1 micro"] if differs else []), "P@10 macro", "MRR macro", "trained", "kept"]
    return table(["method", *heads], rows)


def control_split_table(report: Report, suite: str, split: str) -> str:
    """Mean over tasks on another split than test, such as withheld facts; nothing where a suite has none."""
    means = select(report.suites, suite=suite, split=split)
    if means.empty:
        return ""
    found = {(row.method, row.backbone): with_margin(row.macro, row.low, row.high) for row in rows_of(means)}
    backbones = report.context.backbones
    rows = [
        [f"`{method}`", *(found.get((method, name), DASH) for name in backbones)] for method in report.context.rows()
    ]
    return table(["method", *backbones], rows)


def metric_mean(report: Report, metric: str, **place: str) -> str:
    """Mean of a metric over replicates and then tasks, at a place such as suite, task, backbone and method."""
    rows = in_headline(select(report.scores, metric=metric, split="test", **place), report.collected)
    return DASH if rows.empty else percent(float(rows.groupby("task")["value"].mean().mean()))


def score_words(manifest: Manifest) -> str:
    """What forms the score of the tasks with several metrics; nothing where a suite has none."""
    several = {name: task for name, task in manifest.definitions.items() if len(task.metrics) > 1}
    formed = [f"{name}: {joined(task.score_metrics)}" for name, task in sorted(several.items())]
    return f", the mean of the metrics that form it where a task has several ({'; '.join(formed)})" if formed else ""


def state_of(report: Report, method: str) -> str:
    """`frozen` or `tuned`, as the cells say."""
    cells = [cell for name in report.context.backbones for cell in report.collected.cells_of(name, method)]
    return " / ".join(sorted({cell.state for cell in cells})) or DASH


def _parameters(cells: list[Cell]) -> list[str]:
    """Parameters trained and kept, the largest over cells."""
    done = [cell for cell in cells if cell.status == "done"]
    if not done:
        return [DASH, DASH]
    return [f"{max(cell.parameters_trained for cell in done):,}", f"{max(cell.parameters_kept for cell in done):,}"]


def _suite_cell(report: Report, suite: str, backbone: str, method: str) -> str:
    for row in rows_of(select(report.suites, suite=suite, backbone=backbone, method=method, split="test")):
        text = with_margin(row.macro, row.low, row.high)
        if row.tasks < row.planned:
            return f"{text} ({row.tasks} of {row.planned} tasks)"
        text += _fewer_replicates(report, backbone, method, row.replicates)
        undertuned = undertuned_mark(report.undertuned, suite, backbone, method)
        return _marked(text, undertuned, (suite, ALL_TASKS, backbone, method) in report.best)
    return _empty([cell for cell in report.collected.cells_of(backbone, method) if cell.suite == suite])


def _task_cell(report: Report, suite: str, task: str, backbone: str, method: str) -> str:
    for row in rows_of(select(report.tasks, suite=suite, task=task, backbone=backbone, method=method, split="test")):
        text = with_margin(row.mean, row.low, row.high) + _fewer_replicates(report, backbone, method, row.replicates)
        undertuned = undertuned_mark(report.undertuned, suite, backbone, method, task)
        return _marked(text, undertuned, (suite, task, backbone, method) in report.best)
    if (suite, task, backbone) in without_answer(report.collected):
        return NOT_APPLICABLE
    cells = report.collected.cells_of(backbone, method)
    return _empty([cell for cell in cells if (cell.suite, cell.task) == (suite, task)])


def _fewer_replicates(report: Report, backbone: str, method: str, replicates: int) -> str:
    """A remark where some replicates of a cell failed or are missing."""
    planned = {cell.seed for cell in report.collected.cells_of(backbone, method)}
    return f" ({replicates} of {len(planned)} replicates)" if replicates < len(planned) else ""


def _marked(text: str, undertuned: str, may_be_best: bool) -> str:
    return f"{text} {undertuned}{MAY_BE_BEST if may_be_best else ''}".rstrip()


def _empty(cells: list[Cell]) -> str:
    """`n/a` where no cell applies, else a dash."""
    return NOT_APPLICABLE if cells and all(cell.status == "not_applicable" for cell in cells) else DASH
