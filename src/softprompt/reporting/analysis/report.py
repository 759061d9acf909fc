"""Everything that tables, pages and figures show, computed once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.comparisons import (
    compare,
    control_pairs,
    key_pairs,
    may_be_best,
    table_pairs,
)
from softprompt.reporting.analysis.contributions import SCORE, samples_of
from softprompt.reporting.analysis.controls import control_verdicts
from softprompt.reporting.analysis.costs import costs
from softprompt.reporting.analysis.curves import mean_curves
from softprompt.reporting.analysis.expected_validation import expected_validation
from softprompt.reporting.analysis.gaps import Gap, find_gaps
from softprompt.reporting.analysis.hyperparameters import chosen_settings
from softprompt.reporting.analysis.intervals import ALL_TASKS, interval_table, scores_of, shown_intervals
from softprompt.reporting.analysis.ranks import Ranking, rank_table, rankings
from softprompt.reporting.analysis.summary import cell_scores, headline_scores, suite_means, task_means
from softprompt.reporting.analysis.undertuned import EVERY_TASK, mostly_undertuned, undertuned_cells
from softprompt.reporting.analysis.wordings import template_scores, template_spread
from softprompt.reporting.context import ReportContext


@dataclass(frozen=True)
class Report:
    """One frame a question; its columns are described where it is made."""

    context: ReportContext
    collected: Collected
    gaps: list[Gap]
    scores: pd.DataFrame
    headline: pd.DataFrame
    tasks: pd.DataFrame
    suites: pd.DataFrame
    intervals: pd.DataFrame  # of all scores, single metrics included
    comparisons: pd.DataFrame
    controls: pd.DataFrame
    best: set[tuple[str, str, str, str]]  # (suite, task or all, backbone, method) that may be the best of its state
    rankings: list[Ranking]
    ranks: pd.DataFrame
    templates: pd.DataFrame
    spread: pd.DataFrame
    settings: pd.DataFrame
    undertuned: pd.DataFrame
    costs: pd.DataFrame
    expected: pd.DataFrame
    curves: pd.DataFrame
    losses: pd.DataFrame
    known_facts: pd.DataFrame
    stated_facts: pd.DataFrame


def build_report(collected: Collected, context: ReportContext) -> Report:
    """The numbers of a report; nothing is written."""
    samples = samples_of(collected)
    scored = scores_of(samples, collected)
    intervals = interval_table(scored, samples, collected)
    shown = shown_intervals(intervals, collected)
    controls = control_pairs(context)
    comparisons = compare([*key_pairs(context), *controls, *table_pairs(scored, intervals)], scored)
    undertuned = undertuned_cells(collected, context.budget)
    scores, found = cell_scores(collected.scores), rankings(samples, collected)
    templates = template_scores(collected.scores, collected.cells)
    return Report(
        context=context,
        collected=collected,
        gaps=find_gaps(collected, context),
        scores=scores,
        headline=headline_scores(scores, collected),
        tasks=task_means(shown),
        suites=suite_means(shown),
        intervals=shown,
        comparisons=comparisons,
        controls=control_verdicts(controls, scored),
        best=_without_undertuned(may_be_best(scored, intervals, comparisons), undertuned),
        rankings=found,
        ranks=rank_table(found),
        templates=templates,
        spread=template_spread(templates, collected),
        settings=chosen_settings(collected.cells),
        undertuned=undertuned,
        costs=costs(collected.cells),
        expected=expected_validation(collected.trials),
        curves=mean_curves(collected.cells),
        losses=collected.losses,
        known_facts=collected.known_facts,
        stated_facts=collected.stated_facts,
    )


def intervals_with_ranks(report: Report) -> pd.DataFrame:
    """All intervals, with the rank of a score, whether its method may be the best of its column and state, and the
    share of its cells that is undertuned."""
    ranks = report.ranks.rename(columns={"low": "rank_low", "high": "rank_high"}).drop(columns="tasks")
    place = ["suite", "task", "backbone", "method"]
    joined = report.intervals.merge(
        ranks.assign(split="test", metric=SCORE), on=[*place, "state", "split", "metric"], how="left"
    )
    ranked = (joined["split"] == "test") & (joined["metric"] == SCORE)
    best = [one in report.best for one in joined[place].itertuples(index=False, name=None)]
    cells = pd.concat([report.undertuned, report.undertuned.assign(task=ALL_TASKS)])
    shares = cells.groupby(place, as_index=False).agg(undertuned=("undertuned", "mean"))
    return joined.assign(may_be_best=ranked & np.array(best, dtype=bool)).merge(shares, on=place, how="left")


def _without_undertuned(best: set[tuple[str, str, str, str]], cells: pd.DataFrame) -> set[tuple[str, str, str, str]]:
    """Nothing may be called the best in a column that is mostly undertuned."""
    columns = {place[:3] for place in best}
    spoilt = {
        (suite, task, backbone)
        for suite, task, backbone in columns
        if mostly_undertuned(cells, suite, backbone, EVERY_TASK if task == ALL_TASKS else task)
    }
    return {place for place in best if place[:3] not in spoilt}
