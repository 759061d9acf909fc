"""Methods tuned and trained again: which intervals hold their fresh scores, which verdicts a wider search moves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from softprompt.backbones.loading import load_configured
from softprompt.config import Params
from softprompt.errors import UserError
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.train import train_method
from softprompt.files import write_atomically
from softprompt.locks import only_process
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Collected, collect
from softprompt.reporting.analysis.comparisons import KEY
from softprompt.reporting.analysis.contributions import SCORE
from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.report import Report, build_report
from softprompt.reporting.context import report_context
from softprompt.reporting.rendering.markdown import percent, table
from softprompt.stage import LOCKS, PARAMS

METHODS = ("prompt_tuning", "p_tuning", "prefix_tuning", "p_tuning_v2", "prompt_pool")
MASTER_SEEDS = (1, 2, 3, 4)
WIDENED = "p_tuning"
WIDER = 10 / 3  # times the upper end of its learning rates
PAGE = Path("docs/retuning.md")
TEXT = """# Does the ranking survive another tuning seed?

Written by `make retune` for the profile `{profile}`. A replicate is the whole procedure, so what is tuned and trained
again with fresh seeds should lie inside the interval that the report prints.

**{inside} of {cases} fresh scores ({share} %) lie inside.** Each is a mean over {replicates} replicates, on the same
test examples.

{scores}

## A wider search

The upper end of `{method}`'s learning rates times {factor}, all else the same. Verdicts that moved: {moved}.

{verdicts}
"""


@dataclass(frozen=True)
class Retuned:
    """A score that the report prints with its interval, and what fresh master seeds make of it."""

    suite: str
    backbone: str
    method: str
    low: float
    high: float
    printed: float
    fresh: tuple[float, ...]

    @property
    def inside(self) -> int:
        """How many of the fresh scores the interval holds."""
        return sum(self.low <= score <= self.high for score in self.fresh)


def retune() -> None:
    """Tune and train again what the experiment asks for, then write its page."""
    params, paths = load_checked_params(PARAMS), Paths()
    if params.tuning.scheme != "replicate":
        raise UserError("make retune tunes again with fresh seeds, which needs tuning.scheme: replicate")
    context = report_context(params)
    with only_process("retune", LOCKS):
        collected = collect(paths, context)
        printed = build_report(collected, context)
        again = [_report_on(fresh_seeds(params, master), METHODS, f"seeds_{master}") for master in MASTER_SEEDS]
        wide = _collected_of(widened(params), (WIDENED,), "wider")
        moved = build_report(with_method_of(collected, wide, WIDENED), context)
        write_atomically(PAGE, page(retuned(printed, again), printed, moved))


def fresh_seeds(params: Params, master: int) -> Params:
    """The same run with as many other seeds."""
    return params.model_copy(update={"seeds": tuple(1000 * master + seed for seed in params.seeds)})


def widened(params: Params) -> Params:
    """The same run with a higher upper end of one method's learning rates."""
    section = params.methods[WIDENED]
    rates = section["search"]["learning_rate"]
    search = {**section["search"], "learning_rate": {**rates, "high": rates["high"] * WIDER}}
    return params.model_copy(update={"methods": {**params.methods, WIDENED: {**section, "search": search}}})


def retuned(printed: Report, again: Sequence[Report]) -> list[Retuned]:
    """A row a suite, backbone and method."""
    fresh = [{_place(row): row.score for row in _headlines(report)} for report in again]
    return [
        Retuned(*_place(row), row.low, row.high, row.score, tuple(scores[_place(row)] for scores in fresh))
        for row in _headlines(printed)
        if all(_place(row) in scores for scores in fresh)
    ]


def with_method_of(collected: Collected, other: Collected, method: str) -> Collected:
    """The results of one run with those of another for a single method."""

    def joined(frame: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame[frame["method"] != method], theirs], ignore_index=True)

    return replace(
        collected,
        cells=[*(cell for cell in collected.cells if cell.method != method), *other.cells],
        trials=[*(trial for trial in collected.trials if trial.method != method), *other.trials],
        scores=joined(collected.scores, other.scores),
        examples=joined(collected.examples, other.examples),
    )


