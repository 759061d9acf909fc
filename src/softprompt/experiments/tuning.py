"""Optuna by ask and tell, in batches that train as fleets; a killed study goes on as if it had not been.

On disk are only trials with their scores, written whole after each batch. Optuna itself works in memory: every trial's
sampler is seeded by (study, trial number), so that what is proposed depends on the trials told so far and on nothing
else, and a trial that was asked for but never told is asked for again in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from softprompt.config import Choices, Kind, MethodSettings, Range, Tuning
from softprompt.results import Record, SearchedSetting, Setting, write_record
from softprompt.seeding import stream_seed


@dataclass(frozen=True)
class Trial:
    """A proposed value for every setting that is searched, sorted by name."""

    number: int
    settings: Mapping[str, Setting]
    is_paper: bool


class ToldTrial(Record):
    """A trial with its dev score, None where a member of it failed."""

    settings: dict[str, Setting]
    dev_score: float | None


class StudyRecord(Record):
    """All told trials of a study in order."""

    trials: tuple[ToldTrial, ...] = ()


class Study:
    """The search for one setting. A file that is missing or cannot be read is a study that has not begun."""

    def __init__(self, path: Path, name: str, settings: MethodSettings, kind: Kind, tuning: Tuning) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path = path
        self.name = name
        self.tuning = tuning
        self.search = settings.search
        self.space = {name: _distribution(settings, name) for name in sorted(settings.search)}
        self.paper = settings.paper.get(kind, {})
        self.record = _read(path)
        self.study = self._replayed()

    def told(self) -> int:
        """How many trials have their score."""
        return len(self.record.trials)

    def ask(self, count: int) -> list[Trial]:
        """The next trials, to be told before more are asked for."""
        asked = []
        for number in range(self.told(), self.told() + count):
            self.study.sampler = _sampler(self.tuning, self.name, number)
            asked.append(self._trial(number, self.study.ask(self.space).params))
        return asked

    def tell(self, outcomes: Sequence[tuple[Trial, float | None]]) -> None:
        """The mean dev score of each asked trial's members, or None where one of them failed."""
        for trial, score in outcomes:
            self.study.tell(trial.number, score, state=TrialState.FAIL if score is None else None)
        told = [ToldTrial(settings=dict(trial.settings), dev_score=score) for trial, score in outcomes]
        self.record = StudyRecord(trials=(*self.record.trials, *told))
        write_record(self.path, self.record)

    def scores(self) -> list[tuple[Trial, float]]:
        """All scored trials in order."""
        return [
            (self._trial(number, told.settings), told.dev_score)
            for number, told in enumerate(self.record.trials)
            if told.dev_score is not None
        ]

    def best(self) -> Trial | None:
        """The trial with the highest dev score, the earliest of equals; None where every trial failed."""
        scored = self.scores()
        return max(scored, key=lambda pair: (pair[1], -pair[0].number))[0] if scored else None

    def searched(self, trial: Trial) -> list[SearchedSetting]:
        """The ranges and what the trial chose in them."""
        return [_searched(name, self.search[name], trial.settings[name]) for name in self.space]

    def _trial(self, number: int, settings: Mapping[str, Setting]) -> Trial:
        return Trial(number, dict(sorted(settings.items())), is_paper=number == 0 and bool(self.paper))

    def _replayed(self) -> optuna.Study:
        study = optuna.create_study(study_name=self.name, direction="maximize")
        for told in self.record.trials:
            state = TrialState.FAIL if told.dev_score is None else TrialState.COMPLETE
            study.add_trial(
                create_trial(state=state, params=told.settings, distributions=self.space, value=told.dev_score)
            )
        if self.paper and not self.record.trials:
            study.enqueue_trial(self.paper)
        if self.tuning.sampler == "qmc":  # whose place in its sequence Optuna keeps beside the trials
            sampler = _sampler(self.tuning, self.name, 0)
            for trial in study.get_trials(deepcopy=False)[1:]:
                sampler.sample_relative(study, trial, self.space)
        return study


def tune(study: Study, trials: int, score: Callable[[Trial], float | None]) -> Trial | None:
    """Ask for trials in batches and tell their scores until there are so many; the best one."""
    while study.told() < trials:
        asked = study.ask(min(study.tuning.batch, trials - study.told()))
        study.tell([(trial, score(trial)) for trial in asked])
    return study.best()


def _read(path: Path) -> StudyRecord:
    try:
        return StudyRecord.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return StudyRecord()


def _distribution(settings: MethodSettings, name: str) -> BaseDistribution:
    space = settings.search[name]
    if isinstance(space, Choices):
        return CategoricalDistribution(space.root)
    whole = isinstance(getattr(settings, name), int)
    return (IntDistribution if whole else FloatDistribution)(space.low, space.high, log=space.log)


def _searched(name: str, space: Range | Choices, chosen: Setting) -> SearchedSetting:
    if isinstance(space, Choices):
        return SearchedSetting(name=name, choices=list(space.root), chosen=chosen)
    return SearchedSetting(name=name, low=space.low, high=space.high, log=space.log, chosen=float(chosen))


def _sampler(tuning: Tuning, study: str, number: int) -> BaseSampler:
    seed = stream_seed(f"{study}/{tuning.seed}/{number}", "sampler") % 2**32
    if tuning.sampler == "random":
        return RandomSampler(seed=seed)
    if tuning.sampler == "qmc":
        sequence_seed = stream_seed(f"{study}/{tuning.seed}", "sampler") % 2**32  # one low-discrepancy sequence a study
        return QMCSampler(seed=sequence_seed, scramble=True)
    if tuning.sampler == "gp":
        return GPSampler(seed=seed, n_startup_trials=tuning.batch)
    return TPESampler(seed=seed, n_startup_trials=tuning.batch, multivariate=True, constant_liar=True)
