"""What a report has to know about the run that the results themselves do not say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from softprompt.config import Budget, Params, Run

CONTROLS = ("majority", "random_prompt", "random_backbone")
BASELINES = ("manual", "manual_best")
# A control may lead the majority answer by less than this: one fact in twenty, the smallest step that the withheld
# facts of a relation can show, and below every lead that a report draws a conclusion from.
CONTROL_MARGIN = 0.05


def controls_last(methods: Sequence[str]) -> list[str]:
    """The same in order but for the controls, for what is about learning."""
    return sorted(methods, key=CONTROLS.__contains__)


@dataclass(frozen=True)
class ReportContext:
    """The planned grid, in the order of params.yaml, and its budget. Cells outside are ignored, gaps inside named."""

    profile: str
    purpose: str
    run: Run
    budget_name: str
    budget: Budget
    seeds: tuple[int, ...]
    scheme: str  # of tuning: `replicate` or `shared`
    repos: Mapping[str, str] = field(default_factory=dict)  # backbone -> its name on the hub, where it is from there

    @property
    def suites(self) -> tuple[str, ...]:
        return self.run.suites

    @property
    def backbones(self) -> tuple[str, ...]:
        return self.run.backbones

    @property
    def methods(self) -> tuple[str, ...]:
        return self.run.methods

    def rows(self) -> tuple[str, ...]:
        """Methods in table order: controls, then untrained baselines, then the rest."""
        first = [method for method in (*CONTROLS, *BASELINES) if method in self.methods]
        return (*first, *(method for method in self.methods if method not in first))

    def position(self, method: str) -> int:
        """Place of a method in params.yaml, which fixes its colour and marker in all figures."""
        return self.methods.index(method)


def report_context(params: Params) -> ReportContext:
    """What the report needs to know of the settings."""
    return ReportContext(
        profile=params.profile,
        purpose=params.purpose,
        run=params.run,
        budget_name=params.budget,
        budget=params.chosen_budget,
        seeds=params.seeds,
        scheme=params.tuning.scheme,
        repos={name: repo for name in params.run.backbones if (repo := params.backbones[name].repo)},
    )
