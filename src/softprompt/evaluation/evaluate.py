"""The evaluate stage: every trained cell answers the test split once; metrics come from those answers alone."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split
from softprompt.data.prepared import splits as prepared_splits
from softprompt.errors import UserError
from softprompt.evaluation.coverage import coverage_table
from softprompt.evaluation.prompt_contents import write_prompt_contents
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.workers import map_unordered
from softprompt.files import write_atomically
from softprompt.inputs.label_space import keep_answerable
from softprompt.paths import Paths
from softprompt.results import Prediction, Score
from softprompt.tasks.load import load_task
from softprompt.tasks.metrics import METRICS

SCORED_SPLITS = ("test", "withheld")


def evaluate_backbone(params: Params, backbone: Backbone, paths: Paths) -> None:
    """Write the predictions of all methods of the run on a backbone, their scores, coverage, and what prompts hold."""
    answer = partial(_predictions_of_method, params, backbone, paths)
    found = dict(map_unordered(answer, params.run.methods, params.device.workers))
    frames = [frame for name in params.run.methods for frame in found[name]]
    if not frames:
        raise UserError(f"no method of the run has a cell on {backbone.name}; see results/train/{backbone.name}")
    predictions = pd.concat(frames, ignore_index=True)[list(Prediction.model_fields)]
    out = paths.evaluate(backbone.name)
    coverage = coverage_table(params, backbone, paths)
    write_atomically(out / "coverage.csv", coverage.to_csv(index=False, lineterminator="\n"))
    write_atomically(out / "predictions.parquet", predictions.to_parquet(index=False))
    write_atomically(out / "scores.csv", score_table(predictions, paths).to_csv(index=False, lineterminator="\n"))
    write_prompt_contents(params, backbone, paths)


def score_table(predictions: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Every metric of every cell, template and split; columns as in results.Score."""
    keys = ["suite", "task", "backbone", "method", "state", "seed", "template", "split"]
    rows = []
    for values, rows_of_cell in predictions.groupby(keys, sort=False):
        named: dict[str, Any] = dict(zip(keys, values, strict=True))
        for name in load_task(named["suite"], named["task"], paths.prepared).metrics:
            metric = METRICS[name]
            score = Score(
                **named,
                metric=name,
                value=metric(rows_of_cell),
                n_examples=len(rows_of_cell),
                higher_is_better=metric.higher_is_better,
            )
            rows.append(score.model_dump())
    return pd.DataFrame(rows, columns=list(Score.model_fields))


def _predictions_of_method(params: Params, backbone: Backbone, paths: Paths, name: str) -> list[pd.DataFrame]:
    trained = TrainedCells(params, name, backbone, paths)
    return trained.predict([request for scored in _scored_splits(trained) for request in trained.requests(scored)])


def _scored_splits(trained: TrainedCells) -> Iterator[ScoredSplit]:
    """What the finished cells of a method answer, task by task and split by split."""
    for suite, name in trained.cells:
        task, folder = load_task(suite, name, trained.paths.prepared), trained.paths.suite(suite)
        label_space = trained.label_space_of(task)
        for split in SCORED_SPLITS:
            if split in prepared_splits(folder, name):
                examples = keep_answerable(label_space, load_split(folder, name, split))
                if len(examples):
                    yield ScoredSplit(task, label_space, examples, split)
