"""Optuna by ask and tell, in batches that train as fleets; a killed study goes on as if it had not been.

On disk are only trials with their scores, written whole after each batch. Optuna itself works in memory: every trial's
sampler is seeded by the study's own stream and the trial's number, so that what is proposed depends on the trials told
so far and on nothing else, no two studies draw alike, and a trial that was asked for but never told is asked for again
in the same way.
"""

import warnings
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
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from softprompt.config import Choices, MethodSettings, Range, Tuning
from softprompt.records import Record, SealedRecord, write_record
from softprompt.results import SearchedSetting, Setting
from softprompt.seeding import stream_seed


@dataclass(frozen=True)
class Trial:
    """A proposed value for every setting that is searched, sorted by name; `is_paper` where they are the paper's own on
    the paper's own horizon."""

    number: int
    settings: Mapping[str, Setting]
    is_paper: bool


class ToldTrial(Record):
    """A trial with its dev score, None where a member of it failed."""

    settings: dict[str, Setting]
    dev_score: float | None


class StudyRecord(SealedRecord):
    """All told trials of a study in order."""

    trials: tuple[ToldTrial, ...] = ()


class Study:
    """The search for one setting. A file that is missing, damaged or edited is a study that has not begun.

    `stream` names what it draws from; the trial numbered 0 is the `paper`'s, where that is given.
    """

    def __init__(
        self, path: Path, stream: str, settings: MethodSettings, tuning: Tuning, paper: Mapping[str, Setting]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path = path
        self.stream = stream
        self.tuning = tuning
        self.search = settings.search
        self.space = {name: _distribution(settings, name) for name in sorted(settings.search)}
        self.paper = dict(paper)
        self.record = _read(path)
        self.study = self._replayed()

    def told(self) -> int:
        """How many trials have their score."""
        return len(self.record.trials)

    def ask(self, count: int) -> list[Trial]:
        """The next trials, to be told before more are asked for."""
        asked = []
        for number in range(self.told(), self.told() + count):
            self.study.sampler = self._sampler(number)
            asked.append(self._trial(number, self.study.ask(self.space).params))
        return asked

    def tell(self, outcomes: Sequence[tuple[Trial, float | None]]) -> None:
        """The mean dev score of each asked trial's members, or None where one of them failed."""
        for trial, score in outcomes:
            self.study.tell(trial.number, score, state=TrialState.FAIL if score is None else None)
        told = [ToldTrial(settings=dict(trial.settings), dev_score=score) for trial, score in outcomes]
        self.record = StudyRecord(trials=(*self.record.trials, *told))
        write_record(self.path, self.record)

    def begin_anew(self) -> None:
        """Forget all told trials: asked again in the same way, they find what was trained for them."""
        self.record = StudyRecord()
        self.study = self._replayed()

    def told_trials(self) -> list[Trial]:
        """All trials that have their score, failed ones too, in order."""
        return [self._trial(number, told.settings) for number, told in enumerate(self.record.trials)]

    def scores(self) -> list[tuple[Trial, float]]:
        """All scored trials in order."""
        pairs = zip(self.told_trials(), self.record.trials, strict=True)
        return [(trial, told.dev_score) for trial, told in pairs if told.dev_score is not None]

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
        study = optuna.create_study(direction="maximize")
        for told in self.record.trials:
            state = TrialState.FAIL if told.dev_score is None else TrialState.COMPLETE
            study.add_trial(
                create_trial(state=state, params=told.settings, distributions=self.space, value=told.dev_score)
            )
        if self.paper and not self.record.trials:
            study.enqueue_trial(self.paper)
        if self.tuning.sampler == "qmc":  # whose place in its sequence Optuna keeps beside the trials
            sampler = self._sampler(0)
            for trial in study.get_trials(deepcopy=False)[bool(self.paper) :]:
                sampler.sample_relative(study, trial, self.space)
        return study

    def _sampler(self, number: int) -> BaseSampler:
        seed = stream_seed(f"{self.stream}/{number}", "sampler") % 2**32
        if self.tuning.sampler == "random":
            return RandomSampler(seed=seed)
        if self.tuning.sampler == "qmc":
            return _SpaceFilling(self.space, seed=stream_seed(self.stream, "sampler") % 2**32)
        if self.tuning.sampler == "gp":
            return GPSampler(seed=seed, n_startup_trials=self.tuning.batch)
        return TPESampler(seed=seed, n_startup_trials=self.tuning.batch, multivariate=True, constant_liar=True)


class _SpaceFilling(QMCSampler):  # type: ignore[misc]  # optuna's samplers are untyped
    """One scrambled Sobol sequence a study, from its first trial on: Optuna's own draws that one at random, as the
    sampler has not seen the space yet."""

    def __init__(self, space: dict[str, BaseDistribution], seed: int) -> None:
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            super().__init__(seed=seed, scramble=True)
        self.space = space

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """The whole space, for every trial."""
        return self.space


def tune(study: Study, trials: int, score: Callable[[Trial], float | None]) -> Trial | None:
    """Ask for trials in batches and tell their scores until there are so many; the best one."""
    while study.told() < trials:
        asked = study.ask(min(study.tuning.batch, trials - study.told()))
        study.tell([(trial, score(trial)) for trial in asked])
    return study.best()


def _read(path: Path) -> StudyRecord:
    try:
        return StudyRecord.read(path)
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
