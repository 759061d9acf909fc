"""The figures of the first page: every method on every task, score against cost, and what more trials give."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from softprompt.reporting.analysis.answers import with_costs
from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.rendering.plots import (
    NEUTRAL,
    Drawing,
    legend_above,
    look_of,
    panels,
    to_svg,
)
from softprompt.reporting.rendering.scoreboard import state_of
from softprompt.tasks.load import LAMA

NUMBERED = 18  # columns beside each other that have room for numbers
CELL = 0.4  # inches
DARK = 0.55  # scores above which a number is white


def draw_heat_map(report: Report) -> Drawing | None:
    """Methods down, the tasks of all suites across; a panel a backbone. No number: no score."""
    test = select(report.tasks, split="test")
    methods = [method for method in report.context.rows() if method in set(test["method"])]
    tasks = [(suite, task) for suite in report.context.suites for task in _tasks(report, suite)]
    if not methods:
        return None
    width = max(2.2, CELL * len(tasks) + 1.0)
    figure, axes = panels(
        report.context.backbones, height=1.3 + 0.21 * len(methods), panel_width=width, share_y=True, extra=0
    )
    for axis, backbone in zip(axes, report.context.backbones, strict=True):
        found = {(row.suite, row.task, row.method): row.mean for row in rows_of(select(test, backbone=backbone))}
        scores = np.array([[found.get((*task, method), np.nan) for task in tasks] for method in methods])
        axis.pcolormesh(scores, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
        for (row, column), score in np.ndenumerate(scores if len(tasks) <= NUMBERED else scores[:0]):
            if not math.isnan(score):
                colour = "white" if score > DARK else "black"
                axis.text(column + 0.5, row + 0.5, f"{100 * score:.0f}", ha="center", va="center", color=colour, size=8)
        axis.set_xticks(np.arange(len(tasks)) + 0.5, [_task_name(*task) for task in tasks], rotation=90)
        axis.set_yticks(np.arange(len(methods)) + 0.5, methods)
        axis.set_ylim(len(methods), 0)
        axis.tick_params(length=0)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    return Drawing("tasks", to_svg(figure))


def draw_rows(report: Report) -> Drawing | None:
    """Score against the rows that training passes forward, all trials included."""
    return _against_cost(report, "pareto_rows", "rows", "rows passed forward")


def draw_kept(report: Report) -> Drawing | None:
    """Score against the parameters kept for answering."""
    return _against_cost(report, "pareto_kept", "kept", "parameters kept")


def draw_expected(report: Report) -> Drawing | None:
    """The expected best score on dev of so many trials (Dodge et al. 2019), mean over the studies of a suite."""
    if report.expected.empty:
        return None
    data = report.expected.assign(suite=report.expected["study"].str.partition("/")[0])
    means = data.groupby(["suite", "backbone", "method", "trials"], as_index=False).agg(expected=("expected", "mean"))
    figure, places = _by_suite(report, means)
    for axis, suite, backbone in places:
        for method in report.context.methods:
            line = select(means, suite=suite, backbone=backbone, method=method)
            if not line.empty:
                look = {"linewidth": 1.2, "markersize": 4, **mark_of(report, method)}
                axis.plot(line["trials"], 100 * line["expected"], label=method, **look)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supxlabel("trials", fontsize=9)
    figure.supylabel("expected dev score (%)", fontsize=9)
    legend_above(figure, [axis for axis, _, _ in places])
    return Drawing("expected_validation", to_svg(figure))


def _against_cost(report: Report, name: str, cost: str, label: str) -> Drawing | None:
    """A mark a method, hollow where the backbone is tuned; the line joins those that nothing cheaper beats."""
    data = with_costs(report)
    if data.empty:
        return None
    figure, places = _by_suite(report, data)
    for axis, suite, backbone in places:
        shown = select(data, suite=suite, backbone=backbone)
        front = pareto_front(shown, cost)
        axis.plot(front[cost], 100 * front["score"], color=NEUTRAL, linewidth=1, drawstyle="steps-post", zorder=1)
        for row in sorted(rows_of(shown), key=lambda row: report.context.rows().index(row.method)):
            mark = {"linestyle": "none", "markersize": 5, **mark_of(report, row.method)}
            axis.plot(getattr(row, cost), 100 * row.score, label=row.method, **mark)
        _cost_axis(axis, data[cost])
    figure.supxlabel(label, fontsize=9)
    figure.supylabel("score (%)", fontsize=9)
    legend_above(figure, [axis for axis, _, _ in places])
    return Drawing(name, to_svg(figure))


def mark_of(report: Report, method: str) -> dict[str, Any]:
    """How a method is drawn: hollow where it tunes the backbone."""
    return look_of(report.context, method).mark(tuned=state_of(report, method) == "tuned")


def pareto_front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Those that score higher than everything that costs no more, cheapest first."""
    ordered = rows.sort_values([cost, "score"], ascending=[True, False], kind="stable")
    before = ordered["score"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["score"] > before]


def _cost_axis(axis: Axes, costs: pd.Series) -> None:
    """Powers of ten, with a place for 0."""
    known = costs[costs > 0]
    lowest, highest = (math.floor(math.log10(known.min())), math.log10(known.max())) if len(known) else (0, 1)
    axis.set_xscale("symlog", linthresh=10**lowest, linscale=0.4)
    powers = range(lowest, math.ceil(highest) + 1)
    axis.set_xticks([0, *(10.0**power for power in powers)], ["0", *(f"$10^{power}$" for power in powers)])
    axis.minorticks_off()
    axis.set_xlim(-0.3 * 10**lowest, 10 ** (highest + 0.3))


def _by_suite(report: Report, data: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, str, str]]]:
    """A panel a suite and backbone that there are data of."""
    there = set(zip(data["suite"], data["backbone"], strict=True))
    places = [(suite, name) for suite in report.context.suites for name in report.context.backbones]
    places = [place for place in places if place in there]
    titles = [f"{suite}, {backbone}" for suite, backbone in places]
    figure, axes = panels(titles, height=1.9, panel_width=4.2, share_y=False, extra=0.8)
    return figure, [(axis, *place) for axis, place in zip(axes, places, strict=True)]


def _tasks(report: Report, suite: str) -> Iterator[str]:
    return iter(report.collected.manifests[suite].headline_tasks)


def _task_name(suite: str, task: str) -> str:
    return task if suite == LAMA else f"{suite}/{task}"
