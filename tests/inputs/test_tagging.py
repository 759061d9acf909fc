"""Labels for every word: entity F1 against CoNLL's own counting, words at their pieces, heads row by row, refusals."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.backbones import tiny_backbone
from helpers.profiles import profile_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Params
from softprompt.data.prepared import load_split
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.train import train_method
from softprompt.inputs.batches import Pool, Split
from softprompt.inputs.encoding import NO_TOKEN, tokenize
from softprompt.inputs.label_space import dev_score, keep_answerable
from softprompt.inputs.tagging import encode_tagged, majority_tags, tag_names
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.paths import Paths
from softprompt.prompts.head import Head
from softprompt.prompts.trainable import Trainable, gather
from softprompt.reporting.analysis.scoring import score_table
from softprompt.tasks.entities import entities_of
from softprompt.tasks.load import load_task
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member
from softprompt.usage.cells import TrainedCell
from softprompt.usage.predict import predict

SECTIONS = profile_params("multitask").methods
TAGS = load_task("extra", "ner", Path()).labels
READ_BY_WORD = ("bert", "roberta", "albert", "gpt2")
tags = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), min_size=1, max_size=8)


@pytest.fixture(scope="module", params=READ_BY_WORD)
def reader(request: pytest.FixtureRequest, prepared: Path) -> Backbone:
    return tiny_backbone(request.param, prepared)


def ner_data(extra: Path, backbone: Backbone) -> TaskData:
    return task_data(extra, backbone, "extra", "ner", head=True)


def chunks_as_conlleval(sequence: list[str]) -> set[tuple[str, int, int]]:
    """conlleval's two rules, spelt out: does a chunk end between two tags, does one start."""
    chunks, start = set(), 0
    previous, previous_type = "O", ""
    for i, tag in enumerate([*sequence, "O"]):
        prefix, _, kind = tag.partition("-")
        ends = previous in ("B", "I") and (prefix in ("B", "O") or previous_type != kind)
        if ends:
            chunks.add((previous_type, start, i - 1))
        starts = prefix == "B" or (prefix == "I" and (previous == "O" or previous_type != kind))
        if starts:
            start = i
        previous, previous_type = prefix, kind
    return chunks


@given(tags)
def test_entities_are_conllevals(sequence: list[str]) -> None:
    assert entities_of(sequence) == chunks_as_conlleval(sequence)


def table(pairs: list[tuple[list[str], list[str]]]) -> pd.DataFrame:
    return pd.DataFrame([{"gold": json.dumps(gold), "prediction": json.dumps(said)} for gold, said in pairs])


def two_sequences(length: int) -> st.SearchStrategy[tuple[list[str], list[str]]]:
    one = st.lists(st.sampled_from(TAGS), min_size=length, max_size=length)
    return st.tuples(one, one)


