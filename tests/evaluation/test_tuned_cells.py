"""Cells that keep a whole backbone answer one after the other, and the memory of one is given back before the next."""

import gc
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch

from helpers.finished_cells import all_methods, finished_cell, paths_with
from softprompt.backbones.backbone import Backbone
from softprompt.data.prepared import load_split
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.saved_parts import SavedParts
from softprompt.inputs.label_space import keep_answerable
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.records import write_record
from softprompt.results import TrainResult
from softprompt.tasks.load import load_task

METHOD = "manual_fine_tuning"
SEEDS = (0, 1, 2)


def tuned(backbone: Backbone, seed: int) -> Trainable:
    model = backbone.tuned_copy().model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * seed)
    return Trainable(TunedWeights(model))


@pytest.fixture
def trained(backbone: Backbone, prepared: Path, tmp_path: Path) -> TrainedCells:
    params, paths = all_methods(), paths_with(prepared, tmp_path)
    name = load_task("lama", "P19", prepared).templates("manual", backbone.kind)[0].id
    cell = finished_cell(METHOD, backbone, "lama/P19", name, tuned(backbone, 0), paths, params).cell
    folder, cells = paths.train(METHOD, backbone.name), []
    for seed in SEEDS:
        digest = SavedParts(folder / "parts").save(f"seed{seed}", tuned(backbone, seed).saved())
        cells.append(cell.model_copy(update={"seed": seed, "key": f"seed{seed}", "parts_sha256": digest}))
    write_record(folder / "result.json", TrainResult(method=METHOD, backbone=backbone.name, cells=cells))
    return TrainedCells(params, METHOD, backbone, paths)


def test_no_more_than_one_tuned_backbone_is_there_at_a_time(
    trained: TrainedCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[object]] = []
    alive: list[int] = []
    begin = TunedWeights.__init__

    def counted(part: TunedWeights, model: torch.nn.Module, **settings: bool) -> None:
        models.append(weakref.ref(model))
        alive.append(sum(model() is not None for model in models))
        begin(part, model, **settings)

    monkeypatch.setattr(TunedWeights, "__init__", counted)
    task = load_task("lama", "P19", trained.paths.prepared)
    label_space = trained.label_space_of(task)
    examples = keep_answerable(label_space, load_split(trained.paths.test_suite("lama"), "P19", "test"))
    requests = list(trained.requests(ScoredSplit(task, label_space, examples, "test")))
    gc.collect()
    gc.disable()
    try:
        tables = trained.predict(requests)
    finally:
        gc.enable()
    assert alive == [1] * len(SEEDS)
    assert [len(table) for table in tables if isinstance(table, pd.DataFrame)] == [len(examples)] * len(SEEDS)
