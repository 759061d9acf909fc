"""The cells of one method on one backbone, trained or not. It may be killed and called again at any time.

Fleets, studies and parts lie in a journal, whatever settings they are of. What a stage hands on, its result and the
parts of its cells, is put together from it at the end.
"""

import shutil
from collections.abc import Iterator

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.memory import no_room_to_tune
from softprompt.config import Params
from softprompt.data.prepared import refuse_damaged
from softprompt.data.prepared import tasks as prepared_tasks
from softprompt.errors import UserError
from softprompt.experiments.assignment import training_side
from softprompt.experiments.cell_factory import CellFactory
from softprompt.experiments.executors.opening import open_executor
from softprompt.experiments.saved_parts import SavedParts
from softprompt.experiments.store import FleetStore
from softprompt.experiments.trained import train_cells
from softprompt.experiments.untrained import untrained_cells
from softprompt.experiments.workload import Workload
from softprompt.methods.base import Method, TrainedMethod
from softprompt.paths import Paths
from softprompt.result_files import write_train_result
from softprompt.results import TrainResult
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task


def train_method(params: Params, name: str, method: Method, backbone: Backbone, paths: Paths) -> TrainResult:
    """Tune and train what is missing, then hand on what came of it."""
    place = (params.run.folder_of(name), backbone.name)
    journal = paths.journal(*place)
    prepared = method.prepared_backbone(backbone)
    workload = Workload(CellFactory(name, method, prepared), params, FleetStore(journal))
    for task in all_tasks(params, paths):
        _take_up(workload, task, paths)
    studies = journal / "studies"
    if isinstance(method, TrainedMethod):
        with open_executor(workload, method, paths) as executor:
            cells, trials = train_cells(workload, method, studies, executor)
    else:
        cells, trials = untrained_cells(workload, studies)
    result = TrainResult(method=name, backbone=backbone.name, cells=[*cells, *workload.refused], trials=trials)
    out = paths.train(*place)
    shutil.rmtree(out, ignore_errors=True)
    for cell in result.cells:
        if cell.parts_sha256:
            workload.store.parts.hand_on(cell.key, SavedParts(out / "parts"))
    write_train_result(out / "result.json", paths.timings(*place), result)
    return result


def all_tasks(params: Params, paths: Paths) -> Iterator[Task]:
    """The prepared tasks of the suites in the run, in the order of the run. Raises UserError where one is damaged."""
    for suite in params.run.suites:
        refuse_damaged(paths.suite(suite))
        for name in prepared_tasks(paths.suite(suite)):
            yield load_task(suite, name, paths.prepared)


def _take_up(workload: Workload, task: Task, paths: Paths) -> None:
    method, backbone = workload.factory.method, workload.factory.backbone
    reason = workload.params.not_planned(backbone.name, task.suite) or method.inapplicable(task, backbone)
    if not reason and method.state == "tuned":
        reason = no_room_to_tune(backbone.model)
    if not reason:
        try:
            data = training_side(workload.params, paths, method, task, backbone)
        except UserError as error:
            reason = str(error)
        else:
            needed = (*method.learns_from, "dev") if method.settings.search else method.learns_from
            reason = data.missing(tuple(dict.fromkeys(needed)))
            workload.data[task.key] = data
    if reason:
        workload.data.pop(task.key, None)
        workload.refused += [workload.factory.not_applicable(task, seed, reason) for seed in workload.seeds]
