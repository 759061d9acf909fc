"""The figures of a report: what is drawn, from which numbers. How lines and dots look is `plots.py`."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.wordings import template_headlines
from softprompt.reporting.context import controls_last
from softprompt.reporting.rendering.overviews import draw_expected, draw_heat_map, draw_kept, draw_rows, mark_of
from softprompt.reporting.rendering.plots import (
    DASHES,
    NEUTRAL,
    PERCENTAGES,
    STYLE,
    Drawing,
    legend_above,
    look_of,
    panels,
    to_svg,
)
from softprompt.reporting.rendering.rankings import draw_ranks
from softprompt.reporting.rendering.trained_prompts import shares_by_place

SHOWN_TICKS = 4  # of an axis of steps


def draw_all(report: Report) -> list[Drawing]:
    """Every figure that has something to show."""
    drawings: list[Drawing | None] = []
    with mpl.rc_context(STYLE):
        drawings += [draw(report) for draw in (draw_heat_map, draw_rows, draw_kept, draw_expected)]
        for suite in report.context.suites:
            drawings += [draw_scores(report, suite), draw_wordings(report, suite), draw_curves(report, suite)]
            drawings.append(draw_ranks(report, suite))
        drawings += [draw_pretraining(report), draw_pool_usage(report)]
    return [drawing for drawing in drawings if drawing is not None]


def draw_scores(report: Report, suite: str) -> Drawing | None:
    """Every method's mean with its interval, replicates as small dots below; a panel a backbone."""
    means = select(report.suites, suite=suite, split="test")
    shown = set(means["method"])
    methods = [method for method in report.context.rows() if method in shown]
    if not methods:
        return None
    places = {method: len(methods) - 1 - number for number, method in enumerate(methods)}
    figure, axes = panels(report.context.backbones, height=0.6 + 0.24 * len(methods), share_y=True, extra=0)
    for axis, backbone in zip(axes, report.context.backbones, strict=True):
        for one in rows_of(select(_replicate_means(report, suite), backbone=backbone)):
            axis.plot(100 * one.score, places[one.method] - 0.3, ".", color=NEUTRAL, markersize=3)
        for row in rows_of(select(means, backbone=backbone)):
            look, place = look_of(report.context, row.method), places[row.method]
            if pd.notna(row.low):
                axis.plot([100 * row.low, 100 * row.high], [place, place], color=look.colour, linewidth=1.6)
            axis.plot(100 * row.macro, place, markersize=5, **mark_of(report, row.method))
        axis.set_yticks(list(places.values()), list(places))
        axis.set_ylim(-0.6, len(methods) - 0.4)
        axis.set(xlim=PERCENTAGES, xlabel=_score_name(suite))
    return Drawing(f"scores_{suite}", to_svg(figure))


def draw_wordings(report: Report, suite: str) -> Drawing | None:
    """Each manual template of a task as a dot, its mean as a dash, the choice of dev and p_tuning beside them."""
    data = _wordings(report, suite)
    if data.empty:
        return None
    tasks = sorted(data["task"].unique())
    places = {task: number for number, task in enumerate(tasks)}
    figure, axes = panels(report.context.backbones, height=2.6, panel_width=max(3.6, 0.42 * len(tasks)), share_y=True)
    for axis, backbone in zip(axes, report.context.backbones, strict=True):
        for kind, shift, look in _wording_looks(report):
            rows = select(data, backbone=backbone, kind=kind)
            x = [places[task] + shift for task in rows["task"]]
            axis.plot(x, 100 * rows["value"], linestyle="none", label=kind, **look)
        axis.set_xticks(list(places.values()), tasks, rotation=90 if len(tasks) > 6 else 0)
        axis.set_xlim(-0.6, len(tasks) - 0.4)
        axis.set(ylim=PERCENTAGES, ylabel=_score_name(suite))
    legend_above(figure, axes)
    return Drawing(f"wordings_{suite}", to_svg(figure))


def draw_curves(report: Report, suite: str) -> Drawing | None:
    """Dev score over training steps: a panel a method, a line a backbone."""
    data = select(report.curves, suite=suite)
    if data.empty:
        return None
    trained = set(data["method"])
    methods = [method for method in controls_last(report.context.methods) if method in trained]
    figure, axes = panels(methods, height=1.45, panel_width=2.1, share_y=True)
    ticks = doubling(sorted(data["step"].unique()))
    for axis, method in zip(axes, methods, strict=True):
        look = {"linewidth": 1.4, "markersize": 3.5, **mark_of(report, method)}
        for number, backbone in enumerate(report.context.backbones):
            line = select(data, backbone=backbone, method=method)
            axis.plot(line["step"], 100 * line["dev_score"], **look, **_dashes(number))
        axis.set_xscale("log")
        axis.minorticks_off()
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.set(ylim=PERCENTAGES, xlim=(0.85 * min(data["step"]), 1.18 * max(data["step"])))
    figure.supxlabel("training step", fontsize=9)
    figure.supylabel("dev score (%)", fontsize=9)
    lines = {name: _dashes(number) for number, name in enumerate(report.context.backbones)}
    legend_above(figure, (), {name: Line2D([], [], color="black", **dashes) for name, dashes in lines.items()})
    return Drawing(f"curves_{suite}", to_svg(figure))


