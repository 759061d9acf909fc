"""Cells of trained methods: tune on dev, then train the chosen setting on fresh seeds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.experiments.cell_factory import scalars
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.jobs import Job, content_key
from softprompt.experiments.runner import FleetRunner
from softprompt.experiments.studies import open_study, trial_records
from softprompt.experiments.tuning import Study, Trial
from softprompt.experiments.workload import Workload
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod
from softprompt.progress import Progress
from softprompt.results import Cell, TrialRecord


@dataclass(frozen=True)
class Unit:
    """Tasks that share one setting, and the study that looks for it: all relations of LAMA, a single task, or tasks
    that a method trains together."""

    name: str  # TrainedMethod.unit_of
    tasks: list[TaskData]
    study: Study


def train_cells(workload: Workload, method: TrainedMethod, studies: Path) -> tuple[list[Cell], list[TrialRecord]]:
    """All cells and all trials. Every finished fleet is on disk before the next one starts."""
    stage = _TrainedStage(workload, method)
    units = stage.units(studies)
    tasks = sum(len(unit.tasks) for unit in units)
    members = tasks * (workload.params.chosen_budget.trials + len(workload.seeds))
    with Progress(f"{workload.factory.name} on {workload.factory.backbone.name}", members) as progress:
        stage.tune(units, progress)
        cells = stage.report(units, progress)
    return cells, [record for unit in units for record in trial_records(unit.study)]


class _TrainedStage:
    def __init__(self, workload: Workload, method: TrainedMethod) -> None:
        self.workload = workload
        self.method = method
        self.params = workload.params
        self.budget = workload.params.chosen_budget
        self.backbone = workload.factory.backbone
        self.runner = FleetRunner(method, workload.data, self.budget, self.params.device, workload.store)

    def units(self, studies: Path) -> list[Unit]:
        """One unit for LAMA, one for every other task, unless a method trains tasks together."""
        return [Unit(name, tasks, self._study(studies, name, tasks)) for name, tasks in self.workload.units().items()]

    def tune(self, units: list[Unit], progress: Progress) -> None:
        """Batches of trials of all units together, so that small studies share fleets."""
        while waiting := [unit for unit in units if unit.study.told() < self.budget.trials]:
            asked = {unit.name: unit.study.ask(self._batch_size(unit)) for unit in waiting}
            seed = self.params.tuning.seed
            jobs = {
                (unit.name, trial.number): [self._job(unit, data, seed, trial) for data in unit.tasks]
                for unit in waiting
                for trial in asked[unit.name]
            }
            self.runner.run([job for group in jobs.values() for job in group], progress, keep=False)
            for unit in waiting:
                trials = asked[unit.name]
                unit.study.tell([(trial, self._mean_score(jobs[unit.name, trial.number])) for trial in trials])

    def report(self, units: list[Unit], progress: Progress) -> list[Cell]:
        """The best setting of every unit, trained on the reported seeds."""
        jobs: dict[tuple[str, int], tuple[Unit, TaskData, Trial, Job]] = {}
        cells = []
        for unit in units:
            best = unit.study.best()
            for data in unit.tasks:
                for seed in self.workload.seeds:
                    if best is None:
                        reason = f"every trial of the study {unit.name} failed"
                        cells.append(self.workload.factory.finished(data, seed, "", status="failed", reason=reason))
                    else:
                        jobs[data.task.key, seed] = (unit, data, best, self._job(unit, data, seed, best))
        self.runner.run([job for *_, job in jobs.values()], progress, keep=True)
        return cells + [self._cell(*parts) for parts in jobs.values()]

    def _batch_size(self, unit: Unit) -> int:
        return min(self.params.tuning.batch, self.budget.trials - unit.study.told())

    def _mean_score(self, jobs: list[Job]) -> float | None:
        scores = [self.workload.store[job.key].dev_score for job in jobs]
        known = [score for score in scores if score is not None]
        return sum(known) / len(known) if len(known) == len(scores) else None

    def _study(self, studies: Path, name: str, tasks: list[TaskData]) -> Study:
        depends_on = {data.task.key: self._parts(data, self.method) for data in tasks}
        return open_study(studies, name, depends_on, self.method.settings, self.backbone.kind, self.params)

    def _job(self, unit: Unit, data: TaskData, seed: int, trial: Trial) -> Job:
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

    def _cell(self, unit: Unit, data: TaskData, trial: Trial, job: Job) -> Cell:
        member = self.workload.store[job.key]
        method = self.method.with_settings(trial.settings)
        return self.workload.factory.finished(
            data,
            job.seed,
            job.key,
            status="failed" if member.dev_score is None else "done",
            reason=member.failure,
            settings=scalars(method.settings.fixed() | {"batch_size": self.budget.batch_size}),
            study=unit.name,
            searched=unit.study.searched(trial),
            templates=[method.templates(data.task, self.backbone.kind)[0].id],
            dev_score=member.dev_score,
            best_step=member.best_step,
            curve=member.curve,
            parameters_trained=member.parameters_trained,
            parameters_kept=member.parameters_kept,
            positions=member.positions,
            fleet=member.fleet,
            cost=member.cost,
        )
