"""Cells of methods that train nothing: which templates they ask, and what a random prompt is made of."""

from collections.abc import Sequence

from softprompt.errors import UserError
from softprompt.experiments.cell_factory import scalars
from softprompt.experiments.code_version import code_version, metric_version
from softprompt.experiments.jobs import content_key
from softprompt.experiments.workload import Workload
from softprompt.inputs.batches import Pool
from softprompt.inputs.label_space import dev_score
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import Method, fresh_trainable
from softprompt.prompts.trainable import FleetParts
from softprompt.results import Cell
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet


def template_scores(data: TaskData, templates: Sequence[Template], inference_tokens: int) -> list[float]:
    """The dev score of each template in plain words."""
    splits = [data.split("dev", template, 0) for template in templates]
    fleet = Fleet(data.backbone, [data.answers.space] * len(splits))
    pool = Pool(splits, data.backbone.device)
    answered = fleet.predict(pool, range(len(splits)), FleetParts(), inference_tokens)
    return [dev_score(data.task, data.answers, data.dev, answers) for answers in answered]


def asked_templates(method: Method, data: TaskData, inference_tokens: int) -> tuple[list[Template], float | None]:
    """The templates that a cell asks on test, and the dev score where one was chosen by it."""
    templates = list(method.templates(data.task, data.backbone.kind))
    if not method.chooses_template_on_dev:
        return templates, None
    scores = template_scores(data, templates, inference_tokens)
    best = max(range(len(scores)), key=lambda index: (scores[index], -index))
    return [templates[best]], scores[best]


def untrained_cells(workload: Workload) -> list[Cell]:
    """One cell a task and seed; a random prompt is drawn here, so that evaluate asks the same one."""
    return [_untrained_cell(workload, data, seed) for data in workload.data.values() for seed in workload.seeds]


def _untrained_cell(workload: Workload, data: TaskData, seed: int) -> Cell:
    name, method, backbone = workload.factory.name, workload.factory.method, workload.factory.backbone
    templates, score = asked_templates(method, data, workload.params.device.inference_tokens)
    settings = scalars(method.settings.fixed())
    depends_on = {
        "code": code_version(name),
        "method": name,
        "settings": settings,
        "data": data.fingerprint,
        "metric": metric_version(data.task.metrics[0]),
        "templates": [template.text for template in templates],
        "max_tokens": data.max_tokens,
        "backbone": backbone.revision,
        "seed": seed,
    }
    key = content_key(depends_on)
    identity = f"{method.draws_as or name}/{backbone.name}/{data.task.key}/{seed}"
    try:
        length = int(settings.get("prompt_length", 0))
        parts = fresh_trainable(method, data.task, backbone, length, identity, data=data)
    except UserError as error:
        return workload.factory.refused(data.task, seed, str(error))
    saved = parts.saved()
    if saved:
        workload.store.save_parts(key, saved)
    return workload.factory.asked(
        data,
        seed,
        key,
        settings=settings,
        templates=[template.id for template in templates],
        dev_score=score,
        parameters_kept=sum(tensor.numel() for tensor in saved.values()),
        positions=parts.positions,
    )
