"""Studies by ask and tell: resumed anywhere, they propose what they would have proposed."""

from pathlib import Path

import pytest

from softprompt.config import LengthRange, PaperSetting, RateRange, Recipe, TrainedMethodSettings, Tuning
from softprompt.experiments.tuning import Study, Trial

SETTINGS = TrainedMethodSettings(
    recipe=Recipe(optimizer="adam"),
    learning_rate=RateRange(low=1e-5, high=1e-1),
    prompt_length=LengthRange(low=1, high=20),
    paper={"masked": PaperSetting(learning_rate=1e-5, prompt_length=9)},
)
SAMPLERS = ("tpe", "random", "qmc", "gp")


def study_at(path: Path, sampler: str, kind: str = "masked") -> Study:
    tuning = Tuning.model_validate({"sampler": sampler, "batch": 2})
    return Study(path / "study.journal", "lama", SETTINGS, kind, tuning)  # type: ignore[arg-type]


def score(trial: Trial) -> float:
    return trial.learning_rate * trial.prompt_length


def run(path: Path, sampler: str, batches: int, *, reopen: bool) -> list[Trial]:
    asked: list[Trial] = []
    study = study_at(path, sampler)
    for _ in range(batches):
        if reopen:
            study = study_at(path, sampler)
        trials = study.ask(2)
        asked += trials
        for trial in trials:
            study.tell(trial, score(trial))
    return asked


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # of the samplers that params may choose
def test_a_reopened_study_proposes_what_an_uninterrupted_one_does(tmp_path: Path, sampler: str) -> None:
    whole = run(tmp_path / "whole", sampler, 3, reopen=False)
    pieces = run(tmp_path / "pieces", sampler, 3, reopen=True)
    assert whole == pieces
    if sampler != "gp":  # which may go to the same edge of its range again
        assert len({trial.learning_rate for trial in whole}) == len(whole)


def test_trials_that_a_killed_run_asked_for_are_asked_again(tmp_path: Path) -> None:
    first = study_at(tmp_path, "tpe").ask(2)
    assert study_at(tmp_path, "tpe").ask(2) == first


def test_the_papers_setting_is_trial_0_where_the_paper_has_one(tmp_path: Path) -> None:
    trial = study_at(tmp_path / "masked", "tpe").ask(1)[0]
    assert (trial.learning_rate, trial.prompt_length, trial.is_paper) == (1e-5, 9, True)
    assert not study_at(tmp_path / "causal", "tpe", kind="causal").ask(1)[0].is_paper


def test_the_best_is_the_earliest_of_equals_and_never_a_failed_trial(tmp_path: Path) -> None:
    study = study_at(tmp_path, "random")
    trials = study.ask(4)
    for trial, value in zip(trials, (0.5, None, 0.7, 0.7), strict=True):
        study.tell(trial, value)
    assert study.best() == trials[2]
    assert study.told() == 4


def test_a_study_whose_trials_all_failed_has_no_best(tmp_path: Path) -> None:
    study = study_at(tmp_path, "random")
    for trial in study.ask(2):
        study.tell(trial, None)
    assert study.best() is None


def test_chosen_values_lie_in_their_ranges_and_edges_are_seen(tmp_path: Path) -> None:
    study = study_at(tmp_path, "random")
    for trial in study.ask(2):
        study.tell(trial, score(trial))
    paper, other = (study.searched(trial) for trial in study.ask(0) or [pair[0] for pair in study.scores()])
    assert [setting.on_edge() for setting in paper] == [True, False]
    assert all(setting.low <= setting.chosen <= setting.high for setting in other)
