"""Saved views of MLflow's tables of runs: filter, sort, columns and charts, one a question.

MLflow 3.17 keeps a view as a tag of the experiment; a link opens it by the key of the tag (`?viewStateShareKey=`), and
the menu of views above the table lists them by name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.reporting.runs.published import Published
from softprompt.reporting.runs.run import ALL
from softprompt.reporting.runs.values import is_rate

RESULTS, TRIALS = "results", "trials"
TAG = "mlflow.sharedViewState."
FIRST_MADE = 1_700_000_000_000  # ms since 1970, of which the menu sorts by: any fixed time, for nothing here has one
BEST = ["params.method", "params.state", "test/score", "test/low", "test/high", "params.may_be_best", "undertuned"]
COST = [
    "params.method",
    "params.state",
    "test/score",
    "seconds/search",
    "memory_mib/search",
    "rows/search",
    "parameters/kept",
]


@dataclass(frozen=True)
class View:
    """`key` is unique within an experiment; `printed` ones are named where the UI starts."""

    experiment: str
    key: str
    question: str
    of: str
    state: Mapping[str, Any]
    charts: bool = False  # open on the charts rather than the table
    printed: bool = False

    def tag(self) -> str:
        return TAG + self.key

    def text(self, place: int) -> str:
        """The tag's value; views with a lower place come first in the menu."""
        made = FIRST_MADE - 1000 * place
        shown = {"name": f"{self.question}: {self.of}", "createdAt": made, "updatedAt": made}
        return json.dumps(shown | {"state": json.dumps(self.state), "charts": self.charts, "printed": self.printed})


def printed_link(experiment_id: str, tag: str, value: str) -> tuple[int, str, str] | None:
    """When the saved view of a tag was made, its name, and what follows the address of the UI; None where the view is
    no printed one of ours."""
    try:
        view = json.loads(value)
    except ValueError:
        return None
    if not tag.startswith(TAG) or not isinstance(view, dict) or not view.get("printed"):
        return None
    mode = "&compareRunsMode=CHART" if view["charts"] else ""
    asked = f"workflowType=machine_learning{mode}&viewStateShareKey={tag.removeprefix(TAG)}"
    return view["createdAt"], view["name"], f"/#/experiments/{experiment_id}/runs?{asked}"


def views_of(published: Published) -> Iterator[View]:
    """Which method is best for a task, what that cost, and how rate and length mattered to a method."""
    context = published.context
    for backbone in context.backbones:
        for suite, manifest in published.manifests.items():
            for task in (ALL, *manifest.tasks):
                yield _ranking(context.profile, suite, task, backbone, "Best", BEST, printed=task == ALL)
            yield _ranking(context.profile, suite, ALL, backbone, "Cost", COST, printed=True)
    for (backbone, method), trials in published.trials.items():
        searched = list(dict.fromkeys(name for trial in trials for name in trial.settings))
        if searched:
            places = {"profile": context.profile, "method": method, "backbone": backbone}
            yield View(
                experiment=TRIALS,
                key=f"{context.profile}.settings.{method}.{backbone}",
                question="Settings",
                of=f"{method} on {backbone} ({context.profile})",
                state=_charts(places, searched),
                charts=True,
                printed=backbone == context.backbones[0],
            )


def _ranking(
    profile: str, suite: str, task: str, backbone: str, question: str, columns: Sequence[str], *, printed: bool
) -> View:
    places = {"profile": profile, "suite": suite, "task": task, "backbone": backbone}
    return View(
        experiment=RESULTS,
        key=f"{profile}.{question.lower()}.{suite}.{task}.{backbone}",
        question=question,
        of=f"{suite}/{task} on {backbone} ({profile})",
        state=_table(places, columns, "test/score" if columns is BEST else "seconds/search"),
        printed=printed,
    )


def _table(places: Mapping[str, str], columns: Sequence[str], order: str) -> dict[str, Any]:
    """Runs of these places, highest first."""
    return {
        "searchFilter": " AND ".join(f"tags.{name} = '{value}'" for name, value in places.items()),
        "orderByKey": _column(order),
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [_column(name) for name in columns],
        "runsHiddenMode": "SHOW_ALL",
    }


def _column(name: str) -> str:
    """As MLflow names it: params.`method`; without a kind it is a metric."""
    kind, dot, rest = name.partition(".")
    return f"{kind}.`{rest}`" if dot else f"metrics.`{name}`"


def _charts(places: Mapping[str, str], searched: Sequence[str]) -> dict[str, Any]:
    """The score on dev against every setting that was searched, one by one and together."""
    axes = [f"log10_{name}" if is_rate(name) else name for name in searched]
    columns = [*(f"params.{name}" for name in ("suite", "task", "replicate", *axes, "chosen")), "dev/score"]
    common = {"deleted": False, "isGenerated": False, "metricSectionId": "dev", "runsCountToCompare": 100}
    score = {"key": "dev/score", "type": "METRIC"}
    scatters = [
        common | {"uuid": axis, "type": "SCATTER", "xaxis": {"key": axis, "type": "PARAM"}, "yaxis": score}
        for axis in axes
    ]
    together = {"selectedParams": axes, "selectedMetrics": ["dev/score"], "showAllRuns": True}
    deleted = {"uuid": "bars", "type": "BAR", "metricKey": "dev/score"} | common | {"deleted": True}  # or it is added
    return _table(places, columns, "dev/score") | {
        "runListHidden": True,
        "compareRunCharts": [{"uuid": "together", "type": "PARALLEL"} | together | common, *scatters, deleted],
        "compareRunSections": [
            {"uuid": "dev", "name": "Score on dev by setting", "display": True, "isReordered": True, "deleted": False,
             "isGenerated": False},
        ],
        "isAccordionReordered": True,
    }  # fmt: skip