def doubling(steps: list[int]) -> list[int]:
    """The first step, doubled, or quadrupled, ... until few ticks reach the last one."""
    for factor in (2**power for power in range(1, 63)):
        ticks = [steps[0]]
        while ticks[-1] * factor <= steps[-1]:
            ticks.append(ticks[-1] * factor)
        if len(ticks) <= SHOWN_TICKS:
            break
    return [int(tick) for tick in ticks]


def draw_pretraining(report: Report) -> Drawing | None:
    """What a backbone knows before any method touches it: every wording of every relation, by split of the facts."""
    if report.losses.empty or report.known_facts.empty:
        return None
    backbones = list(dict.fromkeys(report.known_facts["backbone"]))
    splits = sorted(report.known_facts["split"].unique())
    figure, (left, right) = panels(("pretraining loss", "facts known by wording"), height=2.8, share_y=False)
    for number, backbone in enumerate(backbones):
        loss = select(report.losses, backbone=backbone)
        left.plot(loss["step"], loss["loss"], color="black", label=backbone, **_dashes(number))
    left.set(xlabel="step", ylabel="loss (nats)")
    left.legend(frameon=False)
    places = [(backbone, split) for backbone in backbones for split in splits]
    for x, (backbone, split) in enumerate(places):
        known = 100 * select(report.known_facts, backbone=backbone, split=split)["p_at_1"]
        right.plot([x] * len(known), known, "o", color=NEUTRAL, markersize=4, alpha=0.5)
        right.plot(x, known.mean(), "_", color="black", markersize=16, markeredgewidth=2)
    right.set_xticks(range(len(places)), [f"{backbone} {split}" for backbone, split in places], rotation=45, ha="right")
    right.set_xlim(-0.5, len(places) - 0.5)
    right.set(ylim=PERCENTAGES, ylabel="P@1 (%)")
    return Drawing("pretraining", to_svg(figure))


def draw_pool_usage(report: Report) -> Drawing | None:
    """Mean share of a pool's most used prompt, its second and so on, beside even use; a panel a backbone."""
    data = shares_by_place(report.collected.pool_usage)
    if data.empty:
        return None
    methods = [method for method in report.context.rows() if method in set(data["method"])]
    figure, axes = panels(report.context.backbones, height=2.4, share_y=True)
    for axis, backbone in zip(axes, report.context.backbones, strict=True):
        for number, method in enumerate(methods):
            shares, width = select(data, backbone=backbone, method=method), 0.8 / len(methods)
            shift = (number - (len(methods) - 1) / 2) * width
            colour = look_of(report.context, method).colour
            axis.bar(shares["place"] + shift, 100 * shares["share"], width, color=colour, label=method)
        axis.axhline(100 / data["place"].max(), color="black", linewidth=1)
        axis.set(xlabel="prompts by use", ylabel="share (%)")
    legend_above(figure, axes)
    return Drawing("pool_usage", to_svg(figure))


def _dashes(number: int) -> dict[str, Any]:
    """How the lines of a backbone are broken."""
    return {"linestyle": DASHES[number % len(DASHES)]}


def _score_name(suite: str) -> str:
    return "P@1 (%)" if suite == "lama" else "score (%)"


def _replicate_means(report: Report, suite: str) -> pd.DataFrame:
    """Mean over tasks for each replicate, for those that have as many tasks as the method's fullest one."""
    replicates = select(report.headline, suite=suite, split="test").groupby(
        ["backbone", "method", "seed"], as_index=False
    )
    means = replicates.agg(score=("score", "mean"), tasks=("task", "size"))
    fullest = means.groupby(["backbone", "method"])["tasks"].transform("max")
    return means[means["tasks"] == fullest]


def _wordings(report: Report, suite: str) -> pd.DataFrame:
    """A row a mark: every manual template, their mean, and the test scores of manual_best and p_tuning."""
    columns = ["task", "backbone", "kind", "template", "value"]
    dots = select(template_headlines(report.templates, report.collected), suite=suite, split="test").rename(
        columns={"score": "value"}
    )
    if dots.empty:
        return pd.DataFrame(columns=columns)
    means = select(report.spread, suite=suite).rename(columns={"mean": "value"})
    tasks = select(report.tasks, suite=suite, split="test").rename(columns={"mean": "value"})
    others = tasks[tasks["method"].isin(("manual_best", "p_tuning"))]
    marks = [
        dots.assign(kind="manual template"),
        means.assign(kind="mean template", template=""),
        others.assign(kind=others["method"], template=""),
    ]
    frame = pd.concat([mark[columns] for mark in marks if not mark.empty])
    return frame.sort_values(columns).reset_index(drop=True)


def _wording_looks(report: Report) -> list[tuple[str, float, dict[str, Any]]]:
    """Kind, shift to the right of the task's place, and how it is drawn."""
    dot = {"marker": "o", "markersize": 4, "color": NEUTRAL, "alpha": 0.7}
    dash = {"marker": "_", "markersize": 12, "color": "black"}
    looks: list[tuple[str, float, dict[str, Any]]] = [("manual template", -0.12, dot), ("mean template", -0.12, dash)]
    for method in ("manual_best", "p_tuning"):
        if method in report.context.methods:
            looks.append((method, 0.18, {"markersize": 6, **look_of(report.context, method).mark()}))
    return looks
