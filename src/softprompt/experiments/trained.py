"""Cells of trained methods: a study a replicate, whose best trial is the result; or one study whose best setting is
trained on the seeds of all replicates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.experiments.cell_factory import scalars
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.fleet_width import fleet_width
from softprompt.experiments.jobs import Job, content_key
from softprompt.experiments.runner import FleetRunner
from softprompt.experiments.studies import open_study, trial_records
from softprompt.experiments.tuning import Study, Trial
from softprompt.experiments.workload import Workload
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod
from softprompt.progress import Progress
from softprompt.results import Cell, Cost, TrialRecord, total_cost

if TYPE_CHECKING:  # who trains is nothing that a number depends on
    from softprompt.experiments.executors import Executor


@dataclass(frozen=True)
class Unit:
    """Tasks that share one setting (all relations of LAMA, a single task, or tasks that a method trains together), and
    the study that looks for it on one seed. Its best trial makes the cells of `reported` seeds."""

    name: str  # TrainedMethod.unit_of
    seed: int
    tasks: list[TaskData]
    study: Study
    reported: tuple[int, ...]


def train_cells(
    workload: Workload, method: TrainedMethod, studies: Path, executor: "Executor"
) -> tuple[list[Cell], list[TrialRecord]]:
    """All cells and all trials. Every finished fleet is put on disk as it comes."""
    stage = _TrainedStage(workload, method, executor)
    units = list(stage.units(studies))
    members = sum(len(unit.tasks) * (workload.params.chosen_budget.trials + len(unit.reported)) for unit in units)
    with Progress(f"{workload.factory.name} on {workload.factory.backbone.name}", members) as progress:
        stage.tune(units, progress)
        cells = stage.report(units, progress)
    return cells, [record for unit in units for record in trial_records(unit.study, unit.name, unit.seed)]


class _TrainedStage:
    def __init__(self, workload: Workload, method: TrainedMethod, executor: "Executor") -> None:
        self.workload = workload
        self.method = method
        self.params = workload.params
        self.budget = workload.params.chosen_budget
        self.backbone = workload.factory.backbone
        width = fleet_width(method, self.backbone, workload.data, self.budget, self.params.device.fleet_members)
        self.runner = FleetRunner(executor, workload.store, width)
        self._whole: set[str] = set()  # jobs whose parts were found as they were saved
        self._known_jobs: dict[tuple[str, int, str, int, int], Job] = {}

    def units(self, studies: Path) -> Iterator[Unit]:
        """For every seed of a study: one unit for LAMA, one for every other task, unless tasks train together."""
        for name, tasks in self.workload.units().items():
            depends_on = {data.task.key: self._parts(data, self.method) for data in tasks}
            for seed, reported in self.workload.study_seeds.items():
                stream, kind = self.workload.study_name(name, seed), self.backbone.kind
                study = open_study(studies, stream, depends_on, self.method.settings, kind, self.params)
                yield Unit(name, seed, tasks, study, reported)

    def tune(self, units: list[Unit], progress: Progress) -> None:
        """Batches of trials of all units together, so that small studies share fleets."""
        if self._keeps_trials:
            self._forget_fleets_of_lost(units)
        if not self._in_step(units):
            for unit in units:
                unit.study.begin_anew()
        for unit in units:  # what a killed run had not dropped yet
            self._drop_losers(unit)
        while waiting := [unit for unit in units if unit.study.told() < self.budget.trials]:
            batches = [(unit, unit.study.ask(self._batch_size(unit))) for unit in waiting]
            jobs = [self._jobs(unit, unit.seed, trial) for unit, asked in batches for trial in asked]
            every = [job for trial_jobs in jobs for job in trial_jobs.values()]
            self.runner.run(every, progress, keep=self._keeps_trials)
            scores = iter([self._mean_score(trial_jobs) for trial_jobs in jobs])
            for unit, asked in batches:
                unit.study.tell([(trial, next(scores)) for trial in asked])
                self._drop_losers(unit)

    def report(self, units: list[Unit], progress: Progress) -> list[Cell]:
        """The best trial of every unit, on the seeds it is reported on; trained already where those are its own."""
        found = [(unit, seed, self._winners(unit, seed)) for unit in units for seed in unit.reported]
        jobs = [job for *_, winners in found for job in winners.values()]
        self._forget_lost(jobs)
        self.runner.run(jobs, progress, keep=True)
        return [self._cell(unit, data, seed, winners) for unit, seed, winners in found for data in unit.tasks]

    def _forget_lost(self, jobs: Sequence[Job]) -> None:
        """Winners whose parts were dropped in a larger study, with all members of their groups, are trained again."""
        lost = self._lost(jobs)
        groups = {job.group for job in jobs if job.group and job.key in lost}
        for job in jobs:
            if job.key in lost or job.group in groups:
                self.workload.store.forget(job.key)

    def _forget_fleets_of_lost(self, units: Sequence[Unit]) -> None:
        """Where the parts of a winner are not as they were saved, its fleet is trained again, as it was. Of a study on
        its way, what is best now may have been dropped for what was better: it is told of that again."""
        told = [unit for unit in units if unit.study.told() >= self.budget.trials]
        winners = [job for unit in told for job in self._winners(unit, unit.seed).values()]
        store = self.workload.store
        for fleet in {store[key].fleet for key in self._lost(winners) if key in store}:
            store.forget_fleet(fleet)

    def _lost(self, jobs: Sequence[Job]) -> set[str]:
        store, keys = self.workload.store, {job.key for job in jobs}
        self._whole |= {key for key in keys - self._whole if key in store and not store.lacks_parts(key)}
        return {key for key in keys if key not in store or key not in self._whole}

    @property
    def _keeps_trials(self) -> bool:
        """Whether the best trial is the result, and not only its setting."""
        return self.params.tuning.scheme == "replicate"

    def _winners(self, unit: Unit, seed: int) -> dict[str, Job]:
        best = unit.study.best()
        return {} if best is None else self._jobs(unit, seed, best)

    def _drop_losers(self, unit: Unit) -> None:
        """A tuned backbone is large, and only the best trial answers again."""
        best = {job.key for job in self._winners(unit, unit.seed).values()}
        told = {job.key for trial in unit.study.told_trials() for job in self._jobs(unit, unit.seed, trial).values()}
        for key in told - best:
            self.workload.store.parts.drop(key)
        self._whole -= told - best

    def _in_step(self, units: list[Unit]) -> bool:
        """Whether all studies stand at the same batch, and all that they were told of is in the store. Otherwise, after
        a kill or a loss, fleets would be planned from other trials than in an undisturbed run."""
        told = [(unit, trial) for unit in units for trial in unit.study.told_trials()]
        jobs = (job for unit, trial in told for job in self._jobs(unit, unit.seed, trial).values())
        return len({unit.study.told() for unit in units}) <= 1 and all(job.key in self.workload.store for job in jobs)

    def _batch_size(self, unit: Unit) -> int:
        return min(self.params.tuning.batch, self.budget.trials - unit.study.told())

    def _mean_score(self, jobs: Mapping[str, Job]) -> float | None:
        scores = [self.workload.store[job.key].dev_score for job in jobs.values()]
        known = [score for score in scores if score is not None]
        return sum(known) / len(known) if len(known) == len(scores) else None

    def _jobs(self, unit: Unit, seed: int, trial: Trial) -> dict[str, Job]:
        """A trial's members by task."""
        return {data.task.key: self._job(unit, data, seed, trial) for data in unit.tasks}

    def _job(self, unit: Unit, data: TaskData, seed: int, trial: Trial) -> Job:
        place = (unit.name, unit.seed, data.task.key, seed, trial.number)
        if place not in self._known_jobs:
            self._known_jobs[place] = self._new_job(unit, data, seed, trial)
        return self._known_jobs[place]

    def _new_job(self, unit: Unit, data: TaskData, seed: int, trial: Trial) -> Job:
        method = self.method.with_settings(trial.settings)
        with_others = {"group": [self._parts(other, method) for other in unit.tasks]} if method.together else {}
        template = method.templates(data.task, self.backbone.kind)[0]
        return Job(
            key=content_key({**self._parts(data, method), "seed": seed, **with_others}),
            identity=f"{self.workload.factory.name}/{self.backbone.name}/{data.task.key}/{seed}",
            task=data.task.key,
            seed=seed,
            settings=trial.settings,
            tokens=data.tokens(template, method.settings.prompt_length or 0),
            reading=f"{data.label_space.outputs.form} {'head' if method.uses_head(data.task) else 'words'}",
            group=content_key({**with_others, "seed": seed}) if with_others else "",
        )

    def _parts(self, data: TaskData, method: TrainedMethod) -> dict[str, Any]:
        """What a member of this method on this task depends on, but for its seed."""
        return {
            **task_dependencies(self.workload.factory.name, data),
            "settings": method.settings.fixed(),
            "steps": self.budget.model_dump(mode="json", exclude={"trials"}),
            "template": method.templates(data.task, self.backbone.kind)[0].wordings,
            "further_texts": method.further_texts(data.task, self.backbone.kind),
        }

    def _cell(self, unit: Unit, data: TaskData, seed: int, winners: Mapping[str, Job]) -> Cell:
        best = unit.study.best()
        if best is None:
            reason = f"every trial of the study {unit.name} failed"
            return self.workload.factory.finished(data, seed, "", status="failed", reason=reason)
        job, method = winners[data.task.key], self.method.with_settings(best.settings)
        member = self.workload.store[job.key]
        return self.workload.factory.finished(
            data,
            seed,
            job.key,
            status="failed" if member.dev_score is None else "done",
            reason=member.failure,
            settings=scalars(method.settings.fixed() | {"batch_size": self.budget.batch_size}),
            study=unit.name,
            searched=unit.study.searched(best),
            templates=[method.templates(data.task, self.backbone.kind)[0].id],
            dev_score=member.dev_score,
            best_step=member.best_step,
            curve=member.curve,
            parameters_trained=member.parameters_trained,
            parameters_kept=member.parameters_kept,
            parts_sha256=member.parts_sha256,
            positions=member.positions,
            fleet=member.fleet,
            cost=member.cost,
            search_cost=self._search_cost(unit, data),
        )

    def _search_cost(self, unit: Unit, data: TaskData) -> Cost | None:
        """Of all trials on a task, the best one included; None where the record of one is gone."""
        store = self.workload.store
        keys = {self._job(unit, data, unit.seed, trial).key for trial in unit.study.told_trials()}
        return total_cost(store[key].cost for key in sorted(keys)) if all(key in store for key in keys) else None