def page(rows: Sequence[Retuned], printed: Report, moved: Report) -> str:
    """Both tables in Markdown."""
    cases, inside = sum(len(row.fresh) for row in rows), sum(row.inside for row in rows)
    verdicts = list(_verdicts(printed, moved))
    changed = sum(before != after for *_, before, after in verdicts)
    seeds = [f"seeds {master}" for master in MASTER_SEEDS]
    return TEXT.format(
        profile=printed.context.profile,
        replicates=len(printed.context.seeds),
        inside=inside,
        cases=cases,
        share=percent(inside / cases),
        scores=table(
            ["suite", "backbone", "method", "printed", "95 % interval", *seeds, "inside"], [*map(_row, rows)], left=3
        ),
        method=WIDENED,
        factor=f"{WIDER:.2g}",
        moved=f"{changed or 'none'} of {len(verdicts)}",
        verdicts=table(["suite", "backbone", "question", "as printed", "wider"], [*map(list, verdicts)], left=5),
    )


def _report_on(params: Params, methods: Sequence[str], name: str) -> Report:
    return build_report(_collected_of(params, methods, name), report_context(_only(params, methods)))


def _collected_of(params: Params, methods: Sequence[str], name: str) -> Collected:
    """Trained and evaluated in a folder of its own, on the data and backbones that are there."""
    only, paths = _only(params, methods), Paths(Paths().results / "retuning" / name)
    for folder in ("data", "models"):
        link = paths.root / folder
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path(folder).absolute(), target_is_directory=True)
    for backbone_name in only.run.backbones:
        backbone = load_configured(only, backbone_name, paths, threads=1)
        for method in methods:
            train_method(only, method, build_method(method, only.methods[method]), backbone, paths)
        evaluate_backbone(only, backbone, paths)
    return collect(paths, report_context(only))


def _only(params: Params, methods: Sequence[str]) -> Params:
    run = params.run.model_copy(update={"untrained": (), "trained": tuple(methods)})
    return params.model_copy(update={"run": run})


def _headlines(report: Report) -> Iterator[pd.Series]:
    return rows_of(select(report.intervals, task=ALL_TASKS, split="test", metric=SCORE))


def _place(row: pd.Series) -> tuple[str, str, str]:
    return row.suite, row.backbone, row.method


def _row(row: Retuned) -> list[str]:
    scores = [percent(score) + ("" if row.low <= score <= row.high else " (outside)") for score in row.fresh]
    interval = f"{percent(row.low)} to {percent(row.high)}"
    return [row.suite, row.backbone, f"`{row.method}`", percent(row.printed), interval, *scores, str(row.inside)]


def _verdicts(printed: Report, moved: Report) -> Iterator[tuple[str, str, str, str, str]]:
    """(suite, backbone, question, answer as printed, answer after the wider search)."""
    for before in rows_of(select(printed.comparisons, family=KEY)):
        (after,) = rows_of(
            select(moved.comparisons, family=KEY, suite=before.suite, backbone=before.backbone, against=before.against)
        )
        question = f"`{before.method}` against `{before.against}`"
        yield before.suite, before.backbone, question, _answer(before), _answer(after)
    for row in _headlines(printed):
        place = (row.suite, ALL_TASKS, row.backbone, WIDENED)
        if row.method == WIDENED:
            answers = ["may be the best" if place in report.best else "is beaten" for report in (printed, moved)]
            yield row.suite, row.backbone, f"`{WIDENED}` among frozen methods", *answers


def _answer(row: pd.Series) -> str:
    """Where the interval of a difference lies."""
    if row.low <= 0 <= row.high:
        return "interval holds 0"
    return "above" if row.effect > 0 else "below"