@given(st.lists(st.integers(1, 6).flatmap(two_sequences), min_size=1, max_size=4))
def test_entity_f1_counts_over_all_sentences(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold = {(i, *entity) for i, (truth, _) in enumerate(pairs) for entity in chunks_as_conlleval(truth)}
    said = {(i, *entity) for i, (_, guess) in enumerate(pairs) for entity in chunks_as_conlleval(guess)}
    right = len(gold & said)
    precision, recall = right / max(len(said), 1), right / max(len(gold), 1)
    expected = 2 * precision * recall / (precision + recall) if right else 0.0
    assert METRICS["entity_f1"](table(pairs)) == pytest.approx(expected)
    words = [a == b for truth, guess in pairs for a, b in zip(truth, guess, strict=True)]
    assert METRICS["token_accuracy"](table(pairs)) == pytest.approx(sum(words) / len(words))


def test_a_worked_example() -> None:
    """One of two entities found in full, one by its first word only, one made up: F1 = 2 * 1 / (3 + 2)."""
    gold = ["B-PER", "I-PER", "O", "B-LOC", "O"]
    said = ["B-PER", "O", "O", "B-LOC", "B-ORG"]
    assert METRICS["entity_f1"](table([(gold, said)])) == pytest.approx(0.4)
    assert METRICS["token_accuracy"](table([(gold, said)])) == pytest.approx(0.6)


@pytest.mark.parametrize("in_front", [False, True])
def test_each_word_is_read_at_its_first_piece(in_front: bool, reader: Backbone, extra: Path) -> None:
    data = ner_data(extra, reader)
    template = data.task.head_input().with_prompt_in_front() if in_front else data.task.head_input()
    split = data_split(data, reader, template, 3 * in_front, 128)
    for row in range(len(data.train)):
        words = data.train["words"][row].split()
        places = split.encoded.read_at[row][split.target[row] != NO_TOKEN].tolist()
        assert len(places) == len(words)
        ends = [*places[1:], int(split.encoded.lengths[row])]
        for number, (word, start, end) in enumerate(zip(words, places, ends, strict=True)):
            blank = " " if number or in_front else ""
            pieces = tokenize(reader.tokenizer, f"{blank}{word}")
            assert split.encoded.ids[row, start:end].tolist()[: len(pieces)] == pieces
        assert [TAGS[i] for i in split.target[row] if i != NO_TOKEN] == json.loads(data.train["label"][row])


def data_split(data: TaskData, backbone: Backbone, template: Template, prompt_length: int, max_tokens: int) -> Split:
    return encode_tagged(data.task, backbone, template, data.train, prompt_length, max_tokens)


def test_words_that_are_cut_off_are_outside(bert: Backbone, extra: Path) -> None:
    data = ner_data(extra, bert)
    split = data_split(data, bert, data.task.head_input(), 0, 8)
    assert int(split.encoded.lengths.max()) == 8
    outputs = torch.where(split.target == NO_TOKEN, NO_TOKEN, 1).tolist()
    for name, gold, row in zip(tag_names(data.task, data.train, outputs), data.train["label"], outputs, strict=True):
        read = sum(output != NO_TOKEN for output in row)
        assert json.loads(name) == [TAGS[1]] * read + ["O"] * (len(json.loads(gold)) - read)


def test_a_fleet_tags_as_every_row_alone(reader: Backbone, extra: Path) -> None:
    data = ner_data(extra, reader)
    split = data.split("dev", data.task.head_input(), 0)
    torch.manual_seed(1)
    heads = [torch.nn.Linear(reader.hidden_size, len(TAGS)).double() for _ in range(2)]
    parts = gather([Trainable(Head(head)) for head in heads])
    fleet = Fleet(reader, [data.label_space.outputs] * 2)
    pool = Pool([split, split], reader.device)
    answered = fleet.predict(pool, [0, 1], parts, 300)
    for member, head in enumerate(heads):
        for row in range(len(split)):
            length = int(split.encoded.lengths[row])
            ids = split.encoded.ids[row : row + 1, :length]
            places = split.encoded.read_at[row][split.target[row] != NO_TOKEN][None]
            mask = torch.ones_like(ids)
            with torch.no_grad():
                hidden = reader.encode(reader.embed(ids), mask, places, torch.zeros_like(places))
                logits = head(hidden[0])
            gold = split.target[row][split.target[row] != NO_TOKEN]
            given = answered[member].prediction[row]
            assert given[given != NO_TOKEN].tolist() == logits.argmax(dim=1).tolist()
            loss = torch.nn.functional.cross_entropy(logits, gold)
            assert float(answered[member].loss[row]) == pytest.approx(float(loss), abs=1e-5)
            assert int(answered[member].gold_rank[row]) == 2 - int((logits.argmax(dim=1) == gold).all())


def test_a_head_learns_names(bert: Backbone, extra: Path) -> None:
    data = ner_data(extra, bert)
    torch.manual_seed(0)
    split = data.split("train", data.task.head_input(), 0)
    member = Member(
        identity="names",
        space=data.label_space.outputs,
        learning_rate=1e-2,
        train=split,
        dev=split,
        dev_score=partial(dev_score, data.task, data.label_space, data.train),
        trainable=Trainable(Head(torch.nn.Linear(bert.hidden_size, len(TAGS)).double())),
    )
    budget = Budget(trials=2, steps=60, batch_size=8, eval_every=20, patience=9)
    recipe = build("fine_tuning").settings.recipe
    (trained,) = train_fleet(FleetWork(bert, [member], budget, recipe, 2000))
    assert trained.curve[-1].train_loss < 0.7 * trained.curve[0].train_loss


def build(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def test_majority_says_the_commonest_tag_to_every_word() -> None:
    examples = pd.DataFrame({"id": ["a", "b"], "group": ["a", "b"], "label": ['["O", "B-PER"]', '["O"]']})
    frame = majority_tags(['["O", "O", "B-LOC"]', '["B-LOC", "O"]'], examples)
    assert frame["prediction"].tolist() == ['["O", "O"]', '["O"]']
    assert METRICS["entity_f1"](frame) == 0.0


def test_who_cannot_tag_says_why(prepared: Path, extra: Path, bert: Backbone) -> None:
    task = load_task("extra", "ner", extra)
    assert "takes a classification head" in build("p_tuning").inapplicable(task, bert)
    assert build("fine_tuning").inapplicable(task, bert) == ""
    decoder = tiny_backbone("t5", prepared)
    assert "only the decoder of tiny_t5 is read" in build("fine_tuning").inapplicable(task, decoder)


@pytest.mark.parametrize(
    ("name", "tasks", "metrics"),
    [
        ("majority", {"ner", "qa", "sentiment"}, {"accuracy", "entity_f1", "token_accuracy"}),
        ("fine_tuning", {"ner", "qa", "sentiment"}, {"accuracy", "entity_f1", "token_accuracy"}),
        # a vocabulary of 400 splits the places of qa
        ("multitask_prompt", {"ner", "sentiment"}, {"accuracy", "entity_f1", "token_accuracy"}),
        ("multitask_prompt_mpt", {"ner", "sentiment"}, {"accuracy", "entity_f1", "token_accuracy"}),
        ("prompt_pool", {"ner", "sentiment"}, {"accuracy", "entity_f1", "token_accuracy"}),
    ],
)
def test_the_example_set_from_training_to_scores(
    name: str, tasks: set[str], metrics: set[str], prepared: Path, extra: Path
) -> None:
    params, paths = smoke_params(), Paths(extra.parents[1])
    backbone = tiny_backbone("bert", prepared)
    backbone.model.float()
    result = train_method(params, name, build_method(name, params.methods[name]), backbone, paths)
    assert {cell.task for cell in result.cells if cell.status == "done"} == tasks
    trained = TrainedCells(params, name, backbone, paths)
    frames = list(answers_on_test(trained, extra))
    for cell in trained.cells.get(("extra", "ner"), []):
        with pytest.raises(UserError, match="extra/ner labels every word, which predict cannot show"):
            predict(TrainedCell(cell, load_task("extra", "ner", extra), backbone, trained), pd.DataFrame())
    definitions = {place: load_task(*place, extra) for place in trained.cells}
    assert set(score_table(pd.concat(frames), definitions)["metric"]) == metrics
    if "prompt" in name:
        together = METHODS[name].together
        assert {trial.study for trial in result.trials} == ({"extra"} if together else {"extra/ner", "extra/sentiment"})
        reasons = {cell.task: cell.reason for cell in result.cells}
        assert "do not begin with different tokens" in reasons["qa"]


def smoke_params() -> Params:
    params = profile_params("multitask")
    budget = Budget(trials=2, steps=2, batch_size=4, eval_every=1, patience=9)
    return params.model_copy(
        update={
            "run": params.run.model_copy(update={"suites": ("extra",), "backbones": ("tiny_bert",)}),
            "budgets": {"small": budget},
            "seeds": (0,),
            "device": params.device.model_copy(update={"type": "cpu", "workers": 1}),
        }
    )


def answers_on_test(trained: TrainedCells, extra: Path) -> Iterator[pd.DataFrame]:
    for suite, name in trained.cells:
        task = load_task(suite, name, extra)
        answers = trained.label_space_of(task)
        examples = keep_answerable(answers, load_split(Paths(extra.parents[1]).test_suite(suite), name, "test"))
        yield from trained.predict(list(trained.requests(ScoredSplit(task, answers, examples, "test"))))
