"""Trained cells as they answer: loaded from what training saved, many of them side by side in a fleet."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split, load_vocabulary
from softprompt.errors import NotFiniteError, UserError
from softprompt.experiments.saved_parts import SavedParts
from softprompt.inputs.batches import Pool, Split
from softprompt.inputs.label_space import LabelSpace, label_space_of, majority_predictions, prediction_table
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.tagging import majority_tags
from softprompt.inputs.task_data import encode_split, room_of
from softprompt.methods.base import Method, build_method
from softprompt.paths import Paths
from softprompt.prompts.trainable import FleetParts, Trainable, gather, restored
from softprompt.result_files import read_train_result
from softprompt.results import Cell
from softprompt.tasks.task import Task, Template
from softprompt.training.fleet import Fleet

logger = logging.getLogger(__name__)

NO_TEMPLATE = Template(id="", text="", source="")  # of a method that asks nothing


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """Examples of a task that all of its cells answer, with a `target` each, and what they may be answered with."""

    task: Task
    label_space: LabelSpace
    examples: pd.DataFrame
    split: str


@dataclass(frozen=True)
class Request:
    """One cell under one template, and what it is to answer."""

    cell: Cell
    template: Template
    scored: ScoredSplit


class TrainedCells:
    """The finished cells of one method on one backbone."""

    def __init__(self, params: Params, name: str, backbone: Backbone, paths: Paths) -> None:
        self.params = params
        self.name = name
        self.paths = paths
        self.method: Method = build_method(name, params.methods[name])
        self.backbone = self.method.prepared_backbone(backbone)
        folder = paths.train(params.run.folder_of(name), backbone.name)
        result = read_train_result(folder / "result.json")
        self.parts = SavedParts(folder / "parts")
        self._encoded: dict[tuple[ScoredSplit, str, tuple[int, int]], Split] = {}
        self.cells: dict[tuple[str, str], list[Cell]] = {}
        for cell in result.cells:
            if cell.status == "done":
                self.cells.setdefault((cell.suite, cell.task), []).append(cell)

    def label_space_of(self, task: Task) -> LabelSpace:
        """What the task may be answered with here."""
        vocabulary = load_vocabulary(self.paths.suite(task.suite))
        return label_space_of(task, self.backbone, head=self.method.uses_head(task), vocabulary=vocabulary)

    def requests(self, scored: ScoredSplit) -> Iterator[Request]:
        """A split put to every cell of its task, under every template that the cell asks."""
        for cell in self.cells[scored.task.suite, scored.task.name]:
            method = self.method.with_settings(cell.chosen)
            templates = {one.id: one for one in method.templates(scored.task, self.backbone.kind)}
            for name in cell.templates:
                if name not in templates:
                    raise UserError(
                        f"{self.name} on {cell.backbone} was trained with the template {name!r}, which "
                        f"{scored.task.key} no longer has; run `dvc repro`"
                    )
                yield Request(cell, templates[name], scored)
            if not cell.templates:
                yield Request(cell, NO_TEMPLATE, scored)

    def first_request(self, scored: ScoredSplit, cell: Cell) -> Request:
        """A split put to one cell under the first of its templates."""
        return next(request for request in self.requests(scored) if request.cell.key == cell.key)

    def predict(self, requests: Sequence[Request]) -> list[pd.DataFrame | NotFiniteError]:
        """One table a request, with the columns of results.Prediction, or the error of a cell whose logits are not
        finite: it answers nothing, and the others answer all the same."""
        answers: dict[int, pd.DataFrame | NotFiniteError] = {}
        for numbers in self._fleets(requests):
            answers |= zip(numbers, self._predict([requests[number] for number in numbers]), strict=True)
        return [answers[number] for number in range(len(requests))]

    def loaded(self, cell: Cell) -> Trainable:
        """The parts that a cell saved. Raises UserError where they are not what training left."""
        kept = self.parts.load(cell.key, cell.parts_sha256) if cell.parameters_kept else {}
        return restored(kept, self.backbone, cell.positions).to(self.backbone.device)

    def fleet_of(self, requests: Sequence[Request]) -> tuple[Fleet, Pool, FleetParts]:
        """The cells of some requests side by side, each with its rows."""
        cells = {request.cell.key: self.loaded(request.cell) for request in requests}
        backbone = next(iter(cells.values())).applied_to(self.backbone)
        splits = self._encoded_for(requests, backbone)
        fleet = Fleet(backbone, [one.scored.label_space.outputs for one in requests])
        return fleet, Pool(splits, backbone.device), gather([cells[one.cell.key] for one in requests])

    def _encoded_for(self, requests: Sequence[Request], backbone: Backbone) -> list[Split]:
        """The rows of each request; what the requests before have encoded alike serves again."""
        before, self._encoded = self._encoded, {}
        splits = []
        for one in requests:
            room = room_of(backbone, one.template, one.cell.positions, self.params.max_tokens)
            key = one.scored, one.template.id, room
            if key not in self._encoded:
                arguments = one.scored.label_space, backbone, one.template, one.scored.examples
                self._encoded[key] = before.get(key) or encode_split(*arguments, *room)
            splits.append(self._encoded[key])
        return splits

    def _fleets(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Numbers of requests that are read alike, as many as train together; on a tuned backbone those of one cell."""
        tuned, width = self.method.state == "tuned", self.params.device.fleet_members
        reading = [
            (
                one.scored.label_space.outputs.form,
                self.method.uses_head(one.scored.task),
                (one.scored.task.key, one.cell.key) if tuned else (),
            )
            for one in requests
        ]
        ordered = sorted(range(len(requests)), key=reading.__getitem__)
        for _, group in groupby(ordered, key=reading.__getitem__):
            alike = list(group)
            yield from (alike[start : start + width] for start in range(0, len(alike), width))

    def _predict(self, requests: Sequence[Request]) -> list[pd.DataFrame | NotFiniteError]:
        if requests[0].template is NO_TEMPLATE:
            return [_labelled(self._commonest(request.scored), request) for request in requests]
        fleet, pool, parts = self.fleet_of(requests)
        found = fleet.predict(pool, range(len(requests)), parts, self.params.device.inference_tokens)
        return [_answers(request, predictions) for request, predictions in zip(requests, found, strict=True)]

    def _commonest(self, scored: ScoredSplit) -> pd.DataFrame:
        task = scored.task
        train = load_split(self.paths.suite(task.suite), task.name, "train")
        commonest = majority_tags if scored.label_space.outputs.form == "tagging" else majority_predictions
        return commonest(train["label"].tolist(), scored.examples)


def _answers(request: Request, predictions: Predictions) -> pd.DataFrame | NotFiniteError:
    scored, cell = request.scored, request.cell
    try:
        return _labelled(prediction_table(scored.label_space, scored.examples, predictions), request)
    except NotFiniteError as error:
        place = f"{cell.method} on {cell.backbone}, {scored.task.key}, seed {cell.seed}, {scored.split}"
        logger.error("%s failed: %s", place, error)
        return error


def _labelled(frame: pd.DataFrame, request: Request) -> pd.DataFrame:
    place = request.cell.model_dump(include={"suite", "task", "backbone", "method", "state", "seed"})
    columns: dict[str, Any] = {**place, "template": request.template.id, "split": request.scored.split}
    return pd.DataFrame({**columns, **{str(name): values for name, values in frame.items()}})
