"""Trained cells as they answer: loaded from what training kept, many of them side by side in a fleet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split, load_vocabulary
from softprompt.experiments.store import FleetStore
from softprompt.inputs.batches import Pool
from softprompt.inputs.label_space import LabelSpace, label_space_of, majority_predictions, prediction_table
from softprompt.inputs.tagging import majority_tags
from softprompt.inputs.task_data import encode_split
from softprompt.methods.base import Method, build_method
from softprompt.paths import Paths
from softprompt.prompts.parts import Parts, gather, restored
from softprompt.result_files import read_train_result
from softprompt.results import Cell
from softprompt.tasks.task import Task, Template
from softprompt.training.fleet import Fleet


@dataclass(frozen=True)
class Asked:
    """One cell under one template, with what it kept from training."""

    cell: Cell
    template: Template
    kept: Mapping[str, Tensor]

    @property
    def prompt_length(self) -> int:
        if "pool.entries" in self.kept:  # how many of a pool a row takes is a setting
            return int(self.cell.settings["prompt_length"])
        if "selector.pool" in self.kept:
            return self.kept["selector.pool"].shape[1]
        return len(self.kept["prompt"]) if "prompt" in self.kept else 0


class TrainedCells:
    """The finished cells of one method, answered task by task and split by split."""

    def __init__(self, params: Params, name: str, backbone: Backbone, paths: Paths) -> None:
        self.params = params
        self.name = name
        self.paths = paths
        self.method: Method = build_method(name, params.methods[name])
        self.backbone = self.method.prepared_backbone(backbone)
        folder = paths.train(name, backbone.name)
        result = read_train_result(folder / "result.json")
        self.store = FleetStore(folder)
        self.cells: dict[tuple[str, str], list[Cell]] = {}
        for cell in result.cells:
            if cell.status == "done":
                self.cells.setdefault((cell.suite, cell.task), []).append(cell)

    def label_space_of(self, task: Task) -> LabelSpace:
        """What the task may be answered with here."""
        vocabulary = load_vocabulary(self.paths.suite(task.suite))
        return label_space_of(task, self.backbone, head=self.method.uses_head(task), vocabulary=vocabulary)

    def predictions(
        self, task: Task, answers: LabelSpace, examples: pd.DataFrame, split: str, cells: Sequence[Cell]
    ) -> Iterator[pd.DataFrame]:
        """One table a cell and template, columns as in results.Prediction, for examples with a `target`."""
        if not self.method.templates(task, self.backbone.kind):
            train = load_split(self.paths.suite(task.suite), task.name, "train")
            commonest = majority_tags if answers.space.form == "tagging" else majority_predictions
            for cell in cells:
                yield _labelled(commonest(train["label"].tolist(), examples), cell, "", split)
            return
        asked = [asked for cell in cells for asked in self._asked(task, cell)]
        width = 1 if self.method.state == "tuned" else self.params.device.fleet_members
        for start in range(0, len(asked), width):
            group = asked[start : start + width]
            for one, frame in zip(group, self._answer_group(answers, examples, group), strict=True):
                yield _labelled(frame, one.cell, one.template.id, split)

    def first_asked(self, task: Task, cell: Cell) -> Asked:
        """The cell under the first of its templates."""
        return self._asked(task, cell)[0]

    def _asked(self, task: Task, cell: Cell) -> list[Asked]:
        templates = {template.id: template for template in self.method.templates(task, self.backbone.kind)}
        kept = {name: tensor.to(self.backbone.device) for name, tensor in self.store.load_kept(cell.key).items()}
        return [Asked(cell, templates[name], kept) for name in cell.templates]

    def _answer_group(
        self, answers: LabelSpace, examples: pd.DataFrame, group: Sequence[Asked]
    ) -> Iterator[pd.DataFrame]:
        fleet, pool, parts = self.fleet_of(answers, examples, group)
        answered = fleet.predict(pool, range(len(group)), parts, self.params.device.inference_tokens)
        return (prediction_table(answers, examples, one) for one in answered)

    def fleet_of(
        self, answers: LabelSpace, examples: pd.DataFrame, group: Sequence[Asked]
    ) -> tuple[Fleet, Pool, Parts]:
        """The cells of a group side by side, each with its rows of the same examples."""
        backbone = with_tuned_weights(self.backbone, group[0].kept)
        limit = min(self.params.device.max_tokens, backbone.max_tokens)
        encoded = {
            (one.template.id, one.prompt_length): encode_split(
                answers, backbone, one.template, examples, one.prompt_length, limit
            )
            for one in group
        }
        splits = [encoded[one.template.id, one.prompt_length] for one in group]
        fleet = Fleet(backbone, [answers.space] * len(group))
        return fleet, Pool(splits, backbone.device), gather([restored(one.kept) for one in group])


def with_tuned_weights(backbone: Backbone, kept: Mapping[str, Tensor]) -> Backbone:
    """The backbone with the weights that a tuned cell kept, or itself."""
    weights = {name.removeprefix("model."): tensor for name, tensor in kept.items() if name.startswith("model.")}
    if not weights:
        return backbone
    tuned = backbone.tuned_copy()
    with torch.no_grad():
        for name, parameter in tuned.model.named_parameters():
            parameter.copy_(weights[name])
    return tuned


def _labelled(frame: pd.DataFrame, cell: Cell, template: str, split: str) -> pd.DataFrame:
    columns = cell.model_dump(include={"suite", "task", "backbone", "method", "state", "seed"})
    return frame.assign(**columns, template=template, split=split)
