"""Studies on disk, one file each, named by all that their trials depend on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.config import Kind, MethodSettings, Params
from softprompt.experiments.code_version import tuning_version
from softprompt.experiments.jobs import content_key
from softprompt.experiments.tuning import Study
from softprompt.results import TrialRecord


def open_study(
    folder: Path, name: str, depends_on: Mapping[str, Any], settings: MethodSettings, kind: Kind, params: Params
) -> Study:
    """A study, begun or not. Its name, which no other study has, is the stream that it draws from. `depends_on` says
    what the score of a trial hangs on, by task.

    The number of trials is in its key: what is proposed depends on where batches end, and the best of eight is no
    result of four. Members that were trained for a study of another size are found by their own keys.
    """
    budget = params.chosen_budget
    paper = settings.papers_values(kind, steps=budget.steps, batch_size=budget.batch_size)
    key = content_key(
        {
            "code": tuning_version(),
            "tasks": dict(depends_on),
            "settings": settings.model_dump(mode="json"),
            "paper": paper,
            "tuning": params.tuning.model_dump(mode="json", exclude={"scheme", "seed"}),
            "stream": name,
            "trials": budget.trials,
        }
    )
    return Study(folder / f"{name.replace('/', '-')}-{key}.json", name, settings, params.tuning, paper)


def trial_records(study: Study, unit: str, seed: int) -> list[TrialRecord]:
    """The scored trials of a study, as results have them."""
    return [
        TrialRecord(
            study=unit,
            seed=seed,
            number=trial.number,
            settings=dict(trial.settings),
            dev_score=score,
            paper=trial.is_paper,
        )
        for trial, score in study.scores()
    ]
