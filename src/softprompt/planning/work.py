"""What a run has before it, counted from params.yaml alone: stages, tasks, trials, members, steps."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from softprompt.config import Params
from softprompt.data.lama_suite import missing_facts, relations_of
from softprompt.data.manifest import MANIFEST
from softprompt.errors import UserError
from softprompt.methods import build_method
from softprompt.methods.base import Method, TrainedMethod
from softprompt.paths import Paths
from softprompt.results import State
from softprompt.tasks.load import DEFINITIONS, LAMA, OFFICIAL_RELATIONS, definition_path, nlu_names, read_definition
from softprompt.tasks.task import Task, Template

ENTITIES = 10  # among which an answer is to be found, roughly
ANY_WORDING = {"id": "any", "text": "{subject} {mask}", "source": "any", "kinds": ["masked", "causal", "seq2seq"]}


@dataclass(frozen=True)
class StageWork:
    """One train stage. `member_steps` is what all its members may take; early stopping makes it less."""

    backbone: str
    method: str
    state: State
    trained: bool
    cells: int
    trials: int  # of all its studies
    members: dict[str, int]  # suite -> members trained, for trials and for cells
    steps: int  # a member

    @property
    def member_steps(self) -> int:
        return sum(self.members.values()) * self.steps


@dataclass(frozen=True)
class Work:
    """A whole run."""

    stages: int  # of DVC
    tasks: dict[str, int]  # suite -> tasks
    rows: dict[str, int]  # suite -> rows of an example that has the most
    assumed: tuple[str, ...]  # suites whose tasks are not on this machine yet and were taken from what is published
    train: tuple[StageWork, ...]


def plan_work(params: Params, paths: Paths) -> Work:
    """Everything the pipeline would do from nothing. Reads manifests and file names, no rows and no models."""
    run = params.run
    names, rows, assumed = {}, {}, []
    for suite in run.suites:
        names[suite], known = task_names(suite, params, paths)
        rows[suite] = max((_rows(_definition(suite, task)) for task in names[suite]), default=1)
        if not known:
            assumed.append(suite)
    methods = {name: build_method(name, params.methods[name]) for name in run.methods}
    return Work(
        stages=len(run.suites) + len(run.backbones) * (3 + len(run.trained)) + 2,
        tasks={suite: len(tasks) for suite, tasks in names.items()},
        rows=rows,
        assumed=tuple(assumed),
        train=tuple(
            _stage_work(params, backbone, name, method, names)
            for backbone in run.backbones
            for name, method in methods.items()
        ),
    )


def task_names(suite: str, params: Params, paths: Paths) -> tuple[list[str], bool]:
    """The tasks of a suite, and whether that is known: from params.yaml, prepared data or the raw files."""
    settings, manifest = params.suites[suite], paths.suite(suite) / MANIFEST  # type: ignore[index]
    if settings.tasks != "all":
        return list(settings.tasks), True
    prepared = json.loads(manifest.read_text()) if manifest.is_file() else {}
    if prepared.get("source") == settings.source:
        return sorted(prepared["tasks"]), True
    if suite != LAMA:
        return nlu_names(suite), settings.source == "embedded"
    if settings.source == "embedded":
        from softprompt.data.embedded.relations import RELATIONS

        return [relation.id for relation in RELATIONS], True
    relations = _complete_relations(Path(settings.path)) if settings.source == "local" else []
    return relations or [f"relation {number}" for number in range(OFFICIAL_RELATIONS)], bool(relations)


def _complete_relations(root: Path) -> list[str]:
    try:
        return [name for name, lack in missing_facts(root, relations_of(root)).items() if not lack]
    except (OSError, UserError):
        return []


def _stage_work(params: Params, backbone: str, name: str, method: Method, names: dict[str, list[str]]) -> StageWork:
    """Counts of one stage, over the tasks that the kind of the backbone allows; a loaded model may refuse some."""
    kind, budget = params.backbones[backbone].kind, params.chosen_budget
    definitions = {suite: [_definition(suite, task) for task in names[suite]] for suite in params.suites_of(backbone)}
    met = {
        suite: [task for task in tasks if not method.inapplicable_by_kind(task, backbone, kind)]
        for suite, tasks in definitions.items()
    }
    trained = isinstance(method, TrainedMethod)
    seeds = len(params.seeds) if method.seeded else 1
    every = [task for tasks in met.values() for task in tasks]
    units = {method.unit_of(task) for task in every} if isinstance(method, TrainedMethod) else set()
    return StageWork(
        backbone=backbone,
        method=name,
        state=method.state,
        trained=trained,
        cells=sum(map(len, met.values())) * seeds,
        trials=len(units) * budget.trials * (seeds if params.tuning.scheme == "replicate" else 1),
        members={suite: len(tasks) * _members_a_task(params, seeds) if trained else 0 for suite, tasks in met.items()},
        steps=budget.steps if trained else 0,
    )


def _rows(task: Task) -> int:
    """Of an example: one, or one a candidate; ENTITIES where candidates come with the data."""
    if task.answer_form != "candidates":
        return 1
    return len(task.labels) or ENTITIES


def _members_a_task(params: Params, seeds: int) -> int:
    """The trials of every replicate, of which the best is the cell; or those of one study, and then the cells."""
    trials = params.chosen_budget.trials
    return trials * seeds if params.tuning.scheme == "replicate" else trials + seeds


@cache
def _definition(suite: str, name: str) -> Task:
    """A task's definition; a relation's templates and prompts come with its data, so one each stands in for
    them."""
    if suite == LAMA:
        task = read_definition(DEFINITIONS / f"{LAMA}.yaml", suite, name, [ANY_WORDING])
        prompt = Template.model_validate({**ANY_WORDING, "id": "lpaqa-mine-1"})
        return task.model_copy(update={"discrete": (prompt,)})
    return read_definition(definition_path(DEFINITIONS, suite, name), suite, name)
