"""Studies by ask and tell: resumed anywhere, they propose what they would have proposed."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from softprompt.config import TrainedMethodSettings, Tuning
from softprompt.experiments.tuning import Study, Trial, tune
from softprompt.results import Setting

SETTINGS = TrainedMethodSettings.model_validate(
    {
        "recipe": {"optimizer": "adam"},
        "search": {"prompt_length": {"low": 1, "high": 20}, "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}},
        "paper": {
            "steps": 250,
            "batch_size": 16,
            "values": {"masked": {"learning_rate": 1e-5, "prompt_length": 9}},
        },
    }
)
PAPER = SETTINGS.papers_values("masked", steps=250, batch_size=16)
SAMPLERS = ("tpe", "random", "qmc", "gp")


def study_at(
    folder: Path,
    sampler: str,
    *,
    stream: str = "lama/p_tuning/tiny_bert/0",
    settings: TrainedMethodSettings = SETTINGS,
    paper: Mapping[str, Setting] = PAPER,
) -> Study:
    tuning = Tuning.model_validate({"sampler": sampler, "batch": 2})
    return Study(folder / "study.json", stream, settings, tuning, paper)


def score(trial: Trial) -> float:
    return float(trial.settings["learning_rate"]) * float(trial.settings["prompt_length"])


def run(path: Path, sampler: str, batches: int, *, reopen: bool) -> list[Trial]:
    asked: list[Trial] = []
    study = study_at(path, sampler)
    for _ in range(batches):
        if reopen:
            study = study_at(path, sampler)
        trials = study.ask(2)
        asked += trials
        study.tell([(trial, None if trial.number == 3 else score(trial)) for trial in trials])
    return asked


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # of the samplers that params may choose
def test_a_reopened_study_proposes_what_an_uninterrupted_one_does(tmp_path: Path, sampler: str) -> None:
    whole = run(tmp_path / "whole", sampler, 3, reopen=False)
    pieces = run(tmp_path / "pieces", sampler, 3, reopen=True)
    assert whole == pieces
    if sampler != "gp":  # which may go to the same edge of its range again
        assert len({trial.settings["learning_rate"] for trial in whole}) == len(whole)


def test_trials_that_a_killed_run_asked_for_are_asked_again(tmp_path: Path) -> None:
    first = study_at(tmp_path, "tpe").ask(2)
    assert study_at(tmp_path, "tpe").ask(2) == first


def test_a_file_cut_anywhere_in_its_last_record_leads_to_the_same_trials(tmp_path: Path) -> None:
    tune(study_at(tmp_path, "tpe"), 4, score)
    path = tmp_path / "study.json"
    whole = path.read_bytes()
    for end in range(whole.rindex(b"{"), len(whole)):
        path.write_bytes(whole[:end])
        tune(study_at(tmp_path, "tpe"), 4, score)
        assert path.read_bytes().rstrip() == whole.rstrip(), end


def test_the_file_of_another_study_is_none_of_this_one(tmp_path: Path) -> None:
    tune(study_at(tmp_path, "random"), 3, score)
    (tmp_path / "study.json").rename(tmp_path / "another.json")
    assert Study(tmp_path / "another.json", "another", SETTINGS, Tuning(), PAPER).told() == 0


def test_a_study_with_any_byte_changed_is_whole_or_has_not_begun(tmp_path: Path) -> None:
    tune(study_at(tmp_path, "random"), 3, score)
    path = tmp_path / "study.json"
    whole, scores = path.read_bytes(), study_at(tmp_path, "random").scores()
    for place in range(len(whole)):
        for bit in (1, 16):  # a digit is another digit, or none any more
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert study_at(tmp_path, "random").scores() in (scores, []), place


def test_a_finished_study_is_not_written_again(tmp_path: Path) -> None:
    tune(study_at(tmp_path, "tpe"), 4, score)
    written = (tmp_path / "study.json").stat().st_mtime_ns
    best = tune(study_at(tmp_path, "tpe"), 4, lambda _: pytest.fail("a told trial was scored again"))
    assert best is not None
    assert (tmp_path / "study.json").stat().st_mtime_ns == written
    assert tune(study_at(tmp_path, "tpe"), 6, score) is not None
    assert study_at(tmp_path, "tpe").told() == 6


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_papers_setting_is_trial_0_where_it_is_given(tmp_path: Path, sampler: str) -> None:
    trial, other = study_at(tmp_path / "given", sampler).ask(2)
    assert list(trial.settings.items()) == [("learning_rate", 1e-5), ("prompt_length", 9)]
    assert (trial.is_paper, other.is_paper) == (True, False)
    assert not study_at(tmp_path / "none", sampler, paper={}).ask(1)[0].is_paper


def test_a_setting_is_the_papers_on_its_own_horizon_and_kind_of_backbone_only() -> None:
    assert PAPER == {"learning_rate": 1e-5, "prompt_length": 9}
    assert SETTINGS.papers_values("masked", steps=40, batch_size=16) == {}
    assert SETTINGS.papers_values("masked", steps=250, batch_size=8) == {}
    assert SETTINGS.papers_values("causal", steps=250, batch_size=16) == {}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_studies_of_other_units_methods_backbones_and_replicates_draw_otherwise(tmp_path: Path, sampler: str) -> None:
    streams = [
        f"{unit}/{method}/{backbone}/{seed}"
        for unit in ("lama", "fewglue/cb")
        for method in ("p_tuning", "prompt_tuning")
        for backbone in ("tiny_bert", "tiny_gpt2")
        for seed in (0, 1)
    ]
    drawn = [
        study_at(tmp_path, sampler, stream=stream, paper={}).ask(1)[0].settings["learning_rate"] for stream in streams
    ]
    assert len(set(drawn)) == len(streams)


@pytest.mark.parametrize("trials", [4, 8])
def test_few_trials_of_qmc_fill_the_space(tmp_path: Path, trials: int) -> None:
    """A Sobol sequence puts one of 2^k points into every 2^k-th part of each axis, its first one included."""
    study = study_at(tmp_path, "qmc", paper={})
    asked = study.ask(trials)
    rates = [(math.log10(float(trial.settings["learning_rate"])) + 5) / 4 for trial in asked]
    assert sorted(int(rate * trials) for rate in rates) == list(range(trials))


def test_the_best_is_the_earliest_of_equals_and_never_a_failed_trial(tmp_path: Path) -> None:
    study = study_at(tmp_path, "random")
    trials = study.ask(4)
    study.tell(list(zip(trials, (0.5, None, 0.7, 0.7), strict=True)))
    assert study.best() == trials[2]
    assert study.told() == 4


def test_a_study_whose_trials_all_failed_has_no_best(tmp_path: Path) -> None:
    assert tune(study_at(tmp_path, "random"), 2, lambda _: None) is None


def test_chosen_values_lie_in_their_ranges_and_edges_are_seen(tmp_path: Path) -> None:
    study = study_at(tmp_path, "random")
    tune(study, 2, score)
    paper, other = (study.searched(trial) for trial, _ in study.scores())
    assert [setting.on_edge() for setting in paper] == [True, False]
    for setting in other:
        assert setting.low is not None
        assert setting.high is not None
        assert setting.low <= float(setting.chosen) <= setting.high


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_choices_are_searched_beside_numbers_and_have_no_edge(tmp_path: Path, sampler: str) -> None:
    settings = TrainedMethodSettings.model_validate(
        {
            "recipe": {"optimizer": "adam"},
            "search": {"prompt_length": [1, 5, 20], "learning_rate": {"low": 0.1, "high": 0.2}},
        }
    )
    study = study_at(tmp_path, sampler, settings=settings, paper={})
    tune(study, 8, score)
    reopened = study_at(tmp_path, sampler, settings=settings, paper={})
    assert reopened.scores() == study.scores()
    assert {trial.settings["prompt_length"] for trial, _ in study.scores()} <= {1, 5, 20}
    assert len({trial.settings["prompt_length"] for trial, _ in study.scores()}) > 1
    best = study.best()
    assert best is not None
    rate, length = study.searched(best)
    assert (rate.low, rate.high, rate.choices) == (0.1, 0.2, [])
    assert (length.low, length.choices, length.on_edge()) == (None, [1, 5, 20], False)
