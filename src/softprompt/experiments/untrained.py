"""Cells of methods that train nothing: which templates they ask, what is tuned on dev, what a prompt is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from softprompt.errors import NotFiniteError, UserError
from softprompt.experiments.cell_factory import scalars
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.jobs import content_key
from softprompt.experiments.studies import open_study, trial_records
from softprompt.experiments.tuning import Study, Trial, tune
from softprompt.experiments.workload import Workload
from softprompt.finite import not_finite
from softprompt.inputs.batches import Pool
from softprompt.inputs.label_space import dev_score
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import Method, fresh_trainable
from softprompt.prompts.trainable import FleetParts, Trainable, gather
from softprompt.results import Cell, TrialRecord
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet


def template_scores(data: TaskData, templates: Sequence[Template], inference_tokens: int) -> list[float]:
    """The dev score of each template in plain words."""
    splits = [data.split("dev", template, 0) for template in templates]
    fleet = Fleet(data.backbone, [data.label_space.outputs] * len(splits))
    pool = Pool(splits, data.backbone.device)
    answered = fleet.predict(pool, range(len(splits)), FleetParts(), inference_tokens)
    return [dev_score(data.task, data.label_space, data.dev, answers) for answers in answered]


def chosen_templates(method: Method, data: TaskData, inference_tokens: int) -> tuple[list[Template], float | None]:
    """The templates that a cell asks on test, and the dev score where one was chosen by it."""
    templates = list(method.templates(data.task, data.backbone.kind))
    if not method.chooses_template_on_dev:
        return templates, None
    scores = template_scores(data, templates, inference_tokens)
    best = max(range(len(scores)), key=lambda index: (scores[index], -index))
    return [templates[best]], scores[best]


def untrained_cells(workload: Workload, studies: Path) -> tuple[list[Cell], list[TrialRecord]]:
    """One cell a task and seed, and the trials of what was tuned on dev, where the method's section has a `search`."""
    cells: list[Cell] = []
    trials: list[TrialRecord] = []
    for name, tasks in workload.units().items():
        if not workload.factory.method.settings.search:
            cells += [_cell(workload, workload.factory.method, data, seed) for data in tasks for seed in workload.seeds]
            continue
        for seed, reported in workload.study_seeds.items():
            study = _tuned(workload, studies, name, seed, tasks)
            trials += trial_records(study, name, seed)
            cells += [_tuned_cell(workload, name, study, data, seed) for data in tasks for seed in reported]
    return cells, trials


def _tuned(workload: Workload, studies: Path, name: str, seed: int, tasks: Sequence[TaskData]) -> Study:
    """The study of one unit on one seed, with all of its trials."""
    method = workload.factory.method
    depends_on = {data.task.key: _depends_on(workload, method, data) for data in tasks}
    kind, params = workload.factory.backbone.kind, workload.params
    study = open_study(studies, workload.study_name(name, seed), depends_on, method.settings, kind, params)

    def score(trial: Trial) -> float | None:
        chosen = method.with_settings(trial.settings)
        try:
            scores = [_dev_score(workload, chosen, data, seed) for data in tasks]
        except UserError:  # the setting cannot be asked of one of the tasks
            return None
        return sum(scores) / len(scores)

    tune(study, workload.params.chosen_budget.trials, score)
    return study


def _tuned_cell(workload: Workload, unit: str, study: Study, data: TaskData, seed: int) -> Cell:
    best = study.best()
    if best is None:
        plain = _cell(workload, workload.factory.method, data, seed)
        if plain.status == "not_applicable":  # whatever the setting
            return plain
        reason = f"every trial of the study {unit} failed"
        return workload.factory.finished(data, seed, "", status="failed", reason=reason)
    method = workload.factory.method.with_settings(best.settings)
    return _cell(workload, method, data, seed, study=unit, searched=study.searched(best))


def _dev_score(workload: Workload, method: Method, data: TaskData, seed: int) -> float:
    """Of the first template, with parts drawn for this seed."""
    template, parts = method.templates(data.task, data.backbone.kind)[0], _parts(workload, method, data, seed)
    pool = Pool([data.split("dev", template, parts.positions)], data.backbone.device)
    tokens = workload.params.device.inference_tokens
    (predictions,) = Fleet(data.backbone, [data.label_space.outputs]).predict(pool, [0], gather([parts]), tokens)
    return dev_score(data.task, data.label_space, data.dev, predictions)


def _parts(workload: Workload, method: Method, data: TaskData, seed: int) -> Trainable:
    name, backbone = method.draws_as or workload.factory.name, workload.factory.backbone
    identity = f"{name}/{backbone.name}/{data.task.key}/{seed}"
    length = int(method.settings.fixed().get("prompt_length", 0))
    return fresh_trainable(method, data.task, backbone, length, identity, data=data)


def _depends_on(workload: Workload, method: Method, data: TaskData) -> dict[str, Any]:
    """What a cell of this method on this task depends on, but for its seed and what was chosen on dev."""
    templates = method.templates(data.task, workload.factory.backbone.kind)
    return {
        **task_dependencies(workload.factory.name, data),
        "settings": scalars(method.settings.fixed()),
        "templates": [template.wordings for template in templates],
    }


def _cell(workload: Workload, method: Method, data: TaskData, seed: int, **fields: Any) -> Cell:
    """A random prompt is drawn here, so that evaluate asks the same one. `fields` are further ones of Cell."""
    try:
        templates, score = chosen_templates(method, data, workload.params.device.inference_tokens)
        parts = _parts(workload, method, data, seed)
        saved = _finite(parts.saved())
    except NotFiniteError as error:
        return workload.factory.finished(data, seed, "", status="failed", reason=str(error))
    except UserError as error:
        return workload.factory.not_applicable(data.task, seed, str(error))
    chosen = [template.id for template in templates]
    key = content_key({**_depends_on(workload, method, data), "chosen": chosen, "seed": seed})
    return workload.factory.finished(
        data,
        seed,
        key,
        settings=scalars(method.met_settings(parts)),
        templates=chosen,
        dev_score=score,
        parameters_kept=sum(tensor.numel() for tensor in saved.values()),
        parts_sha256=workload.store.parts.save(key, saved),
        positions=parts.positions,
        **fields,
    )


def _finite(saved: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same. Raises NotFiniteError where the backbone's answers made parts that are no numbers."""
    broken = not_finite(saved.items())
    if broken:
        raise NotFiniteError(f"its {broken} is not finite")
    return saved
