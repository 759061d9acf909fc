"""Cells that answer with what is no number: failed with the reason, in evaluation, in the report and for a user."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from helpers.finished_cells import all_methods, finished_cell, paths_with
from helpers.profiles import listed
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split
from softprompt.errors import NotFiniteError, UserError
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.saved_parts import SavedParts
from softprompt.inputs.label_space import keep_answerable
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.records import write_record
from softprompt.results import TrainResult
from softprompt.usage.cells import TrainedCell
from softprompt.usage.inputs import read_inputs
from softprompt.usage.predict import predict

TEMPLATE = "prompt+plain"
LARGEST = float(torch.finfo(torch.double).max)  # a number, but no sum of several is one


def prompt_of(backbone: Backbone, value: float) -> Trainable:
    vectors = torch.full((3, backbone.embedding_size), value, dtype=torch.double)
    vectors[:, ::2] *= 0.5
    return Trainable(SoftPrompt(vectors, "identity"))


@pytest.fixture
def params() -> Params:
    params = all_methods()
    run = params.run.model_copy(update={"suites": ("lama",), **listed(["prompt_tuning"])})
    return params.model_copy(update={"run": run, "device": params.device.model_copy(update={"workers": 1})})


@pytest.fixture
def chosen(params: Params, bert: Backbone, prepared: Path, tmp_path: Path) -> TrainedCell:
    """The middle one of three cells, whose prompt is so long that the backbone gives no number."""
    paths = paths_with(prepared, tmp_path)
    parts = prompt_of(bert, LARGEST)
    chosen = finished_cell("prompt_tuning", bert, "lama/P19", TEMPLATE, parts, paths, params)
    cells = [chosen.cell.model_copy(update={"seed": 1})]
    folder = paths.train("prompt_tuning", bert.name)
    for seed, value in ((0, 0.1), (2, 0.3)):
        key = f"seed{seed}"
        digest = SavedParts(folder / "parts").save(key, prompt_of(bert, value).saved())
        cells.append(cells[0].model_copy(update={"seed": seed, "key": key, "parts_sha256": digest}))
    result = TrainResult(method="prompt_tuning", backbone=bert.name, cells=cells)
    write_record(folder / "result.json", result)
    trained = TrainedCells(params, "prompt_tuning", bert, paths)
    return TrainedCell(cells[0], chosen.task, bert, trained)


def test_it_answers_nothing_and_its_neighbours_in_the_fleet_as_without_it(chosen: TrainedCell) -> None:
    trained, paths = chosen.trained, chosen.trained.paths
    label_space = trained.label_space_of(chosen.task)
    examples = keep_answerable(label_space, load_split(paths.test_suite("lama"), "P19", "test"))
    requests = list(trained.requests(ScoredSplit(chosen.task, label_space, examples, "test")))
    broken, first, last = trained.predict(requests)
    assert isinstance(broken, NotFiniteError)
    assert str(broken) == f"the logits of {len(examples)} of {len(examples)} examples are not finite"
    for request, table in zip(requests[1:], (first, last), strict=True):
        (alone,) = trained.predict([request])
        pd.testing.assert_frame_equal(table, alone)


def test_it_is_listed_with_its_reason_and_has_no_prediction(
    chosen: TrainedCell, params: Params, bert: Backbone
) -> None:
    paths = chosen.trained.paths
    settings = params.backbones["tiny_bert"].model_copy(update={"source": "local"})  # which knowledge is not asked of
    evaluate_backbone(params.model_copy(update={"backbones": {"tiny_bert": settings}}), bert, paths)
    (failure,) = pd.read_csv(paths.evaluate("tiny_bert") / "failures.csv").to_dict("records")
    reason = failure.pop("reason")
    place = {"suite": "lama", "task": "P19", "backbone": "tiny_bert", "method": "prompt_tuning", "seed": 1}
    assert failure == place
    assert reason.startswith("answering the split ")
    assert reason.endswith("examples are not finite")
    assert set(pd.read_parquet(paths.evaluate("tiny_bert") / "predictions.parquet")["seed"]) == {0, 2}


def test_what_its_prompt_holds_is_not_described(chosen: TrainedCell, params: Params, bert: Backbone) -> None:
    """Though it is the first of its task, of which the words nearest to its vectors would be shown."""
    paths = chosen.trained.paths
    later = [cell for cell in chosen.trained.cells["lama", "P19"] if cell.seed]
    result = TrainResult(method="prompt_tuning", backbone=bert.name, cells=later)
    write_record(paths.train("prompt_tuning", bert.name) / "result.json", result)
    settings = params.backbones["tiny_bert"].model_copy(update={"source": "local"})
    evaluate_backbone(params.model_copy(update={"backbones": {"tiny_bert": settings}}), bert, paths)
    assert set(pd.read_csv(paths.evaluate("tiny_bert") / "nearest_tokens.csv")["seed"]) == {2}


def test_where_every_cell_fails_evaluation_says_so(chosen: TrainedCell, params: Params, bert: Backbone) -> None:
    paths = chosen.trained.paths
    result = TrainResult(method="prompt_tuning", backbone=bert.name, cells=[chosen.cell])
    write_record(paths.train("prompt_tuning", bert.name) / "result.json", result)
    with pytest.raises(UserError, match="can be scored on tiny_bert: each answers with what is no number"):
        evaluate_backbone(params, bert, paths)


def test_predict_says_it_in_one_line(chosen: TrainedCell) -> None:
    line = r"^prompt_tuning on tiny_bert, lama/P19, seed 1: its logits are not finite, so that it answers nothing; .*$"
    with pytest.raises(UserError, match=line):
        predict(chosen, read_inputs(chosen.task, None, ["Ann"]))


@pytest.mark.parametrize("damage", ["deleted", "truncated", "flipped", "swapped", "without parts"])
def test_parts_that_are_not_those_that_were_saved_are_refused(damage: str, chosen: TrainedCell) -> None:
    parts = chosen.trained.parts
    path, cell = parts.path("seed0"), chosen.trained.cells["lama", "P19"][1]
    assert chosen.trained.loaded(cell).positions == 3
    content, other = path.read_bytes(), parts.path("seed2").read_bytes()
    path.unlink()
    changed = {"truncated": content[:-3], "flipped": content[:-1] + bytes([content[-1] ^ 1]), "swapped": other}
    if damage != "deleted":
        path.write_bytes(changed.get(damage, b"\x02\0\0\0\0\0\0\0{}"))
    with pytest.raises(UserError, match=r"seed0\.safetensors: not the file that training saved; run `dvc repro`"):
        chosen.trained.loaded(cell)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_parts_that_hold_no_numbers_are_refused(number: float, chosen: TrainedCell, bert: Backbone) -> None:
    cell = chosen.trained.cells["lama", "P19"][1]
    digest = chosen.trained.parts.save(cell.key, prompt_of(bert, number).saved())
    with pytest.raises(UserError, match=r"seed0\.safetensors: prompt\.vectors is not finite"):
        chosen.trained.loaded(cell.model_copy(update={"parts_sha256": digest}))


def test_a_cell_of_a_version_without_digests_is_refused(chosen: TrainedCell) -> None:
    cell = chosen.trained.cells["lama", "P19"][1].model_copy(update={"parts_sha256": ""})
    with pytest.raises(UserError, match="not the file that training saved"):
        chosen.trained.loaded(cell)
