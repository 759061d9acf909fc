"""Everything that tables, pages and figures show, computed once."""

from dataclasses import dataclass

import pandas as pd

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.comparisons import (
    against_best,
    compare,
    control_pairs,
    example_means,
    key_pairs,
    places_of,
)
from softprompt.reporting.analysis.curves import mean_curves
from softprompt.reporting.analysis.gaps import Gap, find_gaps
from softprompt.reporting.analysis.hyperparameters import chosen_settings
from softprompt.reporting.analysis.summary import cell_scores, headline_scores, suite_means, task_means
from softprompt.reporting.analysis.undertuned import undertuned_cells
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
    comparisons: pd.DataFrame
    places: dict[tuple[str, str, str, str], str]  # (family, task, backbone, method) -> best or tie
    templates: pd.DataFrame
    spread: pd.DataFrame
    settings: pd.DataFrame
    undertuned: pd.DataFrame
    curves: pd.DataFrame
    losses: pd.DataFrame
    known_facts: pd.DataFrame
    stated_facts: pd.DataFrame


def build_report(collected: Collected, context: ReportContext) -> Report:
    """The numbers of a report; nothing is written."""
    scores = cell_scores(collected.scores)
    headline = headline_scores(scores, collected)
    tasks, suites = task_means(headline), suite_means(headline, collected)
    pairs = [*key_pairs(context), *control_pairs(context), *against_best(suites, tasks)]
    headline_tasks = {suite: manifest.headline_tasks for suite, manifest in collected.manifests.items()}
    comparisons = compare(pairs, example_means(collected.examples), headline_tasks)
    templates = template_scores(collected.scores, collected.cells)
    return Report(
        context=context,
        collected=collected,
        gaps=find_gaps(collected, context),
        scores=scores,
        headline=headline,
        tasks=tasks,
        suites=suites,
        comparisons=comparisons,
        places=places_of(comparisons),
        templates=templates,
        spread=template_spread(templates, collected),
        settings=chosen_settings(collected.cells),
        undertuned=undertuned_cells(collected, context.budget),
        curves=mean_curves(collected.cells),
        losses=collected.losses,
        known_facts=collected.known_facts,
        stated_facts=collected.stated_facts,
    )
