"""The Markdown pages: jinja2 templates hold the words, this module hands them numbers."""

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from softprompt.reporting.analysis.comparisons import KEY
from softprompt.reporting.analysis.frames import select
from softprompt.reporting.analysis.hyperparameters import ranges_in_words
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.context import CONTROL_MARGIN
from softprompt.reporting.rendering.answer_tables import answer_tables
from softprompt.reporting.rendering.captions import (
    clusters_in_words,
    headline_caption,
    interval_words,
    mark_words,
    suite_title,
    tuning_words,
)
from softprompt.reporting.rendering.cost_tables import search_table, timing_table, training_table
from softprompt.reporting.rendering.findings import (
    control_table,
    control_verdict,
    dropped_lines,
    edge_sentence,
    gap_lines,
    key_lines,
    spread_lines,
)
from softprompt.reporting.rendering.lama_tables import lama_tables
from softprompt.reporting.rendering.manual_templates import (
    family_table,
    spread_table,
    stated_facts_lines,
    wording_table,
)
from softprompt.reporting.rendering.markdown import as_text, counted, whole_percent
from softprompt.reporting.rendering.parameter_counts import run_parameters, source_parameters
from softprompt.reporting.rendering.provenance import data_lines, overlap_lines, run_lines
from softprompt.reporting.rendering.published import MARK, published_table
from softprompt.reporting.rendering.rankings import rank_table, rank_words
from softprompt.reporting.rendering.scoreboard import (
    control_split_table,
    headline_table,
    lama_metric_table,
    metric_table,
    score_words,
    task_table,
)
from softprompt.reporting.rendering.trained_prompts import SHOWN_VECTORS, likeness_table, nearest_table, usage_table
from softprompt.reporting.rendering.undertuning import undertuned_sentence, undertuned_table

SHOWN_GAPS = 12


def render_readme(report: Report) -> str:
    """The page that is read in a minute."""
    gaps, found = gap_lines(report.gaps), answer_tables(report)
    return _render(
        "README.md",
        report,
        suites=[
            {
                "name": suite,
                "title": suite_title(report, suite),
                "answers": found.get(suite, ""),
                "table": headline_table(report, suite),
                "caption": headline_caption(report, suite),
                "dropped": dropped_lines(report, suite),
            }
            for suite in report.context.suites
        ],
        interval_words=interval_words(report, clusters_in_words(report)),
        mark_words=mark_words(report),
        expected=not report.expected.empty,
        scored=len(select(report.headline, split="test")),
        without_score=sum(len(gap.cells) for gap in report.gaps),
        key=key_lines(report),
        key_family=len(select(report.comparisons, family=KEY)),
        tuning_words=tuning_words(report),
        controls=control_table(report),
        control_verdict=control_verdict(report),
        control_margin=100 * CONTROL_MARGIN,
        spread=spread_lines(report, "lama"),
        ranges=ranges_in_words(report.settings),
        edges=edge_sentence(report),
        undertuned=undertuned_sentence(report.undertuned),
        undertuned_table=undertuned_table(report.undertuned),
        gaps=gaps[:SHOWN_GAPS],
        hidden_gaps=len(gaps) - SHOWN_GAPS,
        provenance=data_lines(report.collected) + run_lines(report.collected.cells),
        pretrained=not (report.losses.empty or report.known_facts.empty),
        prompts=report.collected.has_prompts,
    )


def render_suite(report: Report, suite: str) -> str:
    """A suite task by task."""
    left_out = report.collected.manifests[suite].content["left_out"]
    return _render(
        "suite.md",
        report,
        suite=suite,
        title=suite_title(report, suite),
        what=headline_caption(report, suite),
        dropped=dropped_lines(report, suite),
        relations=lama_tables(report) if suite == "lama" else {},
        overlaps=overlap_lines(report.collected.manifests[suite]),
        tables={name: _backbone_tables(report, suite, name) for name in report.context.backbones},
        task_caption=interval_words(report, "facts" if suite == "lama" else "examples, those of a passage together"),
        column_mark=mark_words(report),
        ranks=rank_table(report, suite),
        rank_words=rank_words(report, suite),
        scored=score_words(report.collected.manifests[suite]),
        wordings=wording_table(report, suite),
        spread=spread_table(report, suite),
        families=family_table(report, suite) if suite == "lama" else "",
        stated_facts=stated_facts_lines(report) if suite == "lama" else [],
        withheld=control_split_table(report, suite, "withheld"),
        published=published_table(report, suite),
        mark=MARK,
        curves=not select(report.curves, suite=suite).empty,
        gaps=gap_lines([gap for gap in report.gaps if gap.suite == suite]),
        left_out={as_text(name): as_text(entry["reason"]) for name, entry in left_out.items()},
    )


def _backbone_tables(report: Report, suite: str, backbone: str) -> dict[str, str]:
    """Means, tasks and single metrics, by their names in the page; empty where there is nothing more to say."""
    lama = suite == "lama"
    return {
        "means": lama_metric_table(report, backbone) if lama else "",
        "tasks": task_table(report, suite, backbone),
        "metrics": "" if lama else metric_table(report, suite, backbone),
    }


def render_parameters(report: Report) -> str:
    """Parameters trained and kept, of this run and of sources."""
    return _render("parameters.md", report, run=run_parameters(report), sources=source_parameters())


def render_prompts(report: Report) -> str:
    """What trained prompts hold."""
    tables = {backbone: nearest_table(report, backbone) for backbone in report.context.backbones}
    nearest = {backbone: words for backbone, words in tables.items() if words}
    likeness, usage = likeness_table(report), usage_table(report)
    return _render("prompts.md", report, likeness=likeness, nearest=nearest, usage=usage, shown=SHOWN_VECTORS)


def render_costs(costs: pd.DataFrame) -> str:
    """Trials, steps and rows."""
    tables = {"training": training_table(costs), "search": search_table(costs)}
    return _environment().get_template("costs.md").render(**tables)


def render_timings(timings: pd.DataFrame) -> str:
    """Seconds, speed and memory."""
    return _environment().get_template("timings.md").render(table=timing_table(timings))


def _render(name: str, report: Report, **values: object) -> str:
    levels = {"confidence": whole_percent(CONFIDENCE), "alpha": whole_percent(ALPHA)}
    common = {"context": report.context, "counted": counted}
    return _environment().get_template(name).render(**common, **levels, **values)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("softprompt.reporting", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
