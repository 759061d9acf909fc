"""Optuna by ask and tell, in batches that train as fleets; a killed study goes on as if it had not been."""

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from softprompt.config import Kind, TrainedMethodSettings, Tuning
from softprompt.results import SearchedSetting, Setting
from softprompt.seeding import stream_seed


@dataclass(frozen=True)
class Trial:
    """A proposed setting. `prompt_length` is 0 for methods without a prompt, `learning_rate` None where no gradient is
    descended."""

    number: int
    learning_rate: float | None
    prompt_length: int
    is_paper: bool

    def settings(self) -> dict[str, Setting]:
        """What the method has of the two, by name."""
        rate: dict[str, Setting] = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return rate | ({"prompt_length": self.prompt_length} if self.prompt_length else {})


class Study:
    """The search for one setting, on disk from the first question on.

    Every trial's sampler is seeded by (study, trial number), so that what is proposed depends on the trials told so far
    and on nothing else: not on when the process was started, nor on how often.
    """

    def __init__(self, journal: Path, name: str, settings: TrainedMethodSettings, kind: Kind, tuning: Tuning) -> None:
        journal.parent.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = name
        self.tuning = tuning
        self.space = _distributions(settings)
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
        self.paper = _paper_parameters(settings, kind)
        if self.paper and not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(self.paper)

    def told(self) -> int:
        """How many trials have their score."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    def ask(self, count: int) -> list[Trial]:
        """The next trials: first those that a killed run had asked for, then new ones."""
        running = [trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        while len(running) < count:
            number = len([t for t in self.study.get_trials(deepcopy=False) if t.state != TrialState.WAITING])
            self.study.sampler = _sampler(self.tuning, self.name, number)
            running.append(self.study.ask(self.space).number)
        return [self._trial(number) for number in sorted(running)[:count]]

    def tell(self, trial: Trial, dev_score: float | None) -> None:
        """The mean dev score of a trial's members, or None where one of them failed."""
        if dev_score is None:
            self.study.tell(trial.number, state=TrialState.FAIL)
        else:
            self.study.tell(trial.number, dev_score)

    def scores(self) -> list[tuple[Trial, float]]:
        """All scored trials in order."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [(self._trial(trial.number), float(trial.value)) for trial in complete if trial.value is not None]

    def best(self) -> Trial | None:
        """The trial with the highest dev score, the earliest of equals; None where every trial failed."""
        scored = self.scores()
        return max(scored, key=lambda pair: (pair[1], -pair[0].number))[0] if scored else None

    def searched(self, trial: Trial) -> list[SearchedSetting]:
        """The ranges and what the trial chose in them."""
        chosen = {name: float(value) for name, value in trial.settings().items()}
        return [
            SearchedSetting(name=name, low=space.low, high=space.high, log=space.log, chosen=chosen[name])
            for name, space in self.space.items()
        ]

    def _trial(self, number: int) -> Trial:
        parameters = self.study.get_trials(deepcopy=False)[number].params
        return Trial(
            number=number,
            learning_rate=parameters.get("learning_rate"),
            prompt_length=parameters.get("prompt_length", 0),
            is_paper=number == 0 and bool(self.paper),
        )


def _distributions(settings: TrainedMethodSettings) -> dict[str, FloatDistribution | IntDistribution]:
    space: dict[str, FloatDistribution | IntDistribution] = {}
    if settings.learning_rate is not None:
        space["learning_rate"] = FloatDistribution(settings.learning_rate.low, settings.learning_rate.high, log=True)
    if settings.prompt_length is not None:
        space["prompt_length"] = IntDistribution(settings.prompt_length.low, settings.prompt_length.high)
    return space


def _paper_parameters(settings: TrainedMethodSettings, kind: Kind) -> dict[str, float]:
    paper = settings.paper.get(kind)
    return {} if paper is None else paper.model_dump(exclude_none=True)


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
