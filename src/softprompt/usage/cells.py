"""One trained cell, found by name and loaded: what `softprompt predict` and `softprompt export` begin with."""

from dataclasses import dataclass

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import load_configured
from softprompt.config import Params
from softprompt.data.validation import one_of
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import TrainedCells
from softprompt.paths import Paths
from softprompt.result_files import read_train_result
from softprompt.results import Cell
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task


@dataclass(frozen=True)
class TrainedCell:
    """A finished cell with all that answers for it. `backbone` is the one that was loaded; a method may use another."""

    cell: Cell
    task: Task
    backbone: Backbone
    trained: TrainedCells

    def name(self) -> str:
        """How messages name it."""
        return f"{self.cell.method} on {self.cell.backbone}, {self.task.key}, seed {self.cell.seed}"


def find_cell(params: Params, paths: Paths, method: str, backbone: str, task: str, seed: int) -> Cell:
    """The finished cell of that name. `task` is written suite/task.

    Raises UserError that lists what there is where no such cell was trained, or says why it has no result.
    """
    one_of([method], params.run.methods, what="method of the run")
    one_of([backbone], params.run.backbones, what="backbone of the run")
    path = paths.train(params.run.folder_of(method), backbone) / "result.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `dvc repro {params.run.stage_of(method, backbone)}` first")
    cells = read_train_result(path).cells
    for cell in cells:
        if (f"{cell.suite}/{cell.task}", cell.seed) == (task, seed):
            if cell.status != "done":
                state = cell.status.replace("_", " ")
                raise UserError(f"{method} on {backbone}, {task}, seed {seed} is {state}: {cell.reason}")
            return cell
    raise UserError(
        f"{method} on {backbone} has no cell of --task {task} --seed {seed}; there are: {_listed(cells) or 'none'}"
    )


def load_cell(params: Params, paths: Paths, cell: Cell) -> TrainedCell:
    """The cell with its backbone.

    Raises UserError where what it kept from training is gone or changed, or the backbone is no longer the one it was
    trained on.
    """
    backbone = load_configured(params, cell.backbone, paths, threads=params.device.workers)
    trained = TrainedCells(params, cell.method, backbone, paths)
    again = f"run `dvc repro {params.run.stage_of(cell.method, cell.backbone)}`"
    if cell.parameters_kept and not trained.parts.holds(cell.key, cell.parts_sha256):
        raise UserError(f"{trained.parts.path(cell.key)}: not the file that training saved; {again}")
    if cell.provenance.get("backbone") != trained.backbone.revision:
        raise UserError(f"{paths.backbone(cell.backbone)}: not the backbone that {cell.method} was trained on; {again}")
    return TrainedCell(cell, load_task(cell.suite, cell.task, paths.prepared), backbone, trained)


def _listed(cells: list[Cell]) -> str:
    """`lama/P19 (seeds 0, 1), fewglue/rte (seed 0)`, of finished cells."""
    seeds: dict[str, list[int]] = {}
    for cell in cells:
        if cell.status == "done":
            seeds.setdefault(f"{cell.suite}/{cell.task}", []).append(cell.seed)
    return ", ".join(
        f"{task} (seed{'s' if len(found) > 1 else ''} {', '.join(map(str, sorted(found)))})"
        for task, found in seeds.items()
    )
