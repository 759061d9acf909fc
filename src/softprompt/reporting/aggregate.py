"""results/ -> reports/: tables, figures and pages, byte for byte the same for the same results (but for timings.*)."""

import json
from io import StringIO
from pathlib import Path

import pandas as pd

from softprompt.files import write_atomically
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import collect, inputs_of
from softprompt.reporting.analysis.costs import timings
from softprompt.reporting.analysis.report import Report, build_report, intervals_with_ranks
from softprompt.reporting.analysis.summary import headline_means
from softprompt.reporting.context import ReportContext
from softprompt.reporting.rendering.digests import with_digests
from softprompt.reporting.rendering.figures import draw_all
from softprompt.reporting.rendering.pages import (
    render_costs,
    render_parameters,
    render_prompts,
    render_readme,
    render_suite,
    render_timings,
)

OWN_FILES = ("*.md", "plots/*")
NOISY = 3  # decimals of what rounding in training moves: cosines, shares, losses


def aggregate(paths: Paths, context: ReportContext, out: Path | None = None) -> None:
    """Write the report on all results in the planned grid, to `out` if not to its usual place. Pages of suites that are
    no longer planned are removed."""
    out = out or paths.reports
    report = build_report(collect(paths, context), context)
    files: dict[str, bytes | str] = {**_tables(report), **_pages(report)}
    for figure in draw_all(report):
        files[f"plots/{figure.name}.svg"] = figure.svg
    measured = timings(report.collected.cells)
    files |= {"timings.csv": to_csv(measured), "timings.md": render_timings(measured)}
    files = with_digests(files, context.profile, inputs_of(paths, context), paths.root)
    for name, content in files.items():
        write_atomically(out / name, content)
    for stale in [path for pattern in OWN_FILES for path in out.glob(pattern)]:
        if stale.relative_to(out).as_posix() not in files:
            stale.unlink()


def to_csv(frame: pd.DataFrame, decimals: int = 6) -> str:
    """So many decimals for every float that rounding noise is no difference."""
    buffer = StringIO()
    frame.to_csv(buffer, index=False, float_format=f"%.{decimals}f", lineterminator="\n")
    return buffer.getvalue()


def _tables(report: Report) -> dict[str, str]:
    return {
        "scores.csv": to_csv(report.scores),
        "coverage.csv": to_csv(report.collected.coverage),
        "templates.csv": to_csv(report.templates),
        "hyperparameters.csv": to_csv(report.settings),
        "intervals.csv": to_csv(intervals_with_ranks(report)),
        "comparisons.csv": to_csv(report.comparisons),
        "controls.csv": to_csv(report.controls),
        "curves.csv": to_csv(report.curves.round({"train_loss": NOISY})),
        "known_facts.csv": to_csv(report.known_facts),
        "costs.csv": to_csv(report.costs),
        "undertuned.csv": to_csv(report.undertuned),
        "expected_validation.csv": to_csv(report.expected),
        "nearest_tokens.csv": to_csv(report.collected.nearest_tokens, NOISY),
        "pool_usage.csv": to_csv(report.collected.pool_usage, NOISY),
        "metrics.json": json.dumps(headline_means(report.suites), indent=1, sort_keys=True) + "\n",
    }


def _pages(report: Report) -> dict[str, str]:
    suites = {f"{suite}.md": render_suite(report, suite) for suite in report.context.suites}
    prompts = {"prompts.md": render_prompts(report)} if report.collected.has_prompts else {}
    return {
        "README.md": render_readme(report),
        "costs.md": render_costs(report.costs),
        "parameters.md": render_parameters(report),
        **suites,
        **prompts,
    }
