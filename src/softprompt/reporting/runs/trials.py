"""A run a trial: a hyper-parameter setting of a study with its score on dev, below the result that it was tried for.

Nobody tests a trial: it has no `test/score`.
"""

from collections.abc import Iterator, Mapping, Sequence

from softprompt.reporting.runs.published import Place, Published
from softprompt.reporting.runs.results import name_of, trained_on, whole_suites
from softprompt.reporting.runs.run import ALL, Run, Value
from softprompt.reporting.runs.values import is_rate, log10_of
from softprompt.results import Cell, TrialRecord


def trial_runs(published: Published, results: Mapping[str, str]) -> Iterator[Run]:
    """`results` are the ids of their runs by name."""
    cells = published.cells | whole_suites(published)
    for (backbone, method), trials in published.trials.items():
        for trial in trials:
            suite, _, task = trial.study.partition("/")
            place = (suite, task or ALL, backbone, method)
            if place in cells:
                yield _trial_run(published, place, trial, cells[place], results[name_of(place)])


def _trial_run(published: Published, place: Place, trial: TrialRecord, tried_for: Sequence[Cell], parent: str) -> Run:
    suite, task, backbone, method = place
    chosen = any(_is_chosen(cell, trial, published.context.scheme) for cell in tried_for)
    made = max(published.made_at(cell) for cell in tried_for)
    rates = {f"log10_{name}": log10_of(float(value)) for name, value in trial.settings.items() if is_rate(name)}
    return Run(
        profile=published.context.profile,
        name=f"{trial.study} seed {trial.seed} #{trial.number} {method} {backbone}",
        places={
            "suite": suite, "task": task, "backbone": backbone, "method": method,
            "state": tried_for[0].state, "replicate": str(trial.seed),
            "chosen": _yes(chosen), "paper": _yes(trial.paper),
        },
        params={name: str(value) for name, value in trial.settings.items()} | rates,
        tags={"study": trial.study},
        metrics=[Value("dev/score", round(trial.dev_score, 6))],
        datasets=(trained_on(published, suite, task),),
        description=f"Trial {trial.number} of the study of {trial.study}, replicate {trial.seed}.",
        source=published.context.run.stage_of(method, backbone),
        parent=parent,
        started=made,
        ended=made,
    )  # fmt: skip


def _is_chosen(cell: Cell, trial: TrialRecord, scheme: str) -> bool:
    """Whether a cell was trained with the trial's setting: of its own study, or of the one that all seeds share."""
    alike = all(cell.settings.get(name) == value for name, value in trial.settings.items())
    return alike and (cell.seed == trial.seed or scheme == "shared")


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
