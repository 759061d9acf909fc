"""The evaluate stage: every trained cell answers the test split once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import SCORED_SPLITS, load_split, refuse_damaged
from softprompt.data.prepared import splits as prepared_splits
from softprompt.errors import NotFiniteError, UserError
from softprompt.evaluation.coverage import coverage_table
from softprompt.evaluation.knowledge import write_knowledge
from softprompt.evaluation.prompt_contents import write_prompt_contents
from softprompt.evaluation.trained_cells import Request, ScoredSplit, TrainedCells
from softprompt.experiments.workers import map_unordered
from softprompt.files import write_atomically, write_csv
from softprompt.inputs.label_space import LabelSpace, keep_answerable
from softprompt.paths import Paths
from softprompt.result_files import FAILURES, FailedCell, seal_folder
from softprompt.results import Prediction
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task


def evaluate_backbone(params: Params, backbone: Backbone, paths: Paths) -> None:
    """Write the predictions of all methods of the run on a backbone, coverage, what prompts hold, and which facts a
    backbone knows that was pretrained here."""
    for suite in params.run.suites:
        refuse_damaged(paths.suite(suite))
        refuse_damaged(paths.test_suite(suite))
    predict = partial(_predictions_of_method, params, backbone, paths, _ScoredSplits(paths))
    workers = params.device.workers if backbone.device.type == "cpu" else 1  # a GPU is used by one process
    found = dict(map_unordered(predict, params.run.methods, workers))
    frames = [frame for name in params.run.methods for frame in found[name].tables]
    failures = [failure for name in params.run.methods for failure in found[name].failures]
    if not frames:
        reason = f"each answers with what is no number ({failures[0].reason})" if failures else "none has a cell"
        raise UserError(f"no method of the run can be scored on {backbone.name}: {reason}; see results/train")
    predictions = pd.concat(frames, ignore_index=True)[list(Prediction.model_fields)]
    out = paths.evaluate(backbone.name)
    coverage = coverage_table(params, backbone, paths)
    write_csv(out / "coverage.csv", coverage)
    write_csv(out / FAILURES, pd.DataFrame([one.model_dump() for one in failures], columns=[*FailedCell.model_fields]))
    write_atomically(out / "predictions.parquet", predictions.to_parquet(index=False))
    write_prompt_contents(params, backbone, paths, failures)
    if params.backbones[backbone.name].source == "pretrain":
        write_knowledge(backbone, paths, params.device.inference_tokens)
    seal_folder(out)


@dataclass(frozen=True)
class _Answered:
    """The predictions of a method's cells; of a cell that failed on any split there are none."""

    tables: list[pd.DataFrame]
    failures: list[FailedCell]


def _predictions_of_method(
    params: Params, backbone: Backbone, paths: Paths, splits: "_ScoredSplits", name: str
) -> _Answered:
    trained = TrainedCells(params, name, backbone, paths)
    scored = [one for suite, task in trained.cells for one in splits.of(trained, suite, task)]
    requests = [request for one in scored for request in trained.requests(one)]
    tables, failures = [], {}
    for request, answers in zip(requests, trained.predict(requests), strict=True):
        if isinstance(answers, NotFiniteError):
            failures[request.cell.key] = _failed(request, answers)
        else:
            tables.append((request.cell.key, answers))
    return _Answered([table for key, table in tables if key not in failures], list(failures.values()))


def _failed(request: Request, error: NotFiniteError) -> FailedCell:
    place = request.cell.model_dump(include={"suite", "task", "backbone", "method", "seed"})
    return FailedCell(**place, reason=f"answering the split {request.scored.split}, {error}")


class _ScoredSplits:
    """What the cells of a task predict, read once for all methods that read it alike."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._tasks: dict[tuple[str, str], Task] = {}
        self._splits: dict[tuple[str, str, bool, Backbone], list[ScoredSplit]] = {}

    def of(self, trained: TrainedCells, suite: str, name: str) -> list[ScoredSplit]:
        """Every split of a task that has examples which the backbone can answer."""
        if (suite, name) not in self._tasks:
            self._tasks[suite, name] = load_task(suite, name, self.paths.prepared)
        task = self._tasks[suite, name]
        key = suite, name, trained.method.uses_head(task), trained.backbone
        if key not in self._splits:
            self._splits[key] = list(self._read(task, trained.label_space_of(task)))
        return self._splits[key]

    def _read(self, task: Task, label_space: LabelSpace) -> Iterator[ScoredSplit]:
        folder = self.paths.test_suite(task.suite)
        for split in SCORED_SPLITS:
            if split in prepared_splits(folder, task.name):
                examples = keep_answerable(label_space, load_split(folder, task.name, split))
                if len(examples):
                    yield ScoredSplit(task, label_space, examples, split)
