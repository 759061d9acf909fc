"""Finished cells on disk without any training: what `predict` and `export` start from."""

from pathlib import Path

from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.evaluation.trained_cells import TrainedCells
from softprompt.experiments.saved_parts import SavedParts
from softprompt.methods import METHODS
from softprompt.paths import Paths
from softprompt.prompts.trainable import Trainable
from softprompt.records import write_record
from softprompt.results import Cell, TrainResult
from softprompt.tasks.load import load_task
from softprompt.usage.cells import TrainedCell


def all_methods() -> Params:
    """The default profile, which has a section of every method."""
    return fixture_params()


def paths_with(prepared: Path, folder: Path) -> Paths:
    """A working copy whose data are those of the folder `prepared`."""
    (folder / "data").symlink_to(prepared.parent)
    return Paths(folder)


def finished_cell(
    method: str, backbone: Backbone, task: str, template: str, parts: Trainable, paths: Paths, params: Params
) -> TrainedCell:
    """The cell of seed 0 that ended training with these parts and uses this template."""
    suite, _, name = task.partition("/")
    saved = parts.saved()
    folder = paths.train(params.run.folder_of(method), backbone.name)
    cell = Cell(
        key="key",
        suite=suite,
        task=name,
        backbone=backbone.name,
        method=method,
        state=METHODS[method].state,
        seed=0,
        status="done",
        templates=[template] if template else [],
        parameters_kept=sum(tensor.numel() for tensor in saved.values()),
        parts_sha256=SavedParts(folder / "parts").save("key", saved),
        positions=parts.positions,
        provenance={"backbone": backbone.revision},
    )
    write_record(folder / "result.json", TrainResult(method=method, backbone=backbone.name, cells=[cell]))
    trained = TrainedCells(params, method, backbone, paths)
    return TrainedCell(cell, load_task(suite, name, paths.prepared), backbone, trained)
