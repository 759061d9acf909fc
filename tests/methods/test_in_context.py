"""Examples in context: which are shown, that they are read as text is, and what calibration does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.profiles import fixture_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.errors import UserError
from softprompt.experiments.cell_factory import CellFactory
from softprompt.experiments.store import FleetStore
from softprompt.experiments.untrained import untrained_cells
from softprompt.experiments.workload import Workload
from softprompt.inputs.batches import Pool
from softprompt.inputs.encoding import encode_texts, tokenize
from softprompt.inputs.task_data import TaskData, encode_split
from softprompt.methods import build_method
from softprompt.methods.base import Method, fresh_trainable
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import Trainable, gather
from softprompt.tasks.load import load_task
from softprompt.training.demonstrations import CONTENT_FREE, fitting_tokens, solved
from softprompt.training.fleet import Fleet


@pytest.fixture
def params() -> Params:
    return fixture_params().model_copy(update={"seeds": (0, 1)})


def data_of(suite: str, name: str, backbone: Backbone, prepared: Path, max_tokens: int = 128) -> TaskData:
    return task_data(prepared, backbone, suite, name, max_tokens=max_tokens)


def shown_by(method: Method, data: TaskData, identity: str = "one") -> Trainable:
    return fresh_trainable(method, data.task, data.backbone, 0, identity, data=data)


def tokens_of(shown: Trainable) -> Tensor:
    return shown.part(TokenPrompt).tokens


def test_the_examples_shown_are_solved_ones_of_train_as_many_as_set(gpt2: Backbone, prepared: Path) -> None:
    data = data_of("lama", "P19", gpt2, prepared)
    shown = shown_by(build_method("in_context", {"examples": 2}), data)
    lines = gpt2.tokenizer.decode(tokens_of(shown)).strip("\n").split("\n")
    wording = data.task.manual[0].text
    facts = zip(data.train["subject"], data.train["label"], strict=True)
    solved_facts = {wording.replace("{subject}", subject).replace("{mask}", label) for subject, label in facts}
    assert len(lines) == 2
    assert set(lines) <= solved_facts
    other = shown_by(build_method("in_context", {"examples": 2}), data, "two")
    assert tokens_of(other).tolist() != tokens_of(shown).tolist()


def test_no_more_are_shown_than_fit_and_longer_ones_are_passed_over(gpt2: Backbone) -> None:
    texts = ["one two", "three " * 20, "four"]
    short = [len(tokenize(gpt2.tokenizer, f"{text}\n")) for text in texts]
    tokens, count = fitting_tokens(gpt2, texts, "\n", 8, short[0] + short[2])
    assert (count, gpt2.tokenizer.decode(tokens)) == (2, "one two\nfour\n")
    assert fitting_tokens(gpt2, texts, "\n", 8, short[0])[1] == 1
    with pytest.raises(UserError, match="no solved example fits beside the longest train row: 0 tokens are free; use"):
        fitting_tokens(gpt2, texts, "\n", 8, -3)


@pytest.mark.parametrize("separator", ["\n", " ", " ### "])
def test_a_question_behind_examples_is_read_as_one_text(separator: str, gpt2: Backbone, prepared: Path) -> None:
    data = data_of("lama", "P36", gpt2, prepared)
    method = build_method("in_context", {"examples": 3, "separator": separator})
    shown = shown_by(method, data)
    (template,) = method.templates(data.task, "causal")
    split = encode_split(data.label_space, gpt2, template, data.dev, len(tokens_of(shown)), 128)
    batch = Pool([split], gpt2.device).batch(torch.zeros(4, dtype=torch.long), torch.arange(4))
    logits = Fleet(gpt2, [data.label_space.outputs]).read(batch, gather([shown])).logits
    examples = gpt2.tokenizer.decode(tokens_of(shown))
    glue = " " if separator.endswith(" ") else ""
    for row, subject in enumerate(data.dev["subject"][:4]):
        question = data.task.manual[0].text.partition("{mask}")[0].replace("{subject}", subject).rstrip()
        ids = torch.tensor([tokenize(gpt2.tokenizer, f"{examples}{glue}{question}")])
        torch.testing.assert_close(logits[row], gpt2.model(ids).logits[0, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("suite", "name"), [("superglue", "rte"), ("lama", "P36")])
def test_calibration_makes_all_answers_alike_where_nothing_is_asked(
    suite: str, name: str, gpt2: Backbone, prepared: Path
) -> None:
    data, method = data_of(suite, name, gpt2, prepared), build_method("in_context_calibrated", {"examples": 2})
    shown = shown_by(method, data)
    plain = shown_by(build_method("in_context", {"examples": 2}), data)
    assert torch.equal(tokens_of(shown), tokens_of(plain))
    (template,) = method.templates(data.task, "causal")
    examples = data.dev.head(3).assign(**dict.fromkeys(data.task.fields, CONTENT_FREE))
    split = encode_split(data.label_space, gpt2, template, examples, len(tokens_of(shown)), 128)
    batch = Pool([split], gpt2.device).batch(torch.zeros(3, dtype=torch.long), torch.arange(3))
    fleet = Fleet(gpt2, [data.label_space.outputs])
    uncalibrated = fleet.read(batch, gather([plain])).logits
    calibrated = fleet.read(batch, gather([shown])).logits
    divided = uncalibrated.softmax(dim=1) / uncalibrated.softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(divided.mean(dim=0), torch.ones_like(divided[0]))
    torch.testing.assert_close(calibrated.softmax(dim=1), divided / divided.sum(dim=1, keepdim=True))


def test_solved_examples_hold_their_right_answer(gpt2: Backbone, prepared: Path) -> None:
    data = data_of("superglue", "rte", gpt2, prepared)
    wording = "{premise} {sep} {claim}? {mask}."
    row = data.train.iloc[0]
    (text,) = solved(data.task, wording, data.train.head(1))
    assert text == f"{row['premise']} {row['claim']}? {data.task.verbalizer[row['label']]}."


def workload_of(
    params: Params, name: str, data: TaskData, folder: Path, section: dict[str, Any] | None = None
) -> Workload:
    factory = CellFactory(name, build_method(name, section or params.methods[name]), data.backbone)
    return Workload(factory, params, FleetStore(folder), {data.task.key: data})


def test_cells_save_what_they_show_and_both_methods_show_the_same(
    params: Params, gpt2: Backbone, prepared: Path, tmp_path: Path
) -> None:
    data, saved = data_of("lama", "P36", gpt2, prepared), {}
    for name in ("in_context", "in_context_calibrated"):
        workload = workload_of(params, name, data, tmp_path / name, {"examples": 3})
        cells, _ = untrained_cells(workload, tmp_path / "studies")
        assert [cell.status for cell in cells] == ["done", "done"]
        saved[name] = [workload.store.parts.load(cell.key, cell.parts_sha256) for cell in cells]
    plain, calibrated = saved["in_context"], saved["in_context_calibrated"]
    assert plain[0]["tokens.tokens"].tolist() != plain[1]["tokens.tokens"].tolist()
    for one, other in zip(plain, calibrated, strict=True):
        assert torch.equal(one["tokens.tokens"], other["tokens.tokens"])
        assert set(other) - set(one) == {"bias.values"}


@pytest.mark.parametrize("section", [{"examples": 8}, None])  # a fixed number, or one that is searched
def test_a_task_whose_examples_do_not_fit_is_not_applicable_with_the_reason(
    section: dict[str, Any] | None, params: Params, gpt2: Backbone, prepared: Path, tmp_path: Path
) -> None:
    data = data_of("superglue", "rte", gpt2, prepared)
    longest = max(encode_texts(gpt2, data.task.manual[0], data.train, 0, 128).lengths.tolist())
    tight = data_of("superglue", "rte", gpt2, prepared, max_tokens=longest + 2)
    workload = workload_of(params, "in_context", tight, tmp_path, section)
    cells, _ = untrained_cells(workload, tmp_path / "studies")
    assert {cell.status for cell in cells} == {"not_applicable"}
    assert cells[0].reason.startswith("no solved example fits beside the longest train row: 2 tokens are free")


def test_the_number_of_examples_is_searched_and_the_best_one_asked(
    params: Params, gpt2: Backbone, prepared: Path, tmp_path: Path
) -> None:
    data = data_of("lama", "P36", gpt2, prepared)
    cells, trials = untrained_cells(workload_of(params, "in_context", data, tmp_path), tmp_path / "studies")
    assert all(1 <= trial.settings["examples"] <= 8 for trial in trials)
    for cell in cells:
        own = [trial for trial in trials if trial.seed == cell.seed]
        best = max(own, key=lambda trial: (trial.dev_score, -trial.number))
        assert cell.chosen == best.settings
        assert cell.settings["examples"] == cell.settings["examples_shown"] == best.settings["examples"]


def test_a_cell_says_how_many_examples_fitted(params: Params, gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    whole = data_of("superglue", "rte", gpt2, prepared)
    longest = max(encode_texts(gpt2, whole.task.manual[0], whole.train, 0, 128).lengths.tolist())
    data = data_of("superglue", "rte", gpt2, prepared, max_tokens=2 * longest + 2)
    workload = workload_of(params, "in_context", data, tmp_path, {"examples": 8})
    cells, _ = untrained_cells(workload, tmp_path / "studies")
    for cell in cells:
        tokens = workload.store.parts.load(cell.key, cell.parts_sha256)["tokens.tokens"]
        shown = gpt2.tokenizer.decode(tokens).strip("\n").split("\n")
        assert cell.settings["examples_shown"] == len(shown) < 8 == cell.settings["examples"]


def test_who_cannot_be_shown_examples_says_why(bert: Backbone, gpt2: Backbone, prepared: Path) -> None:
    plain, calibrated = build_method("in_context", {}), build_method("in_context_calibrated", {})
    reason = plain.inapplicable(load_task("superglue", "rte", prepared), bert)
    assert reason.startswith("a masked backbone such as tiny_bert does not go on from examples")
    copa = load_task("superglue", "copa", prepared)
    assert plain.inapplicable(copa, gpt2) == ""
    assert calibrated.inapplicable(copa, gpt2).startswith("calibration is of answers that are one word")
    with pytest.raises(UserError, match="calibrated"):
        build_method("in_context_calibrated", {"calibrated": False})
